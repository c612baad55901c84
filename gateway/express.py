"""The express door: a small ASGI application beside Django, without its middleware, for the hot endpoints.

Promise: it only translates. It reads the body within the cap, hands it to the corridor, and writes the answer or the
error in the client's own dialect; what every answer carries (request id, no sniffing) is said here once.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl

from gateway.dialects import DIALECTS
from gateway.doorway import LARGEST_BODY, Asked, Front, Reply, asked_id
from gateway.errors import GatewayError, TooLarge, UnsupportedType
from gateway.relay import JSON, Corridor

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

TOO_LARGE = f"The body is over {LARGEST_BODY // 1_048_576} MB."

log = logging.getLogger(__name__)


class Broken(GatewayError):
    """A bug of ours; the trail is in the log."""

    status = 500
    code = "server_error"


class ClientGone(Exception):
    """The client hung up before its request was complete."""


class Express:
    """Answers POSTs at the front doors."""

    def __init__(self, corridor: Corridor) -> None:
        self._corridor = corridor

    async def __call__(self, scope: Scope, receive: Receive, send: Send, front: Front) -> None:
        """Answer one request."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        name = asked_id(headers)
        started = time.monotonic()
        try:
            body = await _body(headers, receive)
            peer = (scope.get("client") or ("", 0))[0]
            query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True))
            asked = Asked(front, body, headers, query, peer, name)
            reply = await self._until_gone(asked, receive)
        except ClientGone:
            return
        except GatewayError as error:
            reply = _refusal(error, front, name)
        except Exception:
            log.exception("a call broke")
            reply = _refusal(Broken("Something broke on our side. It has been noted."), front, name)
        await _send(reply, send, receive, (("x-request-id", name), ("x-content-type-options", "nosniff")))
        log.info("call %s %s %d in %.0f ms", scope["path"], name, reply.status, (time.monotonic() - started) * 1000)

    async def _until_gone(self, asked: Asked, receive: Receive) -> Reply:
        """Ask the corridor; a client that leaves meanwhile ends the asking."""
        asking = asyncio.ensure_future(self._corridor.answer(asked))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({asking, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
                raise ClientGone
            return asking.result()
        finally:
            leaving.cancel()


async def _body(headers: dict[str, str], receive: Receive) -> bytes:
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedType("Send the body uncompressed.")
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > LARGEST_BODY:
        raise TooLarge(TOO_LARGE)
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


def _refusal(error: GatewayError, front: Front, name: str) -> Reply:
    headers = [JSON]
    if error.retry_after_s is not None:
        headers.append(("retry-after", str(max(1, int(error.retry_after_s + 0.999)))))
    return Reply(error.status, headers, DIALECTS[front.dialect].write_error(error, request_id=name))


async def _send(reply: Reply, send: Send, receive: Receive, more: Sequence[tuple[str, str]]) -> None:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in (*reply.headers, *more)]
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
