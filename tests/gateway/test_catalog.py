"""The picture of what is sold: by routes that have a key and a price, and at unknown cost only where flagged."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts import trail
from accounts.models import Storefront
from accounts.opening import default_storefront
from billing import pricebook
from gateway import alarms, suppliers, wares
from gateway.catalog import Picture, take_picture
from gateway.errors import ModelNotFound
from gateway.models import AIModel, Credential, Provider, Route
from gateway.wares import Price
from plumbing.models import OutboxMessage
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def front() -> Storefront:
    return default_storefront()


def publish(front: Storefront, **body: Any) -> None:
    pricebook.publish_plan(
        storefront=front, name="standard", body=body, effective_from=timezone.now(), note="", source=trail.SYSTEM
    )


def sell(slug: str, provider: str, *prices: str) -> Provider:
    row: Provider = suppliers.add_provider(
        name=provider, kind="openai", key=f"{provider}-key-1234567890", source=trail.SYSTEM
    ).row
    if prices:
        rates = [Price("input", Decimal(prices[0])), Price("output", Decimal(prices[1]))]
        wares.add_model(slug=slug, provider=row, upstream=slug, prices=rates, source=trail.SYSTEM, now=timezone.now())
    else:
        model, _ = AIModel.objects.get_or_create(slug=slug, defaults={"name": slug})
        Route.objects.create(model=model, provider=row, upstream_model=slug, priority=1)
    return row


def picture() -> Picture:
    return take_picture(timezone.now())


def listed(front: Storefront) -> set[str]:
    return {offer.slug for offer in picture().listed(storefront=front.pk, plan="standard")}


def test_a_route_is_there_once_by_each_key_that_works(front):
    publish(front, method="cost_plus", percent="25")
    provider = sell("m", "one", "1", "2")
    suppliers.add_credential(provider=provider, key="another-key-1234567", weight=5, source=trail.SYSTEM)
    servings = picture().offers["m"].servings
    assert len({serving.route for serving in servings}) == 2
    assert len({serving.group for serving in servings}) == 1
    assert [serving.key_weight for serving in servings] == [1, 5]
    Credential.objects.update(is_active=False)
    assert "m" not in picture().offers


def test_what_has_no_price_is_neither_listed_nor_sold(front):
    publish(front, method="cost_plus", percent="25")
    sell("m", "one")
    assert listed(front) == set()
    with pytest.raises(ModelNotFound):
        _price(front, "m")


def _price(front: Storefront, slug: str) -> Any:
    seen = picture()
    offer = seen.offer(slug, storefront=front.pk, plan="standard")
    return seen.price(offer, offer.servings[0], storefront=front.pk, plan="standard")


def test_a_route_without_a_price_is_passed_over_for_one_that_has_one(front):
    publish(front, method="cost_plus", percent="25")
    sell("m", "cheap")
    sell("m", "priced", "1", "2")
    assert listed(front) == {"m"}
    seen = picture()
    assert [one.provider for one in seen.offer("m", storefront=front.pk, plan="standard").servings] == ["priced"]


@pytest.mark.parametrize("flagged", [False, True])
def test_the_one_to_one_rule_holds_for_flagged_models_alone_and_rings(front, flagged):
    factories.make_staff()
    publish(front, method="adjusted_token", base_price="10", multiplier="1.2", on_unknown_model="one_to_one")
    sell("m", "one")
    AIModel.objects.filter(slug="m").update(may_be_unpriced=flagged)
    assert listed(front) == ({"m"} if flagged else set())
    if flagged:
        priced = _price(front, "m")
        assert priced.card_version is None
        assert priced.rates.tariffs[0].cost is None
        alarms.deliver(now=timezone.now())
        alarms.raised("sold_unpriced", "The model m is sold although nobody knows its cost.")
        alarms.deliver(now=timezone.now())
        assert OutboxMessage.objects.filter(key__startswith="supply_alarm").count() == 1
    else:
        with pytest.raises(ModelNotFound):
            _price(front, "m")


def test_taking_the_flag_away_ends_the_sale_in_the_next_picture(front):
    publish(front, method="adjusted_token", base_price="10", multiplier="1.2", on_unknown_model="one_to_one")
    sell("m", "one")
    AIModel.objects.filter(slug="m").update(may_be_unpriced=True)
    before = picture()
    assert before.listed(storefront=front.pk, plan="standard")
    AIModel.objects.filter(slug="m").update(may_be_unpriced=False)
    assert not take_picture(timezone.now(), before).listed(storefront=front.pk, plan="standard")


def test_a_plan_that_refuses_unknown_models_refuses_flagged_ones_too(front):
    publish(front, method="cost_plus", percent="25")
    sell("m", "one")
    AIModel.objects.filter(slug="m").update(may_be_unpriced=True)
    assert listed(front) == set()


def test_an_alias_is_priced_as_what_serves_it_and_ends_with_it(front):
    publish(front, method="cost_plus", percent="25")
    sell("m", "one", "1", "2")
    AIModel.objects.create(slug="old", name="old", alias_of=AIModel.objects.get(slug="m"))
    assert _price(front, "old").rates.model == "m"
    AIModel.objects.filter(slug="m").update(is_active=False)
    assert picture().offers == {}


def test_alarms_come_once_and_hold_no_more_than_they_can(front):
    factories.make_staff()
    now = datetime.fromisoformat("2026-11-20T12:00:00+00:00")
    for number in range(alarms.MOST_WAITING + 50):
        alarms.raised("test", f"Something is odd: {number}.")
    assert len(alarms._waiting) == alarms.MOST_WAITING
    alarms.deliver(now=now)
    assert not alarms._waiting
    assert OutboxMessage.objects.filter(key__startswith="supply_alarm").count() == alarms.MOST_WAITING
