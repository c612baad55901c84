"""Refunds: an operator gives paid money back, and hears what became of it.

Promise: a refund is at most what is unspent of what was paid; the credit is taken from the wallet in the transaction
that decides it, so it cannot be spent while the provider works. The provider is asked later, under the refund's own
name, as often as it takes: two clicks, two operators or a worker that dies make one refund. If the provider will not,
the credit comes back.
"""

from datetime import datetime

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from accounts import trail
from billing import alarms, flight, settling, topups
from billing.models import Account, Payment, Reversal
from billing.models.ledger import Kind
from billing.models.payments import TAKES, ReversalState, Taken
from billing.payments import registry
from billing.payments.driver import Declined, NotConfigured, RefundOrder
from plumbing import outbox
from plumbing.refusals import Refusal

TOPIC = "billing.refund"


class CannotRefund(Refusal):
    """There is not so much to give back."""

    code = "cannot_refund"


def refundable_minor(payment: Payment) -> int:
    """How much of what came could go back: not what went back already, and not what was spent."""
    taken = Reversal.objects.filter(payment=payment, state__in=TAKES).aggregate(total=Sum("amount_minor"))["total"] or 0
    left = payment.total_minor - taken
    paid = Account.objects.of(payment.organization).get(kind=Kind.PAID)
    unspent = min(paid.posted - paid.held, payment.credited_nano - payment.reversed_nano)
    if left <= 0 or not payment.credited_nano:
        return 0
    while left and settling.shared_nano(payment, left) > unspent:
        # What is unspent, in the currency's smallest unit, rounded down; a step is enough but for the tax's rounding.
        left = min(left - 1, unspent * payment.total_minor // payment.credited_nano)
    return max(left, 0)


@transaction.atomic
def ask(payment: Payment, *, amount_minor: int, source: trail.Source, reason: str, now: datetime) -> Reversal:
    """Take the credit back and queue the refund."""
    fresh = (
        Payment.unscoped.select_for_update(of=("self",))
        .select_related("top_up__organization__storefront")
        .get(pk=payment.pk)
    )
    if Reversal.objects.filter(payment=fresh, state=ReversalState.REQUESTED).exists():
        message = "A refund of this payment is on its way already; wait until the provider has answered."
        raise CannotRefund(message)
    most = refundable_minor(fresh)
    if not 0 < amount_minor <= most:
        message = f"At most {most} (in the smallest unit of {fresh.currency.upper()}) of this payment can go back."
        raise CannotRefund(message)
    row = Reversal.objects.create(
        method=fresh.method,
        account=fresh.account,
        kind=Taken.REFUND,
        payment_outside_id=fresh.outside_id,
        payment=fresh,
        currency=fresh.currency,
        amount_minor=amount_minor,
        state=ReversalState.REQUESTED,
        requested_by=source.user,
        reason=reason[:200],
        created_at=now,
        changed_at=now,
    )
    settling.bring_to_books(fresh, now)
    trail.record(
        "payment.refunded",
        source=source,
        target=fresh,
        organization=fresh.organization,
        after={"amount_minor": amount_minor, "currency": fresh.currency, "refund": row.public_id},
        reason=reason,
    )
    flight.record(
        flight.REQUEST, "refund asked for", now=now, top_up=fresh.top_up, outside_id=row.public_id, by=str(source.user)
    )
    outbox.add(topic=TOPIC, key=row.public_id)
    return row


@outbox.handles(TOPIC, tries=24)
def perform(message: outbox.Message) -> None:
    """Ask the provider; the same name asked twice is one refund, and from the second try on we look before we ask."""
    row = Reversal.objects.select_related("payment__top_up__organization__storefront").get(public_id=message.key)
    payment = row.payment
    assert payment is not None, "a refund that was asked for has its payment"
    if row.state != ReversalState.REQUESTED:
        return
    account = registry.account_named(payment.organization.storefront, row.method, row.account)
    if message.tries > 1:
        topups.read(account, session_id="", payment_id=row.payment_outside_id, now=timezone.now())
        row.refresh_from_db()
        if row.state != ReversalState.REQUESTED:
            return
    order = RefundOrder(row.public_id, row.payment_outside_id, row.amount_minor, row.reason)
    try:
        facts = registry.driver(row.method).refund(account, order)
    except (Declined, NotConfigured) as refusal:
        if isinstance(refusal, NotConfigured) and message.tries < 24:
            raise
        _give_up(row, payment, refusal.sentence)
        return
    with transaction.atomic():
        settling.apply(account, facts, now=timezone.now())


@transaction.atomic
def _give_up(row: Reversal, payment: Payment, sentence: str) -> None:
    now = timezone.now()
    locked = Payment.unscoped.select_for_update(of=("self",)).select_related("top_up__organization__storefront")
    payment = locked.get(pk=payment.pk)
    if not Reversal.objects.filter(pk=row.pk, state=ReversalState.REQUESTED).update(
        state=ReversalState.FAILED, failure=sentence[:200], changed_at=now
    ):
        return
    settling.bring_to_books(payment, now)
    flight.record(
        flight.REQUEST,
        "refund",
        now=now,
        top_up=payment.top_up,
        outside_id=row.public_id,
        outcome="refused",
        why=sentence,
    )
    alarms.ring(
        "A refund was refused by the provider",
        storefront=payment.organization.storefront,
        sentence=sentence,
        reference=payment.outside_id,
        key=row.public_id,
        now=now,
    )
