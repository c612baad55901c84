"""Figures of some customers alone are the sum of what each of them is told; demand needs only the days it is given."""

from datetime import UTC, datetime, timedelta

from analytics import forecasts, reports, rollups
from analytics.reports import Scope

START = datetime(2026, 8, 2, tzinfo=UTC)


def test_some_customers_are_their_sum(history):
    history.calls([START + timedelta(hours=n) for n in range(60)])
    rollups.roll(since=START, until=START + timedelta(days=3))
    one, other = history.organizations
    days = (START.date(), START.date() + timedelta(days=3))
    both = Scope(*days, customers=(one.pk, other.pk))
    assert reports.total(both) == reports.total(Scope(*days)) != reports.Figures()
    assert reports.total(Scope(*days, customers=(one.pk,))) == reports.total(Scope(*days, organization=one))
    assert set(reports.by(Scope(*days, customers=(other.pk,)), "organization_id")) == {(other.pk,)}
    assert both.before.customers == both.customers


def test_demand_of_days_already_asked_for(history):
    history.calls([START + timedelta(hours=6 * n) for n in range(120)], model="alpha-mini")
    rollups.roll(since=START, until=START + timedelta(days=31))
    scope = Scope(START.date(), START.date() + timedelta(days=29))
    found = reports.by_time_of_models(scope)
    assert found["alpha-mini"] == reports.by_time_of_model(scope, "alpha-mini")
    asked = forecasts.demand(scope, model="alpha-mini")
    assert asked is not None
    assert asked == forecasts.demand_of(found["alpha-mini"], model="alpha-mini")
    assert asked.first_day == scope.until + timedelta(days=1)
