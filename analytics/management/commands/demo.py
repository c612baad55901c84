"""``manage.py demo``: ninety lively days of data, to look at pages with."""

import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from analytics import demo
from billing import audit


class Command(BaseCommand):
    help = "Make 90 days of customers, calls, payments and one outage, through the real ledger; then prove the books."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--calls", type=int, default=20_000, help="about how many calls")
        parser.add_argument("--seed", type=int, default=7, help="the same seed makes the same days")

    def handle(self, *, calls: int, seed: int, **options: Any) -> None:
        if settings.PRODUCTION:
            message = "Demonstration data is refused in production."
            raise CommandError(message)
        started_at = time.perf_counter()
        try:
            made = demo.make(calls=calls, seed=seed)
        except demo.AlreadyThere as error:
            raise CommandError(str(error)) from error
        report = audit.run()
        self.stdout.write(
            f"{made.organizations} customers, {made.calls} calls ({made.refused} refused for want of credit), rolled up"
            f" in {time.perf_counter() - started_at:.0f} s; audit: {len(report.findings)} findings."
        )
        if report.findings:
            raise SystemExit(1)
