"""``manage.py doctor``: look at the whole installation and say what is wrong and what would mend it."""

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from plumbing import diagnosis

MARKS = {"good": "ok  ", "note": "note", "bad": "BAD "}


class Command(BaseCommand):
    help = "Examine settings, connections, providers, prices and queues; ends non-zero when something is wrong."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--offline", action="store_true", help="ask nobody outside this house")
        parser.add_argument("--key", default="", help="a customer's API key that does not work; - reads standard input")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        key = sys.stdin.readline().strip() if options["key"] == "-" else options["key"]
        findings = diagnosis.examine(diagnosis.Visit(leaves_the_house=not options["offline"], api_key=key))
        bad = [finding for finding in findings if finding.grade == "bad"]
        if options["json"]:
            self.stdout.write(json.dumps({"ok": not bad, "findings": [finding.to_json() for finding in findings]}))
        else:
            for finding in findings:
                self.stdout.write(f"{MARKS[finding.grade]}  {finding.area:<12} {finding.sentence}")
                if finding.remedy:
                    self.stdout.write(f"{'':<18} -> {finding.remedy}")
        if bad:
            message = f"{len(bad)} of {len(findings)} findings need you."
            raise CommandError(message)
