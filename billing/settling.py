"""What a provider says happened, weighed against our own order, and moved in the ledger exactly once.

Promise: credit comes from our order and is given only if the provider's account, mode, currency, status and every
amount agree with it; whatever does not fit goes to the mismatch queue and moves nothing. Facts may come twice, late,
in any order and from several sources at once: all orders of the same facts leave the same balances, because each fact
only adds to what is known of a payment, and the ledger is then brought to what the known demands.

Callers bring the transaction. The order's row is locked first, then its payment's, then (by the ledger) the wallet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Sum

from billing import flight, ledger, mismatches, wallets
from billing.models import InboxEvent, Payment, PaymentCustomer, Reversal, TopUp, Transfer
from billing.models.ledger import House, Kind
from billing.models.payments import RANK, REVERSAL_RANK, TAKES, Origin, ReversalState, State, Taken
from billing.operations import DONE, Credit, Operation, Withdraw
from billing.payments.driver import ProviderAccount
from billing.payments.facts import Came, Fact, Look, Paid, TakenBack
from plumbing import outbox
from plumbing.identifiers import new_id

LOOK = "billing.look"
PAID = "billing.paid"
TAKEN = "billing.taken"
STATES = {
    Came.PROCESSING: State.PROCESSING,
    Came.FAILED: State.FAILED,
    Came.EXPIRED: State.EXPIRED,
}
# What several facts come to, in one word: the first of these that applies.
CREDITED, REVERSED, MISMATCHED, NOTED, IGNORED = "credited", "reversed", "mismatch", "noted", "ignored"
WEIGHT = (MISMATCHED, CREDITED, REVERSED, NOTED, IGNORED)


class LedgerRefused(RuntimeError):
    """The ledger would not take what a payment demands: nothing was written, and somebody has to look."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where facts come from and when."""

    account: ProviderAccount
    now: datetime
    event: InboxEvent | None = None

    @property
    def source(self) -> str:
        """A name for this hearing, for keys that must not repeat."""
        return self.event.outside_id if self.event else new_id("chk")


def apply(account: ProviderAccount, facts: Sequence[Fact], *, now: datetime, event: InboxEvent | None = None) -> str:
    """Settle these facts in the caller's transaction; return what they came to, in a word."""
    scene = Scene(account, now, event)
    outcomes = {_settle(scene, fact) for fact in facts} or {IGNORED}
    return next(word for word in WEIGHT if word in outcomes)


def _settle(scene: Scene, fact: Fact) -> str:
    if isinstance(fact, Paid):
        _one_at_a_time(scene.account, fact.payment_id or fact.session_id)
        return _paid(scene, fact)
    if isinstance(fact, TakenBack):
        _one_at_a_time(scene.account, fact.payment_id)
        return _taken_back(scene, fact)
    return _look(scene, fact)


def _one_at_a_time(account: ProviderAccount, payment_id: str) -> None:
    """A payment and its refund that arrive in the same moment must see each other; neither has a row to lock yet.

    SQLite's immediate transactions queue by themselves.
    """
    if connection.vendor == "postgresql":
        name = f"{account.method}:{account.name}:{payment_id}"
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])


# --- Payments ---------------------------------------------------------------------------------------------------------


def _paid(scene: Scene, fact: Paid) -> str:
    order = _order_of(scene.account, fact)
    if order is None:
        if fact.order_id.startswith("top_") and fact.came == Came.PAID:
            return _mismatch(scene, fact, None, "order", "Money came for an order we do not have.", {}, {})
        return IGNORED  # the account has other business than ours
    flight.record(
        flight.WEBHOOK if scene.event else flight.CHECK,
        fact.origin or "payment",
        now=scene.now,
        top_up=order,
        outside_id=fact.payment_id or fact.session_id,
        outcome=fact.came,
        total_minor=fact.total_minor,
        currency=fact.currency,
    )
    trouble = _trouble(scene, order, fact)
    if trouble is not None:
        return _mismatch(scene, fact, order, *trouble)
    _adopt(order, fact)
    if fact.came != Came.PAID:
        return _unpaid(scene, order, fact)
    if fact.subtotal_minor is None and not fact.any_amount and (order.with_tax or order.with_promotions):
        # An intent does not say how much of it is tax or was given; the session does.
        return _look(scene, Look(payment_id=fact.payment_id, session_id=order.session_id or ""))
    return _credit(scene, order, fact)


