"""``manage.py model add``: put a model on the price list, with whom we buy it from and what it costs us."""

import json
import re
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts import trail
from gateway import suppliers, wares
from gateway.models import AIModel, Provider
from gateway.models.catalogue import Purpose
from gateway.wares import Price

USD = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)
PRICES = (
    ("input", "input", "none"),
    ("cached_input", "input", "read"),
    ("cache_write", "input", "write_5m"),
    ("output", "output", "none"),
)


class Command(BaseCommand):
    help = "Models: add one (or change it). Prices are what it costs us per million tokens; the plan makes the price."

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        add = acts.add_parser("add", help="sell a model through a provider, or change what differs")
        add.add_argument("slug", help="the name customers ask for")
        add.add_argument("--provider", required=True, help="slug of the account it is bought from")
        add.add_argument("--upstream", default="", help="its name there; without it the same name")
        add.add_argument("--input", required=True, help="USD per million input tokens: 3.00")
        add.add_argument("--output", required=True, help="USD per million output tokens: 15.00")
        add.add_argument("--cached-input", default="", help="USD per million tokens read from the prompt cache")
        add.add_argument("--cache-write", default="", help="USD per million tokens written to the prompt cache")
        add.add_argument("--free", action="store_true", help="it really costs nothing (prices of 0)")
        add.add_argument("--name", default=None, help="the name people read")
        add.add_argument("--vendor", default=None, help="who made the model")
        add.add_argument("--context", type=int, default=None, help="tokens it can read")
        add.add_argument("--max-output", type=int, default=None, help="tokens it can write at most")
        add.add_argument("--purpose", choices=Purpose.values, default=None)
        add.add_argument("--json", action="store_true")

    def handle(self, *args: Any, act: str, **options: Any) -> None:
        provider = _provider(options["provider"])
        upstream = options["upstream"] or options["slug"]
        facts = {
            "name": options["name"],
            "vendor": options["vendor"],
            "context_tokens": options["context"],
            "max_output_tokens": options["max_output"],
            "purpose": options["purpose"],
        }
        try:
            outcome = wares.add_model(
                slug=options["slug"],
                provider=provider,
                upstream=upstream,
                prices=[
                    Price(direction, _usd(f"--{name.replace('_', '-')}", options[name]), cache)
                    for name, direction, cache in PRICES
                    if options[name]
                ],
                is_free=options["free"],
                source=trail.SYSTEM,
                now=timezone.now(),
                **{name: value for name, value in facts.items() if value is not None},
            )
        except suppliers.SupplyRefused as refused:
            raise CommandError(refused.sentence) from refused
        model: AIModel = outcome.row
        did = "added" if outcome.made else "changed" if outcome.changed else "unchanged"
        has_key = provider.is_active and provider.credentials.filter(is_active=True).exists()
        if options["json"]:
            told = {"did": did, "slug": model.slug, "provider": provider.slug, "upstream": upstream, "served": has_key}
            self.stdout.write(json.dumps(told))
            return
        self.stdout.write(f"Model {model.slug} {did}, served by {provider.slug} as {upstream}.")
        if not has_key:
            self.stdout.write(f"Nobody can call it before {provider.slug} has a key (provider add --key).")


def _provider(slug: str) -> Provider:
    provider = Provider.objects.filter(slug=slug).first() or Provider.objects.filter(name=slug).first()
    if provider is None:
        known = ", ".join(Provider.objects.values_list("slug", flat=True)) or "none yet"
        message = f"There is no provider {slug!r}; these are: {known}."
        raise CommandError(message)
    return provider


def _usd(name: str, written: str) -> Decimal:
    if not USD.fullmatch(written):
        message = f"{name} {written!r} is not a price in USD per million tokens such as 3.00."
        raise CommandError(message)
    return Decimal(written)
