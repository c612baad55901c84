from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest

from analytics import reports, rollups
from analytics.histograms import bucket, typical
from analytics.reports import Figures, Scope
from billing.models import Hold
from gateway.models import Call

ZONES = ("UTC", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe", "America/Santiago")


@pytest.fixture
def calls(history):
    """Ninety days around the end of summer time, at all hours."""
    start = datetime(2026, 8, 20, tzinfo=UTC)
    made = history.calls([start + timedelta(seconds=history.chance.randrange(90 * 86_400)) for _ in range(700)])
    rollups.roll(since=start - timedelta(hours=1), until=start + timedelta(days=91))
    return made


def charged(calls):
    holds = {hold.pk: hold.charged_nano for hold in Hold.unscoped.all()}
    return {call.pk: holds[call.pk] for call in calls}


def test_local_days_weeks_months_and_quarters_are_exact(calls, shop):
    paid = charged(calls)
    for zone in ZONES:
        for period in reports.PERIODS:
            compare(calls, paid, Scope(date(2026, 8, 22), date(2026, 11, 15), ZoneInfo(zone), shop), period)


def compare(calls, paid, scope, period):
    wanted = defaultdict(Counter)
    for call in calls:
        day = call.ended_at.astimezone(scope.zone).date()
        if scope.since <= day <= scope.until:
            wanted[reports.begin_of(day, period)].update(charge=paid[call.pk], requests=1, cost=call.cost_nano or 0)
    found = reports.by_time(scope, period=period)
    assert {
        begin: (figures.charge_nano, figures.requests, figures.cost_nano)
        for begin, figures in found.items()
        if figures.requests
    } == {begin: (sums["charge"], sums["requests"], sums["cost"]) for begin, sums in wanted.items()}
    assert sum(found.values(), Figures()) == reports.total(scope)


FIELDS = {"model": "model_served", "provider": "provider", "country": "country"}


def test_every_way_to_tell_figures_apart_agrees_with_the_calls(calls):
    paid = charged(calls)
    for zone in ZONES:
        for dimension in ("model", "provider", "country", "organization_id", "api_key_id"):
            tell_apart(calls, paid, Scope(date(2026, 9, 1), date(2026, 9, 30), ZoneInfo(zone)), dimension)


def tell_apart(calls, paid, scope, dimension):
    wanted, field = Counter(), FIELDS.get(dimension, dimension)
    for call in calls:
        if scope.starts_at <= call.ended_at < scope.ends_at:
            wanted[getattr(call, field) or (0 if dimension == "api_key_id" else "")] += paid[call.pk]
    found = reports.by(scope, dimension)
    assert {key: figures.charge_nano for (key,), figures in found.items()} == dict(wanted)
    assert [figures.charge_nano for figures in found.values()] == sorted(wanted.values(), reverse=True)


def test_a_customer_sees_its_own_rows_alone(calls, organization):
    scope = Scope(date(2026, 8, 20), date(2026, 11, 20), organization=organization)
    assert reports.total(scope).requests == sum(call.organization_id == organization.pk for call in calls)
    assert reports.by(scope, "model", "provider").keys() == {
        (call.model_served, call.provider) for call in calls if call.organization_id == organization.pk
    }


def test_days_of_23_and_25_hours():
    paris = ZoneInfo("Europe/Paris")
    spring, autumn = (Scope(day, day, paris) for day in (date(2026, 3, 29), date(2026, 10, 25)))
    assert (spring.ends_at - spring.starts_at, autumn.ends_at - autumn.starts_at) == (
        timedelta(hours=23),
        timedelta(hours=25),
    )


def test_margin_and_markup_are_two_things_and_unknown_cost_is_no_profit():
    figures = Figures(charge_nano=150, unknown_cost_charge_nano=25, cost_nano=100, unknown_cost=1)
    assert figures.profit_nano == 25
    assert figures.margin == Fraction(1, 5)
    assert figures.markup == Fraction(1, 4)
    assert Figures().margin is Figures().markup is Figures().error_rate is None


def test_percentiles_are_those_of_the_calls_within_a_bucket(calls, shop, organization):
    scope = Scope(date(2026, 8, 20), date(2026, 11, 20), storefront=shop)
    own = [call for call in calls if call.organization_id == organization.pk]
    for one, mine in ((scope, calls), (Scope(scope.since, scope.until, organization=organization), own)):
        ordered = sorted(call.latency_ms for call in mine)
        found = reports.percentiles(one)[""]["latency_ms"]
        for share, value in found.items():
            exact = ordered[min(len(ordered) - 1, max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1))]
            assert value == typical(bucket(exact))
    models = reports.percentiles(scope, by_model=True)
    assert set(models) == {call.model_served for call in calls}
    assert reports.percentiles(scope)[""]["tokens_per_second"][0.5] > 0


def test_usage_that_is_no_text_is_counted_by_bucket(calls, shop):
    wanted = Counter()
    for call in calls:
        for line in call.usage:
            if line["modality"] == "audio" or line["cache"] == "write_5m":
                wanted[".".join(line[part] for part in ("direction", "modality", "cache", "unit"))] += line["quantity"]
    for zone in ZONES:
        scope = Scope(date(2026, 8, 18), date(2026, 11, 20), ZoneInfo(zone), shop)
        assert reports.unusual_usage(scope) == wanted


def test_bad_questions_are_refused_with_a_sentence():
    with pytest.raises(reports.BadQuestion, match="after the last"):
        Scope(date(2026, 1, 2), date(2026, 1, 1))
    scope = Scope(date(2026, 1, 1), date(2026, 1, 2))
    with pytest.raises(reports.BadQuestion, match="period"):
        reports.by_time(scope, period="fortnight")
    with pytest.raises(reports.BadQuestion, match="told apart"):
        reports.by(scope, "password")
    assert scope.before == Scope(date(2025, 12, 30), date(2025, 12, 31))


def test_the_current_minutes_are_folded_in(history, shop):
    now = datetime(2026, 8, 10, 12, 7, tzinfo=UTC)
    history.calls([now - timedelta(seconds=40)])
    scope = Scope(now.date(), now.date(), storefront=shop)
    assert reports.total(scope).requests == 0
    reports.fresh(now=now)
    assert reports.total(scope).requests == Call.unscoped.count() == 1
