from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction

from accounts import trail
from accounts.models import AuditEvent
from accounts.signals import access_changed
from billing import pricebook
from billing.models.plans import CostCardVersion, PlanVersion, PriceGroup
from billing.pricing import Circumstances, Malformed, Unpriced, Usage, agrees, charge, snapshot
from tests import factories

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
CARD = {
    "provider": "sandbox",
    "model": "m-std",
    "rates": [{"direction": "input", "price": "3.00"}, {"direction": "output", "price": "15.00"}],
}
USAGE = [{"direction": "input", "quantity": 1000}, {"direction": "output", "quantity": 500}]


def publish_plan(shop, body, *, name="standard", effective_from=NOON):
    return pricebook.publish_plan(
        storefront=shop, name=name, body=body, effective_from=effective_from, note="test", source=trail.SYSTEM
    )


def publish_card(body=CARD, *, effective_from=NOON):
    return pricebook.publish_card(body=body, effective_from=effective_from, note="test", source=trail.SYSTEM)


def price(organization, *, at=NOON, model="m-std"):
    pinned = pricebook.pin(organization, provider="sandbox", model=model, at=at)
    made = charge(
        usage=Usage.from_json(USAGE),
        rates=pinned.rates,
        circumstances=Circumstances(at=at, modifiers=pinned.modifiers),
    )
    assert agrees(snapshot(made))
    return made.charge_nano


def test_the_reference_model_costs_what_the_papers_say(shop, organization):
    publish_card()
    publish_plan(shop, {"method": "cost_plus", "percent": "25"})
    assert price(organization) == 13_125_000


def test_the_newest_version_whose_time_has_come_is_in_force(shop, organization):
    publish_card()
    publish_plan(shop, {"method": "cost_plus", "percent": "25"})
    publish_plan(shop, {"method": "cost_plus", "percent": "100"}, effective_from=NOON + timedelta(days=1))
    assert price(organization) == 13_125_000
    assert price(organization, at=NOON + timedelta(days=1)) == 21_000_000
    assert price(organization, at=NOON + timedelta(days=1, microseconds=-1)) == 13_125_000


def test_before_the_first_version_nothing_is_sold(shop, organization):
    publish_card()
    publish_plan(shop, {"method": "cost_plus", "percent": "25"})
    with pytest.raises(pricebook.NobodysPlan):
        price(organization, at=NOON - timedelta(seconds=1))


def test_a_model_without_a_card_is_unpriced_never_free(shop, organization):
    publish_plan(shop, {"method": "cost_plus", "percent": "25"})
    with pytest.raises(Unpriced):
        price(organization, model="nobody-knows")


@pytest.mark.parametrize("version", ["plan", "card"])
@pytest.mark.parametrize("act", ["update", "delete"])
def test_the_database_refuses_to_change_a_published_version(shop, version, act):
    row = publish_plan(shop, {"method": "cost_plus", "percent": "25"}) if version == "plan" else publish_card()
    rows = type(row).objects.filter(pk=row.pk)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        rows.update(note="changed") if act == "update" else rows.delete()
    assert rows.get().note == "test"


def test_a_plan_that_sells_below_cost_is_refused_with_every_reason(shop):
    publish_card()
    with pytest.raises(pricebook.Refused) as refused:
        publish_plan(shop, {"method": "flat_token", "price": "2.00"})
    assert {problem.kind for problem in refused.value.problems} == {"below_cost"}
    assert {"input text token", "output text token"} <= {problem.place for problem in refused.value.problems}
    assert not PlanVersion.objects.exists()
    publish_plan(shop, {"method": "flat_token", "price": "2.00", "allow_loss": True})


def test_a_card_of_zeros_is_refused_unless_it_says_free():
    zeros = {**CARD, "rates": [{"direction": "input", "price": "0"}, {"direction": "output", "price": "0"}]}
    with pytest.raises(pricebook.Refused):
        publish_card(zeros)
    assert not CostCardVersion.objects.exists()
    publish_card({**zeros, "free": True})