def _order_of(account: ProviderAccount, fact: Paid) -> TopUp | None:
    """Our order: by what we stored, else by the name it had when it began (which then has to agree)."""
    orders = TopUp.unscoped.select_for_update(of=("self",)).select_related("organization__storefront")
    here = orders.filter(method=account.method, account=account.name)
    found = here.filter(session_id=fact.session_id).first() if fact.session_id else None
    if found is None and fact.order_id:
        found = orders.filter(public_id=fact.order_id).first()
    if found is None and fact.payment_id:
        found = here.filter(payment_id=fact.payment_id).first()
    return found


Trouble = tuple[str, str, dict[str, Any], dict[str, Any]]


def _trouble(scene: Scene, order: TopUp, fact: Paid) -> Trouble | None:
    """The first thing in which the provider's word and our order differ."""
    account = scene.account
    same = {
        "account": ((order.method, order.account), (account.method, account.name)),
        "mode": ((order.livemode, account.livemode), (fact.livemode, fact.livemode)),
        "order": (order.public_id, fact.order_id or order.public_id),
        "session": (order.session_id or fact.session_id, fact.session_id or order.session_id or ""),
        "currency": (order.currency, fact.currency.lower() or order.currency),
    }
    for what, (expected, found) in same.items():
        if expected != found:
            return (what, f"The {what} is not the one of our order.", {what: expected}, {what: found})
    return _wrong_amount(order, fact) if fact.came == Came.PAID else None


def _wrong_amount(order: TopUp, fact: Paid) -> Trouble | None:
    if fact.total_minor and not fact.payment_id:
        return ("payment", "Money came without the provider's number for it.", {}, {"total_minor": fact.total_minor})
    if fact.any_amount:
        return None if fact.total_minor > 0 else ("amount", "Nothing came.", {}, {"total_minor": fact.total_minor})
    if fact.subtotal_minor is None:
        if order.with_tax or order.with_promotions or fact.total_minor == order.amount_minor:
            return None
        found = {"total_minor": fact.total_minor}
        return ("amount", "Another amount came than our order is for.", {"total_minor": order.amount_minor}, found)
    discount, tax = fact.discount_minor or 0, fact.tax_minor or 0
    adds_up = fact.total_minor == fact.subtotal_minor - discount + tax
    allowed = (order.with_promotions or not discount) and (order.with_tax or not tax)
    if fact.subtotal_minor == order.amount_minor and 0 <= discount <= order.amount_minor and tax >= 0:
        if adds_up and allowed:
            return None
        sentence = "The amounts do not add up." if allowed else "A discount or tax came that our order does not allow."
    else:
        sentence = "Another amount came than our order is for."
    found = {"subtotal": fact.subtotal_minor, "discount": discount, "tax": tax, "total": fact.total_minor}
    return ("amount", sentence, {"subtotal": order.amount_minor}, found)


def _adopt(order: TopUp, fact: Paid) -> None:
    """Keep the provider's numbers, if whoever asked for them died before it could."""
    changed = []
    for name, value in (("session_id", fact.session_id), ("payment_id", fact.payment_id)):
        if value and not getattr(order, name):
            setattr(order, name, value)
            changed.append(name)
    if changed:
        order.save(update_fields=changed)
    if fact.customer_id:
        known = {"organization": order.organization, "method": order.method, "account": order.account}
        if (
            not PaymentCustomer.objects.of(order.organization)
            .filter(method=order.method, account=order.account)
            .exists()
        ):
            PaymentCustomer.unscoped.get_or_create(
                method=order.method, account=order.account, outside_id=fact.customer_id, defaults=known
            )


