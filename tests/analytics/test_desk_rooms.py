"""Alarms, experiments and reconciliation: what an operator is told and may decide."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import IntegrityError, transaction

from accounts.models import Organization
from analytics import alarms, experiments, reconciliation, rollups, tasks
from analytics.models import Alarm, BillLine
from billing import arms
from billing.models import AuditCheckpoint, Experiment, InboxEvent, Payment
from gateway.models import Attempt, Call
from plumbing.models import OutboxMessage
from tests import factories
from tests.billing import payment_stage

NOW = datetime(2026, 8, 10, 12, tzinfo=UTC)


@pytest.fixture
def quiet(history, settings):
    settings.ALARM_EMAILS = ["operator@example.com"]
    calls = history.calls([NOW - timedelta(minutes=20 * n + 30) for n in range(60)])
    Call.unscoped.update(usage_source="reported", cost_nano=1)
    rollups.roll(since=NOW - timedelta(days=3), until=NOW)
    return calls


def kinds(found):
    return Counter(alarm.kind for alarm in found)


def test_a_trouble_is_told_once_while_it_goes_on_and_again_when_it_comes_back(quiet):
    AuditCheckpoint.objects.create(last_transfer_id=1, transfers=1, findings=2, created_at=NOW)
    first = alarms.look(now=NOW)
    assert kinds(first)["audit_finding"] == 1
    mails = OutboxMessage.objects.count()
    assert mails == min(len(first), alarms.MOST_NOTICES) + (len(first) > alarms.MOST_NOTICES)
    assert alarms.look(now=NOW + timedelta(minutes=5)) == []
    assert OutboxMessage.objects.count() == mails
    going_on = Alarm.objects.get(kind="audit_finding")
    assert (going_on.seen, going_on.told_at) == (2, NOW)
    alarms.acknowledge(going_on, by=None, now=NOW)
    AuditCheckpoint.objects.create(last_transfer_id=1, transfers=1, findings=0, created_at=NOW)
    alarms.look(now=NOW + timedelta(minutes=10))
    going_on.refresh_from_db()
    assert going_on.ended_at
    assert going_on.acknowledged_at
    AuditCheckpoint.objects.create(last_transfer_id=1, transfers=1, findings=1, created_at=NOW)
    assert kinds(alarms.look(now=NOW + timedelta(minutes=15)))["audit_finding"] == 1
    with pytest.raises(IntegrityError), transaction.atomic():
        Alarm.objects.create(kind="audit_finding", subject="books", sentence="x", first_seen_at=NOW, last_seen_at=NOW)


def test_a_bad_hour_is_no_storm(quiet, settings):
    settings.MARGIN_FLOOR_PERCENT = 200
    found = alarms.look(now=NOW)
    assert len(found) > alarms.MOST_NOTICES
    assert OutboxMessage.objects.count() == alarms.MOST_NOTICES + 1
    assert kinds(found)["margin_below_floor"] >= 5


def test_thin_margins_estimates_unknown_costs_and_failing_providers_are_found(history, quiet):
    troubled = history.calls([NOW - timedelta(minutes=n % 10 + 1) for n in range(40)], model="beta")
    ids = [call.pk for call in troubled]
    Call.unscoped.filter(pk__in=ids).update(usage_source="estimated", provider="east")
    Call.unscoped.filter(pk__in=ids[:3]).update(cost_nano=None)
    Call.unscoped.filter(pk__in=ids[3:]).update(cost_nano=10**9)
    Attempt.unscoped.filter(pk__in=ids).update(provider="east", status=503)
    Attempt.unscoped.filter(pk=ids[0]).update(status=402)
    rollups.rebuild(NOW.date())
    found = {(alarm.kind, alarm.subject) for alarm in alarms.look(now=NOW)}
    assert ("margin_below_floor", "provider east") in found
    assert ("estimated_usage", "east") in found
    assert ("unknown_cost", "beta") in found
    assert ("provider_down", "east") in found
    assert ("out_of_funds", "east") in found
    assert tasks.look_for_alarms() >= 0


def test_an_event_that_waits_and_webhooks_that_stay_away_are_found(quiet, organization, settings):
    payment_stage.configure(settings)
    till = payment_stage.Till(organization)
    event = {"method": till.account.method, "account": till.account.name, "storefront": organization.storefront}
    event |= {"name": "checkout.session.completed", "body": b"{}", "verification": "signature"}
    paid = {"method": till.account.method, "account": till.account.name, "currency": "usd", "total_minor": 1}
    paid |= {"top_up": till.order, "organization": organization, "credited_nano": 1}

    def pay(number, at):
        numbers = {"outside_id": f"pi_{number}", "transfer_uid": f"t{number}"}
        Payment.objects.of(organization).create(**paid, **numbers, created_at=at)

    def hear(number, at, **fields):
        InboxEvent.objects.create(**event, outside_id=f"evt_{number}", received_at=at, **fields)

    pay(1, NOW - timedelta(hours=3))
    hear(1, NOW - timedelta(hours=3, minutes=1), handled_at=NOW)
    assert not {"inbox_age", "webhook_silence"} & set(kinds(alarms.look(now=NOW)))
    pay(2, NOW - timedelta(minutes=31))
    found = {alarm.kind: alarm for alarm in alarms.look(now=NOW)}
    assert found["webhook_silence"].subject == "stripe platform"
    assert "2 payments came by stripe (platform) within a day without a webhook" in found["webhook_silence"].sentence
    hear(2, NOW - timedelta(minutes=20), parked_at=NOW)
    found = {alarm.kind: alarm for alarm in alarms.look(now=NOW)}
    assert "1 events of payments wait, 1 of them given up" in found["inbox_age"].sentence
    assert Alarm.objects.get(kind="webhook_silence").ended_at, "they knock again"
    InboxEvent.objects.update(handled_at=NOW)
    alarms.look(now=NOW)
    assert Alarm.objects.get(kind="inbox_age").ended_at


# --- Experiments ------------------------------------------------------------------------------------------------------

ARMS = [{"name": "control", "multiplier": "1", "weight": 1}, {"name": "dearer", "multiplier": "1.1", "weight": 1}]


def test_an_interval_holds_the_truth_about_as_often_as_it_says():
    import random

    chance = random.Random(5)
    held = 0
    for seed in range(60):
        arm, control = ([chance.lognormvariate(0, 0.6) for _ in range(40)] for _ in range(2))
        low, high = experiments.interval(arm, control, seed=seed)
        held += low <= 0 <= high
    assert held >= 52, "95 per cent of 60 are 57"
    assert experiments.interval([1.0] * 9, [1.0] * 50) is None


def test_results_compare_organizations_and_an_experiment_stops_when_it_goes_badly(history, shop):
    running = Experiment.objects.create(
        storefront=shop,
        name="steep",
        arms=ARMS,
        starts_at=NOW - timedelta(days=5),
        ends_at=NOW + timedelta(days=30),
        stop_below_percent=-20,
    )
    made = [factories.make_organization(storefront=shop, name=f"O{n}") for n in range(60)]
    Organization.objects.update(created_at=NOW - timedelta(days=9))
    for one in made:
        loyal = arms.arm_of(running, one) == "control"
        history.calls([NOW - timedelta(hours=n + 1) for n in range(6 if loyal else 1)], organization=one)
    rollups.roll(since=NOW - timedelta(days=6), until=NOW)
    control, dearer = experiments.results(running, now=NOW)
    assert control.organizations + dearer.organizations == Organization.objects.filter(storefront=shop).count()
    assert dearer.difference_percent < -50
    assert dearer.interval_percent[0] < dearer.difference_percent < dearer.interval_percent[1] < -20
    assert experiments.stop_if_due(running, now=NOW)
    assert "against the control" in running.stop_reason
    assert not experiments.stop_if_due(running, now=NOW)
    assert arms.draws_of(made[0]) == ()


# --- Bills ------------------------------------------------------------------------------------------------------------


def bill_of(attempts):
    lines = ["created_at,model_permaslug,cost_total"]
    lines += [
        f"{attempt.started_at.isoformat()},{attempt.upstream_model},{attempt.cost_nano / 1e9:.9f}"
        for attempt in attempts
    ]
    return "\n".join(lines)


def test_a_gap_is_found_to_the_nano_dollar_and_named(history):
    history.calls([NOW - timedelta(hours=3 * n) for n in range(30)])
    Attempt.unscoped.filter(cost_nano=None).update(cost_nano=7)
    attempts = list(Attempt.unscoped.filter(provider="north").order_by("pk"))
    days = {"since": NOW.date() - timedelta(days=6), "until": NOW.date()}
    arguments = {"provider": "north", "kind": "openrouter", "source": "activity.csv", "now": NOW}
    reconciliation.take(text=bill_of(attempts), **arguments)
    before = list(BillLine.objects.order_by("pk").values_list("pk", "cost_nano"))
    reconciliation.take(text=bill_of(attempts), **arguments)
    assert list(BillLine.objects.order_by("pk").values_list("pk", "cost_nano")) == before
    assert {gap.name for gap in reconciliation.gaps(provider="north", **days)} == {"agrees"}
    lost = max(attempts, key=lambda attempt: attempt.cost_nano)
    Attempt.unscoped.filter(pk=lost.pk).update(cost_nano=lost.cost_nano - 1)
    [first, *rest] = reconciliation.gaps(provider="north", **days)
    assert (first.day, first.model, first.gap_nano, first.name) == (
        lost.started_at.date(),
        lost.upstream_model,
        1,
        "another amount",
    )
    assert not any(gap.gap_nano for gap in rest)
    text = "day,model,cost_usd,requests\n2026-08-09,never-called,$1.25,3\n"
    reconciliation.take(provider="north", kind="generic", text=text, source="bill.csv", now=NOW)
    [first, *_] = reconciliation.gaps(provider="north", **days)
    assert (first.name, first.gap_nano) == ("missing in our books", 1_250_000_000)
    BillLine.objects.filter(model="beta").delete()
    names = {gap.model: gap.name for gap in reconciliation.gaps(provider="north", **days) if gap.model == "beta"}
    assert names["beta"] == "missing on the bill"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "names no moment"),
        ("day,cost\n2026-08-01,1", "names no model"),
        ("day,model,cost\nyesterday,m,1", "Line 2: 'yesterday' is no day"),
        ("day,model,cost\n2026-08-01,m,1\n2026-08-01,m,NaN", "Line 3: 'NaN' is no cost"),
        ("day,model,cost\n2026-08-01,m,-1", "Line 2: what is below zero"),
        ("day,model,cost\n2026-08-01,,1", "Line 2: a model has"),
        ("day,model,cost\n2026-08-01,m", "Line 2: '' is no cost"),
        ("day,model,cost,requests\n2026-08-01,m,1,many", "Line 2: 'many' is no number"),
    ],
)
def test_a_bad_bill_is_refused_with_its_line_and_nothing_is_kept(db, text, sentence):
    with pytest.raises(reconciliation.BadBill) as refused:
        reconciliation.take(provider="north", kind="generic", text=text, source="x", now=NOW)
    assert sentence in str(refused.value)
    assert not BillLine.objects.exists()
    with pytest.raises(reconciliation.BadBill, match="kind"):
        reconciliation.take(provider="north", kind="fax", text="", source="x", now=NOW)
    assert date(2026, 8, 1) < NOW.date()
