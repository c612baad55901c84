"""Fold calls into quarters and days; safe to run late, twice, in parallel, half, and for any past day.

Promise: a rollup is a pure function of calls and holds. ``roll`` recomputes every cell of a stretch of time and writes
those that have grown; nothing is ever added to a stored number, so a repetition is a no-op, a worker that was killed
leaves cells that the next run completes, and of two workers the one that saw more calls wins, whoever writes last. No
lock is needed for that; the tasks hold a lease only to save work.

On PostgreSQL a stretch is one statement. SQLite has one writer for everybody, so cells are computed outside the write
lock and written in slices of at most ``SLICE_ROWS``, or every reserve would wait behind them.

When a call happened: ``moment`` is the quarter of its end, within three hours of its id's own time, so a page of ids
holds every call of a stretch whatever a clock did.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from analytics import savings
from analytics.models import ArchivedMonth, RollupMark
from analytics.rollup_sql import (
    CUSTOMER_QUARTER,
    FOLDED,
    LONGEST_QUARTERS,
    QUARTER_S,
    Grain,
    added_up,
    calls_added_up,
    upsert,
)
from gateway.callid import first_id, moment_of

SLICE_ROWS = 200
OVERLAP = timedelta(hours=2)  # how far back every run looks again: a commit may come long after the call's end
LONGEST = timedelta(seconds=LONGEST_QUARTERS * QUARTER_S)
DAY = timedelta(days=1)


class Gone(ValueError):
    """The calls of that time were archived and dropped; their rollups stay as they are."""


@dataclass(frozen=True, slots=True)
class Rolled:
    """What a run wrote: cells by table."""

    cells: dict[str, int]

    @property
    def total(self) -> int:
        """All cells written."""
        return sum(self.cells.values())


def quarter_of(moment: datetime) -> datetime:
    """The beginning of the quarter of an hour."""
    return datetime.fromtimestamp(int(moment.timestamp()) // QUARTER_S * QUARTER_S, UTC)


def hour_of(moment: datetime) -> datetime:
    """The beginning of the hour."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def day_of(day: date) -> datetime:
    """The first moment of a UTC day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def moment(*, call_id: int, ended_at: datetime) -> datetime:
    """The quarter a call belongs to."""
    begun = quarter_of(moment_of(call_id))
    return min(max(quarter_of(ended_at), begun), begun + LONGEST)


def roll(*, since: datetime, until: datetime) -> Rolled:
    """Recompute every cell of the hours from ``since`` up to (not including) ``until``, and of the days they lie in."""
    since, until = max(hour_of(since), frozen_until()), _end_of_hour(until)
    cells: dict[str, int] = {}
    for start, end in _stretches(since, until):
        savings.price_new(low=first_id(start - LONGEST), high=first_id(end))
        _count(cells, CUSTOMER_QUARTER, _write(CUSTOMER_QUARTER, *_of_calls(start, end)))
        for grain in FOLDED:
            _count(cells, grain, _write(grain, *_of_source(grain, start, end)))
    return Rolled(cells)


def roll_recent(*, now: datetime) -> Rolled:
    """Roll what came since the last run, and a while before it; the first run begins with the first call."""
    mark = RollupMark.objects.first()
    since = mark.rolled_until if mark else _first_moment(now)
    cells: dict[str, int] = {}
    for start, end in _stretches(hour_of(min(since, now) - OVERLAP), _end_of_hour(now)):
        for table, many in roll(since=start, until=end).cells.items():
            cells[table] = cells.get(table, 0) + many
        # Moved when the day's cells are there: a run that was killed goes on from the last whole day.
        RollupMark.objects.update_or_create(pk=1, defaults={"rolled_until": max(since, min(end, now))})
    return Rolled(cells)


def rebuild(day: date) -> Rolled:
    """Throw a day's cells away and make them again from its calls: for cells that were changed by hand."""
    start, end = day_of(day), day_of(day) + DAY
    if start < frozen_until():
        message = f"The calls of {day} were archived and dropped; what was rolled up from them stays."
        raise Gone(message)
    with transaction.atomic(), connection.cursor() as cursor:
        for grain in (CUSTOMER_QUARTER, *FOLDED):
            low, high = time_bounds(grain.time, start, end)
            cursor.execute(f"DELETE FROM {grain.table} WHERE {grain.time} >= %s AND {grain.time} < %s", [low, high])
        return roll(since=start, until=end)


def mend(*, now: datetime, days: int) -> list[datetime]:
    """Find hours whose sums are not those of their calls, and roll them again; returns them."""
    until = _end_of_hour(now)
    since = max(until - days * DAY, frozen_until())
    wrong = []
    for start, end in _stretches(since, until):
        calls, cells = _hours_of_calls(start, end), _hours_of_cells(start, end)
        for hour in sorted(calls.keys() | cells.keys()):
            if calls.get(hour) != cells.get(hour):
                roll(since=hour, until=hour + timedelta(hours=1))
                wrong.append(hour)
    return wrong


