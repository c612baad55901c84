"""Prove the books: exit code 0 when they hold, 1 with a line for everything that does not."""

import dataclasses
import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from billing import audit


class Command(BaseCommand):
    help = "Prove the ledger from its rows alone. Only reads; exit code 1 names the invariant, account and row."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        scope = parser.add_mutually_exclusive_group()
        scope.add_argument("--full", action="store_true", default=True, help="look at everything (the default)")
        scope.add_argument(
            "--incremental", action="store_false", dest="full", help="look at what came after the last clean checkpoint"
        )
        parser.add_argument("--checkpoint", action="store_true", help="remember how far this run came")

    def handle(self, *args: Any, **options: Any) -> None:
        report = audit.run(full=options["full"])
        if options["checkpoint"]:
            audit.checkpoint(report, now=timezone.now())
        if options["json"]:
            self.stdout.write(json.dumps(dataclasses.asdict(report)))
        else:
            for finding in report.findings:
                self.stdout.write(str(finding))
            verdict = f"{len(report.findings)} findings" if report.findings else "the books hold"
            self.stdout.write(
                f"{verdict}: {report.transfers} transfers, {report.checks} checks, {report.seconds:.1f} s"
            )
        if report.findings:
            raise SystemExit(1)
