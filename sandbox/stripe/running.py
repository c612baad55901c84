"""A payment sandbox on a free port, in a thread of this process: for tests, and for trying things out.

``running_stripe()`` yields a ``Box``; each of its methods is a verb of ``control.py``, spoken over HTTP, so that it
works as well on a sandbox that runs elsewhere: ``Box(url=..., key=..., control_key=...)``.
"""

import asyncio
import http.client
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sandbox.stripe.api import account_id
from sandbox.stripe.app import Stripe

PATIENCE_S = 20


class Refused(Exception):
    """The control said no; ``error`` is what Stripe would have said."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(f"{status}: {error.get('message')}")
        self.status = status
        self.error = error


@dataclass(frozen=True, slots=True)
class Box:
    """A sandbox at its address, and the strings to pull."""

    url: str
    key: str
    control_key: str

    @property
    def account(self) -> str:
        """The account of the first key."""
        return account_id(self.key)

    def do(self, verb: str, **given: Any) -> Any:
        """Any verb of the control."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=60)
        headers = {"X-Sandbox-Control": self.control_key, "Content-Type": "application/json"}
        try:
            connection.request("POST", f"{parts.path}/_control/{verb}", json.dumps(given), headers)
            with connection.getresponse() as answer:
                told = json.loads(answer.read())
                if answer.status != 200:
                    raise Refused(answer.status, told["error"])
                return told
        finally:
            connection.close()

    def add_key(self, key: str) -> str:
        """Open another account; its id."""
        return str(self.do("add_key", key=key)["account"])

    def pay(self, session: str, card: str = "visa", **more: Any) -> Any:
        """Pay a session as its customer: ``card``, ``email``, ``code``, ``country``, ``save``."""
        return self.do("pay", session=session, card=card, **more)

    def authenticate(self, intent: str, *, ok: bool = True) -> Any:
        """End the 3-D Secure step."""
        return self.do("authenticate", intent=intent, ok=ok)

    def money(self, payment_intent: str, *, succeeds: bool = True) -> Any:
        """Pending money arrives, or does not."""
        return self.do("money", payment_intent=payment_intent, succeeds=succeeds)

    def refund(self, refund: str, *, succeeds: bool = True) -> Any:
        """A pending refund arrives; or a refund fails."""
        return self.do("refund", refund=refund, succeeds=succeeds)

    def expire(self, session: str) -> Any:
        """A session runs out of time."""
        return self.do("expire", session=session)

    def dispute(self, **given: Any) -> Any:
        """Open a dispute: ``charge`` or ``payment_intent``, ``reason``, ``amount``, ``inquiry``."""
        return self.do("dispute", **given)

    def decide(self, dispute: str, *, won: bool) -> Any:
        """The bank decides."""
        return self.do("decide", dispute=dispute, won=won)

    def fault(self, what: str, **more: Any) -> None:
        """The next request goes wrong: ``times``, ``method``, ``path``, ``seconds``, ``key``."""
        self.do("fault", what=what, **more)

    def order(self, **order: Any) -> None:
        """The next webhooks suffer."""
        self.do("order", **order)

    def clear(self) -> None:
        """Forget all faults and orders."""
        self.do("clear")

    def advance(self, seconds: float) -> Any:
        """Put the clock forward, and do what has become due."""
        return self.do("advance", seconds=seconds)

    def send(self, kind: str, body: dict[str, Any], **more: Any) -> Any:
        """Tell an event of your own making, rightly signed unless ``orders`` says otherwise."""
        return self.do("send", type=kind, object=body, **more)

    def resend(self, event: str, **more: Any) -> Any:
        """Deliver an event once more."""
        return self.do("resend", event=event, **more)

    def release(self, **given: Any) -> Any:
        """Deliver what was held: ``events`` in this order, or shuffled by ``seed``."""
        return self.do("release", **given)

    def rotate(self, endpoint: str, **more: Any) -> str:
        """A new secret for an endpoint."""
        return str(self.do("rotate", endpoint=endpoint, **more)["secret"])

    def settle(self, **more: Any) -> bool:
        """Wait until every due delivery was tried."""
        return bool(self.do("settle", **more)["settled"])

    def deliveries(self, **more: Any) -> list[dict[str, Any]]:
        """What was delivered, newest first."""
        return list(self.do("deliveries", **more)["data"])

    def events(self, **more: Any) -> list[dict[str, Any]]:
        """The events told, oldest first."""
        return list(self.do("events", **more)["data"])

    def reset(self) -> None:
        """Forget everything but the accounts."""
        self.do("reset")


@contextmanager
def running_stripe(
    *, key: str = "sk_test_sandbox", path: Path | str | None = None, webhook_secret: str = ""
) -> Iterator[Box]:
    """A sandbox of its own for as long as the block lasts."""
    control_key = secrets.token_urlsafe(16)
    app = Stripe(keys={key}, path=path, control_key=control_key, webhook_secret=webhook_secret)
    app.start()
    with serving(app) as url:
        yield Box(url=url, key=key, control_key=control_key)
    app.stop()


@contextmanager
def serving(app: Callable[..., Any]) -> Iterator[str]:
    """Any ASGI application on a free loopback port, in a thread; its address."""
    from granian.constants import HTTPModes, Interfaces  # only here: an embedding server brings its own
    from granian.server.embed import Server

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    loops: list[tuple[asyncio.AbstractEventLoop, Any]] = []
    begun = threading.Event()

    async def serve() -> None:
        server = Server(
            app,
            address="127.0.0.1",
            port=port,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            websockets=False,
            log_enabled=False,
        )
        loops.append((asyncio.get_running_loop(), server))
        begun.set()
        await server.serve()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="sandbox-stripe", daemon=True)
    thread.start()
    begun.wait(PATIENCE_S)
    _await_port(port)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        loop, server = loops[0]
        loop.call_soon_threadsafe(server.stop)
        thread.join(PATIENCE_S)


def _await_port(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    message = "the sandbox did not start"
    raise RuntimeError(message)
