"""The express door: a small ASGI application beside Django, without its middleware, for the hot endpoints.

Promise: it only translates. It reads the body within the cap, hands it to the reception, and writes the answer; a
client that leaves meanwhile ends the asking.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import Any

from gateway import doorway
from gateway.doorway import LARGEST_BODY, TOO_LARGE, Front, Reply
from gateway.errors import GatewayError, TooLarge
from gateway.reception import Reception, refusal
from plumbing.requests import observe

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


PATIENCE_S = 0.1  # whoever leaves sooner is noticed then: for shorter asking a watcher would cost more than it saves


class ClientGone(Exception):
    """The client hung up before its request was complete."""


class Express:
    """Answers POSTs at the front doors."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception

    async def __call__(self, scope: Scope, receive: Receive, send: Send, front: Front) -> None:
        """Answer one request."""
        started = time.monotonic()
        headers = doorway.headers_of(scope)
        name = doorway.asked_id(headers)
        try:
            body = await _body(headers, receive)
            asked = doorway.asked_of(scope, front, headers=headers, body=body, name=name)
            reply = await _until_gone(self._reception.answer(asked), receive)
        except ClientGone:
            return
        except GatewayError as error:
            reply = refusal(error, front, name)
        await _send(reply, send, receive, doorway.always_said(headers, name))
        seconds = time.monotonic() - started
        route = f"gateway_{front.endpoint}"
        observe(method="POST", path=scope["path"], route=route, status=reply.status, seconds=seconds, request_id=name)


async def _until_gone(answering: Awaitable[Reply], receive: Receive) -> Reply:
    """Wait for the answer; a client that leaves meanwhile ends the asking.

    The answer is made in the request's own task, and after a while one watcher beside it cancels it; two tasks would
    cost more, and so would a watcher over every short answer.
    """
    asking = asyncio.current_task()
    assert asking is not None, "an ASGI server runs each request as a task"
    is_waiting, is_gone = True, False
    leaving: asyncio.Task[None] | None = None

    def left(watcher: "asyncio.Future[None]") -> None:
        nonlocal is_gone
        if is_waiting and not watcher.cancelled():
            watcher.exception()  # a server that breaks here has lost the client too
            is_gone = True
            asking.cancel()

    def watch() -> None:
        nonlocal leaving
        leaving = loop.create_task(_left(receive))
        leaving.add_done_callback(left)

    loop = asyncio.get_running_loop()
    later = loop.call_later(PATIENCE_S, watch)
    try:
        return await answering
    except asyncio.CancelledError:
        if is_gone and not asking.uncancel():
            raise ClientGone from None
        raise
    finally:
        is_waiting = False
        later.cancel()
        if leaving is not None:
            leaving.cancel()


async def _body(headers: dict[str, str], receive: Receive) -> bytes:
    doorway.check_framing(headers)
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > LARGEST_BODY:
            raise TooLarge(TOO_LARGE)
        if not message.get("more_body"):
            return b"".join(pieces) if len(pieces) > 1 else pieces[0]


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@lru_cache(maxsize=256)
def _name(name: str) -> bytes:
    return name.encode()


async def _send(reply: Reply, send: Send, receive: Receive, more: Sequence[tuple[str, str]]) -> None:
    headers = [(_name(name), value.encode("latin-1")) for name, value in (*reply.headers, *more)]
    if isinstance(reply.body, bytes):
        headers.append((b"content-length", str(len(reply.body)).encode()))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})
        return
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    pieces: Any = reply.body
    leaving = asyncio.ensure_future(_left(receive))
    try:
        async for piece in pieces:
            if leaving.done():
                return
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        leaving.cancel()
        await pieces.aclose()
