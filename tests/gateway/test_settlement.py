"""However a call ends, it is settled: long holds, empty balances, revoked keys, changed prices, clients that leave."""

import asyncio
import time
from datetime import timedelta

import httpx
import pytest
from django.utils import timezone

from accounts import keys, organizations, trail
from accounts.models.organizations import Standing
from billing.models import Hold
from billing.models.ledger import HoldLine
from billing.wallets import credit
from gateway import alarms
from gateway.calls import STEP_OUTPUT
from gateway.fair_billing import Rule
from gateway.models import AIModel, Attempt, Call, Departure, Route
from gateway.models.calls import CallState
from tests import factories
from tests.gateway.fake_provider import chat
from tests.gateway.houses import open_house, publish, sell, stream, until_ended, until_seen
from tests.gateway.test_failover import shop

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.filterwarnings("ignore::ResourceWarning")]
CHAT = {"model": "sandbox-standard", "messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 60}


@pytest.fixture
def house():
    with open_house() as house:
        yield house


def poor(house, nano):
    other = factories.make_organization(storefront=house.organization.storefront)
    credit(other, nano, "a little", trail.SYSTEM)
    _, house.secret = factories.make_key(other)
    return other


# --- Long streams hold in steps ---------------------------------------------------------------------------------------


def test_a_long_stream_holds_its_answer_in_steps(house):
    sell("long", "sandbox-standard+fill")
    with stream(house, {**CHAT, "model": "long", "max_tokens": 3 * STEP_OUTPUT}) as answer:
        assert int(answer.headers["x-output-limit"]) == 3 * STEP_OUTPUT
        first = Hold.unscoped.get()
        assert first.held_nano < 2 * STEP_OUTPUT * 18_750
        assert "[DONE]" in answer.read().decode()
    [call] = until_ended(house.organization, 1)
    assert (call.billing_rule, call.output_tokens) == (Rule.USED, 3 * STEP_OUTPUT)
    hold = Hold.unscoped.get()
    assert hold.charged_nano == call.price_nano <= hold.held_nano == call.hold_nano
    assert len(set(HoldLine.objects.filter(hold=hold).values_list("step", flat=True))) == 3


def test_a_whole_answer_is_held_whole(house):
    house.post("/v1/chat/completions", {**CHAT, "max_tokens": 3 * STEP_OUTPUT})
    assert Hold.unscoped.get().held_nano > 3 * STEP_OUTPUT * 18_750


def test_a_long_stream_that_runs_out_of_credit_ends_with_an_error_and_is_settled(house):
    sell("long", "sandbox-standard+fill")
    other = poor(house, 5_000 * 18_750)
    with stream(house, {**CHAT, "model": "long", "max_tokens": 30_000}) as answer:
        said = answer.read().decode()
    assert '"code":"insufficient_credits"' in said.replace(" ", "")
    assert "[DONE]" not in said
    [call] = until_ended(other, 1)
    assert (call.state, call.billing_rule) == (CallState.PARTIAL, Rule.CREDIT_ENDED)
    assert call.output_tokens >= STEP_OUTPUT
    account, charged = other.accounts.get(kind="promo"), Hold.unscoped.get().charged_nano
    assert 0 < charged <= call.hold_nano
    assert account.posted == 5_000 * 18_750 - charged
    assert account.held == 0


def test_a_budget_that_ends_in_the_middle_ends_the_stream(house):
    sell("long", "sandbox-standard+fill")
    keys.update(house.key, source=trail.SYSTEM, cap_total_nano=5_000 * 18_750)
    with stream(house, {**CHAT, "model": "long", "max_tokens": 30_000}) as answer:
        assert '"key_budget_exceeded"' in answer.read().decode()
    [call] = until_ended(house.organization, 1)
    assert (call.billing_rule, call.state) == (Rule.CREDIT_ENDED, CallState.PARTIAL)
    assert 0 < Hold.unscoped.get().charged_nano <= 5_000 * 18_750


def test_max_cost_bounds_a_long_stream_from_the_beginning(house):
    sell("long", "sandbox-standard+fill")
    with stream(house, {**CHAT, "model": "long", "max_tokens": 30_000}, **{"x-max-cost": "0.1"}) as answer:
        assert STEP_OUTPUT < int(answer.headers["x-output-limit"]) < 6_000
        assert "[DONE]" in answer.read().decode()
    [call] = until_ended(house.organization, 1)
    assert call.price_nano <= call.hold_nano <= 100_000_000


# --- Over the hold ----------------------------------------------------------------------------------------------------


def test_reported_usage_over_the_hold_takes_what_is_there_and_the_house_bears_the_rest(house):
    """What a stream reports may lie beyond what was held so far, though within what it could use."""
    sell("jumps", f"sandbox-standard+tokens={4 * STEP_OUTPUT}+slow=0")
    other = poor(house, 4_400 * 18_750)
    with stream(house, {**CHAT, "model": "jumps", "max_tokens": 5 * STEP_OUTPUT}) as answer:
        answer.read()
    [call] = until_ended(other, 1)
    hold = Hold.unscoped.get()
    assert hold.charged_nano + hold.unrecovered_nano in {call.price_nano, min(call.price_nano, hold.held_nano)}
    account = other.accounts.get(kind="promo")
    assert account.posted >= 0 == account.held


# --- Changes under way ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deed", ["revoked", "suspended", "expired"])
def test_a_running_stream_ends_within_five_seconds_of_losing_its_right(house, deed):
    sell("slow", "sandbox-standard+fill+slow=0.05")
    if deed == "expired":
        keys.update(house.key, source=trail.SYSTEM, expires_at=timezone.now() + timedelta(seconds=2))
    with stream(house, {**CHAT, "model": "slow", "max_tokens": 2_000}) as answer:
        pieces = answer.iter_bytes()
        said = next(pieces)
        if deed == "revoked":
            keys.revoke(house.key, now=timezone.now(), source=trail.SYSTEM)
        elif deed == "suspended":
            organizations.set_standing(house.organization, Standing.SUSPENDED, reason="test", source=trail.SYSTEM)
        started = time.monotonic()
        said += b"".join(pieces)
        took_s = time.monotonic() - started
    assert took_s < 5
    assert b'"error"' in said
    assert b"[DONE]" not in said
    [call] = until_ended(house.organization, 1)
    assert (call.state, call.billing_rule) == (CallState.PARTIAL, Rule.ACCESS_ENDED)
    assert 0 < call.price_nano <= call.hold_nano


def test_an_unrelated_change_lets_a_stream_run_on(house):
    sell("slow", "sandbox-standard+tokens=60+slow=0.05")
    with stream(house, {**CHAT, "model": "slow"}) as answer:
        pieces = answer.iter_bytes()
        said = next(pieces)
        keys.revoke(factories.make_key(house.organization)[0], now=timezone.now(), source=trail.SYSTEM)
        said += b"".join(pieces)
    assert b"[DONE]" in said


def test_a_price_that_changes_and_a_model_that_goes_do_not_touch_a_running_call(house):
    sell("slow", "sandbox-standard+tokens=60+slow=0.05")
    with stream(house, {**CHAT, "model": "slow"}) as answer:
        pieces = answer.iter_bytes()
        said = next(pieces)
        publish("sandbox-standard+tokens=60+slow=0.05", ("6", "30"))
        AIModel.objects.filter(slug="slow").update(is_active=False)
        Route.objects.filter(model__slug="slow").delete()
        said += b"".join(pieces)
    assert b"[DONE]" in said
    [call] = until_ended(house.organization, 1)
    assert call.price_nano == call.input_tokens * 3_750 + call.output_tokens * 18_750
    until_seen(timezone.now())
    assert house.post("/v1/chat/completions", {**CHAT, "model": "slow"}).status_code == 404


def test_the_balance_may_be_emptied_by_others_meanwhile(house):
    sell("slow", "sandbox-standard+tokens=60+slow=0.05")
    other = poor(house, 3_000_000)
    with stream(house, {**CHAT, "model": "slow"}) as answer:
        pieces = answer.iter_bytes()
        said = next(pieces)
        while house.post("/v1/chat/completions", {**CHAT, "max_tokens": 20}).status_code == 200:
            pass
        said += b"".join(pieces)
    assert b"[DONE]" in said
    calls = until_ended(other, 2)
    assert sum(call.price_nano for call in calls) == sum(Hold.unscoped.values_list("charged_nano", flat=True))
    assert not Hold.unscoped.filter(unrecovered_nano__gt=0).exists()


# --- Clients that leave -----------------------------------------------------------------------------------------------


def leave(house, body, *, after_s):
    with pytest.raises(httpx.TimeoutException):
        httpx.post(
            house.base + "/v1/chat/completions",
            json=body,
            headers={"authorization": f"Bearer {house.secret}"},
            timeout=httpx.Timeout(5, read=after_s),
        )


@pytest.mark.parametrize("streamed", [False, True])
def test_a_client_that_leaves_before_the_answer_is_charged_what_was_answered(house, streamed):
    sell("late", "sandbox-standard+first-byte=1")
    leave(house, {**CHAT, "model": "late", "stream": streamed}, after_s=0.3)
    [call] = until_ended(house.organization, 1)
    assert (call.status, call.billing_rule, call.usage_source) == (499, Rule.CLIENT_LEFT, "reported")
    assert call.price_nano == call.input_tokens * 3_750 + call.output_tokens * 18_750 > 0


def test_a_client_that_leaves_and_an_answer_that_never_comes_cost_nothing(house):
    from gateway.models import Provider

    Provider.objects.update(drain_s=1)
    sell("never", "sandbox-standard+first-byte=20")
    leave(house, {**CHAT, "model": "never"}, after_s=0.3)
    [call] = until_ended(house.organization, 1)
    assert (call.state, call.billing_rule, call.price_nano) == (CallState.FAILED, Rule.CLIENT_LEFT_BEFORE_ANSWER, 0)
    assert Hold.unscoped.get().outcome == "released"


def test_sixty_that_leave_at_once_are_each_charged_once(house):
    async def go() -> None:
        async with httpx.AsyncClient(timeout=20, limits=httpx.Limits(max_connections=60)) as client:
            sent = {"authorization": f"Bearer {house.secret}"}

            async def one() -> None:
                async with client.stream(
                    "POST", house.base + "/v1/chat/completions", json={**CHAT, "stream": True}, headers=sent
                ) as answer:
                    async for _ in answer.aiter_bytes():
                        return

            await asyncio.gather(*(one() for _ in range(60)))

    asyncio.run(go())
    calls = until_ended(house.organization, 60)
    assert len(calls) == 60
    assert Departure.unscoped.count() == Attempt.unscoped.count() == 60
    assert {call.usage_source for call in calls} == {"reported"}
    assert sum(call.price_nano for call in calls) == sum(Hold.unscoped.values_list("charged_nano", flat=True))


# --- The provider's faults --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "rules"),
    [
        ("error-first", {Rule.FAILED_FREE}),
        ("error-later=5", {Rule.DELIVERED_PART}),
        ("cut=1500", {Rule.DELIVERED_PART}),
        ("eof=1500", {Rule.DELIVERED_PART}),
        ("midline=5", {Rule.DELIVERED_PART}),
        ("no-done", {Rule.DELIVERED_PART}),
        ("usage=repeated", {Rule.USED}),
        ("usage=decreasing", {Rule.USED}),
        ("usage=1e12", {Rule.USED}),
        ("usage=negative", {Rule.USED}),
        ("usage=2e63", {Rule.USED}),
        ("usage=strings", {Rule.USED}),
        ("no-usage", {Rule.USED}),
        ("tokens=0", {Rule.NO_OUTPUT_FREE, Rule.USED}),
    ],
)
def test_whatever_a_provider_does_the_stream_is_settled_once_and_within_its_hold(house, fault, rules):
    sell("odd", f"sandbox-standard+{fault}")
    with stream(house, {**CHAT, "model": "odd"}) as answer:
        answer.read()
    [call] = until_ended(house.organization, 1)
    assert Rule(call.billing_rule) in rules
    assert 0 <= call.price_nano <= call.hold_nano
    assert Call.unscoped.count() == 1


# --- Usage that nobody has put a price on -----------------------------------------------------------------------------


def test_a_sound_in_a_model_sold_by_text_is_charged_as_the_dearest_question_and_told():
    counted = {"prompt_tokens": 60, "completion_tokens": 5, "prompt_tokens_details": {"audio_tokens": 40}}
    before = alarms.counted.labels("unpriced_usage")._value.get()
    with shop(lambda _: chat(**counted)) as (house, _):
        assert house.post("/v1/chat/completions", {**CHAT, "model": "m"}).status_code == 200
        [call] = house.settled(1)
    assert call.usage_source == "estimated"
    rates = {one["direction"]: one["quantity"] for one in call.usage}
    assert rates == {"input": 60, "output": 5}
    hold = Hold.unscoped.get(pk=call.pk)
    assert 0 < hold.charged_nano == call.price_nano <= hold.held_nano
    assert Attempt.unscoped.get(call_id=call.pk).usage != call.usage
    assert alarms.counted.labels("unpriced_usage")._value.get() == before + 1
