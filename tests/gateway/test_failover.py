"""Several keys and routes: who is asked, in which order, how often, and what every wire request cost."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from accounts import trail
from accounts.opening import default_storefront
from billing.models import Hold
from billing.wallets import credit
from gateway import suppliers, wares
from gateway.models import Attempt, Call, Credential, Departure, Provider, Route
from gateway.seed import stock
from gateway.wares import Price
from tests import factories
from tests.config.test_up import free_port
from tests.gateway.fake_provider import FakeProvider, Heard, Told, chat, fake_provider, refusal
from tests.gateway.test_corridor import DOLLAR, House, running

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.filterwarnings("ignore::ResourceWarning")]
ASK = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}
Answer = Callable[[Heard], Told]


@contextmanager
def shop(
    *answers: Answer, keys: int = 1, costs: tuple[int, ...] = (3, 30)
) -> Iterator[tuple[House, list[FakeProvider]]]:
    """A house that sells ``m`` by one fake provider for each answer, first come first asked."""
    from config import asgi
    from gateway.service import Gateway

    with ExitStack() as stack:
        fakes = [stack.enter_context(fake_provider(answer)) for answer in answers]
        front = default_storefront()
        stock(front, sandbox_url="http://127.0.0.1:1/sandbox/provider", now=timezone.now())
        for place, fake in enumerate(fakes):
            sell(f"p{place}", fake.url, keys=keys, cost=costs[place], priority=100 + place)
        organization = factories.make_organization(storefront=front)
        credit(organization, 5 * DOLLAR, "test", trail.SYSTEM)
        key, secret = factories.make_key(organization)
        asgi.gateway = Gateway()
        port = free_port()
        with running(asgi.application, port):
            yield House(port, organization, secret, key), fakes
        call_command("audit")


def sell(name: str, url: str, *, keys: int, cost: int, priority: int) -> Provider:
    provider = suppliers.add_provider(
        name=name, kind="openai", base_url=url, from_command_line=True, source=trail.SYSTEM
    ).row
    for number in range(keys):
        suppliers.add_credential(
            provider=provider, key=f"{name}-key-{number}", source=trail.SYSTEM, weight=100 if number == 0 else 1
        )
    wares.add_model(
        slug="m",
        provider=provider,
        upstream="m",
        prices=[Price("input", Decimal(cost)), Price("output", Decimal(cost * 5))],
        source=trail.SYSTEM,
        now=timezone.now(),
    )
    Route.objects.filter(provider=provider).update(priority=priority)
    return provider


def ask(house: House, **more: Any) -> Any:
    return house.post("/v1/chat/completions", {**ASK, **more})


def attempts() -> list[Attempt]:
    return list(Attempt.unscoped.order_by("call_id", "number"))


def by_key(refused: str, told: Told) -> Answer:
    return lambda heard: told if heard.key.endswith(refused) else chat()


@pytest.mark.parametrize(("status", "code"), [(401, "invalid_api_key"), (402, "payment"), (429, "rate_limit_exceeded")])
def test_a_key_that_is_refused_leaves_its_place_to_the_next_key_and_rests(status, code):
    def answer(heard: Heard) -> Told:
        return refusal(status, code=code) if heard.key in bad else chat()

    bad: set[str] = set()
    with shop(answer, chat_elsewhere, keys=2) as (house, [first, second]):
        assert ask(house).status_code == 200
        bad.add(first.keys[0])
        assert ask(house).status_code == 200
        assert first.keys[1] in bad
        assert first.keys[2] not in bad
        asked = len(first.heard)
        assert ask(house).status_code == 200
        assert set(first.keys[asked:]).isdisjoint(bad), "a key that was refused rests"
        assert not second.heard, "the other keys of a route come before the next route"
        house.settled(3)
    used = {attempt.credential_id for attempt in attempts()}
    assert used == set(Credential.objects.filter(provider__slug="p0").values_list("pk", flat=True))


def chat_elsewhere(heard: Heard) -> Told:
    return chat("from elsewhere")


def test_a_broken_route_is_broken_by_every_key_so_the_next_route_is_asked():
    with shop(lambda heard: refusal(500), chat_elsewhere, keys=3) as (house, [first, second]):
        assert ask(house).json()["choices"][0]["message"]["content"] == "from elsewhere"
        assert (len(first.heard), len(second.heard)) == (1, 1)
        house.settled(1)
    assert [(one.number, one.provider, one.status, one.error) for one in attempts()] == [
        (1, "p0", 500, "failed"),
        (2, "p1", 200, ""),
    ]


@pytest.mark.parametrize("most", [1, 2, 3])
@pytest.mark.parametrize("status", [429, 500, 401])
def test_wire_requests_never_exceed_what_is_configured(settings, most, status):
    settings.UPSTREAM_TRIES = most
    told = refusal(status)
    with shop(lambda heard: told, lambda heard: told, keys=4) as (house, fakes):
        answer = ask(house)
        assert answer.status_code in {502, 503}, answer.text
        assert answer.json()["error"]["message"]
        asked = sum(len(fake.heard) for fake in fakes)
        assert asked == min(most, 3 if status == 500 else most)
        [call] = house.settled(1)
        assert (call.price_nano, call.billing_rule) == (0, "failed_free")
    assert Attempt.unscoped.count() == Departure.unscoped.count() == asked
    assert Hold.unscoped.get().outcome == "released"


def test_a_request_that_is_wrong_is_asked_once_and_told():
    wrong = refusal(400, code="unsupported_value")
    with shop(lambda heard: wrong, chat_elsewhere, keys=3) as (house, [first, second]):
        assert ask(house).status_code == 400
        assert (len(first.heard), len(second.heard)) == (1, 0)


def test_retry_after_is_kept_to():
    with shop(lambda heard: refusal(429, code="rate_limit_exceeded", **{"retry-after": "120"})) as (house, [fake]):
        assert ask(house).status_code == 503
        asked = len(fake.heard)
        again = ask(house)
        assert again.status_code == 503
        assert int(again.headers["retry-after"]) > 60
        assert len(fake.heard) == asked


def test_every_wire_request_costs_what_its_own_route_says():
    counted = {"prompt_tokens": 10, "completion_tokens": 0, "total_tokens": 10}
    with shop(lambda heard: refusal(500, usage=counted), chat_elsewhere) as (house, _):
        assert ask(house).status_code == 200
        [call] = house.settled(1)
    first, second = attempts()
    assert first.cost_nano == 10 * 3_000, "a failure that was counted is a cost"
    assert second.cost_nano == 10 * 30_000 + 5 * 150_000
    assert call.cost_nano == first.cost_nano + second.cost_nano
    assert call.price_nano * 4 == (10 * 3_000 + 5 * 15_000) * 5, "the price is that of the admission"


def test_what_a_provider_itself_asks_is_the_cost_and_the_price_stays():
    with shop(lambda heard: chat(cost=0.000123)) as (house, _):
        assert ask(house).status_code == 200
        [call] = house.settled(1)
    [attempt] = attempts()
    assert attempt.cost_nano == call.cost_nano == 123_000
    assert call.price_nano * 4 == (10 * 3_000 + 5 * 15_000) * 5


def test_a_cost_of_nothing_is_a_cost():
    with shop(lambda heard: chat(cost=0)) as (house, _):
        assert ask(house).status_code == 200
        house.settled(1)
    assert attempts()[0].cost_nano == 0


def test_a_connection_that_never_came_about_is_tried_again_and_cost_nothing():
    with shop(chat_elsewhere) as (house, [fake]):
        provider = Provider.objects.get(slug="p0")
        nobody = f"http://127.0.0.1:{free_port()}/v1"
        Provider.objects.filter(pk=provider.pk).update(base_url=nobody)
        import time

        time.sleep(1.3)
        assert ask(house).status_code == 502
        house.settled(1)
        assert not fake.heard
    assert [(one.number, one.error, one.cost_nano) for one in attempts()] == [
        (1, "ConnectFailed", 0),
        (2, "ConnectFailed", 0),
    ]


def test_the_same_beginning_meets_the_same_key_and_others_meet_others():
    with shop(lambda heard: chat(), keys=4) as (house, [fake]):
        Credential.objects.update(weight=1)
        import time

        time.sleep(1.3)
        for _ in range(4):
            ask(house)
        assert len(set(fake.keys)) == 1
        for number in range(24):
            ask(house, messages=[{"role": "user", "content": f"{number} other beginnings"}])
        assert len(set(fake.keys)) >= 3


def test_a_stream_fails_over_before_its_first_event_and_never_after():
    def answer(heard: Heard) -> Told:
        return refusal(503)

    def streams(heard: Heard) -> Told:
        chunk = {
            "id": "c",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}, "finish_reason": None}],
        }
        return Told(200, f"data: {json.dumps(chunk)}\n\n".encode(), {"content-type": "text/event-stream"})

    with shop(answer, streams) as (house, [first, second]):
        told = ask(house, stream=True)
        assert told.status_code == 200
        assert '"error"' in told.text
        assert (len(first.heard), len(second.heard)) == (1, 1)
        house.settled(1)
    assert Call.unscoped.get().state == "partial"


def test_the_bound_is_the_setting():
    assert settings.UPSTREAM_TRIES == 3
