"""What a provider says about money, in words every driver shares. Values only.

Promise: a fact repeats what the provider said and decides nothing; ``billing.settling`` weighs it against our order.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from billing.models.payments import ReversalState, Taken


class Came(StrEnum):
    """What became of an attempt to pay."""

    NOTHING = "nothing"  # a session that waits
    PROCESSING = "processing"
    PAID = "paid"
    FAILED = "failed"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Paid:
    """How an attempt to pay one of our orders stands.

    ``order_id`` is what our own order was called when the attempt began and is only a hint: the order is found by what
    we stored, and it decides. The four amounts are in the currency's smallest unit; an amount the provider did not
    break down is None. ``any_amount`` is for ways to pay where the sender decides how much arrives (a chain, a bank):
    then what came is credited, less or more than was asked.
    """

    came: Came
    livemode: bool
    currency: str
    order_id: str = ""
    session_id: str = ""
    payment_id: str = ""
    subtotal_minor: int | None = None
    discount_minor: int | None = None
    tax_minor: int | None = None
    total_minor: int = 0
    any_amount: bool = False
    customer_id: str = ""
    failure: str = ""
    origin: str = ""  # which way it was said; for the flight record


@dataclass(frozen=True, slots=True)
class TakenBack:
    """A refund or a dispute as the provider has it now. ``request_id`` names our own request, if there was one."""

    kind: Taken
    outside_id: str
    payment_id: str
    currency: str
    amount_minor: int
    state: ReversalState
    livemode: bool
    request_id: str = ""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """The news is not the whole story: ask the provider about this attempt and settle what it says."""

    payment_id: str = ""
    session_id: str = ""
    taken_minor: int = 0  # how much has gone back in all; if we know of as much, there is nothing to ask


Fact = Paid | TakenBack | Look


@dataclass(frozen=True, slots=True)
class Received:
    """A webhook whose signature held."""

    outside_id: str
    name: str
    livemode: bool


@dataclass(frozen=True, slots=True)
class Started:
    """An attempt to pay at the provider: where the customer goes, and until when."""

    session_id: str
    url: str
    expires_at: datetime | None = None
    payment_id: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """A card the provider keeps for us."""

    outside_id: str
    brand: str
    last_four: str
    expires: str