def _unpaid(scene: Scene, order: TopUp, fact: Paid) -> str:
    state = STATES.get(fact.came)
    tries_again = order.origin == Origin.CHECKOUT and not fact.session_id  # a declined card; the page is still open
    if state is None or (tries_again and state == State.FAILED):
        return NOTED
    advance(order, state, now=scene.now, failure=fact.failure)
    return NOTED


def advance(order: TopUp, state: State, *, now: datetime, failure: str = "") -> bool:
    """Move an order on; what is older news than what we know changes nothing."""
    if RANK[state] <= RANK[State(order.state)]:
        return False
    flight.record(flight.STATE, f"{order.state} -> {state}", now=now, top_up=order, outcome=state, why=failure)
    order.state, order.failure = state, failure[:200]
    fields = ["state", "failure"]
    if state == State.PAID:
        order.paid_at, order.failure = now, ""
        fields.append("paid_at")
    order.save(update_fields=fields)
    return True


def _credit(scene: Scene, order: TopUp, fact: Paid) -> str:
    """One payment, one credit: cash without tax, and what was given as a gift of its own that never becomes cash."""
    outside_id = fact.payment_id or fact.session_id
    known = Payment.unscoped.filter(method=order.method, account=order.account, outside_id=outside_id).first()
    if known is not None:
        if known.top_up_id == order.pk:
            return NOTED
        found = {"payment": outside_id}
        return _mismatch(scene, fact, order, "payment", "This payment was credited to another order.", {}, found)
    tax, discount = fact.tax_minor or 0, fact.discount_minor or 0
    payment = Payment(
        organization=order.organization,
        top_up=order,
        method=order.method,
        account=order.account,
        outside_id=outside_id,
        currency=order.currency,
        total_minor=fact.total_minor,
        tax_minor=tax,
        discount_minor=discount,
        credited_nano=(fact.total_minor - tax) * order.nano_per_minor,
        promo_nano=discount * order.nano_per_minor,
        sandbox=order.sandbox,
        created_at=scene.now,
    )
    payment.transfer_uid = f"pay:{payment.public_id}"
    payment.save(force_insert=True)
    _post(order, _credits(order, payment), scene.now)
    advance(order, State.PAID, now=scene.now)
    if order.sandbox:
        wallets.bump(order.organization)  # from now on this organization calls sandbox models only
    outbox.add(topic=PAID, key=payment.public_id, payload={"payment": payment.pk})
    waiting = Reversal.objects.filter(
        method=order.method, account=order.account, payment_outside_id=outside_id, payment=None
    )
    if waiting.update(payment=payment):
        bring_to_books(payment, scene.now)
    return CREDITED


def _credits(order: TopUp, payment: Payment) -> list[Operation]:
    operations: list[Operation] = []
    common: dict[str, Any] = {"organization_id": order.organization_id, "reference": payment.public_id}
    if payment.credited_nano:
        operations.append(
            Credit(uid=payment.transfer_uid, amount=payment.credited_nano, label="Top-up", code="top_up", **common)
        )
    if payment.promo_nano:
        operations.append(
            Credit(
                uid=f"{payment.transfer_uid}:promo",
                amount=payment.promo_nano,
                kind=Kind.PROMO,
                source=House.PROMOTIONS,
                label="Promotion",
                code="promotion",
                **common,
            )
        )
    return operations


def _post(order: TopUp, operations: Sequence[Operation], now: datetime) -> None:
    for operation, verdict in zip(operations, ledger.apply(connection, operations, now), strict=True):
        if not isinstance(verdict, DONE):
            message = f"{operation} was answered with {verdict}"
            raise LedgerRefused(message)
        flight.record(
            flight.TRANSFER,
            getattr(operation, "code", ""),
            now=now,
            top_up=order,
            outside_id=getattr(operation, "uid", ""),
            outcome="repeated" if verdict.repeated else "posted",
            amount_nano=getattr(operation, "amount", 0),
        )


# --- Refunds and disputes ---------------------------------------------------------------------------------------------


