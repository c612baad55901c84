"""Every query that the product's sources print, as written, on the engine it was written for."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from accounts import trail
from analytics import compat, rollups
from analytics.rows import read_moment
from billing import pricebook
from billing.models import Hold, ProcessLease
from billing.pricing import PRESETS, Bucket, Line, Usage, charge
from gateway.callid import first_id
from gateway.models import Call
from tests.analytics.conftest import START

# Plain SQL runs on both; the others are of the engine that their source was written for.
PRINTED = [
    ("both", "SELECT * FROM model_popularity;"),
    ("both", "SELECT * FROM ai_revenue_analytics;"),
    ("both", "SELECT * FROM user_ai_usage_summary WHERE user_id = 'xxx';"),
    (
        "both",
        (
            "SELECT COUNT(*) as total_requests, SUM(total_tokens) as total_tokens, SUM(user_charge_usd) as"
            " total_revenue, SUM(markup_usd) as total_profit FROM ai_usage_analytics;"
        ),
    ),
    ("both", "SELECT * FROM model_popularity LIMIT 10;"),
    (
        "postgresql",
        "SELECT * FROM ai_revenue_analytics WHERE date >= NOW() - INTERVAL '7 days' ORDER BY date DESC;",
    ),
    (
        "both",
        (
            "SELECT u.email, COUNT(*) as requests, SUM(a.total_tokens) as tokens, SUM(a.user_charge_usd) as spent"
            " FROM ai_usage_analytics a JOIN users u ON a.user_id = u.id GROUP BY u.email ORDER BY spent DESC LIMIT 20;"
        ),
    ),
    (
        "sqlite",
        "SELECT * FROM usage_with_adjustments WHERE DATE(created_at) = DATE('now') ORDER BY created_at DESC;",
    ),
    ("both", "SELECT * FROM model_profitability;"),
    (
        "sqlite",
        (
            "SELECT SUM(adjusted_total_tokens), SUM(total_tokens) FROM usage_logs WHERE subject_id = 'user_xxx'"
            " AND created_at >= datetime('now','-30 days');"
        ),
    ),
    *[("both", f"SELECT * FROM {name}") for name in compat.VIEWS],
]


def ask(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@pytest.fixture
def today(history, alice, organization):
    """Some calls of alice's own of the last hours, rolled up."""
    now = timezone.now()
    history.calls([now - timedelta(minutes=7 * n + 1) for n in range(40)])
    Call.unscoped.filter(organization=organization).update(user_id=alice.pk)
    rollups.roll(since=now - timedelta(days=1), until=now)
    return now


@pytest.mark.parametrize(("engine", "query"), [(engine, query) for engine, query in PRINTED])
def test_a_printed_query_runs_as_written(today, engine, query):
    if engine in {"both", connection.vendor}:
        rows = ask(query)
        assert rows or "xxx" in query or "rate_limit" in query
    else:  # a query of the other engine's dialect; that its words mean nothing here is what makes it so
        assert ("INTERVAL" in query) == (engine == "postgresql")


def test_the_figures_are_those_of_the_calls(today, alice, organization):
    calls = list(Call.unscoped.all())
    charged = sum(hold.charged_nano for hold in Hold.unscoped.all())
    [totals] = ask(PRINTED[3][1])
    assert totals["total_requests"] == len(calls)
    assert totals["total_tokens"] == sum(call.input_tokens + call.output_tokens for call in calls)
    assert float(totals["total_revenue"]) == pytest.approx(charged / 1e9)
    assert sum(row["total_requests"] for row in ask("SELECT * FROM model_popularity")) == len(calls)
    assert float(sum(row["total_revenue_usd"] for row in ask("SELECT * FROM ai_revenue_analytics"))) == pytest.approx(
        charged / 1e9
    )
    [mine] = [row for row in ask(PRINTED[6][1]) if row["email"] == alice.email]
    assert mine["requests"] == sum(call.organization_id == organization.pk for call in calls)
    summary = ask(f"SELECT sum(total_requests) AS n FROM user_ai_usage_summary WHERE user_id = '{alice.pk}'")
    assert 0 < summary[0]["n"] <= mine["requests"]
    logged = ask(f"SELECT * FROM usage_logs WHERE subject_id = '{alice.public_id}'")
    assert len(logged) == mine["requests"]
    assert all(row["adjusted_total_tokens"] == row["total_tokens"] for row in logged), "no plan here adjusts tokens"


