"""``manage.py bench``: measure against the bars, and say which hold."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = (
        "Measure this machine against the bars; starts everything it needs on loopback. Without names: every scenario."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("scenarios", nargs="*", help="which ones; --list names them")
        parser.add_argument("--list", action="store_true", help="name the scenarios and what each measures")
        parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds; the median counts")
        parser.add_argument("--keep", action="store_true", help="write the figures into benchmarks/RESULTS.md")

    def handle(self, *, scenarios: list[str], rounds: int, keep: bool, **options: Any) -> None:
        # only here: nothing but this command needs them, and an image for production may leave them out
        from benchmarks import bars, native, results
        from benchmarks.scenarios import SCENARIOS

        if options["list"]:
            for name, scenario in SCENARIOS.items():
                self.stdout.write(f"{name:12} {(scenario.__doc__ or '').splitlines()[0]}")
            return
        unknown = set(scenarios) - set(SCENARIOS)
        if unknown:
            message = f"there is no scenario {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}"
            raise CommandError(message)
        missed = False
        for name in scenarios or SCENARIOS:
            try:
                verdicts = bars.judge(SCENARIOS[name](rounds))
            except native.NoCompiler as error:
                raise CommandError(str(error)) from error
            self.stdout.write(f"\n{name}\n\n{bars.table(verdicts)}\n")
            missed = missed or not all(verdict.holds for verdict in verdicts)
            if keep:
                results.keep(name, verdicts)
        if missed:
            raise SystemExit(1)
