"""Anthropic's messages; modelled like its neighbours, it meets only neutral.

read_request  write_request    a client's body -> neutral -> a provider's body
read_reply    write_reply      a whole answer, read as its events and put together from them
EventReader   EventWriter      a streamed answer, event by event
read_error    write_error      a provider's refusal; our own, in this dialect's words
read_usage    glimpse          a usage block, and an event seen in passing, for the meter
"""

from gateway.dialects.anthropic_messages.errors import read_error, write_error
from gateway.dialects.anthropic_messages.glimpse import glimpse
from gateway.dialects.anthropic_messages.read_requests import read_count_request, read_request
from gateway.dialects.anthropic_messages.replies import EventReader, EventWriter, read_reply, write_reply
from gateway.dialects.anthropic_messages.usage import merged, read_usage
from gateway.dialects.anthropic_messages.write_requests import write_request

__all__ = [
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