def test_a_dearer_card_is_a_fact_and_names_the_plans_that_now_lose(shop):
    publish_card()
    plan = publish_plan(shop, {"method": "flat_token", "price": "20.00"})
    dearer = {**CARD, "rates": [{"direction": "input", "price": "3.00"}, {"direction": "output", "price": "25.00"}]}
    version = publish_card(dearer)
    assert version.version == 2
    card = next(card for card in pricebook.cards_in_force(at=NOON) if card.model == "m-std")
    assert list(pricebook.losses(card, at=NOON)) == [plan]
    assert {change.field for change in pricebook.changes(version)} == {"version", "rates[output text none token].price"}


def test_a_plan_with_a_list_of_its_own_is_judged_only_on_what_it_sells(shop):
    publish_card()
    publish_card({**CARD, "model": "m-dear", "rates": [{"direction": "output", "price": "900"}]})
    listed = [{"direction": "input", "price": "4"}, {"direction": "output", "price": "20"}]
    publish_plan(shop, {"method": "fixed_list", "list": {"m-std": listed}})


def test_a_customers_own_terms_win_and_are_announced(shop, organization, charlie):
    publish_card()
    publish_plan(shop, {"method": "cost_plus", "percent": "25"})
    publish_plan(shop, {"method": "cost_plus", "multiplier": "1.8"}, name="dear")
    told = []
    access_changed.connect(listener := lambda organization, **_: told.append(organization))
    try:
        pricebook.set_terms(
            storefront=shop,
            organization=organization,
            plan_name="dear",
            group=PriceGroup.objects.create(storefront=shop, name="friends", multiplier=Decimal("0.9")),
            multiplier=Decimal("1.5"),
            at=NOON,
            source=trail.SYSTEM,
        )
    finally:
        access_changed.disconnect(listener)
    assert told == [organization]
    assert price(organization) == 10_500_000 * 18 * 9 * 15 // 1000
    assert price(charlie.memberships.get().organization) == 13_125_000
    assert AuditEvent.objects.filter(action="price_terms.changed", organization=organization).exists()


def test_terms_never_cross_storefronts(shop, other_shop, organization):
    publish_card()
    publish_plan(other_shop, {"method": "cost_plus", "percent": "25"})
    for wrong in (
        {"organization": organization},
        {"organization": None, "group": PriceGroup.objects.create(storefront=shop, name="g", multiplier=1)},
    ):
        with pytest.raises(ValueError, match="another storefront"):
            pricebook.set_terms(storefront=other_shop, plan_name="standard", at=NOON, source=trail.SYSTEM, **wrong)
    theirs = factories.make_organization(storefront=other_shop)
    assert pricebook.terms_of(theirs)[0] == "standard"


def test_terms_need_a_plan_in_force(shop):
    with pytest.raises(pricebook.NobodysPlan):
        pricebook.set_terms(storefront=shop, organization=None, plan_name="no-such", at=NOON, source=trail.SYSTEM)


def test_a_misspelt_field_is_refused(shop):
    with pytest.raises(Malformed, match="percnt"):
        publish_plan(shop, {"method": "cost_plus", "multiplier": "1.2", "percnt": "25"})


def test_two_who_publish_at_once_do_not_overwrite_each_other(shop, monkeypatch):
    publish_plan(shop, {"method": "cost_plus", "percent": "25"})
    monkeypatch.setattr(pricebook, "_next", lambda *args, **family: 1)
    with pytest.raises(pricebook.Overtaken):
        publish_plan(shop, {"method": "cost_plus", "percent": "30"})
    assert PlanVersion.objects.get().version == 1


def test_an_unknown_model_may_go_by_the_dearest_known_card(shop, organization):
    publish_card()
    publish_card({**CARD, "model": "m-dear", "rates": [{"direction": "input", "price": "30"}, *CARD["rates"][1:]]})
    publish_plan(shop, {"method": "cost_plus", "percent": "0", "on_unknown_model": "highest_known"})
    assert price(organization, model="nobody-knows") == 30_000_000 + 7_500_000
