from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from analytics.what_if import Proposal, what_if
from billing.models.plans import CostCardVersion, PlanVersion
from billing.pricing import Card, Circumstances, Plan, Rates, Usage, charge
from gateway.models import Call
from tests.analytics.conftest import START
from tests.analytics.history import RATES

SINCE, UNTIL = START + timedelta(days=1), START + timedelta(days=30)

PLANS = st.one_of(
    st.builds(
        lambda percent: {"method": "cost_plus", "percent": str(percent)}, st.integers(min_value=0, max_value=900)
    ),
    st.builds(
        lambda cents: {"method": "flat_token", "price": f"{cents / 100:.2f}"}, st.integers(min_value=1, max_value=9_000)
    ),
    st.just({"method": "cost_plus", "percent": "25", "min_charge": "0.02"}),
    st.just({"method": "adjusted_token", "base_price": "10.00", "multiplier": "1.2"}),
)
CARDS = st.dictionaries(
    st.sampled_from([("north", "beta"), ("south", "alpha-mini"), ("north", "alpha-large")]),
    st.integers(min_value=0, max_value=9),
    max_size=2,
)


@pytest.fixture
def calls(history):
    return history.calls([SINCE + timedelta(hours=5 * n + 1) for n in range(120)])


def dearer(provider, model, factor):
    rates = [{**rate, "price": f"{float(rate['price']) * (1 + factor):.2f}"} for rate in RATES]
    return Card.from_json({"provider": provider, "model": model, "version": 99, "rates": rates})


@settings(
    max_examples=15,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(body=PLANS, cards=CARDS)
def test_it_is_a_real_repricing_to_the_nano_dollar(calls, shop, body, cards):
    plan = Plan.from_json({**body, "name": "standard", "version": 99})
    proposed = {key: dearer(*key, factor) for key, factor in cards.items()}
    found = what_if(Proposal(plan, proposed), storefront=shop, since=SINCE, until=UNTIL)
    price = cost = 0
    for call in Call.unscoped.all():
        usage = Usage.from_json(call.usage)
        if usage.is_empty:
            price, cost = price + call.price_nano, cost + (call.cost_nano or 0)
            continue
        old = Card.from_json(CostCardVersion.objects.get(pk=call.card_version_id).body)
        card = proposed.get((old.provider, old.model), old)
        made = charge(
            usage=usage,
            rates=Rates.of(plan=plan, card=card, model=call.model_served),
            circumstances=Circumstances.from_json(call.circumstances),
        )
        price, cost = price + made.charge_nano, cost + made.cost_nano
    assert (found.after.price_nano, found.after.cost_nano) == (price, cost)
    assert found.calls == 120
    assert sum(after for _, after in found.customers.values()) == price
    assert sum(after for _, after in found.models.values()) == price


def test_the_same_plan_changes_nothing_and_another_plans_calls_stay(calls, shop):
    row = PlanVersion.objects.get()
    same = what_if(Proposal(Plan.from_json(row.body)), storefront=shop, since=SINCE, until=UNTIL)
    known = sum(call.cost_nano is None for call in calls)
    assert same.before.price_nano == same.after.price_nano == sum(call.price_nano for call in calls)
    assert same.changed <= known, "only a cost that was unknown then is known now"
    assert same.pay_more == []
    other = Plan.from_json({"name": "other", "version": 1, "method": "cost_plus", "percent": "900"})
    assert what_if(Proposal(other), storefront=shop, since=SINCE, until=UNTIL).revenue_change == 0


def test_who_pays_more_is_named_and_a_cut_is_told(calls, shop):
    plan = Plan.from_json({"name": "standard", "version": 2, "method": "cost_plus", "percent": "50"})
    found = what_if(Proposal(plan), storefront=shop, since=SINCE, until=UNTIL)
    assert found.revenue_change == pytest.approx(Fraction(1, 5), abs=0.001)
    assert len(found.pay_more) == 2
    assert found.pay_more[0][1] >= found.pay_more[1][1] > 0
    assert found.after.margin == pytest.approx(Fraction(1, 3), abs=0.001)
    cut = what_if(Proposal(plan), storefront=shop, since=SINCE, until=UNTIL, most=50)
    assert (cut.calls, cut.complete) == (50, False)


def test_what_would_no_longer_be_sold_is_counted(calls, shop):
    rates = [{"direction": "input", "price": "1"}, {"direction": "output", "price": "2"}]
    plan = Plan.from_json({"name": "standard", "version": 2, "method": "fixed_list", "list": {"beta": rates}})
    found = what_if(Proposal(plan), storefront=shop, since=SINCE, until=UNTIL)
    assert found.no_longer_sold > 20
