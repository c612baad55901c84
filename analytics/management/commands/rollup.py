"""``manage.py rollup``: fold calls into quarters and days, and prove that the sums are their calls."""

from argparse import ArgumentParser
from datetime import date, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from analytics import proof, rollups


class Command(BaseCommand):
    help = "Roll up what is new, or whole days; --prove compares every cell with its calls and exits 1 on a difference."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--day", type=_day, help="one UTC day, such as 2026-11-24, instead of what is new")
        parser.add_argument("--days", type=int, default=1, help="so many days, the last of which is --day")
        parser.add_argument("--rebuild", action="store_true", help="throw the days' cells away first")
        parser.add_argument(
            "--prove", action="store_true", help="roll nothing, compare the days' cells with their calls"
        )

    def handle(self, *, day: date | None, days: int, rebuild: bool, prove: bool, **options: Any) -> None:
        now = timezone.now()
        last = day or now.date()
        wanted = [last - timedelta(days=n) for n in reversed(range(days))]
        if prove:
            self._prove(wanted)
        elif rebuild:
            for one in wanted:
                self._say(one, _rebuilt(one))
        elif day is None and days == 1:
            self._say("what is new", rollups.roll_recent(now=now))
        else:
            for one in wanted:
                self._say(one, rollups.roll(since=rollups.day_of(one), until=rollups.day_of(one) + rollups.DAY))

    def _say(self, what: date | str, rolled: rollups.Rolled) -> None:
        self.stdout.write(f"{what}: {rolled.total} cells written")

    def _prove(self, days: list[date]) -> None:
        seen = proof.Proof()
        frozen = rollups.frozen_until()
        for day in days:
            if rollups.day_of(day) < frozen:
                self.stdout.write(f"{day}: its calls were archived; nothing to compare with")
                continue
            for difference in proof.prove_day(day, proof=seen):
                self.stdout.write(str(difference))
        self.stdout.write(
            f"{seen.calls} calls, {seen.cells} cells, {seen.figures} figures: {seen.differences} differences"
        )
        if seen.differences:
            raise SystemExit(1)


def _day(text: str) -> date:
    return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a calendar day has no zone


def _rebuilt(day: date) -> rollups.Rolled:
    try:
        return rollups.rebuild(day)
    except rollups.Gone as error:
        raise CommandError(str(error)) from error
