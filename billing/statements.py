"""What an organization has, and how it came to that: read only.

Promise: the balance shown is what can be spent, never below zero; a debt stands beside it under its own name. Every
line of the history is one transfer of the ledger, with the words a customer understands.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet, Sum

from accounts.models import Organization
from billing.models import Account, Payment, Transfer
from billing.models.ledger import NANO_USD, Kind
from billing.payments import currencies

WORDS = {
    "top_up": "Top-up",
    "promotion": "Promotional credit",
    "refund": "Refund",
    "dispute": "Disputed payment",
    "dispute_won": "Disputed payment, returned",
    "refund_undone": "Refund that did not go through",
    "dispute_undone": "Dispute that was withdrawn",
    "debt_repaid": "Debt settled",
    "operator_credit": "Credit from the shop",
    "operator_debit": "Correction by the shop",
    "code_redeemed": "Redemption code",
    "trial": "Trial",
    "grant_expired": "Credit that lapsed",
    "usage": "Usage",
    "late_usage": "Usage",
}
NOT_USAGE = tuple(code for code in WORDS if code not in {"usage", "late_usage"})


@dataclass(frozen=True, slots=True)
class Grant:
    """One heap of credit."""

    kind: str
    label: str
    unit: str
    available: int
    expires_at: datetime | None
    held: int = 0


@dataclass(frozen=True, slots=True)
class Balance:
    """What there is now."""

    available_nano: int
    held_nano: int
    debt_nano: int
    paid_nano: int
    grants: tuple[Grant, ...]
    heaps: tuple[Grant, ...] = ()  # everything there is, paid credit too, in the order in which calls use it

    @property
    def gifts_nano(self) -> int:
        """Of what is available: what nobody paid for with money."""
        return self.available_nano - self.paid_nano


def balance(organization: Organization, *, now: datetime) -> Balance:
    """Read it from the accounts."""
    living = Q(expires_at=None) | Q(expires_at__gt=now)
    accounts = sorted(Account.objects.of(organization).filter(living), key=_burn_order)
    money = [account for account in accounts if account.unit == NANO_USD and account.kind != Kind.DEBT]
    heaps = tuple(_heap(account) for account in accounts if account.kind != Kind.DEBT and account.posted)
    return Balance(
        available_nano=sum(account.posted - account.held for account in money),
        held_nano=sum(account.held for account in money),
        debt_nano=sum(account.posted for account in accounts if account.kind == Kind.DEBT),
        paid_nano=sum(account.posted - account.held for account in money if account.kind == Kind.PAID),
        grants=tuple(heap for heap in heaps if heap.kind != Kind.PAID),
        heaps=heaps,
    )


def _burn_order(account: Account) -> tuple[Any, ...]:
    """As the ledger draws: by kind, then what ends first, then what came first."""
    expires_at = account.expires_at
    return (account.priority, expires_at is None, expires_at.timestamp() if expires_at else 0, account.pk)


def _heap(account: Account) -> Grant:
    left = account.posted - account.held
    return Grant(account.kind, account.label, account.unit, left, account.expires_at, account.held)


def history(organization: Organization) -> "QuerySet[Any]":
    """Every movement but usage, newest first; usage has pages of its own.

    A charge belongs to a hold and nothing else does, so this reads an index that passes by every charge.
    """
    rows: QuerySet[Any] = (
        Transfer.objects.of(organization)
        .filter(hold__isnull=True, code__in=NOT_USAGE)
        .select_related("debit", "credit")
        .order_by("-id")
    )
    return rows


def signed(transfer: Transfer) -> int:
    """What a movement did to what the organization has: more or less, in the transfer's unit."""
    return (
        transfer.amount if transfer.credit.organization_id and transfer.credit.kind != Kind.DEBT else -transfer.amount
    )


def words(transfer: Transfer) -> str:
    """What a customer calls it."""
    return WORDS.get(transfer.code, "Other")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a receipt."""

    text: str
    amount: str


def receipt_lines(payment: Payment) -> Sequence[Line]:
    """What was bought, what was given, the tax, and what was paid."""
    code = payment.currency

    def money(amount: int) -> str:
        return currencies.text(amount, code)

    subtotal = payment.total_minor - payment.tax_minor + payment.discount_minor
    lines = [Line("Prepaid credit", money(subtotal))]
    if payment.discount_minor:
        lines.append(Line("Discount", money(-payment.discount_minor)))
    if payment.tax_minor:
        lines.append(Line("Tax", money(payment.tax_minor)))
    lines.append(Line("Paid", money(payment.total_minor)))
    if gone := returned_minor(payment):
        lines.append(Line("Refunded", money(-gone)))
    return lines


def returned_minor(payment: Payment) -> int:
    """How much of it has gone back for good."""
    done = payment.reversals.filter(state__in=("done", "lost")).aggregate(total=Sum("amount_minor"))
    return min(int(done["total"] or 0), payment.total_minor)
