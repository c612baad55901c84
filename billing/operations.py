"""The ledger's vocabulary: what it can be asked to do, and what it answers. Values only; no database, no rule.

Promise: an operation that exists is well formed (whole numbers, in range), so the ledger never meets a broken one in
the middle of a batch. Amounts named ``*_nano`` are integer nano-USD.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from accounts.models.bounds import LARGEST_NANO
from billing.models.ledger import NANO_USD, PRIORITIES, House, Kind, Outcome, Window

LARGEST_ID = 2**63 - 1
SURROGATE = re.compile("[\ud800-\udfff]")
WINDOWS = tuple(Window.values)


class BadOperation(ValueError):
    """An operation that makes no sense: not a whole number, out of range, or missing its name."""


class Cap(NamedTuple):
    """A bound on what one scope (a key, a member, an organization) spends in a window of the calendar (UTC)."""

    scope_kind: str
    scope_id: int
    window: str
    limit_nano: int


class Tokens(NamedTuple):
    """The same work counted in another unit, so that grants in that unit may pay for it (or for a part)."""

    unit: str
    amount: int


class Rider(NamedTuple):
    """Rows of somebody else's table, inserted in the same transaction if, and only if, the operation succeeds."""

    table: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]


def _whole(name: str, value: int, least: int = 0, most: int = LARGEST_NANO) -> None:
    if type(value) is not int or not least <= value <= most:
        message = f"{name} must be a whole number from {least} to {most}, not {value!r}"
        raise BadOperation(message)


