"""How a view of the framework hands a call to the reception and its answer back to Django; the one place for it.

Promise: a call through here is judged by the same rooms as at the express door: the corridor authenticates, limits and
charges it and the reception words its refusals, so neither door is more generous than the other. The framework brings
the address, the schema, and the middlewares' headers. Answers stream as they come, and one whose reader has left is
closed on the loop it lives on.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connections
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.functional import classproperty
from rest_framework.views import APIView

from gateway import callers, counts, doorway, oneshots, quotes, reception, relay, service
from gateway.doorway import LARGEST_BODY, TOO_LARGE, Asked, Front, Reply
from gateway.errors import GatewayError, TooLarge, Unavailable

# A process without a running gateway still refuses what is wrong before it says so.
READERS = {"talk": relay.read, "once": oneshots.read, "count": counts.read}


class CallView(APIView):
    """A view of one front door."""

    authentication_classes = ()  # the corridor's own, as at the express door
    permission_classes = ()
    throttle_classes = ()

    @classproperty
    def view_is_async(cls) -> bool:  # noqa: N805 - a property of the class
        """Django awaits what ``dispatch`` gives."""
        return True

    async def dispatch(  # type: ignore[override]  # Django awaits it, as ``view_is_async`` says
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Answer one request."""
        path = path_of(request)
        name = request_id_of(request)
        front = doorway.front_for(path)
        if front is None or request.method != "POST":
            return answered(reception.turned_away(path, request.method or "", name))
        try:
            asked = await _asked(request, front, name)
        except GatewayError as error:
            return answered(reception.refusal(error, front, name))
        running = service.running()
        if running is None or running.reception is None:
            return answered(await _closed(asked))
        await sync_to_async(_give_back)()
        return answered(await running.reception.answer(asked))


def _give_back() -> None:
    """Hold no connection while a provider is asked: those who wait would leave the pool empty for the call itself."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()


async def _asked(request: HttpRequest, front: Front, name: str) -> Asked:
    scope = scope_of(request)
    headers = doorway.headers_of(scope)
    doorway.check_framing(headers)
    body = request.read(LARGEST_BODY + 1)
    if len(body) > LARGEST_BODY:
        raise TooLarge(TOO_LARGE)
    return doorway.asked_of(scope, front, headers=headers, body=body, name=name)


async def _closed(asked: Asked) -> Reply:
    """Without a running gateway: refuse what is wrong in itself, and say that the rest must wait."""
    try:
        picture = await sync_to_async(service.picture)()
        visitor = doorway.enter(asked, picture)
        meant = quotes.meant_by(asked) if asked.front.work == "quote" else asked
        READERS[meant.front.work](meant)
        await sync_to_async(callers.admitted)(visitor, now=datetime.now(UTC))
        raise Unavailable("This process takes no calls; the gateway runs in an ASGI server.", retry_after_s=1)
    except GatewayError as error:
        return reception.refusal(error, asked.front, asked.request_id)


# --- Django's side ----------------------------------------------------------------------------------------------------


def path_of(request: HttpRequest) -> str:
    """The address as both doors read it."""
    scope = getattr(request, "scope", None)
    return str(scope["path"]) if scope else request.path


def request_id_of(request: HttpRequest) -> str:
    """The id that the middleware gave this request."""
    return str(getattr(request, "request_id", ""))


def scope_of(request: HttpRequest) -> dict[str, Any]:
    """The request's ASGI scope; put together again where a test or another server brings none."""
    scope: dict[str, Any] | None = getattr(request, "scope", None)
    if scope is not None:
        return scope
    return {
        "path": request.path,
        "headers": [
            (name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace"))
            for name, value in request.headers.items()
        ],
        "query_string": request.META.get("QUERY_STRING", "").encode("latin-1", "replace"),
        "client": (request.META.get("REMOTE_ADDR", ""), 0),
    }


def answered(reply: Reply) -> HttpResponseBase:
    """A reply as Django sends it."""
    response: HttpResponseBase
    if isinstance(reply.body, bytes):
        response = HttpResponse(reply.body, status=reply.status)
    else:
        response = StreamingHttpResponse(_Pieces(reply.body), status=reply.status)
    for name, value in reply.headers:
        response[name] = value
    return response


class _Pieces:
    """Pieces of an answer, each made to its end.

    A reader who leaves interrupts the wait for a piece, never the making of one: so the answer ends between two
    pieces, and the provider is heard out as at the express door.
    """

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces: Any = pieces
        self._loop = asyncio.get_running_loop()
        self._making: asyncio.Future[bytes] | None = None

    def __aiter__(self) -> "AsyncIterator[bytes]":
        return self

    async def __anext__(self) -> bytes:
        self._making = asyncio.ensure_future(anext(self._pieces))
        return await asyncio.shield(self._making)

    def close(self) -> None:
        """End the answer where it lives; Django calls this from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(lambda: self._loop.create_task(self._end()))

    async def _end(self) -> None:
        if self._making is not None:
            await asyncio.wait({self._making})
        await self._pieces.aclose()
