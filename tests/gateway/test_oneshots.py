"""One-shot questions and the money: what faults cost, what is believed, and what a hold is big enough for."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from accounts import trail
from billing import pricebook
from billing.models import Hold
from billing.wallets import credit
from gateway.models import AIModel, Credential, Departure, Provider, Route
from tests import factories
from tests.gateway.house import CANONICAL, EXPRESS, House, opened

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture(params=[EXPRESS, CANONICAL])
def house(request: Any) -> Iterator[House]:
    with opened(request.param) as opened_house:
        yield opened_house


def sell(name: str, upstream: str, purpose: str, **rate: Any) -> None:
    """Put a variant of a sandbox model on the shelf at a price of its own."""
    provider = Provider.objects.get(slug="sandbox")
    model = AIModel.objects.create(slug=name, name=name, is_sandbox=True, purpose=purpose)
    Route.objects.create(model=model, provider=provider, upstream_model=upstream)
    body = {"provider": "sandbox", "model": upstream, "rates": [{"direction": "input", **rate}]}
    pricebook.publish_card(body=body, effective_from=timezone.now(), note="", source=trail.SYSTEM)
    time.sleep(1.5)  # the catalogue looks once a second


def test_faults_cost_nothing_and_silence_an_estimate(house):
    for number, (fault, status, charged) in enumerate(
        [("no-usage", 200, True), ("status=500", 502, False), ("status=429", 503, False), ("status=401", 503, False)]
    ):  # the refused key last: it rests for all that it opens
        sell(f"odd-{number}", f"sandbox-embedding+{fault}", "embedding", price="2.00")
        answer = house.post("/v1/embeddings", {"model": f"odd-{number}", "input": "A text of some length."})
        assert answer.status_code == status, (fault, answer.text)
        call = house.settled(number + 1)[number]
        assert (call.price_nano > 0) == charged, fault
        assert call.price_nano <= call.hold_nano
        assert call.usage_source == ("estimated" if charged else "none")
        assert Hold.unscoped.get(pk=call.pk).outcome == ("settled" if charged else "released")


def test_what_a_provider_overstates_is_not_believed(house):
    for number, odd in enumerate(("1e12", "negative", "strings", "2e63")):
        sell(f"liar-{number}", f"sandbox-embedding+usage={odd}", "embedding", price="2.00")
        answer = house.post("/v1/embeddings", {"model": f"liar-{number}", "input": "A text."})
        assert answer.status_code == 200, (odd, answer.text)
        call = house.settled(number + 1)[number]
        assert call.usage_source == "estimated", odd
        assert 0 < call.price_nano <= call.hold_nano, odd


def test_searches_are_charged_where_they_have_the_price(house):
    sell("by-search", "sandbox-rerank+x", "rerank", price="0.002", modality="search", unit="search", per=1)
    body = {"model": "by-search", "query": "a fox", "documents": ["a fox"] * 150}
    quoted = house.post("/v1/quote?for=/v1/rerank", body).json()
    answer = house.post("/v1/rerank", body)
    assert answer.status_code == 200, answer.text
    [call] = house.settled(1)
    assert call.price_nano == 2 * 2_500_000 == call.hold_nano
    assert quoted["worst_case_usd"] == quoted["likely_usd"] == "0.005"


def test_an_empty_wallet_and_a_cap_are_told_before_anything_leaves(house):
    body = {"model": "sandbox-embedding", "input": "A text."}
    over = house.post("/v1/embeddings", body, **{"x-max-cost": "0.000000001"})
    assert (over.status_code, over.json()["error"]["type"]) == (400, "invalid_request_error")
    poor = factories.make_organization(storefront=house.organization.storefront)
    _, house.secret = factories.make_key(poor)
    refused = house.post("/v1/embeddings", body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "insufficient_credits")
    assert house.post("/v1/moderations", {"input": "A text."}).status_code == 200  # free, by its price
    assert house.post("/v1/messages/count_tokens", {"model": "sandbox-standard", "messages": [
        {"role": "user", "content": "a"}]}).status_code == 200  # free, by its rule  # fmt: skip
    assert Departure.unscoped.filter(organization=poor).count() == 2
    credit(poor, 1_000_000, "a little", trail.SYSTEM)
    assert house.post("/v1/embeddings", body).status_code == 200


def test_a_provider_that_does_not_count_is_not_asked(house):
    """Then we estimate, say so, and nothing leaves."""
    sandbox = Provider.objects.get(slug="sandbox")
    plain = Provider.objects.create(
        slug="plain", name="Plain", kind="openai_compatible", base_url=f"{sandbox.base_url}/v1", may_be_private=True
    )
    Credential.objects.create(provider=plain, secret=sandbox.credentials.get().secret)
    model = AIModel.objects.create(slug="plain", name="plain")
    Route.objects.create(model=model, provider=plain, upstream_model="sandbox-standard")
    time.sleep(1.5)  # the catalogue looks once a second
    hello = [{"role": "user", "content": "Say hello"}]
    answer = house.post("/v1/messages/count_tokens", {"model": "plain", "messages": hello})
    assert answer.headers["x-token-count"] == "estimated"
    assert answer.json()["input_tokens"] > 0
    answer = house.post("/v1beta/models/plain:countTokens", {"contents": [{"parts": [{"text": "Say hello"}]}]})
    assert answer.json()["totalTokens"] > 0
    assert not Departure.unscoped.exists()


def test_limits_hold_for_questions_as_for_conversations(house):
    _, house.secret = factories.make_key(house.organization, requests_per_day=2)
    answers = [house.post("/v1/moderations", {"input": "A text."}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "retry-after" in answers[2].headers


def test_a_quote_is_the_hold(house):
    """The worst case is exactly what the call asks to hold, at every door."""
    hello = [{"role": "user", "content": "Say hello"}]
    for path, body in (
        ("/v1/chat/completions", {"model": "sandbox-standard", "messages": hello, "max_tokens": 30}),
        ("/v1/messages", {"model": "sandbox-standard", "messages": hello, "max_tokens": 30}),
        ("/v1/embeddings", {"model": "sandbox-embedding", "input": ["A text.", "Another."]}),
        ("/v1beta/models/sandbox-embedding:embedContent", {"content": {"parts": [{"text": "A text."}]}}),
    ):
        quote = house.post(f"/v1/quote?for={path}", body).json()
        before = len(house.calls())
        assert house.post(path, body).status_code == 200
        call = house.settled(before + 1)[before]
        assert round(float(quote["worst_case_usd"]) * 1_000_000_000) == call.hold_nano, path
    assert house.post("/v1/quote?for=/v1/nothing", {}).status_code == 400
    free = house.post("/v1/quote?for=/v1/messages/count_tokens", {"model": "sandbox-standard", "messages": hello})
    assert free.json()["worst_case_usd"] == "0"
