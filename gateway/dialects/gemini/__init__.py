"""Google's Gemini; modelled like its neighbours, it meets only neutral.

read_request  write_request    a client's body -> neutral -> a provider's body; model and stream stand in the address
read_reply    write_reply      a whole answer, read as its events and put together from them
EventReader   EventWriter      a streamed answer, event by event
read_error    write_error      a provider's refusal; our own, in this dialect's words
read_usage    glimpse          a usage block, and an event seen in passing, for the meter
"""

from gateway.dialects.gemini.array import ArrayOfChunks
from gateway.dialects.gemini.errors import read_error, write_error
from gateway.dialects.gemini.glimpse import glimpse
from gateway.dialects.gemini.read_requests import read_count_request, read_request
from gateway.dialects.gemini.replies import EventReader, EventWriter, read_reply, write_reply
from gateway.dialects.gemini.usage import merged, read_usage
from gateway.dialects.gemini.write_requests import write_request

__all__ = [
    "ArrayOfChunks",
    "EventReader",
    "EventWriter",
    "glimpse",
    "merged",
    "read_count_request",
    "read_error",
    "read_reply",
    "read_request",
    "read_usage",
    "write_error",
    "write_reply",
    "write_request",
]
