"""An answer under way: its bytes as they come, watched for lateness and size, and unpacked where they came packed."""

import asyncio
import zlib
from collections.abc import Mapping
from functools import lru_cache
from types import TracebackType
from typing import Literal, Protocol, Self

import aiohttp

from gateway.upstream.asking import KIB, Request, Timeouts
from gateway.upstream.errors import Broken, TimedOut, TooLarge, UpstreamError
from gateway.upstream.wire import Head

PIECE_BYTES = 64 * KIB
RawHeaders = tuple[tuple[bytes, bytes], ...]


class Lender(Protocol):
    """Whoever counts the streams under way."""

    busy: int


class ComingStream:
    """The body as it comes, watched: one timer, re-armed lazily, ends an answer that is late, by failing the read."""

    def __init__(self, pool: Lender, head: Head, request: Request, watch: "Watch") -> None:
        self.status = head.status
        self._pool: Lender | None = pool
        self._head = head
        self._content = head.content
        self._caps = request.caps
        self._received = 0
        self._event: _EventSize | None = None
        self._inflater: _Inflater | None = None
        self._failure: UpstreamError | None = None
        self._watch = watch
        watch.tell(self)
        try:
            self.headers: Mapping[str, str] = _heard(head.raw_headers, self._caps.header_bytes)
            if self.headers.get("content-type", "").startswith("text/event-stream"):
                self._event = _EventSize(request.caps.event_bytes)
            self._inflater = _inflater_for(self.headers)
            self._announced()
        except UpstreamError:
            self.close()
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await self._raw() if self._inflater is None else await self._inflated(self._inflater)
            self._weigh(piece)
        except UpstreamError:
            self.close()
            raise
        except (aiohttp.ClientError, ValueError, OSError):
            failure = self._failure or Broken("the connection ended in the middle of the answer", answered=True)
        except BaseException:  # cancelled: the provider must notice now, not when the loop next collects
            self.close()
            raise
        else:
            if piece:
                return piece
            self.close()
            raise StopAsyncIteration
        self.close()
        raise failure

    def at_hand(self) -> bytes | None:
        """The whole body, where all of it came with its head, as short answers do; None where it must be waited for."""
        if self._inflater is not None or self._event is not None or self._failure is not None:
            return None
        if not self._content.is_eof() or self._content.exception() is not None:
            return None
        body = self._content.read_nowait(-1)
        self._weigh(body)
        return body

    def close(self) -> None:
        """Give the connection back if the answer ended, else drop it."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        pool.busy -= 1
        self._watch.stop()
        self._head.close()

    def set_exception(self, failure: UpstreamError) -> None:
        """Fail the read that waits, or the next one."""
        self._failure = failure
        self._content.set_exception(failure)
        self._head.close()

    def _weigh(self, piece: bytes) -> None:
        if piece and self._event is not None and self._event.outgrown(piece):
            raise TooLarge("event")
        self._received += len(piece)
        if self._received > self._caps.body_bytes:
            raise TooLarge("body")

    async def _raw(self) -> bytes:
        """The next bytes, or none at the end."""
        if self._failure is not None:
            raise self._failure
        self._watch.waiting()
        piece = await self._content.readany()
        while not piece and not self._content.at_eof():
            piece = await self._content.readany()
        self._watch.served()
        return piece

    async def _inflated(self, inflater: "_Inflater") -> bytes:
        while not (piece := inflater.take()):
            raw = await self._raw()
            if not raw:
                inflater.ended()
                return b""
            inflater.feed(raw)
        return piece

    def _announced(self) -> None:
        """Refuse a body that says beforehand that it will be too large."""
        length = self.headers.get("content-length", "")
        if length.isdigit() and int(length) > self._caps.body_bytes:
            raise TooLarge("body")


class Failing(Protocol):
    """A reader that can be told that its time is up."""

    def set_exception(self, failure: UpstreamError) -> None: ...


class Watch:
    """Ends an answer whose next byte does not come in time. Costs one timer per answer, not one per read."""

    def __init__(self, timeouts: Timeouts, started_at: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader: Failing | None = None
        self._idle_s = timeouts.idle_s
        self._total_at = started_at + timeouts.total_s
        self._due = started_at + timeouts.first_byte_s
        self._which: Literal["first_byte", "idle", "total"] = "first_byte"
        self._first = True
        self._timer = self._loop.call_at(min(self._due, self._total_at), self._look)

    def tell(self, waiting: Failing) -> None:
        """From now on this is who waits."""
        self._reader = waiting

    def waiting(self) -> None:
        """The reader waits for bytes from now on."""
        if not self._first:
            self._which, self._due = "idle", self._loop.time() + self._idle_s
            self._arm()

    def served(self) -> None:
        """Bytes came; what the reader does with them is its own time, within the total."""
        self._first = False
        self._which, self._due = "total", self._total_at

    def stop(self) -> None:
        self._timer.cancel()

    def _arm(self) -> None:
        if self._timer.when() > self._due:
            self._timer.cancel()
            self._timer = self._loop.call_at(min(self._due, self._total_at), self._look)

    def _look(self) -> None:
        now = self._loop.time()
        if now >= self._due and self._due <= self._total_at:
            self._expire(self._which)
        elif now >= self._total_at:
            self._expire("total")
        else:
            self._timer = self._loop.call_at(min(self._due, self._total_at), self._look)

    def _expire(self, which: str) -> None:
        if self._reader is not None:  # else the connecting has its own clock
            self._reader.set_exception(TimedOut(which))


class _EventSize:
    """Watches that no server-sent event outgrows its cap: one ends at a blank line, wherever the pieces are cut."""

    _ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")

    def __init__(self, cap_bytes: int) -> None:
        self._cap_bytes = cap_bytes
        self._open = 0
        self._tail = b""

    def outgrown(self, piece: bytes) -> bool:
        """Take a piece in; say whether the event it continues has become too large."""
        if piece.endswith(b"\n\n") and self._open + len(piece) <= self._cap_bytes:  # nearly every piece there is
            self._open, self._tail = 0, b"\n\n"
            return False
        before, spans = self._open, self._spans(piece)
        last = max(piece.rfind(end) for end in self._ENDS)
        self._open = len(piece) - last if last >= 0 else len(piece) + (0 if spans else before)
        self._tail = piece[-3:] if len(piece) >= 3 else (self._tail + piece)[-3:]
        if self._open > self._cap_bytes:
            return True
        if before + len(piece) <= self._cap_bytes or spans:
            return False
        first = min((at for end in self._ENDS if (at := piece.find(end)) >= 0), default=len(piece))
        return before + first > self._cap_bytes

    def _spans(self, piece: bytes) -> bool:
        """Whether a blank line began in the piece before."""
        if piece[:1] not in {b"\n", b"\r"}:
            return False
        seam = self._tail + piece[:3]
        return any(end in seam for end in self._ENDS)


class _Inflater:
    """Unpacks gzip and deflate piece by piece, so that a bomb is seen while it is still small."""

    def __init__(self) -> None:
        self._machine = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        self._packed = b""

    def feed(self, packed: bytes) -> None:
        self._packed += packed

    def take(self) -> bytes:
        """Up to one piece of what has been fed; none when more must be fed."""
        if not self._packed:
            return b""
        try:
            piece = self._machine.decompress(self._packed, PIECE_BYTES)
        except zlib.error:
            piece = None
        if piece is None:
            raise Broken("the provider's compressed answer could not be read", answered=True)
        self._packed = self._machine.unconsumed_tail
        return piece

    def ended(self) -> None:
        if not self._machine.eof:
            raise Broken("the provider's compressed answer ended too early", answered=True)


def _inflater_for(headers: Mapping[str, str]) -> _Inflater | None:
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding in {"", "identity"}:
        return None
    if coding in {"gzip", "x-gzip", "deflate"}:
        return _Inflater()
    raise Broken("the provider compressed its answer in a way nobody asked for", answered=True)


def _heard(raw: RawHeaders, cap_bytes: int) -> dict[str, str]:
    """The answer's headers, names in lower case, bytes one to one."""
    if sum([len(name) + len(value) for name, value in raw]) > cap_bytes:
        raise TooLarge("header")
    return {_lowered(name): value.decode("latin-1") for name, value in raw}


@lru_cache(maxsize=256)
def _lowered(name: bytes) -> str:
    return name.decode("latin-1").lower()
