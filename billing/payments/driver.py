"""A way to pay is a driver: one file here, one line in the registry, and no change anywhere else.

Promise: a driver translates. It turns our order into the provider's request and the provider's words into facts
(``billing.payments.facts``); it touches no row, no ledger and no transaction, and it decides nothing about credit.
Every method takes the account it speaks for, so one driver serves all storefronts. All of them may block on the
network: they run on a worker or in a request's own thread, never inside a database transaction.

How the next drivers fit, without a change elsewhere:

- **Confirmation comes later** (a chain, a bank, a voucher shop): ``start`` returns a session with its address and the
  moment it expires; the webhook's facts say ``Came.PROCESSING`` until the configured depth, then ``Came.PAID``. A
  driver that has no webhooks lists its payments in ``listed``, and the reconciler finds them.
- **The sender decides how much comes** (under- and over-payment): the fact says ``any_amount=True`` with what settled
  in ``total_minor``, in the smallest unit of the order's own currency; that is credited at the order's pinned rate,
  never the amount of the invoice. Several payments of one order are several facts with several ``payment_id``, each
  credited once. Another asset, network or contract is another ``currency`` ("usdc-base"): it meets the mismatch queue.
- **Expiry and late payment**: ``Came.EXPIRED`` closes the order for the customer, and a later ``Came.PAID`` is credited
  all the same, because money that came is never lost; the rate is the one the order pinned when it began.
- **A confirmation that is undone** (a reorganised chain, a Stars refund): a ``TakenBack`` with the amount; what is
  already spent becomes a debt.
- **Questions that must be answered at once** (Telegram's pre-checkout query): ``verify`` raises ``AnswerNow`` with the
  body to answer; what it may say comes from ``billing.topups.may_still_pay``.
- **What a driver cannot do** (refund on a chain, recharge without a card) raises ``NotOffered``, and the page of the
  operator or customer does not offer it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from billing.payments.facts import Card, Fact, Received, Started
from plumbing.refusals import Refusal


class NotOffered(Refusal):
    """The way to pay cannot do that."""

    code = "not_offered"


class NotConfigured(Refusal):
    """The way to pay is not set up here, or may not be used now."""

    status = 503
    code = "payments_not_configured"


class Declined(Refusal):
    """The provider refuses this request, and will again. ``needs_person``: the customer could still agree."""

    status = 402
    code = "payment_declined"

    def __init__(self, sentence: str, *, needs_person: bool = False, facts: tuple[Fact, ...] = ()) -> None:
        super().__init__(sentence)
        self.needs_person, self.facts = needs_person, facts


class Unreachable(Refusal):
    """The provider did not answer, or not in a way that says what happened. Asking again with the same name is safe."""

    status = 502
    code = "payment_provider_unreachable"


class BadSignature(Exception):
    """The webhook was not signed by this account's provider, or not just now."""


class AnswerNow(Exception):
    """The provider asks and waits; nothing is stored, this is the answer."""

    def __init__(self, body: bytes, content_type: str = "application/json") -> None:
        super().__init__("answered at once")
        self.body, self.content_type = body, content_type


@dataclass(frozen=True, slots=True)
class ProviderAccount:
    """An account with a provider, ready to be used. ``name`` is ``platform`` or the id of a storefront's own row."""

    method: str
    name: str
    storefront_id: int
    secret_key: str
    webhook_secrets: tuple[str, ...]
    livemode: bool
    sandbox: bool
    api_base: str = ""
    webhook_url: str = ""  # set where we tell the provider ourselves where to knock: at our own sandbox

    def __repr__(self) -> str:
        return f"<{self.method} account {self.name}>"  # nothing that a log should not hold


@dataclass(frozen=True, slots=True)
class Order:
    """What a driver needs of one of our orders."""

    public_id: str
    currency: str
    amount_minor: int
    description: str
    customer_id: str = ""
    email: str = ""
    success_url: str = ""
    cancel_url: str = ""
    with_tax: bool = False
    with_promotions: bool = False
    save_card: bool = False
    card_id: str = ""


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """What a driver needs to give money back. ``public_id`` is the name under which it may ask twice."""

    public_id: str
    payment_id: str
    amount_minor: int
    reason: str


class Driver(Protocol):
    """What every way to pay can be asked."""

    slug: str
    title: str

    def start(self, account: ProviderAccount, order: Order, *, now: datetime) -> Started:
        """Begin an attempt to pay. The same order asked again gives the same attempt."""

    def read(self, account: ProviderAccount, *, session_id: str, payment_id: str) -> list[Fact]:
        """Everything the provider knows about one attempt now: the payment, and all that was taken back of it."""

    def refund(self, account: ProviderAccount, refund: RefundOrder) -> list[Fact]:
        """Give money back. The same refund asked again is the same refund."""

    def recharge(self, account: ProviderAccount, order: Order) -> list[Fact]:
        """Charge the saved card while nobody is there, or raise ``Declined``."""

    def verify(self, account: ProviderAccount, *, headers: Mapping[str, str], body: bytes, now: datetime) -> Received:
        """Believe the raw bytes of a webhook, or raise ``BadSignature``."""

    def read_webhook(self, account: ProviderAccount, body: bytes) -> list[Fact]:
        """What a believed webhook says."""

    def listed(self, account: ProviderAccount, *, since: datetime) -> Iterator[list[Fact]]:
        """The facts of every payment the provider has known since then, payment by payment."""

    def new_customer(self, account: ProviderAccount, *, name: str, email: str, reference: str) -> str:
        """Make the organization known to the provider; the same reference is the same customer."""

    def cards(self, account: ProviderAccount, customer_id: str) -> list[Card]:
        """The cards this customer left."""

    def portal(self, account: ProviderAccount, customer_id: str, *, return_url: str) -> str:
        """Where the customer sees and removes cards."""
