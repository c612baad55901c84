"""A call while it happens: what was asked, what is held, each wire request, and how it ended. Values, no deeds."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from msgspec import Struct

from billing.pricing import Bounds, Line
from gateway.callers import Caller
from gateway.catalog import Offer, Priced, Serving
from gateway.errors import GatewayError
from gateway.fair_billing import Rule
from gateway.idempotency import Claim
from gateway.limits import Admission
from gateway.metering import Measured, Meter
from gateway.models.calls import CallState

LONGEST_CALL = timedelta(seconds=900)


class Plea(Struct, frozen=True):
    """What a client asks for, as far as money and rows are concerned."""

    caller: Caller
    offer: Offer
    endpoint: str
    streamed: bool
    input_bytes: int
    messages: int
    output_limit: int
    answers: int = 1
    service_tier: str | None = None
    max_cost_nano: int | None = None
    request_id: str = ""
    country: str = ""
    label: str = ""
    claim: Claim | None = None
    lines: tuple[Line, ...] = ()  # what bytes do not bound
    free_rule: Rule | None = None  # the rule by which this is free, whatever its model costs

    def bounds(self, at: datetime, output_limit: int | None = None) -> Bounds:
        """The most this can use, with its own output limit or another."""
        return Bounds(
            input_bytes=self.input_bytes,
            max_output_tokens=self.output_limit if output_limit is None else output_limit,
            messages=self.messages,
            n=self.answers,
            lines=self.lines,
            service_tier=self.service_tier,
            at=at,
            until=at + LONGEST_CALL,
        )


@dataclass(slots=True)
class Try:
    """One wire request, while it happens and after."""

    id: int
    number: int
    serving: Serving
    priced: Priced
    started_at: datetime
    started: float
    status: int = 0
    error: str = ""
    first_byte_ms: int | None = None
    latency_ms: int | None = None
    upstream_request_id: str = ""
    meter: Meter | None = None
    is_unknown: bool = False  # it left, and nobody said what it used


@dataclass(slots=True)
class OpenCall:
    """A call whose money is held.

    ``covered_output`` is how long an answer the hold reaches for; a long stream's grows in steps towards its
    ``output_limit``. Of what is held, ``grant_tokens`` are tokens of grants, worth ``grant_nano``.
    """

    id: int
    plea: Plea
    priced: Priced
    admission: Admission
    opened_at: datetime
    started: float
    held_nano: int
    output_limit: int
    covered_output: int
    bounds: Bounds
    tries: list[Try] = field(default_factory=list)
    extensions: int = 0
    grant_tokens: int = 0
    grant_nano: int = 0
    first_byte_ms: int | None = None
    client_left: bool = False
    stopped: GatewayError | None = None
    closed: "Closed | None" = None

    def bounds_now(self) -> Bounds:
        """The most this can use within the output limit it was granted."""
        if self.output_limit == self.plea.output_limit:
            return self.bounds
        return self.plea.bounds(self.opened_at, self.output_limit)

    @property
    def held_money_nano(self) -> int:
        """What is held in money."""
        return self.held_nano - self.grant_nano


class Closed(Struct, frozen=True):
    """How a call ended, in money."""

    charged_nano: int
    unrecovered_nano: int
    cost_nano: int | None


class End(Struct, frozen=True):
    """How a call ended, in facts; ``measured`` None means that nothing was used.

    ``answer`` is the whole answer, for an organization that lets us keep what its idempotency keys were answered.
    """

    state: CallState
    status: int
    rule: Rule
    error: str = ""
    measured: Measured | None = None
    answer: bytes | None = None
