"""OpenAI's Responses; modelled like its neighbours, it meets only neutral.

read_request  write_request    a client's body -> neutral -> a provider's body
read_reply    write_reply      a whole answer, read as its events and put together from them
EventReader   EventWriter      a streamed answer, event by event
read_error    write_error      a provider's refusal; our own, in this dialect's words
read_usage    glimpse          a usage block, and an event seen in passing, for the meter
"""

from gateway.dialects.openai_errors import read_error, write_error
from gateway.dialects.openai_responses.glimpse import glimpse
from gateway.dialects.openai_responses.read_replies import EventReader, read_reply
from gateway.dialects.openai_responses.read_requests import read_request
from gateway.dialects.openai_responses.write_replies import EventWriter, write_reply
from gateway.dialects.openai_responses.write_requests import write_request
from gateway.dialects.openai_usage import merged, read_usage

__all__ = [
    "EventReader",
    "EventWriter",
    "glimpse",
    "merged",
    "read_error",
    "read_reply",
    "read_request",
    "read_usage",
    "write_error",
    "write_reply",
    "write_request",
]
