"""Answers that are no answers: what is sent instead of a reply, and what is done to the bytes of one."""

from collections.abc import Iterator
from typing import Any, overload

from sandbox.provider.exchange import Exchange
from sandbox.provider.faults import Knobs, bomb, flood
from sandbox.provider.reading import Body
from sandbox.provider.wire import ENCODER, Event

HTML = b"<!doctype html><html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
ELSEWHERE = "http://169.254.169.254/latest/meta-data/"


async def misbehaves(exchange: Exchange, knobs: Knobs) -> bool:
    """Send something else than an answer, if that was ordered."""
    entry = exchange.entry
    if knobs.has("html"):
        await exchange.answer(200, {"content-type": "text/html"}, HTML)
    elif knobs.has("redirect"):
        await exchange.answer(307, {"location": knobs.given["redirect"] or ELSEWHERE}, b"")
    elif knobs.has("empty"):
        await exchange.answer(204, {}, b"")
    elif knobs.has("big-header"):
        large = {"x-large": "a" * min(int(knobs.number("big-header", 0)), 10_000_000)}
        await exchange.answer(200, large, b"{}")
    elif knobs.has("gzip-bomb"):
        await exchange.answer(200, {"content-encoding": "gzip"}, bomb(int(knobs.number("gzip-bomb", 0))))
    elif (endless := flood(knobs)) is not None:
        await _flood(exchange, endless)
    else:
        return False
    if entry is not None:
        entry.status = 200
        entry.close("error")
    return True


async def _flood(exchange: Exchange, endless: Iterator[bytes]) -> None:
    await exchange.start(200, {"content-type": "text/event-stream"})
    for data in endless:
        if await exchange.pause(0):
            return
        await exchange.piece(data)
    await exchange.piece(b"", more=False)


@overload
def disturbed(said: Event, knobs: Knobs, *, number: int = 0) -> Event: ...
@overload
def disturbed(said: Body, knobs: Knobs, *, number: int = 0) -> bytes: ...
def disturbed(said: Any, knobs: Knobs, *, number: int = 0) -> Any:
    """An event or a whole answer with its bytes spoiled as ordered."""
    if isinstance(said, Event):
        return Event(_spoiled(said.data, knobs, number), said.tokens)
    return _spoiled(ENCODER.encode(said), knobs, 2)


def _spoiled(data: bytes, knobs: Knobs, number: int) -> bytes:
    if knobs.has("malformed") and number == 2:
        return data[: len(data) * 2 // 3].rstrip() + (b"\n\n" if data.endswith(b"\n") else b"")
    if knobs.has("latin1") and number == 2:
        return data.replace(b'"id":"', b'"id":"caf\xe9 ', 1) if b'"id":"' in data else data.replace(b'"', b'"\xe9', 1)
    if knobs.has("bom") and number in {0, 2}:
        return b"\xef\xbb\xbf" + data
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r") if knobs.has("cr-only") else data
