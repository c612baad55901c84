"""The reception: whichever door a request came through, it is answered here, and every refusal finds its words.

Promise: an answer always comes back, in the client's own dialect, and it is the same for both doors; what broke is in
the log and nowhere else. A process whose gateway is not running says so, after it has refused what is wrong anyway.
"""

import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from gateway import doorway
from gateway.dialects import DIALECTS
from gateway.dialects.gemini import ArrayOfChunks
from gateway.doorway import Asked, Front, Reply
from gateway.errors import GatewayError

JSON = ("content-type", "application/json")

log = logging.getLogger(__name__)


class Broken(GatewayError):
    """A bug of ours; the trail is in the log."""

    status = 500
    code = "server_error"


class Answerer(Protocol):
    """Does one kind of work."""

    async def answer(self, asked: Asked) -> Reply:
        """Answer one request, or raise a ``GatewayError``."""


class Reception:
    """Knows who does which work."""

    def __init__(self, answerers: Mapping[str, Answerer]) -> None:
        self._answerers = answerers

    async def answer(self, asked: Asked) -> Reply:
        """Answer one request, whatever comes of it."""
        try:
            reply = await self._answerers[asked.front.work].answer(asked)
        except GatewayError as error:
            return refusal(error, asked.front, asked.request_id)
        except Exception:
            log.exception("a call broke")
            return refusal(Broken("Something broke on our side. It has been noted."), asked.front, asked.request_id)
        return _as_array(reply) if _wants_array(asked) else reply


def refusal(error: GatewayError, front: Front, name: str) -> Reply:
    """An error in the words of the door it happened at."""
    headers = [JSON]
    if error.retry_after_s is not None:
        headers.append(("retry-after", str(max(1, int(error.retry_after_s + 0.999)))))
    if error.status == 405:
        headers.append(("allow", "POST, OPTIONS"))
    return Reply(error.status, headers, DIALECTS[front.dialect].write_error(error, request_id=name))


def turned_away(path: str, method: str, name: str) -> Reply:
    """The answer to a request that met no door."""
    return refusal(doorway.lost(path, method), doorway.front_for(path) or doorway.nowhere(path), name)


def _wants_array(asked: Asked) -> bool:
    return asked.front.dialect == "gemini" and asked.front.streamed and asked.query.get("alt") != "sse"


def _as_array(reply: Reply) -> Reply:
    """Gemini's stream for those who did not ask for events: one JSON array that grows."""
    if isinstance(reply.body, bytes):
        return reply
    kept = [(name, value) for name, value in reply.headers if name != "content-type"]
    return Reply(reply.status, [JSON, *kept], _growing(reply.body))


async def _growing(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    array = ArrayOfChunks()
    pieces: Any = events
    try:
        async for piece in pieces:
            if out := array.turn(piece):
                yield out
        yield array.close()
    finally:
        await pieces.aclose()