def _taken_back(scene: Scene, fact: TakenBack) -> str:
    account = scene.account
    if fact.livemode != account.livemode:
        sentence = "A refund or dispute came in another mode than this account's."
        return _mismatch(scene, fact, None, "mode", sentence, {"live": account.livemode}, {"live": fact.livemode})
    here = {"method": account.method, "account": account.name}
    payment = (
        Payment.unscoped.select_for_update(of=("self",))
        .select_related("top_up__organization__storefront")
        .filter(**here, outside_id=fact.payment_id)
        .first()
    )
    if payment is not None and payment.currency != fact.currency.lower():
        found, expected = {"currency": fact.currency}, {"currency": payment.currency}
        sentence = "Money went back in another currency than it came in."
        return _mismatch(scene, fact, payment.top_up, "currency", sentence, expected, found)
    row = _known_reversal(here, fact)
    if row is None:
        row = _new_reversal(here, fact, payment, scene.now)
    elif not _learn(row, fact, scene.now):
        return NOTED
    if payment is None:
        return NOTED  # its payment may still come; until then there is nothing to take back from
    flight.record(
        flight.WEBHOOK if scene.event else flight.CHECK,
        f"{row.kind} {row.state}",
        now=scene.now,
        top_up=payment.top_up,
        outside_id=fact.outside_id,
        outcome=row.state,
        amount_minor=row.amount_minor,
    )
    bring_to_books(payment, scene.now)
    outbox.add(topic=TAKEN, key=f"{row.public_id}:{row.state}", payload={"reversal": row.pk})
    return REVERSED


def _known_reversal(here: dict[str, str], fact: TakenBack) -> Reversal | None:
    rows = Reversal.objects.select_for_update().filter(**here, payment_outside_id=fact.payment_id)
    found = rows.filter(outside_id=fact.outside_id).first()
    if found is None and fact.request_id:
        found = rows.filter(public_id=fact.request_id, outside_id=None).first()
    return found


def _new_reversal(here: dict[str, str], fact: TakenBack, payment: Payment | None, now: datetime) -> Reversal:
    return Reversal.objects.create(
        **here,
        kind=fact.kind,
        outside_id=fact.outside_id,
        payment_outside_id=fact.payment_id,
        payment=payment,
        currency=fact.currency.lower(),
        amount_minor=fact.amount_minor,
        state=fact.state,
        failure=fact.failure,
        created_at=now,
        changed_at=now,
    )


def _learn(row: Reversal, fact: TakenBack, now: datetime) -> bool:
    """Take in what is new; False if nothing is."""
    newer = REVERSAL_RANK[fact.state] > REVERSAL_RANK[ReversalState(row.state)]
    if not newer and row.outside_id == fact.outside_id:
        return False
    row.outside_id, row.changed_at = fact.outside_id, now
    if newer:
        row.state, row.amount_minor, row.failure = fact.state, fact.amount_minor, fact.failure
    row.save(update_fields=["outside_id", "changed_at", "state", "amount_minor", "failure"])
    return True


def bring_to_books(payment: Payment, now: datetime) -> None:
    """Make the ledger hold back exactly what the provider holds back of this payment, and never more than it credited.

    Each row's share is fixed by all rows together, in the order of the provider's numbers, so it does not matter in
    which order they came. What is given back is given before more is taken.
    """
    rows = list(Reversal.objects.filter(payment=payment).order_by("outside_id", "public_id"))
    wanted: dict[int, int] = {}
    for row in rows:
        share = shared_nano(payment, row.amount_minor) if row.state in TAKES else 0
        wanted[row.pk] = min(share, payment.credited_nano - sum(wanted.values()))
    before = _uids(payment, rows)
    gives = [
        _return(payment, row, row.posted_nano - wanted[row.pk]) for row in rows if row.posted_nano > wanted[row.pk]
    ]
    _post(payment.top_up, gives, now)
    sources = _sources(payment, [*before, *(give.uid for give in gives)])
    for row in rows:
        if row.posted_nano < wanted[row.pk]:
            _post(payment.top_up, _withdrawals(payment, row, wanted[row.pk] - row.posted_nano, sources), now)
    for row in rows:
        if row.posted_nano != wanted[row.pk]:
            row.posted_nano, row.postings = wanted[row.pk], row.postings + 1
            row.save(update_fields=["posted_nano", "postings"])
    payment.reversed_nano = sum(wanted.values())
    payment.save(update_fields=["reversed_nano"])


