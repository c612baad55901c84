"""``manage.py loaddata_scale``: millions of calls to measure against."""

import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from analytics import loaddata


class Command(BaseCommand):
    help = "Fill PostgreSQL with calls, half of them one organization's, with books that hold."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--calls", type=int, default=10_000_000)
        parser.add_argument("--organizations", type=int, default=1_000)
        parser.add_argument("--days", type=int, default=10, help="over how many days until now they are spread")

    def handle(self, *, calls: int, organizations: int, days: int, **options: Any) -> None:
        if settings.PRODUCTION:
            message = "A load is refused in production."
            raise CommandError(message)
        if calls < 1 or organizations < 1 or days < 1:
            message = "Ask for at least one call of one organization in one day."
            raise CommandError(message)
        started_at = time.perf_counter()
        asked = loaddata.Load(calls, organizations, days, timezone.now())
        try:
            loaddata.load(asked, say=self.stdout.write)
        except loaddata.WrongEngine as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{calls:,} calls in {time.perf_counter() - started_at:.0f} s")
