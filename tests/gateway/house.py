"""A whole house for the doors' tests: a running server with the sandbox behind it, and a customer with credit."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from django.conf import settings as django_settings
from django.utils import timezone

from accounts import trail
from accounts.opening import default_storefront
from billing.wallets import credit
from gateway.models import Call
from gateway.seed import stock
from tests import factories
from tests.config.test_up import free_port
from tests.gateway.test_corridor import running

DOLLAR = 1_000_000_000
EXPRESS, CANONICAL = "express", "canonical"


class House:
    """Where the server is, and whose key opens it."""

    def __init__(self, port: int, organization: Any, secret: str, key: Any) -> None:
        self.base = f"http://127.0.0.1:{port}"
        self.organization, self.secret, self.key = organization, secret, key
        self.client = httpx.Client(base_url=self.base, timeout=20)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        sent = {"authorization": f"Bearer {self.secret}", **headers}
        sent = {name: value for name, value in sent.items() if value}
        if isinstance(body, bytes):
            return self.client.request(method, path, content=body, headers={"content-type": "application/json", **sent})
        return self.client.request(method, path, json=body, headers=sent)

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return self.ask("POST", path, body, **headers)

    def calls(self) -> list[Call]:
        return list(Call.objects.of(self.organization).order_by("id"))

    def settled(self, count: int) -> list[Call]:
        """The calls, once so many have ended."""
        for _ in range(200):
            if len(self.calls()) >= count:
                return self.calls()
            asyncio.run(asyncio.sleep(0.05))
        message = f"only {len(self.calls())} of {count} calls have ended"
        raise AssertionError(message)


@contextmanager
def opened(door: str = EXPRESS) -> Iterator[House]:
    """A house whose calls come through one of the two doors."""
    from config import asgi
    from gateway.service import Gateway

    port = free_port()
    shop = default_storefront()
    stock(shop, sandbox_url=f"http://127.0.0.1:{port}/sandbox/provider", now=timezone.now())
    organization = factories.make_organization(storefront=shop)
    credit(organization, 5 * DOLLAR, "test", trail.SYSTEM)
    key, secret = factories.make_key(organization)
    django_settings.EXPRESS_DOOR = door == EXPRESS
    asgi.gateway = Gateway()
    try:
        with running(asgi.application, port):
            house = House(port, organization, secret, key)
            yield house
            house.client.close()
    finally:
        django_settings.EXPRESS_DOOR = True
