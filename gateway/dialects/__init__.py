"""The wire formats, each around one neutral form; `DIALECTS` finds one by its name.

Every dialect has the same short functions under the same names (see `Dialect`), so a neighbour is read once and known.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from gateway.dialects import anthropic_messages, gemini, openai_chat, openai_completions, openai_responses
from gateway.dialects.glimpse import Seen
from gateway.dialects.heading import Heading
from gateway.dialects.neutral import Event, Json, Request, Tally
from gateway.dialects.sse import ServerEvent
from gateway.errors import Answer, GatewayError


class Reader(Protocol):
    """Reads a streamed answer."""

    def read(self, received: ServerEvent, /) -> list[Event]:
        """Read one event."""

    def close(self) -> list[Event]:
        """Say that the bytes have ended."""


class Writer(Protocol):
    """Writes a streamed answer."""

    def write(self, told: Event, /) -> bytes:
        """Write one event."""

    def fail(self, error: GatewayError, /) -> bytes:
        """End the answer with an error of our own."""


class Dialect(Protocol):
    """What a wire format can do."""

    @property
    def EventReader(self) -> Callable[[], Reader]:  # noqa: N802 -- a class of the module
        """Reads a streamed answer."""

    @property
    def EventWriter(self) -> Callable[[Heading], Writer]:  # noqa: N802
        """Writes a streamed answer."""

    def read_request(self, body: bytes, /) -> Request:
        """Read a client's body."""

    def write_request(self, request: Request, /) -> bytes:
        """Write a provider's body."""

    def read_reply(self, body: bytes, /) -> list[Event]:
        """Read a whole answer as its events."""

    def write_reply(self, events: Iterable[Event], heading: Heading, /) -> bytes:
        """Write a whole answer."""

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes, /) -> Answer:
        """Read what a provider refused or failed with."""

    def write_error(self, error: GatewayError, /, *, request_id: str = "") -> bytes:
        """Write the body of an error."""

    def read_usage(self, usage: Json, /) -> Tally:
        """Read a usage block."""

    def merged(self, earlier: Json, report: Json, /) -> Json:
        """Lay a later usage block over an earlier one."""

    def glimpse(self, data: bytes, /) -> Seen:
        """See in passing what an event delivers."""


DIALECTS: Mapping[str, Dialect] = {
    "openai_chat": openai_chat,
    "anthropic_messages": anthropic_messages,
    "gemini": gemini,
    "openai_completions": openai_completions,
    "openai_responses": openai_responses,
}
