"""Every organization's means: opened when it is announced, guarded by an epoch, credited by an operator with a reason.

Promise: an organization has a wallet from the transaction that made it; whatever changes what its calls may do bumps
the epoch in the same transaction, so a cached view is refused at the very next reserve.
"""

from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from accounts import trail
from accounts.models import Organization, Storefront
from accounts.models.organizations import Standing
from billing import ledger
from billing.models import Account, Wallet
from billing.models.ledger import NANO_USD, PRIORITIES, House, Kind
from billing.operations import BadOperation, Credit, Credited, Lapse, Posted
from plumbing.identifiers import new_id

SLICE = 100  # accounts in one transaction, so that no reserve waits long behind them


class CreditRefused(ValueError):
    """The ledger did not take the credit; the sentence says why."""


def on_organization_created(*, organization: Organization, **_: Any) -> None:
    """Accounts announced a new organization."""
    open_for(organization)


def on_access_changed(*, organization: Organization | None, **_: Any) -> None:
    """Accounts announced that what an organization's calls may do has changed. An operator's key has none."""
    if organization is not None:
        bump(organization)


@transaction.atomic
def open_for(organization: Organization) -> Wallet:
    """Open the wallet with its paid account and its (empty) debt; nothing happens if they exist."""
    wallet, made = Wallet.unscoped.get_or_create(
        organization=organization, defaults={"suspended": organization.standing != Standing.ACTIVE}
    )
    if made:
        now = timezone.now()
        Account.unscoped.bulk_create(
            Account(
                organization=organization, kind=kind, unit=NANO_USD, priority=PRIORITIES.get(kind, 0), created_at=now
            )
            for kind in (Kind.PAID, Kind.DEBT)
        )
    return wallet


@transaction.atomic
def bump(organization: Organization) -> None:
    """Make every cached view of this organization old."""
    wallet = Wallet.unscoped.filter(organization=organization)
    wallet.update(epoch=F("epoch") + 1)
    # Read when the wallet is ours: a suspension that was on its way while we waited for it must not be undone.
    standing = Organization.objects.values_list("standing", flat=True).get(pk=organization.pk)
    wallet.update(suspended=standing != Standing.ACTIVE)


@transaction.atomic
def bump_all(storefront: Storefront) -> int:
    """Make every cached view of a shop's customers old, in one go: what calls cost here is about to change.

    The wallets are locked in the order in which the ledger locks them, and held until the caller's transaction ends;
    that is rare: an experiment, the shop's own terms.
    """
    rows = Wallet.unscoped.filter(organization__storefront=storefront)
    locked = rows.order_by("organization_id").select_for_update(of=("self",)).values("pk")
    sum(1 for _ in locked.iterator())
    return rows.update(epoch=F("epoch") + 1)


@transaction.atomic
def credit(
    organization: Organization,
    amount_nano: int,
    reason: str,
    source: trail.Source,
    *,
    kind: Kind = Kind.PROMO,
    uid: str = "",
) -> Credited:
    """An operator gives credit. It is a gift that never becomes cash, unless ``kind`` says that it was paid for.

    ``uid`` makes a retry harmless; without one, each call is a credit of its own.
    """
    if not reason.strip():
        raise CreditRefused("Say why: a credit without a reason is refused.")
    open_for(organization)
    name = uid or new_id("adj")
    try:
        operation = Credit(
            uid=name,
            organization_id=organization.pk,
            amount=amount_nano,
            kind=kind,
            source=House.PAYMENTS if kind == Kind.PAID else House.PROMOTIONS,
            code="operator_credit",
            label="Credit from the operator",
            reason=reason[:200],
        )
    except BadOperation as error:
        raise CreditRefused(str(error)) from error
    [verdict] = ledger.apply(connection, [operation], timezone.now())
    if not isinstance(verdict, Credited):
        message = f"The ledger refused: {getattr(verdict, 'why', verdict)}."
        raise CreditRefused(message)
    if not verdict.repeated:
        trail.record(
            "credit.added",
            source=source,
            target=organization,
            after={"amount_nano": amount_nano, "kind": str(kind), "transfer": name},
            reason=reason,
        )
    return verdict


def lapse_expired(now: datetime) -> int:
    """Book what is left of grants whose time is over; what is held of them waits for its hold. Returns how many."""
    expired = Account.unscoped.filter(expires_at__lte=now, posted__gt=F("held")).order_by("pk")
    lapsed = last = 0
    while found := list(expired.filter(pk__gt=last).values_list("pk", "organization_id")[:SLICE]):
        with transaction.atomic():
            verdicts = ledger.apply(connection, [Lapse(account, organization) for account, organization in found], now)
        lapsed += sum(isinstance(verdict, Posted) for verdict in verdicts)
        last = found[-1][0]
    return lapsed
