"""A call through the whole house, over real HTTP: the express door, the books, and the sandbox provider outside."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from granian.constants import Interfaces
from granian.server.embed import Server

from accounts import keys, trail
from accounts.opening import default_storefront
from billing.models import Hold
from billing.wallets import credit
from gateway.models import AIModel, Attempt, Call, Departure, Provider, Route
from gateway.models.calls import CallState
from gateway.seed import stock
from tests import factories
from tests.config.test_up import free_port

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.filterwarnings("ignore::ResourceWarning")]
DOLLAR = 1_000_000_000
CHAT = {"model": "sandbox-standard", "messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 60}


class House:
    """A running server with one customer."""

    def __init__(self, port: int, organization: Any, secret: str, key: Any) -> None:
        self.base = f"http://127.0.0.1:{port}"
        self.organization, self.secret, self.key = organization, secret, key

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        sent = {"authorization": f"Bearer {self.secret}", **headers}
        return httpx.post(self.base + path, json=body, headers=sent, timeout=20)

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
def running(application: Any, port: int) -> Iterator[None]:
    """Serve in a thread of its own until the block ends."""
    import threading

    server = Server(application, address="127.0.0.1", port=port, interface=Interfaces.ASGI, log_enabled=False)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    try:
        for _ in range(100):
            try:
                httpx.get(f"http://127.0.0.1:{port}/health", timeout=5)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield
    finally:
        server.stop()
        thread.join(20)


@pytest.fixture
def house() -> Iterator[House]:
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
    call_command("audit")


def sell(name: str, upstream: str) -> None:
    """Put a misbehaving variant of the sandbox's model on the shelf."""
    provider = Provider.objects.get(slug="sandbox")
    model = AIModel.objects.create(slug=name, name=name, default_output_tokens=100, is_sandbox=True)
    Route.objects.create(model=model, provider=provider, upstream_model=upstream)
    from billing import pricebook

    body = {
        "provider": "sandbox",
        "model": upstream,
        "rates": [{"direction": "input", "price": "3"}, {"direction": "output", "price": "15"}],
    }
    pricebook.publish_card(body=body, effective_from=timezone.now(), note="", source=trail.SYSTEM)
    asyncio.run(asyncio.sleep(1.5))  # the catalogue looks once a second


DOORS = {
    "chat": ("/v1/chat/completions", CHAT),
    "ai-proxy": ("/ai-proxy/v1/chat/completions", CHAT),
    "messages": ("/v1/messages", {**CHAT}),
    "responses": ("/v1/responses", {"model": "sandbox-standard", "input": "Say hello", "max_output_tokens": 60}),
    "completions": ("/v1/completions", {"model": "sandbox-standard", "prompt": "Say hello", "max_tokens": 60}),
    "gemini": (
        "/v1beta/models/sandbox-standard:generateContent",
        {"contents": [{"role": "user", "parts": [{"text": "Say hello"}]}], "generationConfig": {"maxOutputTokens": 60}},
    ),
}


