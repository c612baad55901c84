"""``manage.py catalogue``: the price list that comes with the product, made, loaded and kept up to date."""

from datetime import date
from json import dumps
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts import trail
from billing import pricebook
from gateway import repricing, shipped, suppliers
from gateway.models import PriceProposal
from gateway.models.prices import Decision
from plumbing.refusals import Refusal


class Command(BaseCommand):
    help = "The catalogue: load it into the database, or make the shipped file from choice.json and the price package."

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        load = acts.add_parser("load", help="put on the shelf what is missing, and take up keys of the environment")
        load.add_argument("--json", action="store_true")
        fresh = acts.add_parser("refresh", help="ask the price lists; what goes beyond the rails waits for a person")
        fresh.add_argument("--provider", default="", help="only this account's list")
        fresh.add_argument("--file", default="", help="read the list of --provider from a file instead of its address")
        fresh.add_argument("--json", action="store_true")
        acts.add_parser("proposals", help="prices that wait for a person").add_argument("--json", action="store_true")
        for act, words in (("accept", "put a waiting price in force"), ("refuse", "leave the price as it is")):
            decide = acts.add_parser(act, help=words)
            decide.add_argument("proposal", type=int)
            decide.add_argument("--reason", required=True)
        make = acts.add_parser("make", help="write gateway/data/catalogue.json")
        make.add_argument("--on", default="", help="the day whose prices hold: 2026-11-20; without it today")
        make.add_argument("--check", action="store_true", help="write nothing; fail if the file would change")

    def handle(self, *args: Any, act: str, **options: Any) -> None:
        match act:
            case "load":
                self._load(as_json=options["json"])
            case "refresh":
                self._refresh(**options)
            case "proposals":
                self._proposals(as_json=options["json"])
            case "make":
                self._make(options["on"], only_check=options["check"])
            case _:
                self._decide(act, options["proposal"], options["reason"])

    def _refresh(self, *, provider: str, file: str, json: bool, **_: Any) -> None:
        if file and not provider:
            raise CommandError("A file is one provider's list; name it with --provider.")
        try:
            documents = {provider: Path(file).read_bytes()} if file else {}
        except OSError as error:
            raise CommandError(str(error)) from error
        done = repricing.refresh(now=timezone.now(), source=trail.SYSTEM, provider=provider, documents=documents)
        if json:
            self.stdout.write(dumps(done.to_json()))
            return
        for name in done.published:
            self.stdout.write(f"{name}: a new price is in force.")
        for name in done.proposed:
            self.stdout.write(f"{name}: a new price waits for a person (catalogue proposals).")
        for name, why in done.untold.items():
            self.stdout.write(f"{name}: {why}")
        self.stdout.write(f"{done.unchanged} prices are as they were.")

    def _proposals(self, *, as_json: bool) -> None:
        rows = PriceProposal.objects.filter(state=Decision.WAITING).order_by("pk")
        if as_json:
            fields = ("id", "provider", "model", "source", "reasons", "differences")
            self.stdout.write(dumps(list(rows.values(*fields))))
            return
        for row in rows:
            self.stdout.write(f"{row.pk}  {row}  {' '.join(row.reasons)}")
            for one in row.differences:
                self.stdout.write(f"      {one['field']}: {one['before']} -> {one['after']}")

    def _decide(self, act: str, number: int, reason: str) -> None:
        proposal = PriceProposal.objects.filter(pk=number).first()
        if proposal is None:
            message = f"There is no proposal {number}."
            raise CommandError(message)
        try:
            if act == "accept":
                repricing.accept(proposal, now=timezone.now(), source=trail.SYSTEM, reason=reason)
            else:
                repricing.refuse(proposal, now=timezone.now(), source=trail.SYSTEM, reason=reason)
        except (Refusal, ValueError, pricebook.Overtaken) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{proposal}: {act}ed." if act == "accept" else f"{proposal}: refused.")

    def _load(self, *, as_json: bool) -> None:
        done = shipped.load(now=timezone.now(), source=trail.SYSTEM)
        adopted = suppliers.adopt_environment(settings.PROVIDER_KEYS, source=trail.SYSTEM)
        told = {name: getattr(done, name) for name in shipped.Loaded.__dataclass_fields__}
        told["keys"] = len(adopted)
        if as_json:
            self.stdout.write(dumps(told))
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
