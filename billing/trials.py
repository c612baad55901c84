"""A trial for whoever is new: tokens from the shop's plan, once for each mailbox a person really has.

Promise: nothing is given before a mailbox is proven, and spellings that lead to the same mailbox (capitals, dots and
plus-tags at Gmail, plus-tags elsewhere, googlemail) count as one; what is kept of it is a keyed hash. Signing in is not
touched by any of this. Disposable domains get nothing.
"""

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import Organization, Role, Storefront, User
from billing import ledger, pricebook, units
from billing.models import TrialGrant
from billing.models.ledger import House, Kind
from billing.operations import Credit, Credited
from billing.pricing.plans import Plan

LASTS = timedelta(days=30)
IGNORES_DOTS = frozenset({"gmail.com"})
SAME_AS = {
    "googlemail.com": "gmail.com",
    "hotmail.com": "outlook.com",
    "pm.me": "proton.me",
    "protonmail.com": "proton.me",
}
TAGS = {"yahoo.com": "-"}
_DISPOSABLE = """
10minutemail.com discard.email dispostable.com emailondeck.com fakeinbox.com getnada.com grr.la guerrillamail.com
guerrillamail.org inboxkitten.com maildrop.cc mailinator.com mailnesia.com mintemail.com mohmal.com moakt.com
sharklasers.com spam4.me temp-mail.org tempmail.dev tempr.email throwawaymail.com trashmail.com yopmail.com
"""
DISPOSABLE = frozenset(_DISPOSABLE.split())


def normal_mailbox(email: str) -> str:
    """The mailbox behind a spelling."""
    local, _, domain = email.strip().lower().rpartition("@")
    domain = SAME_AS.get(domain.rstrip("."), domain.rstrip("."))
    local = local.partition(TAGS.get(domain, "+"))[0].partition("+")[0]
    if domain in IGNORES_DOTS:
        local = local.replace(".", "")
    return f"{local}@{domain}"


def is_disposable(email: str) -> bool:
    """A mailbox for ten minutes, or one below such a domain."""
    domain = email.strip().lower().rpartition("@")[2].rstrip(".")
    parts = domain.split(".")
    return any(".".join(parts[place:]) in DISPOSABLE for place in range(len(parts) - 1))


@transaction.atomic
def give(organization: Organization, *, email: str, now: datetime) -> TrialGrant | None:
    """Give the trial of this shop's plan, if there is one and this mailbox has not had it."""
    tokens = _offered(organization, now)
    if not tokens or is_disposable(email) or TrialGrant.objects.filter(organization=organization).exists():
        return None
    hashed = _hash(normal_mailbox(email))
    grant, made = TrialGrant.objects.get_or_create(
        storefront=organization.storefront,
        mailbox_hash=hashed,
        defaults={"organization": organization, "tokens": tokens, "created_at": now},
    )
    if not made:
        return None
    operation = Credit(
        uid=f"trial:{organization.pk}",
        organization_id=organization.pk,
        amount=tokens,
        kind=Kind.TRIAL,
        unit=units.ANY_MODEL,
        value_nano=0,
        expires_at=now + LASTS,
        label="Trial",
        source=House.PROMOTIONS,
        code="trial",
    )
    [verdict] = ledger.apply(connection, [operation], now)
    if not isinstance(verdict, Credited):
        message = f"The ledger did not take the trial: {verdict}"
        raise RuntimeError(message)  # noqa: TRY004 - a verdict, not a type
    return grant


def on_mailbox_proven(*, user: User, email: str, storefront: Storefront, **_: Any) -> None:
    """Accounts announced that somebody has shown they read this mailbox: their own first workspace gets the trial."""
    own = user.memberships.filter(role=Role.OWNER, organization__storefront=storefront)
    first = own.select_related("organization__storefront").order_by("id").first()
    if first is not None:
        give(first.organization, email=email, now=timezone.now())


def _offered(organization: Organization, now: datetime) -> int:
    try:
        version = pricebook.plan_in_force(organization.storefront, pricebook.terms_of(organization)[0], at=now)
    except pricebook.NobodysPlan:
        return 0
    return Plan.from_json(version.body).trial_tokens


def _hash(mailbox: str) -> str:
    return hmac.new(settings.SECRET_KEY.encode(), f"trial:{mailbox}".encode(), hashlib.sha256).hexdigest()
