"""``manage.py catalogue``: the price list that comes with the product, made, loaded and kept up to date."""

import json
from datetime import date
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts import trail
from gateway import shipped, suppliers


class Command(BaseCommand):
    help = "The catalogue: load it into the database, or make the shipped file from choice.json and the price package."

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        load = acts.add_parser("load", help="put on the shelf what is missing, and take up keys of the environment")
        load.add_argument("--json", action="store_true")
        make = acts.add_parser("make", help="write gateway/data/catalogue.json")
        make.add_argument("--on", default="", help="the day whose prices hold: 2026-11-20; without it today")
        make.add_argument("--check", action="store_true", help="write nothing; fail if the file would change")

    def handle(self, *args: Any, act: str, **options: Any) -> None:
        if act == "load":
            self._load(as_json=options["json"])
        else:
            self._make(options["on"], only_check=options["check"])

    def _load(self, *, as_json: bool) -> None:
        done = shipped.load(now=timezone.now(), source=trail.SYSTEM)
        adopted = suppliers.adopt_environment(settings.PROVIDER_KEYS, source=trail.SYSTEM)
        told = {name: getattr(done, name) for name in shipped.Loaded.__dataclass_fields__}
        told["keys"] = len(adopted)
        if as_json:
            self.stdout.write(json.dumps(told))
        else:
            self.stdout.write(", ".join(f"{count} {name}" for name, count in told.items()) + ".")

    def _make(self, day: str, *, only_check: bool) -> None:
        kept = shipped.catalogue()["as_of"] if only_check else ""
        try:
            text = shipped.text_of(shipped.make(on=date.fromisoformat(day or kept or f"{timezone.now():%Y-%m-%d}")))
        except ValueError as error:
            raise CommandError(str(error)) from error
        if not only_check:
            shipped.CATALOGUE.write_text(text)
            self.stdout.write(f"Wrote {shipped.CATALOGUE.name}.")
        elif text != shipped.CATALOGUE.read_text():
            raise CommandError("catalogue.json is not what choice.json and the price package make; run catalogue make.")
