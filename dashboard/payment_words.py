"""Payments in plain words: how a top-up stands, what became of a refund or a dispute, what a grant is counted in.

Promise: every state that a row can have has its sentence (a test holds that); a sentence says whether money moved.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from billing import units
from billing.models import Payment, Reversal, TopUp
from billing.models.ledger import NANO_USD, Kind
from billing.models.payments import ReversalState, State, Taken
from billing.payments import currencies

TOP_UPS: dict[str, tuple[str, str, str]] = {  # a short name, the colour, what it means
    State.STARTED: ("Being prepared", "", "The payment page is being opened. Nothing was charged."),
    State.OPEN: ("Waiting for you", "warn", "The payment page is open. Nothing is charged until you pay there."),
    State.PROCESSING: ("On its way", "brand", "You paid; the bank takes a while. The credit comes with the money."),
    State.CANCELED: ("Canceled", "", "You gave up before paying. Nothing was charged."),
    State.EXPIRED: ("Ran out", "", "The payment page was open too long. Nothing was charged."),
    State.FAILED: ("Declined", "bad", "Nothing was charged."),
    State.PAID: ("Paid", "good", "The credit is in your balance."),
}
REFUNDS: dict[str, tuple[str, str, str]] = {
    ReversalState.REQUESTED: ("Refund under way", "brand", "The credit was taken back; the money is being sent."),
    ReversalState.INQUIRY: ("Refund asked about", "", "Nothing has moved."),
    ReversalState.PENDING: ("Refund under way", "brand", "The credit was taken back; the bank is sending the money."),
    ReversalState.DONE: ("Refunded", "good", "The money went back to where it came from."),
    ReversalState.LOST: ("Refunded", "good", "The money went back to where it came from."),
    ReversalState.CANCELED: ("Refund canceled", "", "The credit is in your balance again."),
    ReversalState.FAILED: ("Refund did not go through", "warn", "The credit is in your balance again."),
    ReversalState.WON: ("Refund withdrawn", "", "The credit is in your balance again."),
}
DISPUTES: dict[str, tuple[str, str, str]] = {
    ReversalState.REQUESTED: ("Disputed", "warn", "The credit is held back until the bank has decided."),
    ReversalState.INQUIRY: ("The bank has a question", "", "Your bank asked about this payment. Nothing has moved."),
    ReversalState.PENDING: ("Disputed", "warn", "The credit is held back until the bank has decided."),
    ReversalState.DONE: ("Dispute accepted", "good", "The bank gave the money back; the credit went with it."),
    ReversalState.LOST: ("Dispute accepted", "good", "The bank gave the money back; the credit went with it."),
    ReversalState.CANCELED: ("Dispute withdrawn", "", "The credit is in your balance again."),
    ReversalState.FAILED: ("Dispute ended", "", "The credit is in your balance again."),
    ReversalState.WON: ("Dispute declined", "", "The bank let the payment stand; the credit is in your balance again."),
}
KINDS: dict[str, str] = {
    Kind.PACKAGE: "Package",
    Kind.SUBSCRIPTION: "Subscription",
    Kind.TRIAL: "Trial",
    Kind.PROMO: "Gift",
    Kind.PAID: "Paid credit",
}


@dataclass(frozen=True, slots=True)
class Told:
    """A state as people are told it."""

    name: str
    kind: str
    sentence: str
    amount: str = ""


def of_top_up(order: TopUp) -> Told:
    """How a top-up stands; a refusal of the bank in the bank's own words."""
    name, kind, sentence = TOP_UPS[order.state]
    if order.failure and order.state != State.PAID:
        sentence = f"{order.failure.rstrip('.')}. {sentence}"
    return Told(name, kind, sentence, currencies.text(order.amount_minor, order.currency))


def of_reversal(row: Reversal) -> Told:
    """What became of a refund or a dispute."""
    name, kind, sentence = (DISPUTES if row.kind == Taken.DISPUTE else REFUNDS)[row.state]
    return Told(name, kind, sentence, currencies.text(row.amount_minor, row.currency))


def whole(order: TopUp, payments: Iterable[Payment]) -> list[Told]:
    """The top-up's state and everything that was taken back of it, newest last."""
    taken = [
        of_reversal(row) for payment in payments for row in sorted(payment.reversals.all(), key=lambda row: row.pk)
    ]
    return [of_top_up(order), *taken]


def unit(name: str) -> str:
    """What a grant is counted in."""
    if name == NANO_USD:
        return "USD"
    if name == units.ANY_MODEL:
        return "tokens of any model"
    of_one = name.removeprefix(f"{units.ANY_MODEL}:")
    return f"tokens of {of_one}" if of_one != name else name
