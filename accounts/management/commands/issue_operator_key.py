"""``manage.py issue_operator_key``: a key for an operator's programs, in one line, for one shop or the platform."""

from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from accounts import keys, trail
from accounts.models import Storefront, User
from accounts.models.keys import KeyKind
from accounts.scopes import OperatorScope
from plumbing.refusals import Refusal

SCOPES = [scope.value for scope in OperatorScope]
MOST_DAYS = 3650


class Command(BaseCommand):
    help = "Print a fresh operator key for somebody of the staff; it ends with their job."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True, help="whose key: one of the platform's or the storefront's staff")
        parser.add_argument("--storefront", default="", help="slug of the one shop it runs; without it all of them")
        parser.add_argument("--scope", action="append", choices=SCOPES, help="may be given again; without it every one")
        parser.add_argument("--label", default="issued from the command line")
        parser.add_argument("--days", type=int, default=0, help="days until it expires; without it never")

    @transaction.atomic
    def handle(self, *, email: str, storefront: str, label: str, days: int, **options: Any) -> None:
        """Print the key and nothing else."""
        user = User.objects.filter(email__iexact=email).first()
        if user is None:
            message = f"There is nobody with the mailbox {email}."
            raise CommandError(message)
        shop = Storefront.objects.filter(slug=storefront).first() if storefront else None
        if storefront and shop is None:
            message = f"There is no storefront '{storefront}'."
            raise CommandError(message)
        if not 0 <= days <= MOST_DAYS:
            message = f"--days is between 1 and {MOST_DAYS}."
            raise CommandError(message)
        try:
            minted = keys.create(
                organization=None,
                storefront=shop,
                made_by=user,
                kind=KeyKind.OPERATOR,
                label=label,
                source=trail.SYSTEM,
                scopes=options["scope"] or SCOPES,
                expires_at=timezone.now() + timedelta(days=days) if days else None,
            )
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from error
        except Refusal as error:
            raise CommandError(error.sentence) from error
        self.stdout.write(minted.secret)
