"""The sandbox as an ASGI application: the API, the pages for people, and the control, each where it belongs."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sandbox.stripe.api import Answer, Api, Request
from sandbox.stripe.control import Control
from sandbox.stripe.deliverer import Deliverer
from sandbox.stripe.pages.site import Site
from sandbox.stripe.store import Store

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

MOST_BODY_BYTES = 1024 * 1024
PATIENCE_S = 3600
WEBHOOKS_FIRST_S = 10
THREADS = 8


class Stripe:
    """An ASGI application. ``path`` keeps its state in a file that survives a restart, and that processes may share."""

    def __init__(
        self,
        *,
        keys: Collection[str],
        path: Path | str | None = None,
        control_key: str = "",
        webhook_secret: str = "",
    ) -> None:
        self.store = Store(path)
        self.api = Api(self.store, webhook_secret=webhook_secret)
        self.deliverer = Deliverer(self.store)
        self.control = Control(self.api, self.deliverer, key=control_key)
        self.site = Site(self.api, self.control)
        self._keys = frozenset(keys)
        # threads of our own: a caller in one of the server's may be waiting for our answer
        self._threads: ThreadPoolExecutor | None = None
        self._started = False

    def start(self) -> None:
        """Open the accounts and begin to deliver; the first request does it, when nobody did before."""
        if not self._started:
            self._started = True
            self._threads = self._threads or ThreadPoolExecutor(THREADS, thread_name_prefix="sandbox-stripe")
            for key in sorted(self._keys):
                self.api.add_key(key)
            self.deliverer.start()

    def stop(self) -> None:
        """End the deliveries and let go of the file."""
        self.deliverer.stop()
        if self._threads is not None:
            self._threads.shutdown(wait=True)
        self.store.close()
        self._threads, self._started = None, False

    async def _aside(self, work: Callable[..., Any], *given: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *given)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._converse(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await asyncio.to_thread(self.start)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.to_thread(self.stop)
        await send({"type": "lifespan.shutdown.complete"})

    async def _converse(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._started:
            await asyncio.to_thread(self.start)
        body = await _body(receive)
        if body is None:
            await _plain(send, 413, b'{"error": {"type": "invalid_request_error", "message": "Request too large."}}')
            return
        request = _request(scope, body)
        client = (scope.get("client") or ("", 0))[0]
        answer: Answer = await self._aside(self._answer, request, str(client))
        if answer.told:
            self.deliverer.wake()
        await self._send(answer, receive, send)

    def _answer(self, request: Request, client: str) -> Answer:
        if request.path.startswith(("/v1/", "/v2/")):
            return self.api.answer(request)
        if request.path.startswith("/_control/"):
            return self.control.answer(request)
        return self.site.answer(request, client)

    async def _send(self, answer: Answer, receive: Receive, send: Send) -> None:
        what = answer.fault.get("what")
        if what == "webhook_first":
            await self._webhooks_first(answer)
        if what == "timeout":
            waiting = float(answer.fault.get("seconds", PATIENCE_S))
            await _until_gone(receive, waiting)
            what = "cut"
        headers = {"content-type": "application/json", **answer.headers, "content-length": str(len(answer.body))}
        raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        if what == "cut":  # a body left open makes the server drop the connection
            await send({"type": "http.response.body", "body": answer.body[:1], "more_body": True})
            return
        await send({"type": "http.response.body", "body": answer.body, "more_body": False})

    async def _webhooks_first(self, answer: Answer) -> None:
        deadline = time.monotonic() + WEBHOOKS_FIRST_S
        while time.monotonic() < deadline:
            if not await self._aside(self.control.untried, answer.told):
                return
            await asyncio.sleep(0.02)


def _request(scope: Scope, body: bytes) -> Request:
    root = scope.get("root_path", "")
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    host = headers.get("host") or "127.0.0.1"
    return Request(
        method=scope["method"],
        path=unquote(scope["path"]).removeprefix(root),
        query=scope.get("query_string", b"").decode("latin-1"),
        body=body,
        headers=headers,
        here=f"{scope.get('scheme', 'http')}://{host}{root}",
    )


async def _body(receive: Receive) -> bytes | None:
    """The whole body, or None when it is too large."""
    pieces: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > MOST_BODY_BYTES:
            return None
        more = message.get("more_body", False)
    return b"".join(pieces)


async def _until_gone(receive: Receive, seconds: float) -> None:
    """Wait until the client hangs up."""

    async def hung_up() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    watch = asyncio.create_task(hung_up())
    await asyncio.wait({watch}, timeout=seconds)
    watch.cancel()


async def _plain(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