def _known(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        message = f"{name} must be one of {', '.join(choices)}, not {value!r}"
        raise BadOperation(message)


def _named(name: str, value: str, longest: int) -> None:
    if not 0 < len(value) <= longest or "\x00" in value or SURROGATE.search(value):
        message = f"{name} must have 1 to {longest} characters, none of them NUL or half a character"
        raise BadOperation(message)


def _told(operation: "Settle | Credit | Withdraw | Post") -> None:
    """What a database could not keep is found before a batch is made of it."""
    for name, longest in (("reference", 120), ("reason", 200), ("label", 120)):
        if value := getattr(operation, name, ""):
            _named(name, value, longest)


def _ids(operation: "HoldOperation | Credit | Withdraw | Lapse") -> None:
    """A number that no row can have would fail its whole batch on one engine and find nothing on the other."""
    for name in ("hold_id", "organization_id", "process_id", "account_id"):
        if hasattr(operation, name):
            _whole(name, getattr(operation, name), least=1, most=LARGEST_ID)


def _check_caps(caps: Sequence[Cap]) -> None:
    for scope_kind, scope_id, window, limit_nano in caps:
        _named("scope_kind", scope_kind, 16)
        _whole("scope_id", scope_id, most=LARGEST_ID)
        _known("window", window, WINDOWS)
        _whole("limit_nano", limit_nano)
    if len({cap[:3] for cap in caps}) != len(caps):
        raise BadOperation("a hold counts once in each of its caps; of two limits for one, name the lower")


def _house(name: str, kind: str) -> None:
    _named(name, kind, 20)
    if kind in Kind.values:
        message = f"{name} must be an account of the house, not a customer's {kind!r}"
        raise BadOperation(message)


def _check_tokens(tokens: Sequence[Tokens]) -> None:
    for unit, amount in tokens:
        _named("unit", unit, 80)
        _whole("tokens", amount, least=1)
        if unit == NANO_USD:
            raise BadOperation("money is not counted in tokens")


# --- Operations -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reserve:
    """Hold between ``minimum_nano`` and ``maximum_nano`` of an organization's means, as far as balance and caps go.

    ``if_abandoned`` says what rides with the release when whoever asked is gone before the answer.
    """

    hold_id: int
    organization_id: int
    process_id: int
    epoch: int
    minimum_nano: int
    maximum_nano: int
    tokens: tuple[Tokens, ...] = ()
    caps: tuple[Cap, ...] = ()
    riders: tuple[Rider, ...] = ()
    if_abandoned: Callable[[], tuple[Rider, ...]] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        _ids(self)
        _whole("epoch", self.epoch, most=LARGEST_ID)
        _whole("maximum_nano", self.maximum_nano)
        _whole("minimum_nano", self.minimum_nano, most=self.maximum_nano)
        if self.caps:
            _check_caps(self.caps)
        if self.tokens:
            _check_tokens(self.tokens)


@dataclass(frozen=True, slots=True)
class Extend:
    """Hold more for work that goes on. ``step`` counts from 1 and makes a retry harmless."""

    hold_id: int
    organization_id: int
    step: int
    minimum_nano: int
    maximum_nano: int
    tokens: tuple[Tokens, ...] = ()
    riders: tuple[Rider, ...] = ()

    def __post_init__(self) -> None:
        _ids(self)
        _whole("step", self.step, least=1, most=32_000)
        _whole("maximum_nano", self.maximum_nano)
        _whole("minimum_nano", self.minimum_nano, most=self.maximum_nano)
        if self.tokens:
            _check_tokens(self.tokens)


@dataclass(frozen=True, slots=True)
class Settle:
    """Charge for the work and free the rest.

    ``exact`` says that usage was reported and in range: then a charge above the hold takes what else is available
    within the caps, and what nobody can pay is booked as unrecovered. Otherwise the hold is the most it costs.
    """

    hold_id: int
    organization_id: int
    charge_nano: int
    exact: bool
    tokens: tuple[Tokens, ...] = ()
    reference: str = ""
    riders: tuple[Rider, ...] = ()

    def __post_init__(self) -> None:
        _ids(self)
        _whole("charge_nano", self.charge_nano)
        if self.tokens:
            _check_tokens(self.tokens)
        if self.reference:
            _told(self)


@dataclass(frozen=True, slots=True)
class Release:
    """Give everything back; ``outcome`` is ``expired`` when nobody came back for the hold."""

    hold_id: int
    organization_id: int
    outcome: Outcome = Outcome.RELEASED
    riders: tuple[Rider, ...] = ()

    def __post_init__(self) -> None:
        _ids(self)
        _known("outcome", self.outcome, (Outcome.RELEASED, Outcome.EXPIRED))


@dataclass(frozen=True, slots=True)
class Credit:
    """Give an organization money or tokens.

    Paid credit goes to its one paid account and repays debt first; any other kind opens a grant of its own. ``uid``
    names the cause outside (a payment, a voucher) and is credited once.
    """

    uid: str
    organization_id: int
    amount: int
    kind: Kind = Kind.PAID
    unit: str = NANO_USD
    value_nano: int | None = None
    expires_at: datetime | None = None
    label: str = ""
    source: str = House.PAYMENTS
    code: str = "top_up"
    reference: str = ""
    reason: str = ""
    riders: tuple[Rider, ...] = ()

    def __post_init__(self) -> None:
        _ids(self)
        _named("uid", self.uid, 100)
        _whole("amount", self.amount, least=1)
        _known("kind", self.kind, tuple(PRIORITIES))
        _named("unit", self.unit, 80)
        _named("code", self.code, 32)
        _house("source", self.source)
        _told(self)
        if self.unit == NANO_USD and self.value_nano not in {None, self.amount}:
            raise BadOperation("money is worth what it is")
        if self.unit != NANO_USD:
            _whole("value_nano", -1 if self.value_nano is None else self.value_nano)
        if self.kind == Kind.PAID and (self.unit != NANO_USD or self.expires_at is not None):
            raise BadOperation("paid credit is money and does not expire")
        if self.kind == Kind.PAID and self.source == House.PROMOTIONS:
            raise BadOperation("what was given away is a gift and never becomes cash")


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Take paid credit back: a refund, a dispute. What is already spent becomes a debt, or a refusal without one.

    ``reverses`` names the transfer that brought the money; all reversals of it together never exceed it.
    """

    uid: str
    organization_id: int
    amount: int
    code: str
    may_owe: bool
    to: str = House.PAYMENTS
    reverses: str = ""
    reference: str = ""
    reason: str = ""
    riders: tuple[Rider, ...] = ()

    def __post_init__(self) -> None:
        _ids(self)
        _named("uid", self.uid, 100)
        _whole("amount", self.amount, least=1)
        _named("code", self.code, 32)
        _house("to", self.to)
        _told(self)


@dataclass(frozen=True, slots=True)
class Lapse:
    """Book what is left, and not held, of a grant whose time is over."""

    account_id: int
    organization_id: int

    def __post_init__(self) -> None:
        _ids(self)


@dataclass(frozen=True, slots=True)
class Post:
    """Move an amount between two accounts of the house, such as the cost of a day's calls."""

    uid: str
    debit: str
    credit: str
    amount: int
    code: str
    unit: str = NANO_USD
    reference: str = ""
    reason: str = ""
    riders: tuple[Rider, ...] = ()

    def __post_init__(self) -> None:
        _named("uid", self.uid, 100)
        _whole("amount", self.amount, least=1)
        _named("code", self.code, 32)
        _house("debit", self.debit)
        _house("credit", self.credit)
        _named("unit", self.unit, 80)
        _told(self)
        if self.debit == self.credit:
            raise BadOperation("a posting is between two different accounts of the house")


HoldOperation = Reserve | Extend | Settle | Release
MoneyOperation = Credit | Withdraw | Lapse | Post
Operation = HoldOperation | MoneyOperation


# --- Verdicts ---------------------------------------------------------------------------------------------------------
# ``repeated`` says that the same operation had been done before; it is not part of the answer.


@dataclass(frozen=True, slots=True)
class Granted:
    """So much is held now (by this reserve or this extension); of it, so many tokens of grants, worth so much."""

    granted_nano: int
    repeated: bool = field(default=False, compare=False)
    tokens: int = field(default=0, compare=False)
    tokens_nano: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Settled:
    """So much was charged; ``late`` when the hold had already been given back."""

    charged_nano: int
    unrecovered_nano: int
    late: bool = False
    repeated: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Released:
    """Everything held was given back."""

    repeated: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Credited:
    """The grant or wallet that received it."""

    account_id: int
    repeated: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """So much came out of the wallet, so much is owed now."""

    taken_nano: int
    owed_nano: int
    repeated: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Posted:
    """Done; so much moved."""

    amount: int
    repeated: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Insufficient:
    """The balance does not reach: money that is available, and what of the work all means together could pay."""

    available_nano: int
    affordable_nano: int


@dataclass(frozen=True, slots=True)
class CapExceeded:
    """A cap leaves less room than the minimum."""

    scope_kind: str
    scope_id: int
    window: str
    limit_nano: int
    room_nano: int


@dataclass(frozen=True, slots=True)
class Stale:
    """The caller's view was read at an older epoch: reload and ask again."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Suspended:
    """The organization may not spend."""


@dataclass(frozen=True, slots=True)
class InDebt:
    """Nothing is lent while something is owed."""

    debt_nano: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The hold had already ended another way."""

    outcome: str


class Why(StrEnum):
    """What was wrong with an operation that can never succeed."""

    NO_WALLET = "the organization has no wallet"
    NO_ACCOUNT = "there is no such account of this organization"
    NO_HOLD = "there is no such hold of this organization"
    OTHER_HOLD = "the hold's number belongs to other work"
    OTHER_CAUSE = "the name belongs to another transfer"
    NO_ORIGINAL = "there is no such transfer of this organization to reverse"
    MORE_THAN_ORIGINAL = "reversals would exceed what they reverse"
    TOO_LARGE = "the total would not fit"


@dataclass(frozen=True, slots=True)
class Refused:
    """The operation names something that is not there, or not its own."""

    why: Why


Verdict = (
    Granted
    | Settled
    | Released
    | Credited
    | Withdrawn
    | Posted
    | Insufficient
    | CapExceeded
    | Stale
    | Suspended
    | InDebt
    | Ended
    | Refused
)
DONE = (Granted, Settled, Released, Credited, Withdrawn, Posted)
