"""A running server with one customer, for tests that look at how calls end."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import httpx
from django.utils import timezone

from accounts import trail
from accounts.opening import default_storefront
from billing import audit, pricebook
from billing.models import Hold
from billing.wallets import credit
from gateway.models import AIModel, Call, Provider, Route
from gateway.seed import stock
from tests import factories
from tests.config.test_up import free_port
from tests.gateway.test_corridor import House, running

DOLLAR = 1_000_000_000


@contextmanager
def open_house(**wires: Any) -> Iterator[House]:
    """Serve until the block ends; then the audit must be clean and no hold open."""
    from config import asgi
    from gateway.service import Gateway

    port = free_port()
    shop = default_storefront()
    stock(shop, sandbox_url=f"http://127.0.0.1:{port}/sandbox/provider", now=timezone.now())
    organization = factories.make_organization(storefront=shop)
    credit(organization, 5 * DOLLAR, "test", trail.SYSTEM)
    key, secret = factories.make_key(organization)
    asgi.gateway = Gateway()
    with running(asgi.application, port):
        yield House(port, organization, secret, key)
    assert not Hold.unscoped.filter(outcome__isnull=True).exists()
    findings = [str(finding) for finding in audit.run().findings]
    assert not findings, findings


def sell(
    name: str, upstream: str, *, limit: int = 100, ceiling: int = 64_000, price: tuple[str, str] = ("3", "15")
) -> None:
    """Put a variant of the sandbox's model on the shelf, with faults in its upstream name."""
    provider = Provider.objects.get(slug="sandbox")
    model = AIModel.objects.create(
        slug=name, name=name, default_output_tokens=limit, max_output_tokens=ceiling, is_sandbox=True
    )
    Route.objects.create(model=model, provider=provider, upstream_model=upstream)
    publish(upstream, price)
    until_seen(timezone.now())


def until_seen(moment: datetime) -> None:
    """The catalogue looks once a second."""
    from config import asgi

    for _ in range(200):
        if asgi.gateway.shelf.picture.taken_at > moment:
            return
        time.sleep(0.05)
    raise AssertionError("the catalogue was not read again")


def publish(upstream: str, price: tuple[str, str]) -> None:
    rates = [{"direction": name, "price": usd} for name, usd in zip(("input", "output"), price, strict=True)]
    body = {"provider": "sandbox", "model": upstream, "rates": rates}
    pricebook.publish_card(body=body, effective_from=timezone.now(), note="", source=trail.SYSTEM)


def stream(house: House, body: dict[str, Any], **headers: str) -> Any:
    """A stream under way."""
    sent = {"authorization": f"Bearer {house.secret}", **headers}
    return httpx.stream(
        "POST", house.base + "/v1/chat/completions", json={**body, "stream": True}, headers=sent, timeout=30
    )


def until_ended(organization: Any, count: int) -> list[Call]:
    for _ in range(200):
        calls = list(Call.objects.of(organization).order_by("id"))
        if len(calls) >= count:
            return calls
        asyncio.run(asyncio.sleep(0.05))
    message = f"only {len(calls)} of {count} calls have ended"
    raise AssertionError(message)