def shared_nano(payment: Payment, amount_minor: int) -> int:
    """What an amount of the payment (tax and all) was worth in credit; the whole payment is the whole credit."""
    if not payment.total_minor:
        return 0
    return payment.credited_nano * min(amount_minor, payment.total_minor) // payment.total_minor


def _uids(payment: Payment, rows: Sequence[Reversal]) -> list[str]:
    """Every transfer that ever brought money of this payment."""
    return [payment.transfer_uid, *(_uid(row, place) for row in rows for place in range(1, row.postings + 1))]


def _uid(row: Reversal, place: int) -> str:
    return f"{row.public_id}:{place}"


def _return(payment: Payment, row: Reversal, amount: int) -> Credit:
    won = row.state == ReversalState.WON
    return Credit(
        uid=_uid(row, row.postings + 1),
        organization_id=payment.organization_id,
        amount=amount,
        code="dispute_won" if won else f"{row.kind}_undone",
        reference=payment.public_id,
    )


def _sources(payment: Payment, uids: Sequence[str]) -> dict[str, int]:
    """How much of each transfer that brought this payment's money is not yet reversed, oldest first."""
    found = (
        Transfer.objects.of(payment.organization)
        .filter(uid__in=uids, credit__kind=Kind.PAID)
        .annotate(gone=Sum("reversals__amount"))
        .order_by("id")
    )
    return {transfer.uid: transfer.amount - (transfer.gone or 0) for transfer in found}


def _withdrawals(payment: Payment, row: Reversal, amount: int, sources: dict[str, int]) -> list[Withdraw]:
    """Take it back from what brought it; money that had come back after a won dispute is a source of its own."""
    taken: list[Withdraw] = []
    for source, left in sources.items():
        part = min(amount, left)
        if not part:
            continue
        suffix = f".{len(taken)}" if taken else ""
        taken.append(
            Withdraw(
                uid=_uid(row, row.postings + 1) + suffix,
                organization_id=payment.organization_id,
                amount=part,
                code=row.kind,
                may_owe=True,
                reverses=source,
                reference=payment.public_id,
            )
        )
        sources[source] -= part
        amount -= part
    if amount:
        message = f"{payment} has nothing left to take {amount} back from"
        raise LedgerRefused(message)
    return taken


# --- The rest ---------------------------------------------------------------------------------------------------------


def _look(scene: Scene, look: Look) -> str:
    """Ask the provider after this transaction, unless what we know already explains what it said."""
    account = scene.account
    if look.taken_minor:
        known = Reversal.objects.filter(
            method=account.method, account=account.name, kind=Taken.REFUND, payment_outside_id=look.payment_id
        ).exclude(state__in=(ReversalState.FAILED, ReversalState.CANCELED))
        if (known.aggregate(total=Sum("amount_minor"))["total"] or 0) >= look.taken_minor:
            return NOTED
    if not (look.payment_id or look.session_id):
        return IGNORED
    outbox.add(
        topic=LOOK,
        key=f"{look.session_id or look.payment_id}:{scene.source}"[:200],
        payload={
            "method": account.method,
            "account": account.name,
            "storefront": account.storefront_id,
            "session": look.session_id,
            "payment": look.payment_id,
        },
    )
    return NOTED


def _mismatch(
    scene: Scene,
    fact: Paid | TakenBack,
    order: TopUp | None,
    what: str,
    sentence: str,
    expected: dict[str, Any],
    found: dict[str, Any],
) -> str:
    outside_id = fact.outside_id if isinstance(fact, TakenBack) else (fact.payment_id or fact.session_id)
    mismatches.note(
        what=what,
        sentence=sentence,
        outside_id=outside_id,
        account=scene.account,
        top_up=order,
        event=scene.event,
        expected=expected,
        found=found,
        now=scene.now,
    )
    return MISMATCHED
