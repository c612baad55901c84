"""``manage.py arbitrage_stats``: profit, packages and profit for each, over any number of days."""

import json
from argparse import ArgumentParser
from fractions import Fraction
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.models import Storefront
from analytics import business, reports


class Command(BaseCommand):
    help = "Print what a reseller of packages earned over the last days."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, default=30)
        parser.add_argument("--storefront", default="", help="slug of one storefront; without it all of them")
        parser.add_argument("--json", action="store_true")

    def handle(self, *, days: int, storefront: str, **options: Any) -> None:
        shop = Storefront.objects.filter(slug=storefront).first() if storefront else None
        if storefront and shop is None:
            message = f"There is no storefront '{storefront}'."
            raise CommandError(message)
        now = timezone.now()
        reports.fresh(now=now)
        try:
            found = business.get_arbitrage_stats(days, now=now, storefront=shop)
        except reports.BadQuestion as error:
            raise CommandError(str(error)) from error
        shown = {name: _shown(value) for name, value in found.items()}
        if options["json"]:
            self.stdout.write(json.dumps(shown))
            return
        for name, value in shown.items():
            self.stdout.write(f"{name.replace('_', ' '):28} {'-' if value is None else value}")


def _shown(value: Any) -> Any:
    return round(float(value), 9) if isinstance(value, Fraction) else value
