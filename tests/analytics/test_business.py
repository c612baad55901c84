import csv
import io
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest

from accounts.models import Organization
from analytics import books, business, demo, exports, forecasts, metrics, monitor, reports
from analytics.models import ChannelSpend
from analytics.reports import Scope
from billing import ledger
from billing.models import Account
from billing.models.ledger import Kind
from billing.operations import Credit
from gateway.models import Call

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)


@pytest.fixture
def lively(shop):
    """One set of ninety days for every question, because it takes a while to live them."""
    return demo.make(calls=900, seed=11, now=NOW)


def test_the_business_of_ninety_lively_days(lively, shop):
    whole = Scope(date(2026, 8, 20), NOW.date())
    acquired(whole)
    the_books_of_a_month_agree()
    arbitrage(whole)
    forecasts_know_their_error(whole)
    monitors(shop)
    what_collectors_see()
    a_report_as_csv(whole)


def acquired(whole):
    shop = Organization.objects.get(name="Dune Analytics Lab").storefront
    ChannelSpend.objects.create(storefront=shop, channel="youtube", month=date(2026, 8, 1), spent_nano=300_000_000_001)
    channels = {row.channel: row for row in business.acquisition(whole)}
    youtube = channels["youtube"]
    assert youtube.customers == 3
    assert youtube.cost_per_customer_nano == -(-300_000_000_001 // youtube.paying)
    assert sum(row.revenue_nano for row in channels.values()) == reports.total(whole).charge_nano
    assert business.active_customers(whole) == len(set(Call.unscoped.values_list("organization_id", flat=True)))
    owed = business.liabilities()
    assert owed["paid"] == sum(Account.unscoped.filter(kind=Kind.PAID).values_list("posted", flat=True))
    promo = next(row for row in business.utilisation() if row.kind == "promo")
    assert promo.granted == 12_000_000_000
    assert 0 < promo.used <= promo.granted
    assert promo.share == Fraction(promo.used, promo.granted)


def the_books_of_a_month_agree():
    months = [books.statement(date(2026, month, 1)) for month in (8, 9, 10, 11)]
    assert all(month.agrees for month in months)
    assert [month.deferred_after for month in months[:-1]] == [month.deferred_before for month in months[1:]]
    assert months[-1].deferred_after == business.liabilities()["paid"]
    assert sum(month.revenue for month in months) == sum(
        figures.charge_nano for figures in reports.by_time(Scope(date(2026, 8, 1), NOW.date())).values()
    )
    assert all(month.profit == month.used - month.provider_cost for month in months)
    kept = books.close(date(2026, 9, 1), storefront=None, by=None, now=NOW)
    assert books.close(date(2026, 9, 1), storefront=None, by=None, now=NOW).pk == kept.pk
    assert books.since_closed(kept) == {}
    one = Organization.objects.get(name="Cobalt Legal")
    with transaction.atomic():
        ledger.apply(connection, [Credit("late", one.pk, 5_000_000_000)], datetime(2026, 9, 20, tzinfo=UTC))
    assert books.since_closed(kept) == {"received": 5_000_000_000, "deferred_after": 5_000_000_000}
    with pytest.raises(books.NotOver):
        books.close(date(2026, 11, 1), storefront=None, by=None, now=NOW)


def arbitrage(whole):
    found = business.get_arbitrage_stats(30, now=NOW)
    figures = reports.total(Scope(NOW.date() - timedelta(days=29), NOW.date()))
    assert found["total_profit"] == Fraction(figures.profit_nano, 10**9)
    assert (found["total_packages_sold"], found["average_profit_per_package"]) == (0, None)
    one = Organization.objects.get(name="Cobalt Legal")
    package = Credit("p", one.pk, 100_000, Kind.PACKAGE, unit="tokens:demo", value_nano=10**9, code="package")
    with transaction.atomic():
        ledger.apply(connection, [package], NOW - timedelta(days=2))
    found = business.get_arbitrage_stats(30, now=NOW)
    assert found["total_packages_sold"] == 1
    assert found["average_profit_per_package"] == found["total_profit"]
    with pytest.raises(reports.BadQuestion):
        business.get_arbitrage_stats(0, now=NOW)
    call_command("arbitrage_stats", days=7, json=True)


def forecasts_know_their_error(whole):
    scope = Scope(date(2026, 8, 26), date(2026, 11, 23))
    forecast = forecasts.demand(scope, model="demo/atlas-mini")
    assert forecast.first_day == date(2026, 11, 24)
    assert len(forecast.requests) == 14
    assert min(forecast.requests) >= 0
    assert 0 < forecast.error_percent < 120
    assert forecasts.demand(scope, model="nobody") is None


def monitors(shop):
    one = Organization.objects.get(name="Acme Robotics")
    mine = Call.unscoped.filter(organization=one)
    figures = monitor.of_customer(one, now=NOW)
    assert figures.ever.requests == mine.count()
    assert figures.today.requests <= figures.month.requests <= figures.ever.requests
    assert figures.average_tokens == figures.ever.tokens / figures.ever.requests
    assert figures.last_request_at == mine.order_by("-pk").first().ended_at
    assert figures.most_used_model.startswith("demo/")
    keys = [monitor.of_customer(one, now=NOW, key=key) for key in one.api_keys.all()]
    assert sum(key.ever.requests for key in keys) == figures.ever.requests
    seen = monitor.of_shop(None, now=NOW)
    assert seen.today == reports.total(Scope(NOW.date(), NOW.date()))
    assert len(seen.recent) == 10
    assert all("…" in row["api_key"] for row in seen.recent)
    assert [row["tokens_used"] for row in seen.top_keys] == sorted(
        (row["tokens_used"] for row in seen.top_keys), reverse=True
    )
    assert monitor.of_shop(shop, now=NOW).today.requests <= seen.today.requests


def what_collectors_see():
    metrics.register()
    shown = generate_latest().decode()
    assert 'tollgate_unspent_credit_usd{kind="paid"}' in shown
    assert "tollgate_alarms 0.0" in shown


def a_report_as_csv(whole):
    text = "".join(exports.report(["model"], reports.by(whole, "model")))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 6
    assert sum(int(row["requests"]) for row in rows) == reports.total(whole).requests


@pytest.mark.parametrize(
    ("users", "a_day", "month", "profit"), [(100, 2, 60, 15), (1_000, 20, 600, 150), (10_000, 200, 6_000, 1_500)]
)
def test_projections_are_those_of_the_source(users, a_day, month, profit):
    found = forecasts.project(
        users=users, messages_per_user_per_day=10, usd_per_message=Fraction("0.002"), margin=Fraction("0.25")
    )
    assert found.messages_per_day == users * 10
    assert (found.revenue_per_day, found.revenue_per_month, found.profit_per_month) == (a_day, month, profit)
    assert found.markup == Fraction(1, 3)
    with pytest.raises(reports.BadQuestion):
        forecasts.project(users=-1, messages_per_user_per_day=1, usd_per_message=Fraction(1), margin=Fraction(0))


def test_a_forecast_of_a_perfect_week_is_perfect_and_growth_goes_on():
    week = [10.0, 20, 30, 40, 50, 5, 1]
    assert forecasts.seasonal(week * 6, 14) == pytest.approx(week * 2)
    assert forecasts.backtest(week * 6) == pytest.approx(0)
    growing = [value * 1.1 ** (n // 7) for n, value in enumerate(week * 6)]
    assert forecasts.backtest(growing) < 2
    assert forecasts.seasonal(growing, 7) == pytest.approx([value * 1.1**6 for value in week], rel=0.02)
    assert forecasts.backtest(week * 2) is None


@given(st.text(max_size=40))
def test_no_text_becomes_a_formula(text):
    [_, line] = list(exports.rows(["name"], [[text]]))
    [[name]] = list(csv.reader(io.StringIO(line, newline="")))
    assert not name.lstrip(" \t\r\n\u00a0\u3000\u200b\ufeff").startswith(("=", "+", "-", "@", "\uff1d"))
    assert name in {text, f"'{text}"}


def test_numbers_stay_numbers():
    [_, line] = list(exports.rows(["a", "b", "c"], [[-5, exports.Decimal("-0.25"), None]]))
    assert line == "-5,-0.25,\r\n"
    assert exports.cell("\t=1") == "'\t=1"
    assert exports.cell("a=1") == "a=1"
