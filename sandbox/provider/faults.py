"""How the sandbox misbehaves, exactly as told and never otherwise.

Instructions follow a model's name, ``sandbox-standard+cut=300``, or stand in the header ``X-Sandbox``
(``cut=300+slow``) where the control endpoint is open. Several are joined with ``+``.

    what it says    tokens=N (exactly so many)  fill (all of max_tokens)  parallel=N  refusal
    when            first-byte=S  slow=S (between events)  stall=N (for ever after N events)
    how it ends     cut=N (connection dropped after N body bytes)  eof=N (ends properly, N bytes)  midline=N (ends
                    properly inside event N)  no-done (ends properly without its last event)
    usage           no-usage  usage=null|partial|x10|strings|floats|negative|1e12|2e63|repeated|decreasing
    errors          status=N (with retry-after=S)  error-first  error-later=N (inside a 200 stream, after N events)
    nonsense        malformed  html  redirect  empty  latin1  bom  cr-only
    too much        gzip-bomb=MB  endless  blank-lines  no-newline  giant-event=MB  big-header=BYTES
    money           bills-anyway (all of the answer, though the client hung up)
"""

import math
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

MIB = 1024 * 1024
DEFAULTS = {
    "first-byte": 2.0,
    "slow": 0.05,
    "stall": 2,
    "cut": 300,
    "eof": 300,
    "midline": 3,
    "error-later": 5,
    "gzip-bomb": 200,
    "giant-event": 200,
    "big-header": 65_536,
    "status": 500,
    "parallel": 2,
    "tokens": 24,
}


class Knobs:
    """The instructions of one request."""

    def __init__(self, *texts: str) -> None:
        pairs = [part.strip().partition("=") for text in texts for part in text.split("+") if part.strip()]
        self.given = {name.lower(): value.strip() for name, _, value in pairs}

    def has(self, *names: str) -> bool:
        return any(name in self.given for name in names)

    def number(self, name: str, otherwise: float) -> float:
        """The number after an instruction; its usual one when none was given, ``otherwise`` without the instruction."""
        if name not in self.given:
            return otherwise
        try:
            number = float(self.given[name])
        except ValueError:
            return DEFAULTS.get(name, otherwise)
        return number if math.isfinite(number) else DEFAULTS.get(name, otherwise)

    def usages(self, true: dict[str, Any]) -> list[Any]:
        """What to report as usage, in order; nothing at all, or the truth once unless told otherwise."""
        if self.has("no-usage"):
            return []
        how = self.given.get("usage", "")
        if how == "repeated":
            return [true, true]
        if how == "decreasing":
            return [true, _changed(true, lambda number: number // 2)]
        if how == "null":
            return [None]
        if how == "partial":
            return [dict(list(true.items())[:1])]
        return [_changed(true, LIES[how]) if how in LIES else true]


LIES: dict[str, Callable[[int], Any]] = {
    "x10": lambda number: number * 10,
    "strings": str,
    "floats": lambda number: number + 0.5,
    "negative": lambda number: -number - 1,
    "1e12": lambda _: 10**12,
    "2e63": lambda _: 2**63,
}


def _changed(value: Any, change: Callable[[int], Any]) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return change(value)
    if isinstance(value, list):
        return [_changed(item, change) for item in value]
    return {name: _changed(item, change) for name, item in value.items()}


@lru_cache(maxsize=4)
def bomb(megabytes: int) -> bytes:
    """So many megabytes of nothing, gzipped; at most a gigabyte."""
    megabytes = min(megabytes, 1_024)
    machine = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    return b"".join([*(machine.compress(bytes(MIB)) for _ in range(megabytes)), machine.flush()])


def flood(knobs: Knobs) -> Iterator[bytes] | None:
    """A body without end or measure, if one is wanted."""
    if knobs.has("endless"):
        return _forever(
            20 * b'data: {"id":"endless","object":"chat.completion.chunk","created":1,"model":"m","choices":[]}\n\n'
        )
    if knobs.has("blank-lines"):
        return _forever(b"\n" * 4_096)
    if knobs.has("no-newline"):
        return _forever(b"x" * 16_384)
    if knobs.has("giant-event"):
        return _giant(int(knobs.number("giant-event", 0)))
    return None


def _forever(piece: bytes) -> Iterator[bytes]:
    while True:
        yield piece


def _giant(megabytes: int) -> Iterator[bytes]:
    yield b'data: {"choices":[{"index":0,"delta":{"content":"'
    for _ in range(16 * megabytes):
        yield b"x" * (MIB // 16)
    yield b'"}}]}\n\n'
