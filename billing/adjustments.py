"""What operators give and take by hand, with a reason; above a limit only two people together can.

Promise: below the limit it is posted at once; above it nothing moves until somebody else has agreed, and nobody agrees
with themselves (the database refuses it, too). Taking never makes a debt: more than is unspent cannot be taken.
"""

from datetime import datetime

from django.conf import settings
from django.db import connection, transaction

from accounts import trail
from accounts.models import Organization
from billing import alarms, ledger, money, wallets
from billing.models import Adjustment
from billing.models.ledger import House, Kind
from billing.operations import BadOperation, Credit, Credited, Withdraw, Withdrawn
from plumbing.refusals import Refusal


class AdjustmentRefused(Refusal, ValueError):
    """It cannot be done; the sentence says why."""

    code = "adjustment_refused"


@transaction.atomic
def ask(
    organization: Organization,
    *,
    amount_nano: int,
    is_paid: bool,
    reason: str,
    source: trail.Source,
    now: datetime,
) -> Adjustment:
    """Give (or, below zero, take) credit: at once, or once a second person has agreed."""
    if not reason.strip():
        message = "Say why: a correction without a reason is refused."
        raise AdjustmentRefused(message)
    row = Adjustment(
        organization=organization,
        amount_nano=amount_nano,
        is_paid=is_paid,
        reason=reason[:200],
        asked_by=source.user,
        created_at=now,
    )
    row.full_clean(exclude=["asked_by"])
    row.save(force_insert=True)
    told = {"amount_nano": amount_nano, "paid": is_paid, "adjustment": row.public_id}
    trail.record("adjustment.asked", source=source, target=organization, after=told, reason=reason)
    if abs(amount_nano) <= limit_nano():
        _post(row, source, now)
    else:
        alarms.ring(
            "A correction waits for a second person",
            storefront=organization.storefront,
            sentence=f"{money.dollars(amount_nano)} for {organization}: {reason[:100]}",
            reference=row.public_id,
            key=row.public_id,
            now=now,
        )
    return row


def limit_nano() -> int:
    """Up to here one person is enough."""
    return int(settings.CREDIT_LIMIT_ALONE_NANO)


@transaction.atomic
def approve(row: Adjustment, *, source: trail.Source, reason: str, now: datetime) -> Adjustment:
    """A second person agrees, and it is posted."""
    fresh = _open(row)
    if source.user is None or fresh.asked_by_id == source.user.pk:
        message = "Somebody other than who asked for it has to agree."
        raise AdjustmentRefused(message)
    fresh.approved_by = source.user
    fresh.save(update_fields=["approved_by"])
    _post(fresh, source, now)
    return fresh


@transaction.atomic
def decline(row: Adjustment, *, source: trail.Source, reason: str, now: datetime) -> Adjustment:
    """It does not happen."""
    fresh = _open(row)
    fresh.declined_at, fresh.declined_by = now, source.user
    fresh.save(update_fields=["declined_at", "declined_by"])
    trail.record("adjustment.declined", source=source, target=fresh, organization=fresh.organization, reason=reason)
    return fresh


def _open(row: Adjustment) -> Adjustment:
    fresh: Adjustment = (
        Adjustment.unscoped.select_for_update(of=("self",)).select_related("organization__storefront").get(pk=row.pk)
    )
    if fresh.posted_at or fresh.declined_at:
        message = "This was decided already."
        raise AdjustmentRefused(message)
    return fresh


def _post(row: Adjustment, source: trail.Source, now: datetime) -> None:
    organization, taking = row.organization, row.amount_nano < 0
    wallets.open_for(organization)
    try:
        operation = _withdraw(row) if taking else _credit(row)
    except BadOperation as error:
        raise AdjustmentRefused(str(error)) from error
    [verdict] = ledger.apply(connection, [operation], now)
    if not isinstance(verdict, Withdrawn if taking else Credited):
        available = getattr(verdict, "available_nano", None)
        message = (
            f"The ledger refused: {getattr(verdict, 'why', verdict)}."
            if available is None
            else f"Only {money.dollars(available)} of paid credit is unspent, and taking never makes a debt."
        )
        raise AdjustmentRefused(message)
    row.posted_at = now
    row.save(update_fields=["posted_at"])
    after = {"amount_nano": row.amount_nano, "paid": row.is_paid, "transfer": row.public_id}
    name = "credit.taken" if taking else "credit.added"
    trail.record(name, source=source, target=organization, after=after, reason=row.reason)


def _credit(row: Adjustment) -> Credit:
    return Credit(
        uid=row.public_id,
        organization_id=row.organization_id,
        amount=row.amount_nano,
        kind=Kind.PAID if row.is_paid else Kind.PROMO,
        source=House.PAYMENTS if row.is_paid else House.PROMOTIONS,
        code="operator_credit",
        label="Credit from the operator",
        reference=row.public_id,
        reason=row.reason,
    )


def _withdraw(row: Adjustment) -> Withdraw:
    return Withdraw(
        uid=row.public_id,
        organization_id=row.organization_id,
        amount=-row.amount_nano,
        code="operator_debit",
        may_owe=False,
        reference=row.public_id,
        reason=row.reason,
    )
