import stat
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection

from analytics import archive, rollups, tasks
from analytics.archive import Month
from analytics.models import ArchivedMonth, ShopDay
from billing.models import Hold
from billing.models.plans import CostCardVersion, PlanVersion
from billing.pricing import Card, Circumstances, Plan, Rates, Usage, charge
from gateway.models import Attempt, Call

AUGUST = Month.of(date(2026, 8, 10))
LATER = datetime(2026, 11, 2, tzinfo=UTC)


@pytest.fixture
def calls(history):
    inside = [AUGUST.starts_at + timedelta(hours=9 * n, minutes=5) for n in range(70)]
    after = [AUGUST.ends_at + timedelta(hours=n + 1) for n in range(10)]
    return history.calls(inside), history.calls(after)


def test_a_month_is_archived_whole_and_every_call_can_be_priced_again_from_the_file(calls, tmp_path):
    inside, _ = calls
    kept = archive.archive(AUGUST, folder=tmp_path, now=LATER)
    assert (kept.calls, kept.attempts) == (70, 70)
    assert stat.S_IMODE(Path(kept.path).stat().st_mode) == 0o600
    for call in archive.read(Path(kept.path)):
        plan = PlanVersion.objects.get(pk=call["plan_version_id"])
        card = CostCardVersion.objects.get(pk=call["card_version_id"])
        rates = Rates.of(plan=Plan.from_json(plan.body), card=Card.from_json(card.body), model=call["model_served"])
        again = charge(
            usage=Usage.from_json(call["usage"]),
            rates=rates,
            circumstances=Circumstances.from_json(call["circumstances"]),
        )
        assert again.charge_nano == call["price_nano"]
        assert call["hold"]["charged_nano"] + call["hold"]["unrecovered_nano"] == call["price_nano"]
    assert archive.find(inside[3].pk)["id"] == inside[3].pk
    assert archive.find(5) is None


def test_dropping_keeps_books_and_rollups(calls, tmp_path):
    inside, after = calls
    rollups.roll_recent(now=LATER)
    before = list(ShopDay.objects.order_by("pk").values())
    archive.archive(AUGUST, folder=tmp_path, now=LATER)
    archive.drop(AUGUST, now=LATER)
    archive.drop(AUGUST, now=LATER)
    assert Call.unscoped.count() == Attempt.unscoped.count() == len(after)
    assert Hold.unscoped.count() == len(inside) + len(after)
    rollups.roll(since=AUGUST.starts_at, until=AUGUST.ends_at + timedelta(days=1))
    assert list(ShopDay.objects.order_by("pk").values()) == before
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('gateway_call_2026_08')")
            assert cursor.fetchone() == (None,)


def test_nothing_is_dropped_without_a_whole_archive(history, calls, tmp_path):
    with pytest.raises(archive.NotArchived, match="no archive"):
        archive.drop(AUGUST, now=LATER)
    with pytest.raises(archive.NotArchived, match="not ended"):
        archive.archive(AUGUST, folder=tmp_path, now=AUGUST.ends_at)
    kept = archive.archive(AUGUST, folder=tmp_path, now=LATER)
    history.calls([AUGUST.starts_at + timedelta(days=3)])
    with pytest.raises(archive.NotArchived, match="added"):
        archive.drop(AUGUST, now=LATER)
    archive.archive(AUGUST, folder=tmp_path, now=LATER)
    Path(kept.path).write_bytes(b"")
    with pytest.raises(archive.NotArchived, match="missing or changed"):
        archive.drop(AUGUST, now=LATER)
    assert Call.unscoped.count() == 81


def test_months_are_due_when_they_are_older_than_what_is_kept(calls, settings, tmp_path):
    assert [str(month) for month in archive.due(now=LATER, keep_months=1)] == ["2026-08", "2026-09"]
    assert archive.due(now=LATER, keep_months=3) == []
    settings.CALLS_KEPT_MONTHS, settings.ARCHIVE_DIR = 0, str(tmp_path)
    assert tasks.archive_old_calls() == 0
    assert not ArchivedMonth.objects.exists()
