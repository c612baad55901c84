from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from django.core.management import call_command
from django.db import connection

from analytics import proof, rollups
from analytics.histograms import bucket, percentile, typical
from analytics.models import ArchivedMonth, CustomerDay, CustomerQuarter, RollupMark, ShopDay, ShopQuarter
from analytics.rollup_sql import GRAINS
from gateway.callid import first_id
from gateway.models import Call

DAY = date(2026, 8, 10)
NOON = datetime(2026, 8, 10, 12, tzinfo=UTC)


def moments(history, many):
    return [rollups.day_of(DAY) + timedelta(seconds=history.chance.randrange(86_400)) for _ in range(many)]


def differences(*days):
    seen = proof.Proof()
    found = [difference for day in days or (DAY,) for difference in proof.prove_day(day, proof=seen)]
    assert seen.differences == len(found) or found
    return [str(difference) for difference in found]


def everything():
    with connection.cursor() as cursor:
        rows = {}
        for grain in GRAINS:
            cursor.execute(f"SELECT {', '.join(grain.columns)} FROM {grain.table} ORDER BY {', '.join(grain.key)}")
            rows[grain.table] = cursor.fetchall()
        return rows


def test_every_cell_is_what_its_calls_make(history):
    history.calls(moments(history, 400))
    rollups.roll(since=rollups.day_of(DAY), until=rollups.day_of(DAY) + rollups.DAY)
    seen = proof.Proof()
    assert proof.prove_day(DAY, proof=seen) == []
    assert (seen.calls, seen.differences) == (400, 0)
    assert seen.cells > 400
    assert sum(row.requests for row in ShopDay.objects.all()) == 400
    assert sum(row.cache_savings_nano for row in ShopDay.objects.all()) > 0


def test_the_proof_finds_a_single_changed_figure_in_any_table(history):
    history.calls(moments(history, 60))
    rollups.roll(since=rollups.day_of(DAY), until=rollups.day_of(DAY) + rollups.DAY)
    for model in (CustomerQuarter, CustomerDay):
        row = model.unscoped.order_by("pk")[7]
        model.unscoped.filter(pk=row.pk).update(charge_nano=row.charge_nano + 1)
    for model in (ShopQuarter, ShopDay):
        row = model.objects.order_by("pk")[1]
        model.objects.filter(pk=row.pk).update(spread=row.spread | {"l1": 9})
    found = differences()
    assert len(found) == 4
    assert sum("charge_nano is" in line for line in found) == 2
    rollups.rebuild(DAY)
    assert differences() == []


def test_a_second_run_writes_nothing(history):
    history.calls(moments(history, 100))
    first = rollups.roll(since=NOON - timedelta(hours=12), until=NOON + timedelta(hours=12))
    before = everything()
    again = rollups.roll(since=NOON - timedelta(hours=12), until=NOON + timedelta(hours=12))
    assert first.total > 0
    assert again.total == 0
    assert everything() == before


def test_late_rows_join_their_hour(history):
    history.calls(moments(history, 50))
    rollups.roll(since=rollups.day_of(DAY), until=rollups.day_of(DAY) + rollups.DAY)
    history.calls([NOON - timedelta(hours=5), NOON + timedelta(hours=3)])
    assert len(differences()) > 0
    wrong = rollups.mend(now=rollups.day_of(DAY) + rollups.DAY, days=3)
    assert wrong == [NOON - timedelta(hours=5), NOON + timedelta(hours=3)]
    assert differences() == []


def test_an_older_view_never_overwrites_a_newer_one(history):
    """A worker that computed before three calls came and writes after another counted them."""
    from analytics.rollup_sql import CUSTOMER_QUARTER, calls_added_up, upsert

    history.calls([NOON] * 3, model="beta")
    with connection.cursor() as cursor:
        bounds = rollups.call_bounds(NOON, NOON + timedelta(hours=1))
        cursor.execute(calls_added_up(connection.vendor), bounds)
        stale = cursor.fetchall()
    history.calls([NOON] * 40, model="beta")
    rollups.roll(since=NOON, until=NOON + timedelta(hours=1))
    before = everything()
    with connection.cursor() as cursor:
        marks = ", ".join(["%s"] * len(CUSTOMER_QUARTER.columns))
        import json

        rows = [[json.dumps(value) if isinstance(value, dict) else value for value in row] for row in stale]
        cursor.executemany(upsert(CUSTOMER_QUARTER, f"VALUES ({marks})"), rows)
    assert everything() == before


