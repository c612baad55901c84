"""The first day of an installation: the default storefront, an operator who can sign in, a workspace and a key.

Promise: safe to run at every start. What exists is left alone; a password or a key is returned only by the run that
made it, because nobody can read it afterwards.
"""

import secrets
from dataclasses import dataclass

from allauth.account.models import EmailAddress
from django.db import transaction
from django.db.models import Q

from accounts import keys, organizations, trail
from accounts.models import Organization, Storefront, User
from accounts.models.keys import KeyKind

OPERATOR_EMAIL = "operator@tollgate.localhost"


@dataclass(frozen=True, slots=True)
class Opening:
    """What this run made; None where it found something already there."""

    storefront: Storefront
    operator_password: str | None
    organization: Organization | None
    key_secret: str | None


@transaction.atomic
def open_shop() -> Opening:
    """Make what is missing."""
    storefront = default_storefront()
    operator, password = _operator()
    organization, secret = _first_key(storefront, operator)
    return Opening(storefront, password, organization, secret)


def default_storefront() -> Storefront:
    """The shop that answers on the installation's own hosts."""
    found = Storefront.objects.filter(is_default=True).first()
    return found or Storefront.objects.create(
        name="Tollgate", slug="tollgate", is_default=True, tagline="One key for every model, and every cent explained."
    )


def _operator() -> tuple[User, str | None]:
    runs_it = Q(is_staff=True, is_superuser=True, is_active=True)
    # Whoever has the first operator's address was that operator; switched off, they stay switched off.
    found = User.objects.filter(runs_it | Q(email=OPERATOR_EMAIL)).order_by("-is_active", "id").first()
    if found:
        return found, None
    password = secrets.token_urlsafe(15)
    operator = User.objects.create_superuser(OPERATOR_EMAIL, password, name="Operator")
    EmailAddress.objects.create(user=operator, email=operator.email, verified=True, primary=True)
    trail.record("operator.created", source=trail.SYSTEM, target=operator)
    return operator, password


def _first_key(storefront: Storefront, operator: User) -> tuple[Organization | None, str | None]:
    if Organization.objects.filter(storefront=storefront).exists():
        return None, None
    organization = organizations.create(
        storefront=storefront, owner=operator, name="First workspace", source=trail.SYSTEM
    )
    minted = keys.create(
        organization=organization,
        storefront=None,
        made_by=operator,
        kind=KeyKind.INFERENCE,
        label="First key",
        source=trail.SYSTEM,
    )
    keys.open_test_key(organization=organization, made_by=operator, source=trail.SYSTEM)
    return organization, minted.secret