def streamed(path: str, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if "generateContent" in path:
        return path.replace("generateContent", "streamGenerateContent") + "?alt=sse", body
    return path, {**body, "stream": True}


@pytest.mark.parametrize("door", DOORS)
def test_every_door_answers_and_is_charged_what_the_usage_costs(house, door):
    path, body = DOORS[door]
    whole = house.post(path, body)
    assert whole.status_code == 200, whole.text
    stream = house.post(*streamed(path, body))
    assert stream.status_code == 200, stream.text
    first, second = house.settled(2)
    for call in (first, second):
        assert call.state == CallState.DONE
        assert call.usage_source == "reported"
        assert call.price_nano == call.input_tokens * 3750 + call.output_tokens * 18750 - call.cached_tokens * 3375
        assert call.cost_nano * 5 == call.price_nano * 4
        hold = Hold.unscoped.get(pk=call.pk)
        assert (hold.outcome, hold.charged_nano) == ("settled", call.price_nano)
        assert hold.held_nano >= hold.charged_nano
    assert not first.streamed
    assert second.streamed
    assert whole.headers["x-charge-usd"] == f"{first.price_nano / DOLLAR:.9f}".rstrip("0")
    assert Departure.unscoped.count() == Attempt.unscoped.count() == 2
    available = house.organization.accounts.get(kind="promo")
    assert (available.posted, available.held) == (5 * DOLLAR - first.price_nano - second.price_nano, 0)


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ({"authorization": ""}, CHAT, 422, "missing_api_key"),
        ({"authorization": "Bearer sk-tg-wrong"}, CHAT, 401, "invalid_api_key"),
        ({"host": "evil.example"}, CHAT, 421, "unknown_host"),
        ({}, {**CHAT, "model": "nope"}, 404, "model_not_found"),
        ({}, {**CHAT, "model": " sandbox-standard"}, 404, "model_not_found"),
        ({}, {"model": "sandbox-standard"}, 400, None),
        ({}, [], 400, None),
        ({"x-max-cost": "-1"}, CHAT, 400, None),
        ({}, {**CHAT, "service_tier": "flex"}, 400, "invalid_value"),
        ({"content-encoding": "gzip"}, CHAT, 415, None),
    ],
)
def test_what_is_wrong_is_said_and_costs_nothing(house, headers, body, status, code):
    answer = house.post("/v1/chat/completions", body, **headers)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["message"]
    assert code in {None, error["code"]}
    assert not Hold.unscoped.exists()
    assert not Departure.unscoped.exists()


def test_an_empty_wallet_is_told_what_is_missing(house):
    other = factories.make_organization(storefront=house.organization.storefront)
    _, house.secret = factories.make_key(other)
    answer = house.post("/v1/chat/completions", CHAT)
    assert answer.status_code == 402
    assert answer.json()["error"]["code"] == "insufficient_credits"
    assert not Departure.unscoped.exists()


def test_a_small_balance_shortens_the_answer_and_says_so(house):
    other = factories.make_organization(storefront=house.organization.storefront)
    credit(other, 1_500_000, "a little", trail.SYSTEM)
    _, house.secret = factories.make_key(other)
    answer = house.post("/v1/chat/completions", {**CHAT, "max_tokens": 4000})
    assert answer.status_code == 200, answer.text
    assert 16 <= int(answer.headers["x-output-limit"]) < 100
    account = other.accounts.get(kind="promo")
    assert account.posted >= 0 == account.held


def test_max_cost_bounds_the_hold(house):
    answer = house.post("/v1/chat/completions", {**CHAT, "max_tokens": 4000}, **{"x-max-cost": "0.002"})
    assert answer.status_code == 200, answer.text
    [call] = house.settled(1)
    assert call.hold_nano <= 2_000_000
    assert call.price_nano <= 2_000_000


def test_a_revoked_key_is_refused_at_the_next_call(house):
    assert house.post("/v1/chat/completions", CHAT).status_code == 200
    keys.revoke(house.key, now=timezone.now(), source=trail.SYSTEM)
    assert house.post("/v1/chat/completions", CHAT).status_code == 401
    assert len(house.settled(1)) == 1


def test_the_key_budget_is_reserved_with_the_hold(house):
    keys.update(house.key, source=trail.SYSTEM, cap_total_nano=1_000_000)
    answers = [house.post("/v1/chat/completions", {**CHAT, "max_tokens": 20}) for _ in range(6)]
    assert {answer.status_code for answer in answers} == {200, 402}
    assert sum(call.price_nano for call in house.calls()) <= 1_000_000
    assert answers[-1].json()["error"]["code"] == "key_budget_exceeded"


