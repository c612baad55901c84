"""``manage.py provider add``: open an account with a company we buy from, or bring it up to date."""

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import trail
from gateway import kinds, reaching, suppliers
from gateway.models import Provider


class Command(BaseCommand):
    help = "Providers: add (or update) one, or list them. Loopback and private addresses can be given here alone."

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        add = acts.add_parser("add", help="open an account, or bring one of this name up to date")
        add.add_argument("--name", required=True, help="what you call it; its slug is made of it")
        add.add_argument("--kind", required=True, help=f"how it is spoken to: {', '.join(sorted(kinds.KINDS))}")
        add.add_argument("--base-url", default="", help="its address, if it is not the kind's own")
        add.add_argument("--key", default="", help="the key it gave you; - reads it from standard input")
        add.add_argument("--slug", default="", help="a slug of your own choice")
        add.add_argument("--check", action="store_true", help="ask it for its models, to see that address and key work")
        add.add_argument("--json", action="store_true")
        acts.add_parser("list", help="the accounts there are").add_argument("--json", action="store_true")

    def handle(self, *args: Any, act: str, **options: Any) -> None:
        if act == "list":
            self._list(as_json=options["json"])
        else:
            self._add(**options)

    def _add(self, **options: Any) -> None:
        key = sys.stdin.readline().strip() if options["key"] == "-" else options["key"]
        try:
            outcome = suppliers.add_provider(
                name=options["name"],
                kind=options["kind"],
                slug=options["slug"],
                base_url=options["base_url"],
                key=key,
                from_command_line=True,
                source=trail.SYSTEM,
            )
        except suppliers.SupplyRefused as refused:
            raise CommandError(refused.sentence) from refused
        provider: Provider = outcome.row
        reached = reaching.reach(provider, _newest_key(provider)) if options["check"] else None
        did = "added" if outcome.made else "changed" if outcome.changed else "unchanged"
        if options["json"]:
            told = {"did": did, **_told(provider)}
            if reached is not None:
                told["check"] = {"reached": reached.is_there, "key_works": reached.key_works, "says": reached.sentence}
            self.stdout.write(json.dumps(told))
        else:
            self.stdout.write(f"Provider {provider.slug} ({provider.kind}) {did}.")
            if reached is not None:
                self.stdout.write(reached.sentence)
        if reached is not None and (not reached.is_there or reached.key_works is False):
            raise CommandError(reached.sentence)

    def _list(self, *, as_json: bool) -> None:
        rows = [_told(provider) for provider in Provider.objects.all()]
        if as_json:
            self.stdout.write(json.dumps(rows))
            return
        for row in rows:
            state = "on" if row["active"] else "off"
            self.stdout.write(f"{row['slug']:<20} {row['kind']:<18} {state:<4} {row['keys']} key(s)  {row['base_url']}")


def _newest_key(provider: Provider) -> Any:
    return provider.credentials.filter(is_active=True).order_by("-pk").first()


def _told(provider: Provider) -> dict[str, Any]:
    return {
        "slug": provider.slug,
        "name": provider.name,
        "kind": provider.kind,
        "base_url": provider.base_url or kinds.KINDS[provider.kind].base_url,
        "private": provider.may_be_private,
        "active": provider.is_active,
        "keys": provider.credentials.filter(is_active=True).count(),
    }