def test_the_first_run_begins_with_the_first_call_and_the_next_where_it_ended(history):
    history.calls(moments(history, 30))
    rollups.roll_recent(now=NOON + timedelta(days=2))
    assert differences() == []
    assert RollupMark.objects.get().rolled_until == NOON + timedelta(days=2)
    history.calls([NOON + timedelta(days=2, minutes=-30)])
    rollups.roll_recent(now=NOON + timedelta(days=2, minutes=5))
    assert differences(DAY + timedelta(days=2)) == []


@pytest.mark.parametrize(
    ("ended", "day"),
    [
        (datetime(2026, 8, 10, 23, 59, 59, 999_999, tzinfo=UTC), DAY),
        (datetime(2026, 8, 11, 0, 0, 0, tzinfo=UTC), DAY + timedelta(days=1)),
        (datetime(2026, 8, 11, 0, 0, 0, 1, tzinfo=UTC), DAY + timedelta(days=1)),
    ],
)
def test_a_call_belongs_to_the_moment_it_was_settled(history, ended, day):
    history.calls([ended])
    rollups.roll_recent(now=ended + timedelta(hours=1))
    assert [row.day for row in ShopDay.objects.all()] == [day]
    assert differences(DAY, DAY + timedelta(days=1)) == []


def test_clocks_that_jump_lose_no_call(history):
    """Ended before it began, or days later: the call stays within three hours of its id."""
    [back] = history.calls([NOON])
    Call.unscoped.filter(pk=back.pk).update(ended_at=NOON - timedelta(days=40))
    [ahead] = history.calls([NOON])
    Call.unscoped.filter(pk=ahead.pk).update(ended_at=NOON + timedelta(days=40))
    rollups.roll_recent(now=NOON + timedelta(hours=5))
    assert sum(row.requests for row in ShopQuarter.objects.all()) == 2
    assert differences() == []


def test_every_zone_in_force_is_a_whole_number_of_quarters_from_utc():
    moments = [datetime(year, month, 15, tzinfo=UTC) for year in (2026, 2027) for month in (1, 7)]
    odd = {
        name
        for name in available_timezones()
        for moment in moments
        if moment.astimezone(ZoneInfo(name)).utcoffset().total_seconds() % 900
    }
    assert odd == set()


def test_buckets_in_sql_and_python_agree_and_percentiles_are_close(db):
    from analytics.histograms import BOUNDS, bucket_sql

    values = sorted({value + step for value in (0, *BOUNDS) for step in (-1, 0, 1) if value + step >= 0})
    with connection.cursor() as cursor:
        for value in values:
            cursor.execute(f"SELECT {bucket_sql(str(value))}")
            assert cursor.fetchone()[0] == bucket(value)
    for value in (1, 9, 100, 4_321, 77_777, 3_000_000):
        assert abs(typical(bucket(value)) - value) <= max(0.5, value * 0.05)
    assert percentile({}, 0.5) is None
    assert percentile({bucket(100): 99, bucket(9_000): 1}, 0.5) == typical(bucket(100))


def test_what_was_archived_and_dropped_is_never_computed_again(history):
    history.calls(moments(history, 20))
    rollups.roll_recent(now=NOON + timedelta(days=1))
    before = everything()
    ArchivedMonth.objects.create(
        starts_at=datetime(2026, 8, 1, tzinfo=UTC),
        ends_at=datetime(2026, 9, 1, tzinfo=UTC),
        path="x",
        sha256="",
        calls=20,
        attempts=20,
        archived_at=NOON,
        dropped_at=NOON,
    )
    Call.unscoped.filter(pk__gte=first_id(NOON)).delete()
    rollups.roll(since=NOON - timedelta(days=1), until=NOON + timedelta(days=1))
    assert everything() == before
    with pytest.raises(rollups.Gone):
        rollups.rebuild(DAY)


def test_the_command_rolls_proves_and_fails_on_a_difference(history, capsys):
    history.calls(moments(history, 25))
    call_command("rollup", day=DAY)
    call_command("rollup", day=DAY, prove=True)
    assert "25 calls" in capsys.readouterr().out
    ShopDay.objects.update(requests=1)
    with pytest.raises(SystemExit):
        call_command("rollup", day=DAY, prove=True)
    assert "requests is 1, its calls make" in capsys.readouterr().out
