"""One request over ASGI: what came in, and the ways an answer can go out, the broken ones included."""

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec

from sandbox.provider.books import Entry
from sandbox.provider.faults import Knobs
from sandbox.provider.problems import Problem
from sandbox.provider.wire import ENCODER, Event

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Headers = dict[str, str]

MOST_BODY_BYTES = 64 * 1024 * 1024
PATIENCE_S = 3_600
_numbers = itertools.count(1)
_process = os.urandom(4).hex()


class Exchange:
    """A request and the way back."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.id = f"{_process}{next(_numbers):010x}"
        self.method: str = scope["method"]
        self.path = unquote(scope["path"]).removeprefix(scope.get("root_path", ""))
        self.query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        self.headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        self.entry: Entry | None = None
        self._receive = receive
        self._send = send
        self._watch: asyncio.Task[None] | None = None

    async def json(self) -> dict[str, Any]:
        """The body as an object."""
        try:
            body = msgspec.json.decode(await self._body())
        except (msgspec.DecodeError, UnicodeDecodeError):
            body = None
        if isinstance(body, dict):
            return body
        message = (
            "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP "
            "library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)"
        )
        raise Problem("invalid", message)

    async def _body(self) -> bytes:
        pieces: list[bytes] = []
        size, more = 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                break
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > MOST_BODY_BYTES:
                raise Problem("too_large", "Request exceeds the maximum size")
            more = message.get("more_body", False)
        return b"".join(pieces)

    @property
    def key(self) -> str:
        """The API key, wherever the company's clients put it."""
        bearer = self.headers.get("authorization", "")
        named = self.headers.get("x-api-key") or self.headers.get("x-goog-api-key") or self.headers.get("api-key")
        in_query = self.query.get("key", [""])[0]
        return bearer.removeprefix("Bearer ").strip() if bearer.startswith("Bearer ") else str(named or in_query)

    # --- the client's side ---

    async def pause(self, seconds: float) -> bool:
        """Wait; say whether the client has hung up."""
        if self._watch is None:
            self._watch = asyncio.create_task(self._wait_for_hanging_up())
        if seconds > 0 and not self._watch.done():
            await asyncio.wait({self._watch}, timeout=seconds)
        else:
            await asyncio.sleep(0)  # let the watch have its turn: sending alone may never give it one
        return self._watch.done()

    async def _wait_for_hanging_up(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.cancel()

    # --- answers ---

    async def start(self, status: int, headers: Headers) -> None:
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def piece(self, data: bytes, *, more: bool = True) -> None:
        if self.entry is not None:
            self.entry.delivered_bytes += len(data)
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def answer(self, status: int, headers: Headers, body: Any) -> None:
        """A whole JSON answer."""
        data = body if isinstance(body, bytes) else ENCODER.encode(body)
        await self.start(status, {"content-type": "application/json", **headers, "content-length": str(len(data))})
        await self.piece(data, more=False)

    async def deliver(self, events: Iterable[Event], knobs: Knobs, gap_s: float) -> str:
        """Send events one by one, ending where a fault says so; say how it ended."""
        entry = self.entry
        stall_after = int(knobs.number("stall", -1))
        gap_s = knobs.number("slow", gap_s)
        ending = _Ending(knobs)
        for number, event in enumerate(events):
            if number == stall_after:
                await self.pause(PATIENCE_S)
            if await self.pause(gap_s if number else 0):
                return "client_gone"
            data, over = ending.cut(event.data, number)
            await self.piece(data)
            if over:
                if not knobs.has("cut"):  # a body left open makes the server drop the connection
                    await self.piece(b"", more=False)
                return "cut"
            if entry is not None:
                entry.delivered_tokens += event.tokens
        if await self.pause(0):
            return "client_gone"
        await self.piece(b"", more=False)
        return "complete"


class _Ending:
    """Where a stream is cut."""

    def __init__(self, knobs: Knobs) -> None:
        self._bytes = knobs.number("cut", knobs.number("eof", -1))
        self._line = knobs.number("midline", -1)
        self._sent = 0

    def cut(self, data: bytes, number: int) -> tuple[bytes, bool]:
        """What to send of these bytes, and whether that is the end."""
        if number == self._line:
            return data[: len(data) // 2], True
        if 0 <= self._bytes <= self._sent + len(data):
            return data[: int(self._bytes) - self._sent], True
        self._sent += len(data)
        return data, False
