"""Server-sent events from bytes in any slices.

`Decoder.feed` takes whatever arrived and hands out the events that are now complete; what is unfinished waits. Lines
may end in CR, LF or CRLF and be cut anywhere. The `raw` bytes of all events, with what `close` still finds, are exactly
the bytes that came in, so whoever passes them on loses nothing, comments and padding included. Two limits hold, one
for an event and one for the whole stream, since neither length is ours to choose.
"""

import re

from gateway.errors import UpstreamMalformed

MAX_EVENT_BYTES = 32 * 1024 * 1024
MAX_STREAM_BYTES = 256 * 1024 * 1024
BOM = b"\xef\xbb\xbf"
DONE = b"[DONE]"

_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_LONGEST_BLANK_LINE = 4


class TooMuch(UpstreamMalformed):
    """An event, or the stream, is longer than we keep."""


class ServerEvent:
    """One event: the bytes as they came; name and data are found when somebody asks."""

    __slots__ = ("_data", "_name", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._name: str | None = None
        self._data: bytes | None = None

    @property
    def name(self) -> str:
        """The event's name; empty when it has none."""
        if self._name is None:
            self._parse()
        return self._name or ""

    @property
    def data(self) -> bytes:
        """The event's data; empty for comments and keep-alives."""
        if self._data is None:
            self._parse()
        return self._data or b""

    @property
    def is_done(self) -> bool:
        """Say whether this is OpenAI's last line."""
        return self.data == DONE

    def _parse(self) -> None:
        raw = self.raw
        if raw.startswith(b"data: ") and raw.find(b"\n") == len(raw) - 2 and b"\r" not in raw:
            self._name, self._data = "", raw[6:-2]
            return
        name, data = b"", []
        for line in _LINE_END.split(raw.removeprefix(BOM)) if b"\r" in raw else raw.removeprefix(BOM).split(b"\n"):
            field, _, value = line.partition(b":")
            if field == b"data":
                data.append(value.removeprefix(b" "))
            elif field == b"event":
                name = value.removeprefix(b" ")
        self._name = name.decode(errors="replace")
        self._data = b"\n".join(data)


class Decoder:
    """Keeps what is unfinished between slices."""

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES, max_stream_bytes: int = MAX_STREAM_BYTES) -> None:
        self._rest = bytearray()
        self._searched = 0
        self._has_cr = False
        self._left = max_stream_bytes
        self._max_event_bytes = max_event_bytes

    def feed(self, arrived: bytes) -> list[ServerEvent]:
        """Take a slice and hand out the events it completes."""
        self._left -= len(arrived)
        if self._left < 0:
            raise TooMuch("The provider's answer is longer than a stream may be.")
        self._has_cr = self._has_cr or b"\r" in arrived
        if arrived.endswith(b"\n\n") and not (self._rest or self._has_cr or len(arrived) > self._max_event_bytes):
            return [ServerEvent(piece + b"\n\n") for piece in arrived[:-2].split(b"\n\n")]  # as slices mostly come
        if self._rest:
            self._rest += arrived
        waiting = self._rest or arrived
        events, start = [], 0
        for end in self._ends(waiting):
            events.append(ServerEvent(self._fitting(waiting, start, end)))
            start = end
        self._keep(waiting, start)
        return events

    def _ends(self, waiting: bytes | bytearray) -> list[int]:
        if self._has_cr:
            return [match.end() for match in _BLANK_LINE.finditer(waiting, self._searched)]
        ends, end = [], waiting.find(b"\n\n", self._searched)
        while end >= 0:
            ends.append(end + 2)
            end = waiting.find(b"\n\n", end + 2)
        return ends

    def _fitting(self, waiting: bytes | bytearray, start: int, end: int) -> bytes:
        if end - start > self._max_event_bytes:
            raise TooMuch("An event of the provider's answer is longer than an event may be.")
        return bytes(waiting[start:end])

    def _keep(self, waiting: bytes | bytearray, start: int) -> None:
        if waiting is self._rest:
            del self._rest[:start]
        else:
            self._rest += waiting[start:]
        if len(self._rest) > self._max_event_bytes:
            raise TooMuch("An event of the provider's answer is longer than an event may be.")
        self._searched = max(0, len(self._rest) - _LONGEST_BLANK_LINE)

    def close(self) -> ServerEvent | None:
        """Hand out what was never finished; an event cut off before its blank line is no event to act upon."""
        rest = bytes(self._rest)
        self._rest.clear()
        return ServerEvent(rest) if rest else None


def event(data: bytes, *, name: str = "") -> bytes:
    """Write one event."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data) if name else b"data: %b\n\n" % data
