"""Give an organization credit, with a reason that stays in the books."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q

from accounts import trail
from accounts.models import Organization, User
from billing import wallets
from billing.adjustments import limit_nano
from billing.models.ledger import Kind
from billing.money import BadAmount, dollars, parse_usd


class Command(BaseCommand):
    help = "Credit an organization: credit ORG AMOUNT --reason R. ORG is its id (org_...) or slug, AMOUNT is in USD."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("organization")
        parser.add_argument("amount", help="US dollars, such as 5 or 12.50")
        parser.add_argument("--reason", required=True)
        parser.add_argument("--paid", action="store_true", help="it was paid for outside, and may be refunded")
        parser.add_argument("--second", default="", help="the mail address of the operator who agrees, above the limit")
        parser.add_argument("--uid", default="", help="a name for this credit; the same name is credited once")

    def handle(self, *args: Any, **options: Any) -> None:
        organization = _find(options["organization"])
        try:
            _check_limit(parse_usd(options["amount"]), options["second"])
            credited = wallets.credit(
                organization,
                parse_usd(options["amount"]),
                f"{options['reason']} (agreed by {options['second']})" if options["second"] else options["reason"],
                trail.SYSTEM,
                kind=Kind.PAID if options["paid"] else Kind.PROMO,
                uid=options["uid"],
            )
        except (BadAmount, wallets.CreditRefused) as error:
            raise CommandError(str(error)) from error
        again = " (it had been credited before)" if credited.repeated else ""
        self.stdout.write(f"{organization.public_id} was credited {options['amount']} USD{again}")


def _check_limit(amount_nano: int, second: str) -> None:
    """Above the limit somebody of the staff has agreed, and is named."""
    if amount_nano <= limit_nano():
        return
    if not User.objects.filter(email__iexact=second, is_staff=True, is_active=True).exists():
        message = f"More than {dollars(limit_nano())} needs a second operator: name one with --second their@address."
        raise CommandError(message)


def _find(name: str) -> Organization:
    found = list(Organization.objects.filter(Q(public_id=name) | Q(slug=name))[:2])
    if not found:
        message = f"There is no organization {name!r}."
        raise CommandError(message)
    if len(found) > 1:
        message = f"Several storefronts have an organization {name!r}; name it by its id (org_...)."
        raise CommandError(message)
    return found[0]