@pytest.mark.parametrize(
    ("model", "modality", "prices", "raw", "adjusted", "usd"),
    [
        ("gpt-4o-realtime", "audio", ("40.00", "80.00"), (1000, 2000), (4_800, 19_200), ("0.24", "0.20")),
        ("gpt-4o-mini-realtime", "text", ("0.60", "2.40"), (5000, 3000), (360, 864), ("0.01224", "0.0102")),
    ],
)
def test_adjusted_tokens_are_those_of_the_worked_examples(
    shop, organization, model, modality, prices, raw, adjusted, usd
):
    plan = pricebook.publish_plan(
        storefront=shop, name="s4", body=PRESETS["s4"].to_json(), effective_from=START, note="", source=trail.SYSTEM
    )
    rates = [
        {"direction": direction, "modality": modality, "price": price}
        for direction, price in zip(("input", "output"), prices, strict=True)
    ]
    card = pricebook.publish_card(
        body={"provider": "comet", "model": model, "rates": rates}, effective_from=START, note="", source=trail.SYSTEM
    )
    usage = Usage(tuple(Line(Bucket(way, modality), n) for way, n in zip(("input", "output"), raw, strict=True)))
    pinned = pricebook.Rates.of(
        plan=pricebook.Plan.from_json(plan.body), card=pricebook.Card.from_json(card.body), model=model
    )
    made = charge(usage=usage, rates=pinned)
    now = timezone.now()
    number = first_id(now - timedelta(seconds=2))
    process = ProcessLease.objects.create(name="x", started_at=now, heartbeat_at=now, ended_at=now)
    Hold.unscoped.create(
        id=number,
        organization=organization,
        process=process,
        held_nano=0,
        created_at=now,
        outcome="settled",
        charged_nano=made.charge_nano,
        resolved_at=now,
    )
    Call.unscoped.create(
        id=number,
        organization=organization,
        created_at=now,
        ended_at=now,
        state="done",
        endpoint="realtime",
        model_asked=model,
        model_served=model,
        provider="comet",
        plan_version_id=plan.pk,
        card_version_id=card.pk,
        usage=usage.to_json(),
        usage_source="reported",
        input_tokens=raw[0],
        output_tokens=raw[1],
        price_nano=made.charge_nano,
        cost_nano=made.cost_nano,
        status=200,
    )
    rollups.roll(since=now - timedelta(hours=1), until=now)
    [row] = ask("SELECT * FROM usage_with_adjustments")
    assert (row["adjusted_input_tokens"], row["adjusted_output_tokens"]) == adjusted
    assert row["adjusted_total_tokens"] == sum(adjusted)
    assert (row["input_tokens"], row["output_tokens"]) == raw
    assert float(row["input_ratio"]) == pytest.approx(adjusted[0] / raw[0])
    assert float(row["charge_usd"]) == float(Decimal(usd[0]))
    assert float(row["cost_usd"]) == float(Decimal(usd[1]))
    assert read_moment(row["created_at"]) == now.astimezone(UTC)
    [daily] = ask("SELECT * FROM daily_usage_summary")
    assert daily["adjusted_total_tokens"] == sum(adjusted)
    [model_row] = ask("SELECT * FROM model_profitability")
    assert round(float(model_row["markup_percent"]), 6) == 20.0
    assert round(float(model_row["margin_percent"]), 4) == 16.6667


@pytest.mark.django_db(transaction=True)
def test_migrations_find_no_view_in_their_way():
    there = {info.name for info in connection.introspection.get_table_list(connection.cursor()) if info.type == "v"}
    assert there >= set(compat.VIEWS)
    compat.take_down(connection)
    gone = {info.name for info in connection.introspection.get_table_list(connection.cursor()) if info.type == "v"}
    assert not gone & set(compat.VIEWS)
    call_command("migrate", verbosity=0)
    back = {info.name for info in connection.introspection.get_table_list(connection.cursor()) if info.type == "v"}
    assert back >= set(compat.VIEWS)
    assert datetime.now(UTC) > START
