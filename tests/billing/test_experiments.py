"""Prices tried on some customers: who pays what, from which moment to which, and never below cost."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from hypothesis import assume, given

from accounts import trail
from accounts.models import AuditEvent, Organization
from billing import arms, experiments, pricebook, pricing
from billing.models import Experiment, Wallet
from billing.pricing import Circumstances, Modifiers, Usage, agrees, charge, snapshot
from tests import factories
from tests.billing.pricing_strategies import requests
from tests.billing.test_pricing_properties import prepared, thorough

NOON = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
CARD = {
    "provider": "sandbox",
    "model": "m-std",
    "rates": [{"direction": "input", "price": "3.00"}, {"direction": "output", "price": "15.00"}],
}
USAGE = [{"direction": "input", "quantity": 1000}, {"direction": "output", "quantity": 500}]
FIXED_OUTPUT = {"direction": "output", "price": "18.75"}
LIST_NANO, COST_NANO = 13_125_000, 10_500_000
ARMS = [{"name": "control", "multiplier": "1", "weight": 1}, {"name": "cheaper", "multiplier": "0.9", "weight": 1}]


@pytest.fixture
def priced_shop(shop: Any) -> Any:
    source: Any = {"effective_from": NOON, "note": "test", "source": trail.SYSTEM}
    pricebook.publish_card(body=CARD, **source)
    pricebook.publish_plan(storefront=shop, name="standard", body={"method": "cost_plus", "percent": "25"}, **source)
    return shop


def begin(shop: Any, **changes: Any) -> Experiment:
    asked = {"name": "spring", "arms": ARMS, "starts_at": NOON, "ends_at": NOON + 10 * DAY, "stop_below_percent": -20}
    return experiments.begin(storefront=shop, source=trail.SYSTEM, now=NOON, **{**asked, **changes})


def charged(organization: Organization, at: datetime) -> int:
    pinned = pricebook.pin(organization, provider="sandbox", model="m-std", at=at)
    made = charge(
        usage=Usage.from_json(USAGE), rates=pinned.rates, circumstances=Circumstances(at=at, modifiers=pinned.modifiers)
    )
    assert agrees(snapshot(made)), "a receipt must prove itself"
    return made.charge_nano


def one_of(shop: Any, experiment: Experiment, arm: str) -> Organization:
    """A customer who was drawn into an arm."""
    while True:
        made = factories.make_organization(storefront=shop)
        if arms.arm_of(experiment, made) == arm:
            return made


# --- Arithmetic -------------------------------------------------------------------------------------------------------


@thorough
@given(requests())
def test_an_arm_never_sells_below_cost_where_the_list_does_not(request: dict[str, Any]) -> None:
    try:
        rates, circumstances = prepared(request)
    except pricing.Unpriced:
        assume(False)
    usage = Usage.from_json(request["usage"])
    plain = Modifiers(
        circumstances.modifiers.group_multiplier,
        circumstances.modifiers.organization_multiplier,
        circumstances.modifiers.coupon,
    )

    def made(modifiers: Modifiers) -> pricing.Charge:
        now = Circumstances(circumstances.at, circumstances.service_tier, modifiers)
        return charge(usage=usage, rates=rates, circumstances=now)

    try:
        listed, tried = made(plain), made(circumstances.modifiers)
    except (pricing.Unpriced, pricing.OutOfRange):
        assume(False)
    if rates.terms.allow_loss or tried.cost_nano is None:
        return
    assert tried.charge_nano >= min(listed.charge_nano, tried.cost_nano)
    assert tried.below_cost <= listed.below_cost
    assert agrees(snapshot(tried))


@pytest.mark.parametrize(
    ("plan", "arm", "expected"),
    [
        ({"percent": "25"}, "0.9", 11_812_500),
        ({"percent": "25"}, "0.8", COST_NANO),  # exactly cost is no loss
        ({"percent": "25"}, "0.79", LIST_NANO),
        ({"percent": "25", "margin_floor": "0.15"}, "0.9", LIST_NANO),
        ({"percent": "25", "allow_loss": True}, "0.5", 6_562_500),
        ({"percent": "25"}, "1.1", 14_437_500),
        ({"percent": "-10"}, "1.05", 9_922_500),  # dearer than the list never makes a loss worse
    ],
)
def test_an_arm_that_would_sell_at_a_loss_is_left_out_for_that_model(
    plan: dict[str, Any], arm: str, expected: int
) -> None:
    rates = pricing.Rates.of(
        plan=pricing.Plan.from_json({"name": "p", "version": 1, "method": "cost_plus", **plan}),
        card=pricing.Card.from_json({**CARD, "version": 1}),
    )
    modifiers = Modifiers(arm_name="B", arm_multiplier=Fraction(arm))
    made = charge(usage=Usage.from_json(USAGE), rates=rates, circumstances=Circumstances(modifiers=modifiers))
    assert made.charge_nano == expected
    left_out = any("not for this model" in step.detail for step in pricing.explain(made))
    assert left_out == (expected == LIST_NANO)
    listed = {str(one.bucket): one.price_usd for one in pricing.price_list(rates=rates, modifiers=modifiers)}
    by_list = (1000 * listed[str(pricing.Bucket("input"))] + 500 * listed[str(pricing.Bucket("output"))]) * 1000
    assert by_list == made.charge_nano, "the page of prices must say what is charged"


# --- Customers --------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_customers_are_drawn_once_for_all_and_evenly(shop: Any) -> None:
    row = Experiment(storefront=shop, name="spring", arms=ARMS, starts_at=NOON, ends_at=NOON + DAY)
    drawn = Counter(arms.arm_of(row, Organization(storefront=shop, public_id=f"org_{n}")) for n in range(2_000))
    assert all(900 < many < 1_100 for many in drawn.values())
    one = Organization(storefront=shop, public_id="org_1")
    assert len({arms.arm_of(row, one) for _ in range(5)}) == 1


@pytest.mark.django_db
def test_an_arm_is_charged_while_the_experiment_runs_and_stands_on_the_receipt(priced_shop: Any) -> None:
    row = begin(priced_shop, starts_at=NOON + DAY, ends_at=NOON + 3 * DAY)
    cheaper, control = one_of(priced_shop, row, "cheaper"), one_of(priced_shop, row, "control")
    moments = [NOON, NOON + DAY, NOON + 3 * DAY - timedelta(microseconds=1), NOON + 3 * DAY]
    assert [charged(cheaper, at) for at in moments] == [LIST_NANO, 11_812_500, 11_812_500, LIST_NANO]
    assert [charged(control, at) for at in moments] == [LIST_NANO] * 4
    stamp = pricebook.standing_of(cheaper).at(NOON + DAY).to_json()
    assert stamp["arm"] == {"name": "spring.cheaper", "multiplier": "0.9"}
    stamp = pricebook.standing_of(control).at(NOON + DAY).to_json()
    assert stamp["arm"] == {"name": "spring.control", "multiplier": "1"}


@pytest.mark.django_db
def test_a_stopped_experiment_charges_the_list_price_and_stopping_twice_is_once(priced_shop: Any) -> None:
    row = begin(priced_shop)
    cheaper = one_of(priced_shop, row, "cheaper")
    assert charged(cheaper, NOON + DAY) == 11_812_500
    assert experiments.stop(row, reason="Enough.", source=trail.SYSTEM, now=NOON + DAY)
    assert charged(cheaper, NOON + DAY) == LIST_NANO
    assert not experiments.stop(row, reason="Again.", source=trail.SYSTEM, now=NOON + DAY)
    assert AuditEvent.objects.filter(action="experiment.stopped").count() == 1
    assert (row.stopped_at, row.stop_reason) == (NOON + DAY, "Enough.")


@pytest.mark.django_db
def test_beginning_and_stopping_make_every_kept_view_of_the_shop_old_and_no_other(priced_shop: Any) -> None:
    ours = [factories.make_organization(storefront=priced_shop) for _ in range(3)]
    theirs = factories.make_organization(storefront=factories.make_storefront())

    def epochs() -> list[int]:
        found = dict(Wallet.unscoped.values_list("organization_id", "epoch"))
        return [found[one.pk] for one in (*ours, theirs)]

    first = epochs()
    row = begin(priced_shop)
    assert epochs() == [first[0] + 1, first[1] + 1, first[2] + 1, first[3]]
    experiments.stop(row, reason="Enough.", source=trail.SYSTEM, now=NOON + DAY)
    assert epochs() == [first[0] + 2, first[1] + 2, first[2] + 2, first[3]]


@pytest.mark.django_db
def test_a_new_plan_for_a_whole_shop_makes_every_kept_view_old(priced_shop: Any, organization: Organization) -> None:
    before = Wallet.unscoped.get(organization=organization).epoch
    pricebook.set_terms(storefront=priced_shop, organization=None, plan_name="standard", at=NOON, source=trail.SYSTEM)
    assert Wallet.unscoped.get(organization=organization).epoch == before + 1


# --- What is refused --------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arms": ARMS[:1]}, "two arms"),
        ({"arms": [ARMS[0], ARMS[0]]}, "a name of its own"),
        ({"arms": [ARMS[0], {"name": "x", "multiplier": "-1"}]}, "x"),
        ({"arms": [ARMS[0], {"name": "x", "multiplier": "0.49"}]}, "from 1/2 to 2"),
        ({"arms": [ARMS[0], {"name": "x", "multiplier": "1.1", "weight": 0}]}, "weight"),
        ({"arms": ARMS[::-1]}, "first arm is the control"),
        (
            {"arms": [ARMS[0], {"name": "x", "multiplier": "0.79"}]},
            "x would sell m-std below cost, or the margin floor, under standard",
        ),
        ({"ends_at": NOON}, "ends after it begins"),
        ({"starts_at": NOON - 5 * DAY, "ends_at": NOON - DAY}, "not in the past"),
    ],
)
def test_what_cannot_be_tried_is_refused_with_a_sentence(priced_shop: Any, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(experiments.ExperimentRefused, match=said):
        begin(priced_shop, **changes)
    assert not Experiment.objects.exists()


@pytest.mark.django_db
def test_a_plan_that_allows_losses_may_be_tried_below_cost(priced_shop: Any) -> None:
    body = {"method": "cost_plus", "percent": "25", "allow_loss": True}
    pricebook.publish_plan(
        storefront=priced_shop, name="standard", body=body, effective_from=NOON, note="", source=trail.SYSTEM
    )
    row = begin(priced_shop, arms=[ARMS[0], {"name": "x", "multiplier": "0.5"}])
    assert charged(one_of(priced_shop, row, "x"), NOON + DAY) == 6_562_500


@pytest.mark.django_db
def test_one_experiment_at_a_time_and_each_name_once(priced_shop: Any) -> None:
    row = begin(priced_shop)
    with pytest.raises(experiments.ExperimentRefused, match="spring runs in that time"):
        begin(priced_shop, name="other", starts_at=NOON + 9 * DAY, ends_at=NOON + 20 * DAY)
    after = begin(priced_shop, name="after", starts_at=NOON + 10 * DAY, ends_at=NOON + 20 * DAY)
    experiments.stop(row, reason="Enough.", source=trail.SYSTEM, now=NOON + DAY)
    with pytest.raises(experiments.ExperimentRefused, match="take another"):
        begin(priced_shop, ends_at=NOON + 5 * DAY)
    assert after.starts_at == NOON + 10 * DAY
    with pytest.raises(IntegrityError), transaction.atomic():
        Experiment.objects.create(storefront=priced_shop, name="x", arms=ARMS, starts_at=NOON, ends_at=NOON)


@pytest.mark.django_db
def test_a_cost_that_rises_or_a_multiplier_of_their_own_takes_the_arm_out_of_that_model(priced_shop: Any) -> None:
    own: Any = {"method": "fixed_list", "list": {"m-std": [{**CARD["rates"][0], "price": "3.75"}, FIXED_OUTPUT]}}
    source: Any = {"effective_from": NOON, "note": "", "source": trail.SYSTEM}
    pricebook.publish_plan(storefront=priced_shop, name="standard", body=own, **source)
    row = begin(priced_shop)
    cheaper, friend = one_of(priced_shop, row, "cheaper"), one_of(priced_shop, row, "cheaper")
    terms: Any = {"storefront": priced_shop, "plan_name": "standard", "at": NOON, "source": trail.SYSTEM}
    pricebook.set_terms(organization=friend, multiplier=Decimal("0.85"), **terms)
    assert (charged(cheaper, NOON + DAY), charged(friend, NOON + DAY)) == (11_812_500, 11_156_250)
    rates = [CARD["rates"][0], {"direction": "output", "price": "17.00"}]
    pricebook.publish_card(body={**CARD, "rates": rates}, **source)
    assert charged(cheaper, NOON + DAY) == LIST_NANO, "0.9 x 18.75 is less than 17"
