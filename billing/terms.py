"""How a shop takes money: its terms for top-ups, and its own account with a payment company.

Promise: every change is one transaction with its audit event; a key is kept sealed, named in the trail by its last four
letters alone, and a shop without a webhook secret of its own is refused, because its webhooks could not be believed.
"""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts import access, trail
from accounts.models import Storefront
from billing.models import PaymentAccount, TopUpTerms
from billing.payments import currencies
from plumbing.refusals import Refusal

FIELDS = (
    *("currency", "nano_per_minor", "presets_minor", "minimum_minor", "maximum_minor"),
    *("collect_tax", "promotion_codes"),
)
SHORTEST_SECRET = 12


class BadAccount(Refusal, ValueError):
    """Not keys that could work."""

    status = 400
    code = "bad_payment_account"


@transaction.atomic
def set_terms(storefront: Storefront, *, source: trail.Source, reason: str = "", **changes: Any) -> TopUpTerms:
    """Change what a shop asks of a top-up; orders that have begun keep what they pinned."""
    row = TopUpTerms.objects.select_for_update().filter(storefront=storefront).first()
    row = row or TopUpTerms(storefront=storefront)
    before = {name: getattr(row, name) for name in changes}
    for name, value in changes.items():
        setattr(row, name, value)
    row.currency = row.currency.lower()
    currencies.places(row.currency)
    presets = row.presets_minor
    if not isinstance(presets, list) or not all(isinstance(amount, int) and amount > 0 for amount in presets):
        raise ValidationError({"presets_minor": "Write whole numbers of the smallest unit in brackets: [1000, 2500]."})
    row.full_clean()
    row.save()
    trail.record(
        "top_up_terms.changed",
        source=source,
        target=row,
        storefront=storefront,
        before=before,
        after=changes,
        reason=reason,
    )
    return row


@transaction.atomic
def open_account(
    storefront: Storefront,
    *,
    secret_key: str,
    webhook_secret: str,
    method: str = "stripe",
    source: trail.Source,
    reason: str = "",
) -> PaymentAccount:
    """Use keys of the shop's own from now on; those before it are switched off and kept for the orders they began."""
    secret_key, webhook_secret = secret_key.strip(), webhook_secret.strip()
    if not secret_key.startswith(("sk_", "rk_")) or len(secret_key) < SHORTEST_SECRET:
        message = "That is not a Stripe secret key (sk_... or rk_...)."
        raise BadAccount(message)
    if len(webhook_secret) < SHORTEST_SECRET or not webhook_secret.startswith("whsec_"):
        message = "A webhook secret begins with whsec_; without one, no webhook can be believed."
        raise BadAccount(message)
    PaymentAccount.objects.filter(storefront=storefront, method=method, is_active=True).update(is_active=False)
    row = PaymentAccount.objects.create(
        storefront=storefront,
        method=method,
        secret_key=secret_key,
        webhook_secrets=webhook_secret,
        last_four=secret_key[-4:],
    )
    trail.record("payment_account.opened", source=source, target=row, after={"last_four": row.last_four}, reason=reason)
    return row


@transaction.atomic
def close_account(row: PaymentAccount, *, source: trail.Source, reason: str) -> None:
    """Take no new payments with it."""
    if PaymentAccount.objects.filter(pk=row.pk, is_active=True).update(is_active=False):
        trail.record("payment_account.closed", source=source, target=row, reason=reason)


def webhook_address(storefront: Storefront, method: str = "stripe") -> str:
    """Where the provider is to knock."""
    return f"{access.canonical_base(storefront)}/webhooks/{method}/{storefront.public_id}"
