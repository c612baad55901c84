"""``manage.py archive_calls``: write old months of calls to files, and drop what is safely written."""

import json
from argparse import ArgumentParser
from datetime import date, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from analytics import archive


class Command(BaseCommand):
    help = "Archive months of calls to gzipped JSON lines; --drop then removes them from the database, never the books."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--month", type=_month, help="one month, such as 2026-08; else all that are due")
        parser.add_argument("--keep", type=int, default=settings.CALLS_KEPT_MONTHS, help="whole months that stay")
        parser.add_argument("--folder", type=Path, default=Path(settings.ARCHIVE_DIR))
        parser.add_argument("--drop", action="store_true", help="drop what was archived")
        parser.add_argument("--show", type=int, metavar="CALL", help="print one archived call as JSON")

    def handle(self, *, month: date | None, keep: int, folder: Path, drop: bool, **options: Any) -> None:
        if options["show"] is not None:
            self._show(options["show"])
            return
        now = timezone.now()
        months = [archive.Month.of(month)] if month else archive.due(now=now, keep_months=keep)
        for one in months:
            try:
                kept = archive.archive(one, folder=folder, now=now)
                self.stdout.write(f"{one}: {kept.calls} calls and {kept.attempts} attempts in {kept.path}")
                if drop:
                    archive.drop(one, now=now)
                    self.stdout.write(f"{one}: dropped from the database")
            except archive.NotArchived as error:
                raise CommandError(str(error)) from error
        if not months:
            self.stdout.write(f"Nothing is older than {keep} months.")

    def _show(self, call_id: int) -> None:
        call = archive.find(call_id)
        if call is None:
            message = f"No archive holds the call {call_id}."
            raise CommandError(message)
        self.stdout.write(json.dumps(call, indent=2))


def _month(text: str) -> date:
    return datetime.strptime(text, "%Y-%m").date()  # noqa: DTZ007 - a calendar month has no zone
