"""An experiment over real HTTP: the very next call of a kept view pays by it, and the one after its end does not."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts import trail
from billing import arms, experiments
from billing.models import Experiment, Hold
from gateway import replays
from gateway.models import Attempt, Call
from tests.gateway.house import House, opened

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.filterwarnings("ignore::ResourceWarning")]
CHAT = {"model": "sandbox-standard", "messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 60}
ARMS = [{"name": "control", "multiplier": "1", "weight": 1}, {"name": "dearer", "multiplier": "1.5", "weight": 1}]


def call(house: House, count: int) -> Call:
    assert house.post("/v1/chat/completions", CHAT).status_code == 200
    return house.settled(count)[-1]


def quoted(house: House) -> str:
    return str(house.post("/v1/quote", CHAT).json()["likely_usd"])


def begin(house: House, **times: Any) -> Experiment:
    """One whose name draws our customer into the dearer arm."""
    now, shop = timezone.now(), house.organization.storefront
    for n in range(50):
        row = Experiment(storefront=shop, name=f"try-{n}", arms=ARMS)
        if arms.arm_of(row, house.organization) == "dearer":
            break
    asked: Any = {"starts_at": now, "ends_at": now + timedelta(days=1), **times}
    return experiments.begin(
        storefront=shop,
        name=row.name,
        arms=ARMS,
        stop_below_percent=-20,
        source=trail.SYSTEM,
        now=now,
        **asked,
    )


def test_the_next_call_pays_by_the_arm_and_the_one_after_the_stop_by_the_list() -> None:
    with opened() as house:
        listed, first_quote = call(house, 1), quoted(house)
        row = begin(house)
        tried, second_quote = call(house, 2), quoted(house)
        stamp = {"name": f"{row.name}.dearer", "multiplier": "1.5"}
        assert tried.circumstances["modifiers"]["arm"] == stamp
        assert 2 * tried.price_nano == 3 * listed.price_nano
        assert float(second_quote) == pytest.approx(1.5 * float(first_quote))
        assert Hold.unscoped.get(pk=tried.pk).charged_nano == tried.price_nano
        page = house.ask("GET", "/v1/models").json()["data"][0]
        experiments.stop(row, reason="Enough.", source=trail.SYSTEM, now=timezone.now())
        after = call(house, 3)
        assert (after.price_nano, after.circumstances.get("modifiers")) == (listed.price_nano, None)
        assert quoted(house) == first_quote
        cheap = next(one for one in house.ask("GET", "/v1/models").json()["data"] if one["id"] == page["id"])
        name = "input_per_million_usd"
        assert float(page["pricing"][name]) == pytest.approx(1.5 * float(cheap["pricing"][name]))
        for one in (listed, tried, after):
            attempts = list(Attempt.objects.of(house.organization).filter(call_id=one.pk))
            hold = Hold.unscoped.get(pk=one.pk)
            assert list(replays.differences(one, hold, attempts, replays.Versions())) == []


def test_a_kept_view_pays_the_list_price_from_the_moment_an_experiment_is_over() -> None:
    with opened() as house:
        listed = call(house, 1)
        now = timezone.now()
        begin(house, ends_at=now + timedelta(seconds=2))
        assert 2 * call(house, 2).price_nano == 3 * listed.price_nano
        count = 2
        while timezone.now() < now + timedelta(seconds=2):
            count += 1
            call(house, count)
        assert call(house, count + 1).price_nano == listed.price_nano
