"""Money that came another way: a bank transfer, cash. An operator saw it and enters it, with the reference on it.

Promise: it is an order and a payment like any other, with the reference as the key of its credit, so that the same
transfer entered twice is credited once; a refund is what the operator says it was.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

from billing.models.payments import ReversalState, Taken
from billing.payments.driver import BadSignature, NotOffered, Order, ProviderAccount, RefundOrder
from billing.payments.facts import Card, Fact, Received, Started, TakenBack


class OperatorDriver:
    """Everything happens by hand."""

    slug = "operator"
    title = "Bank transfer or cash"

    def start(self, account: ProviderAccount, order: Order, *, now: datetime) -> Started:
        """Customers cannot begin one themselves."""
        raise NotOffered("A bank transfer is entered by the shop's staff when it has arrived.")

    def read(self, account: ProviderAccount, *, session_id: str, payment_id: str) -> list[Fact]:
        """Nobody knows more than the operator did."""
        return []

    def refund(self, account: ProviderAccount, refund: RefundOrder) -> list[Fact]:
        """The operator has sent, or will send, the money back; this is the note of it."""
        return [
            TakenBack(
                kind=Taken.REFUND,
                outside_id=refund.public_id,
                payment_id=refund.payment_id,
                currency="usd",
                amount_minor=refund.amount_minor,
                state=ReversalState.DONE,
                livemode=account.livemode,
                request_id=refund.public_id,
            )
        ]

    def recharge(self, account: ProviderAccount, order: Order) -> list[Fact]:
        """There is no card."""
        raise NotOffered("A bank transfer cannot recharge by itself.")

    def verify(self, account: ProviderAccount, *, headers: Mapping[str, str], body: bytes, now: datetime) -> Received:
        """Nobody sends webhooks for this."""
        raise BadSignature

    def read_webhook(self, account: ProviderAccount, body: bytes) -> list[Fact]:
        """As above."""
        return []

    def listed(self, account: ProviderAccount, *, since: datetime) -> Iterator[list[Fact]]:
        """Our own rows are the list."""
        return iter(())

    def new_customer(self, account: ProviderAccount, *, name: str, email: str, reference: str) -> str:
        """Nobody keeps customers for this."""
        raise NotOffered("There is no customer to keep for a bank transfer.")

    def cards(self, account: ProviderAccount, customer_id: str) -> list[Card]:
        """None."""
        return []

    def portal(self, account: ProviderAccount, customer_id: str, *, return_url: str) -> str:
        """None."""
        raise NotOffered("There are no cards to look at.")


DRIVER = OperatorDriver()
