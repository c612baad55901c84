"""Ninety days rolled up by five workers at once, one of them killed, with rows that come late; every cell is proven.

    python -m tests.simulator.rollup_proofs [--database sqlite|postgresql] [--calls 20000]

A worker rolls every day of the ninety in an order of its own; one is killed with SIGKILL half-way; late rows arrive
while the others run. Afterwards ``mend`` finds what is left and the proof compares every cell with its calls; local
days in three time zones are compared with sums made here.
"""

import argparse
import os
import random
import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from tests.simulator.worlds import Child, make_organizations, say, world

START = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 90
ZONES = ("Asia/Kathmandu", "America/New_York", "Europe/Paris")
WORKERS = 5


def main() -> int:
    parser = argparse.ArgumentParser(description="Rollups under fire.")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--calls", type=int, default=20_000)
    arguments = parser.parse_args()
    with world(arguments.database):
        return prove(arguments.calls, days=DAYS)


def prove(calls: int, *, days: int) -> int:
    """Do all of it and return how many differences were found."""
    from accounts.models import Organization, Storefront
    from analytics import proof, rollups
    from tests.analytics.history import History

    chance = random.Random(4)
    made = make_organizations(12, credit=0)
    history = History(Storefront.objects.get(is_default=True), list(Organization.objects.filter(pk__in=made)), at=START)
    span = days * 86_400
    history.calls([START + timedelta(seconds=chance.randrange(3600, span)) for _ in range(calls * 9 // 10)])
    workers = [Child(_worker(seed, days)) for seed in range(WORKERS)]
    time.sleep(1.0)
    os.kill(workers[0].pid, signal.SIGKILL)
    late = [START + timedelta(seconds=chance.randrange(3600, span)) for _ in range(calls - calls * 9 // 10)]
    for place in range(0, len(late), 100):
        history.calls(late[place : place + 100])
    finished = sum(bool(worker.read()) for worker in workers[1:])
    wrong = rollups.mend(now=START + timedelta(days=days + 1), days=days + 2)
    again = rollups.mend(now=START + timedelta(days=days + 1), days=days + 2)
    seen = proof.Proof()
    for day in range(days + 1):
        for difference in proof.prove_day((START + timedelta(days=day)).date(), proof=seen):
            say(f"DIFFERENCE {difference}")
    zones = sum(_zone(ZoneInfo(name), days) for name in ZONES)
    say(
        f"{seen.calls} calls, {finished} workers finished and one was killed; {len(wrong)} hours mended, then"
        f" {len(again)}; {seen.cells} cells, {seen.figures} figures: {seen.differences} differences;"
        f" {zones} in {len(ZONES)} time zones"
    )
    return seen.differences + zones + len(again) + (seen.calls != calls)


def _worker(seed: int, days: int):
    def work(said):
        from analytics import rollups

        order = list(range(days))
        random.Random(seed).shuffle(order)
        for day in order:
            start = START + timedelta(days=day)
            rollups.roll(since=start, until=start + rollups.DAY)
        said("done")

    return work


def _zone(zone: ZoneInfo, days: int) -> int:
    """Local days in one zone against sums of the calls themselves."""
    from analytics import reports
    from analytics.reports import Scope
    from billing.models import Hold
    from gateway.models import Call

    charged = dict(Hold.unscoped.values_list("pk", "charged_nano"))
    wanted: Counter = Counter()
    for pk, ended_at in Call.unscoped.values_list("pk", "ended_at"):
        wanted[ended_at.astimezone(zone).date()] += charged[pk]
    scope = Scope((START - timedelta(days=2)).date(), (START + timedelta(days=days + 2)).date(), zone)
    found = {day: figures.charge_nano for day, figures in reports.by_time(scope).items()}
    return sum(found.get(day, 0) != wanted.get(day, 0) for day in found.keys() | wanted.keys())


if __name__ == "__main__":
    raise SystemExit(main())