def frozen_until() -> datetime:
    """Before this moment calls may have been dropped, so nothing is computed again."""
    last = ArchivedMonth.objects.filter(dropped_at__isnull=False).order_by("-ends_at").first()
    return last.ends_at + LONGEST if last else datetime(2026, 1, 1, tzinfo=UTC)


# --- Cells ------------------------------------------------------------------------------------------------------------

Statement = tuple[str, list[Any]]


def _of_calls(start: datetime, end: datetime) -> Statement:
    return calls_added_up(connection.vendor), call_bounds(start, end)


def call_bounds(start: datetime, end: datetime) -> list[int]:
    """The parameters of ``calls_added_up``: ids that may have ended in this stretch, its quarters, the ids."""
    ids = [first_id(start - LONGEST), first_id(end)]
    return [*ids, *(int(moment.timestamp()) // QUARTER_S for moment in (start, end)), *ids]


def _of_source(grain: Grain, start: datetime, end: datetime) -> Statement:
    if grain.time == "day":  # the whole of every day that was touched
        start, end = day_of(start.date()), day_of((end - timedelta(microseconds=1)).date()) + DAY
    low, high = time_bounds(grain.source.time if grain.source else grain.time, start, end)
    return added_up(grain, connection.vendor), [low, high] * (1 if grain.counters == "none" else 2)


def time_bounds(time: str, start: datetime, end: datetime) -> tuple[Any, Any]:
    """How a table's time column compares on this engine."""
    if time == "day":
        return start.date().isoformat(), end.date().isoformat()
    if connection.vendor == "postgresql":
        return start, end
    return f"{start:%Y-%m-%d %H:%M:%S}", f"{end:%Y-%m-%d %H:%M:%S}"


def _write(grain: Grain, select: str, parameters: list[Any]) -> int:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with transaction.atomic():
                cursor.execute("SET LOCAL work_mem = '128MB'")  # a day's cells are sorted and hashed in memory
                if grain is CUSTOMER_QUARTER:
                    # It expects a few thousand calls where there are a million, and would look up each one's hold.
                    cursor.execute("SET LOCAL enable_nestloop = off; SET LOCAL enable_mergejoin = off")
                cursor.execute(upsert(grain, select), parameters)
                return int(cursor.rowcount)
        cursor.execute(select, parameters)
        cells = cursor.fetchall()
    marks = ", ".join(["%s"] * len(grain.columns))
    written = 0
    for place in range(0, len(cells), SLICE_ROWS):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.executemany(upsert(grain, f"VALUES ({marks})"), cells[place : place + SLICE_ROWS])
            written += cursor.rowcount
    return written


def _count(cells: dict[str, int], grain: Grain, written: int) -> None:
    cells[grain.table] = cells.get(grain.table, 0) + written


def _stretches(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Whole UTC days where the stretch is long, so that a statement is never larger than a day."""
    start = since
    while start < until:
        end = min(day_of(start.date()) + DAY, until)
        yield start, end
        start = end


def _end_of_hour(moment: datetime) -> datetime:
    hour = hour_of(moment)
    return hour if hour == moment else hour + timedelta(hours=1)


def _first_moment(now: datetime) -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(id) FROM gateway_call")
        (first,) = cursor.fetchone()
    return now if first is None else moment_of(first)


# --- Mending ----------------------------------------------------------------------------------------------------------

WATCHED = ("requests", "input_tokens", "output_tokens", "price_nano", "charge_nano", "unrecovered_nano", "cost_nano")


def _hours_of_calls(start: datetime, end: datetime) -> dict[datetime, tuple[int, ...]]:
    head = calls_added_up(connection.vendor, packed=False).partition("FROM (")[2]
    sums = ", ".join(f"sum({name})" for name in WATCHED)
    statement = f"SELECT quarter / 4, {sums} FROM ({head} GROUP BY quarter / 4"
    with connection.cursor() as cursor:
        cursor.execute(statement, call_bounds(start, end))
        return {
            datetime.fromtimestamp(hour * 3600, UTC): tuple(int(value) for value in sums)
            for hour, *sums in cursor.fetchall()
        }


def _hours_of_cells(start: datetime, end: datetime) -> dict[datetime, tuple[int, ...]]:
    hour = (
        "floor(extract(epoch FROM starts_at) / 3600)::bigint"
        if connection.vendor == "postgresql"
        else "CAST(strftime('%%s', starts_at) AS INTEGER) / 3600"
    )
    sums = ", ".join(f"sum({name})" for name in WATCHED)
    low, high = time_bounds("starts_at", start, end)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {hour}, {sums} FROM analytics_customerquarter WHERE starts_at >= %s AND starts_at < %s GROUP BY 1",
            [low, high],
        )
        return {
            datetime.fromtimestamp(number * 3600, UTC): tuple(int(value) for value in values)
            for number, *values in cursor.fetchall()
        }


__all__ = ["Gone", "Rolled", "mend", "moment", "rebuild", "roll", "roll_recent"]