@pytest.mark.parametrize(("fault", "status"), [("status=500", 502), ("status=429", 503), ("status=401", 503)])
def test_a_provider_that_refuses_costs_nothing(house, fault, status):
    sell("faulty", f"sandbox-standard+{fault}")
    answer = house.post("/v1/chat/completions", {**CHAT, "model": "faulty"})
    assert answer.status_code == status, answer.text
    [call] = house.settled(1)
    assert (call.state, call.price_nano, call.billing_rule) == (CallState.FAILED, 0, "failed_free")
    assert Hold.unscoped.get().outcome == "released"


def test_a_stream_without_usage_is_charged_by_estimate(house):
    sell("silent", "sandbox-standard+no-usage")
    answer = house.post("/v1/chat/completions", {**CHAT, "model": "silent", "stream": True})
    assert "[DONE]" in answer.text
    [call] = house.settled(1)
    assert call.usage_source == "estimated"
    assert 0 < call.price_nano <= call.hold_nano


def test_a_cut_stream_ends_with_an_error_and_costs_what_was_delivered(house):
    sell("cut", "sandbox-standard+cut=900")
    answer = house.post("/v1/chat/completions", {**CHAT, "model": "cut", "stream": True})
    assert "[DONE]" not in answer.text.replace('"', "")[-40:] or '"error"' in answer.text
    assert '"error"' in answer.text
    [call] = house.settled(1)
    assert call.state == CallState.PARTIAL
    assert 0 <= call.price_nano <= call.hold_nano
    assert Hold.unscoped.get().outcome is not None


def test_a_client_that_leaves_is_charged_what_the_provider_counted(house):
    with (
        httpx.Client(timeout=20) as client,
        client.stream(
            "POST",
            house.base + "/v1/chat/completions",
            json={**CHAT, "stream": True},
            headers={"authorization": f"Bearer {house.secret}"},
        ) as answer,
    ):
        next(answer.iter_bytes())
    [call] = house.settled(1)
    assert call.status == 499 or call.state == CallState.DONE
    assert call.usage_source == "reported"
    assert call.price_nano > 0
    assert Hold.unscoped.get().outcome == "settled"


def test_a_limit_is_told_on_every_answer_and_a_refusal_costs_nothing(house):
    keys.update(house.key, source=trail.SYSTEM, requests_per_day=2)
    answers = [house.post("/v1/chat/completions", CHAT) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["1", "0", "0", "0"]
    assert int(answers[2].headers["retry-after"]) > 0
    assert answers[2].json()["error"]["code"] == "rate_limit_exceeded"
    assert len(house.settled(2)) == Departure.unscoped.count() == 2


def test_many_at_once_never_overdraw(house):
    other = factories.make_organization(storefront=house.organization.storefront)
    credit(other, 10_000_000, "for a few", trail.SYSTEM)
    _, secret = factories.make_key(other)

    async def all_at_once() -> list[int]:
        async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=50)) as client:
            answers = await asyncio.gather(
                *(
                    client.post(
                        house.base + "/v1/chat/completions", json=CHAT, headers={"authorization": f"Bearer {secret}"}
                    )
                    for _ in range(50)
                )
            )
        return [answer.status_code for answer in answers]

    statuses = asyncio.run(all_at_once())
    assert set(statuses) <= {200, 402}
    assert 402 in statuses
    account = other.accounts.get(kind="promo")
    assert account.posted >= 0 == account.held
    charged = sum(Call.objects.of(other).values_list("price_nano", flat=True))
    assert account.posted == 10_000_000 - charged
    assert connection.vendor in {"sqlite", "postgresql"}


def test_errors_speak_the_clients_dialect(house):
    for door, (path, body) in DOORS.items():
        wrong = json.loads(json.dumps(body).replace("sandbox-standard", "nope"))
        answer = house.post(path.replace("sandbox-standard", "nope"), wrong)
        assert answer.status_code == 404, door
        shape = answer.json()
        assert shape["error"]["message"]
        if door == "messages":
            assert shape["type"] == "error"
        if door == "gemini":
            assert shape["error"]["status"] == "NOT_FOUND"
