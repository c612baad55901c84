"""How long rollups and reports take over millions of calls, beside their bars, on PostgreSQL.

    python -m benchmarks.rollups [--calls 10000000] [--organizations 1000] [--days 10]

Bars: a day of 1,000,000 calls in 20 s, an incremental hour in 2 s, a report of 30 days in 300 ms.
"""

import argparse
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from tests.simulator.worlds import say, world


def main() -> int:
    """Load, roll, prove an hour, ask."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--calls", type=int, default=10_000_000)
    parser.add_argument("--organizations", type=int, default=1_000)
    parser.add_argument("--days", type=int, default=10)
    arguments = parser.parse_args()
    with world("postgresql"):
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    from django.core.management import call_command
    from django.db import connection
    from django.utils import timezone

    from analytics import proof, rollups
    from analytics.models import RollupMark

    call_command("loaddata_scale", calls=arguments.calls, organizations=arguments.organizations, days=arguments.days)
    now = timezone.now()
    day = rollups.day_of((now - timedelta(days=arguments.days // 2)).date())
    each = arguments.calls // arguments.days
    _timed(f"a day of {each:,} calls", 20.0, lambda: rollups.roll(since=day, until=day + rollups.DAY))
    _timed("the same day again", 20.0, lambda: rollups.roll(since=day, until=day + rollups.DAY))
    hour = day + timedelta(days=1, hours=12)
    _timed(
        f"an incremental hour of {each // 24:,} calls",
        2.0,
        lambda: rollups.roll(since=hour, until=hour + timedelta(hours=1)),
    )
    for n in range(arguments.days + 1):
        start = rollups.day_of((now - timedelta(days=n)).date())
        rollups.roll(since=start, until=start + rollups.DAY)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        for table in ("customerquarter", "customerday", "shopquarter", "shopday"):
            cursor.execute(f"SELECT count(*) FROM analytics_{table}")  # noqa: S608 - our own table
            say(f"analytics_{table}: {cursor.fetchone()[0]:,} rows")
    RollupMark.objects.create(rolled_until=now)
    _timed("the incremental hour, now that everything is rolled up", 2.0, lambda: rollups.roll_recent(now=now))
    seen = proof.Proof()
    found = proof.prove_day(day.date(), proof=seen)
    say(f"proof of {day:%Y-%m-%d}: {seen.calls:,} calls, {seen.cells:,} cells, {seen.differences} differences")
    _reports(now, arguments.days)
    return 1 if found else 0


def _reports(now: datetime, days: int) -> None:
    """Each question five times; the slowest answer counts."""
    from accounts.models import Organization
    from analytics import business, reports
    from analytics.reports import Scope

    first = (now - timedelta(days=days)).date()
    whole = Scope(first, now.date())
    half = Scope(first, now.date(), organization=Organization.objects.get(name="Load 0"))
    questions: dict[str, Callable[[], object]] = {
        "everything in one row": lambda: reports.total(whole),
        "by day": lambda: reports.by_time(whole),
        "by day in Kathmandu": lambda: reports.by_time(Scope(first, now.date(), ZoneInfo("Asia/Kathmandu"))),
        "by model": lambda: reports.by(whole, "model"),
        "by customer": lambda: reports.by(whole, "organization_id"),
        "by country": lambda: reports.by(whole, "country"),
        "percentiles by model": lambda: reports.percentiles(whole, by_model=True),
        "the largest customer by model": lambda: reports.by(half, "model"),
        "unspent credit": business.liabilities,
    }
    for name, ask in questions.items():
        took_ms = []
        for _ in range(5):
            started_at = time.perf_counter()
            ask()
            took_ms.append(1000 * (time.perf_counter() - started_at))
        say(f"{name}: slowest {max(took_ms):.0f} ms (bar 300 ms)")


def _timed(what: str, bar_s: float, work: Callable[[], object]) -> float:
    started_at = time.perf_counter()
    work()
    took_s = time.perf_counter() - started_at
    say(f"{what}: {took_s:.2f} s (bar {bar_s:g} s)")
    return took_s


if __name__ == "__main__":
    raise SystemExit(main())
