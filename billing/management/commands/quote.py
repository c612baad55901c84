"""Price a described usage under any plan, and show every step."""

import json
from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.models import Storefront
from billing import pricebook
from billing.money import dollars
from billing.pricing import (
    PRESETS,
    Card,
    Charge,
    Circumstances,
    Malformed,
    Modifiers,
    OutOfRange,
    Plan,
    Rates,
    Unpriced,
    Usage,
    charge,
    explain,
    snapshot,
)

WORDS = "direction[.modality[.cache[.unit]]]=quantity"


class Command(BaseCommand):
    help = (
        "Price a described usage: manage.py quote --plan s1 --card card.json input=1000 output=500 input.text.read=200"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("usage", nargs="+", help=f"one bucket each, {WORDS}; or one file of usage lines as JSON")
        parser.add_argument("--plan", required=True, help="a preset (s0 to s4), a plan in force, or a JSON file")
        parser.add_argument("--storefront", help="whose plan; the default storefront unless named")
        parser.add_argument("--card", help="a JSON file with the cost card")
        parser.add_argument("--provider", help="with --model: the card in force")
        parser.add_argument("--model")
        parser.add_argument("--modifiers", default="{}", help='JSON such as {"coupon_percent": "10"}')
        parser.add_argument("--service-tier")
        parser.add_argument("--at", help="the moment, such as 2026-11-21T08:30:00Z; now unless given")
        parser.add_argument("--json", action="store_true", help="print the whole snapshot")

    def handle(self, **options: Any) -> None:
        try:
            made = _priced(options)
        except (Malformed, Unpriced, OutOfRange, pricebook.NobodysPlan, ValueError, OSError) as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            steps = [{"label": s.label, "detail": s.detail, "usd": s.usd, "private": s.private} for s in explain(made)]
            self.stdout.write(json.dumps({**snapshot(made), "steps": steps}, indent=2))
            return
        for step in explain(made):
            amount = f"${step.usd}" if step.usd is not None else ""
            self.stdout.write(f"{step.label:<34} {step.detail:<58} {amount}{'  (desk only)' if step.private else ''}")
        cost = "unknown" if made.cost_nano is None else dollars(made.cost_nano)
        shown = made.rates.plan.display.charge(made.charge_nano)
        self.stdout.write(
            f"\ncharge {dollars(made.charge_nano)} ({shown} {made.rates.plan.display.unit})   cost {cost}"
        )


def _priced(options: dict[str, Any]) -> Charge:
    usage = _usage(options["usage"])
    at = datetime.fromisoformat(options["at"]) if options["at"] else timezone.now()
    card = _card(options, at)
    rates = Rates.of(plan=_plan(options, at), card=card, model=options["model"] or (card.model if card else None))
    circumstances = Circumstances(
        at=at,
        service_tier=options["service_tier"],
        modifiers=Modifiers.from_json(json.loads(options["modifiers"])),
    )
    return charge(usage=usage, rates=rates, circumstances=circumstances)


def _plan(options: dict[str, Any], at: datetime) -> Plan:
    name = options["plan"]
    if name in PRESETS:
        return PRESETS[name]
    if name.endswith(".json"):
        return Plan.from_json(json.loads(Path(name).read_text()))
    shops = Storefront.objects.filter(slug=options["storefront"]) if options["storefront"] else Storefront.objects
    shop = shops.filter(is_default=True).first() if not options["storefront"] else shops.first()
    if shop is None:
        message = "There is no such storefront."
        raise CommandError(message)
    return Plan.from_json(pricebook.plan_in_force(shop, name, at=at).body)


def _card(options: dict[str, Any], at: datetime) -> Card | None:
    if options["card"]:
        return Card.from_json(json.loads(Path(options["card"]).read_text()))
    if not options["provider"]:
        return None
    version = pricebook.card_in_force(options["provider"], options["model"] or "", at=at)
    if version is None:
        message = f"{options['provider']} has no card for {options['model']!r} in force."
        raise CommandError(message)
    return Card.from_json(version.body)


def _usage(words: list[str]) -> Usage:
    if len(words) == 1 and words[0].endswith(".json"):
        return Usage.from_json(json.loads(Path(words[0]).read_text()))
    return Usage.from_json([_line(word) for word in words])


def _line(word: str) -> dict[str, object]:
    bucket, _, quantity = word.partition("=")
    if not quantity.isdigit():
        message = f"{word!r} is not {WORDS}"
        raise CommandError(message)
    fields = dict(zip(("direction", "modality", "cache", "unit"), bucket.split("."), strict=False))
    return {**fields, "quantity": int(quantity)}
