"""``manage.py issue_key``: a working inference key in one line, for scripts and first steps."""

import re
from importlib import import_module, util
from typing import Any

from allauth.account.models import EmailAddress
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from accounts import keys, organizations, trail
from accounts.models import Organization, Role, Storefront, User
from accounts.models.keys import KeyKind
from plumbing.refusals import Refusal

NANO = 1_000_000_000
USD = re.compile(r"(\d{1,9})(?:\.(\d{1,9}))?\Z", re.ASCII)


class Command(BaseCommand):
    help = "Print a fresh inference key for a person's own organization, making both if they are absent."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True, help="whose key")
        parser.add_argument("--credit", default="", help="USD to put into the organization's wallet first: 5.00")
        parser.add_argument("--storefront", default="", help="slug of the storefront; without it the default one")

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        """Print the key and nothing else."""
        storefront = _storefront(options["storefront"])
        credit_nano = _nano(options["credit"])
        try:
            user = _user(options["email"])
            organization = _organization(user, storefront)
            if credit_nano:
                _credit(organization, credit_nano)
            minted = keys.create(
                organization=organization,
                storefront=None,
                made_by=user,
                kind=KeyKind.INFERENCE,
                label="issued from the command line",
                source=trail.SYSTEM,
            )
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from error
        except Refusal as error:
            raise CommandError(error.sentence) from error
        self.stdout.write(minted.secret)


def _storefront(slug: str) -> Storefront:
    found = Storefront.objects.filter(slug=slug) if slug else Storefront.objects.filter(is_default=True)
    storefront = found.first()
    if storefront is None:
        message = f"There is no storefront '{slug}'." if slug else "There is no default storefront yet; run up first."
        raise CommandError(message)
    return storefront


def _user(email: str) -> User:
    user = User.objects.filter(email__iexact=email).first()
    if user is None:
        user = User.objects.create_user(email)
        # Nobody has shown that they read this mailbox; signing in will ask them to.
        EmailAddress.objects.create(user=user, email=user.email, verified=False, primary=True)
    return user


def _organization(user: User, storefront: Storefront) -> Organization:
    """The oldest organization of this storefront the person owns, else a new one."""
    owned = user.memberships.filter(
        role=Role.OWNER, organization__storefront=storefront, organization__standing="active"
    )
    membership = owned.select_related("organization__storefront").order_by("id").first()
    if membership is not None:
        return membership.organization
    name = f"{user.get_short_name()[:60]}'s workspace"
    return organizations.create(storefront=storefront, owner=user, name=name, source=trail.SYSTEM)


def _nano(text: str) -> int:
    match = USD.match(text or "0")
    if match is None:
        message = f"'{text}' is not an amount of USD such as 5.00."
        raise CommandError(message)
    return int(match[1]) * NANO + int((match[2] or "").ljust(9, "0"))


def _credit(organization: Organization, amount_nano: int) -> None:
    if util.find_spec("billing.wallets") is None:
        message = "This installation keeps no wallets yet, so there is nothing to credit."
        raise CommandError(message)
    wallets = import_module("billing.wallets")
    wallets.credit(
        organization=organization, amount_nano=amount_nano, reason="issued from the command line", source=trail.SYSTEM
    )
