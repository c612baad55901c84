"""Calls paid by grants in tokens: a trial first, a model's own package, and money where they end."""

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts import trail
from billing import ledger, units
from billing.models import Hold, Transfer
from billing.models.ledger import House as Books
from billing.models.ledger import Kind
from billing.money import ceil_ratio
from billing.operations import Credit, Credited
from billing.wallets import credit
from gateway import receipts
from gateway.models import Call
from tests import factories
from tests.gateway.fake_provider import chat
from tests.gateway.houses import open_house, sell, stream, until_ended
from tests.gateway.test_failover import shop

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.filterwarnings("ignore::ResourceWarning")]
CHAT = {"model": "sandbox-standard", "messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 60}


def give(organization, tokens, *, unit=units.ANY_MODEL, kind=Kind.TRIAL):
    """Tokens of a grant; returns its account."""
    uid = f"{kind}:{organization.pk}:{unit}"
    gift = Credit(
        uid=uid,
        organization_id=organization.pk,
        amount=tokens,
        kind=kind,
        unit=unit,
        value_nano=0,
        source=Books.PROMOTIONS,
        code="trial",
    )
    with transaction.atomic():
        [verdict] = ledger.apply(connection, [gift], timezone.now())
    assert isinstance(verdict, Credited)
    return organization.accounts.get(pk=verdict.account_id)


def newcomer(house, tokens, *, money=0, **grant):
    """A customer with tokens, whose key the house now uses."""
    other = factories.make_organization(storefront=house.organization.storefront)
    if money:
        credit(other, money, "a little", trail.SYSTEM)
    account = give(other, tokens, **grant)
    _, house.secret = factories.make_key(other)
    return other, account


def left(account):
    account.refresh_from_db()
    assert account.held == 0
    return account.posted


def used(calls):
    return sum(call.input_tokens + call.output_tokens for call in calls)


@pytest.fixture
def house():
    with open_house() as house:
        yield house


def test_a_customer_with_a_trial_and_no_money_can_call_and_pays_in_tokens(house):
    other, trial = newcomer(house, 100_000)
    assert house.post("/v1/chat/completions", CHAT).status_code == 200
    with stream(house, CHAT) as answer:
        assert "[DONE]" in answer.read().decode()
    calls = until_ended(other, 2)
    assert left(trial) == 100_000 - used(calls) < 100_000
    for call in calls:
        told = receipts.receipt(call)
        assert told["recomputes"] is True
        assert told["tokens_from_grants"] == call.input_tokens + call.output_tokens
        assert told["from_grants_usd"] == told["charged_usd"] == told["price_usd"] != "0"
        assert told["waived_usd"] == "0"


def test_the_trial_is_spent_before_money(house):
    other, trial = newcomer(house, 100_000, money=10**9)
    house.post("/v1/chat/completions", CHAT)
    [call] = until_ended(other, 1)
    assert left(trial) == 100_000 - used([call])
    assert left(other.accounts.get(kind=Kind.PROMO)) == 10**9


def test_a_package_pays_for_its_own_model_alone(house):
    unit = units.of_model("sandbox-standard")
    other, package = newcomer(house, 100_000, unit=unit, kind=Kind.PACKAGE)
    assert house.post("/v1/chat/completions", CHAT).status_code == 200
    sell("another", "sandbox-standard")
    assert house.post("/v1/chat/completions", {**CHAT, "model": "another"}).status_code == 402
    assert left(package) == 100_000 - used(until_ended(other, 1))


def test_an_answer_is_shortened_to_the_tokens_that_are_left(house):
    sell("long", "sandbox-standard+fill")
    other, trial = newcomer(house, 400)
    answer = house.post("/v1/chat/completions", {**CHAT, "model": "long", "max_tokens": 5_000})
    limit = int(answer.headers["x-output-limit"])
    assert 16 <= limit < 400
    [call] = until_ended(other, 1)
    assert call.output_tokens == limit
    hold = Hold.unscoped.get()
    assert (hold.charged_nano, hold.unrecovered_nano) == (call.price_nano, 0)
    assert left(trial) == 400 - used([call]) >= 0


def test_tokens_that_end_before_the_answer_begins_are_refused_and_given_back(house):
    other, trial = newcomer(house, 30)
    words = {**CHAT, "messages": [{"role": "user", "content": "word " * 20}], "max_tokens": 5_000}
    answer = house.post("/v1/chat/completions", words)
    assert answer.status_code == 402
    assert answer.json()["error"]["code"] == "insufficient_credits"
    assert left(trial) == 30
    assert not Transfer.unscoped.filter(organization=other, code="usage").exists()


def test_a_long_stream_extends_its_hold_in_tokens_and_goes_on_in_money(house):
    sell("long", "sandbox-standard+fill")
    other, trial = newcomer(house, 6_000, money=10**9)
    with stream(house, {**CHAT, "model": "long", "max_tokens": 10_000}) as answer:
        assert "[DONE]" in answer.read().decode()
    [call] = until_ended(other, 1)
    assert call.output_tokens == 10_000
    assert left(trial) == 0
    hold = Hold.unscoped.get()
    assert (hold.charged_nano, hold.unrecovered_nano) == (call.price_nano, 0)
    paid = 10**9 - left(other.accounts.get(kind=Kind.PROMO))
    whole = used([call])
    assert paid == ceil_ratio(call.price_nano * (whole - 6_000), whole)


def test_a_long_stream_ends_where_the_tokens_do(house):
    sell("long", "sandbox-standard+fill")
    other, trial = newcomer(house, 6_000)
    with stream(house, {**CHAT, "model": "long", "max_tokens": 10_000}) as answer:
        said = answer.read().decode()
    assert "insufficient_credits" in said
    [call] = until_ended(other, 1)
    assert 4_096 <= call.output_tokens <= 6_000
    assert Hold.unscoped.get().unrecovered_nano == 0
    assert left(trial) == 6_000 - used([call]) >= 0


def test_twenty_parallel_requests_over_the_last_thousand_free_tokens_end_at_exactly_zero():
    ask = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}
    body = json.dumps(ask).encode()
    bound = len(body) + 16 + 20  # every byte a token, so a hold is what is used, and the order does not matter
    assert 1_000 % bound
    with (
        shop(lambda _: chat(prompt_tokens=len(body) + 16, completion_tokens=20)) as (house, _),
        ThreadPoolExecutor(20) as crowd,
    ):
        trial = give(house.organization, 1_000)
        sent = {"authorization": f"Bearer {house.secret}", "content-type": "application/json"}
        url = house.base + "/v1/chat/completions"
        answers = list(crowd.map(lambda _: httpx.post(url, content=body, headers=sent, timeout=60), range(20)))
        assert [answer.status_code for answer in answers] == [200] * 20
        calls = house.settled(20)
    assert used(calls) == 20 * bound
    assert left(trial) == 0
    burned = Transfer.unscoped.filter(organization=house.organization, code="usage")
    in_tokens, in_money = burned.filter(debit=trial), burned.exclude(debit=trial)
    assert sum(in_tokens.values_list("amount", flat=True)) == 1_000
    assert len(burned) == 21  # one request is on the boundary, and pays from both
    assert sum(burned.values_list("value_nano", flat=True)) == sum(call.price_nano for call in calls)
    price = calls[0].price_nano
    split = price - price * (1_000 % bound) // bound
    assert sum(in_money.values_list("amount", flat=True)) == (20 - 1_000 // bound - 1) * price + split
    assert all(call.state == "done" for call in Call.unscoped.all())
