"""Real server processes for proofs: the gateway, and beside it the sandbox provider with books of its own."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.simulator.worlds import Child

CONTROL = "control"


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _serve(application: Any, port: int) -> None:
    from granian.constants import Interfaces
    from granian.server.embed import Server

    server = Server(application, address="127.0.0.1", port=port, interface=Interfaces.ASGI, log_enabled=False)
    asyncio.run(server.serve())


class Served:
    """A process that serves; ``stop()`` kills it without mercy."""

    def __init__(self, port: int, story: Callable[[Callable[[str], object]], None]) -> None:
        self.port, self.base = port, f"http://127.0.0.1:{port}"
        self.child = Child(story)

    def wait(self) -> "Served":
        import httpx

        for _ in range(600):
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{self.base}/health", timeout=5)
                return self
            if not self.child.running():
                raise RuntimeError(f"the server died at its start: {self.child.read()}")
            time.sleep(0.05)
        raise RuntimeError("the server did not come up")

    def stop(self, how: int = signal.SIGKILL) -> None:
        if self.child.running():
            os.kill(self.child.pid, how)
        self.child.read()


def provider(*, gap_s: float = 0) -> Served:
    """The sandbox provider in a process of its own."""
    port = free_port()

    def story(_: Callable[[str], object]) -> None:
        from django.conf import settings

        from sandbox.provider import Provider

        _serve(Provider(keys={settings.SANDBOX_PROVIDER_KEY}, control_key=CONTROL, gap_s=gap_s), port)

    return Served(port, story).wait()


def gateway(*, arm: Callable[[], None] | None = None, environment: dict[str, Any] | None = None) -> Served:
    """One worker of the gateway, perhaps with a fault put in."""
    port = free_port()

    def story(_: Callable[[str], object]) -> None:
        import logging

        from django.conf import settings

        for name, value in (environment or {}).items():
            setattr(settings, name, value)
        from config import asgi
        from gateway.service import Gateway

        logging.disable(logging.INFO)
        asgi.gateway = Gateway()
        if arm is not None:
            arm()
        _serve(asgi.application, port)

    return Served(port, story)


class Books:
    """What the provider says of itself."""

    def __init__(self, served: Served) -> None:
        self._base = served.base

    def _ask(self, method: str, path: str) -> Any:
        import httpx

        answer = httpx.request(
            method, f"{self._base}/_control/{path}", headers={"x-sandbox-control": CONTROL}, timeout=60
        )
        return answer.json()

    def forget(self) -> None:
        self._ask("DELETE", "books")

    def summary(self) -> dict[str, Any]:
        return dict(self._ask("GET", "summary"))

    def entries(self) -> Iterator[dict[str, Any]]:
        after = ""
        while page := self._ask("GET", f"books?after={after}")["data"]:
            yield from page
            after = page[-1]["id"]


def shop(
    provider_url: str, *, organizations: int, credit: int, faults: tuple[str, ...] = ()
) -> list[tuple[Any, Any, str]]:
    """A storefront that sells the sandbox's models, faulty ones too; customers as (organization, key, secret)."""
    from django.utils import timezone

    from accounts import trail
    from accounts.opening import default_storefront
    from billing import pricebook, wallets
    from gateway.models import AIModel, Provider, Route
    from gateway.seed import stock
    from tests import factories

    front = default_storefront()
    stock(front, sandbox_url=provider_url, now=timezone.now())
    seller = Provider.objects.get(slug="sandbox")
    rates = [{"direction": "input", "price": "3"}, {"direction": "output", "price": "15"}]
    for fault in faults:
        name = f"sandbox-standard+{fault}" if fault else "sandbox-standard"
        model, is_new = AIModel.objects.get_or_create(
            slug=name,
            defaults={"name": name, "default_output_tokens": 200, "max_output_tokens": 64_000, "is_sandbox": True},
        )
        if is_new:
            Route.objects.create(model=model, provider=seller, upstream_model=name)
            pricebook.publish_card(
                body={"provider": "sandbox", "model": name, "rates": rates},
                effective_from=timezone.now(),
                note="",
                source=trail.SYSTEM,
            )
    made = []
    for _ in range(organizations):
        organization = factories.make_organization(storefront=front)
        wallets.credit(organization, credit, "proof", trail.SYSTEM)
        made.append((organization, *factories.make_key(organization)))
    return made
