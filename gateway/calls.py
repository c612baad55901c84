"""Opens a call with its hold, and closes it with its settlement; the two moments a call touches the ledger.

Promise: nothing is sent upstream before the hold and the departure are committed, and no answer is complete before its
charge is. A call is closed once, whoever tries first; what nobody can price or settle is given back in full and told.
"""

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from billing.commit import Busy, Committer
from billing.leases import Lease
from billing.money import dollars
from billing.operations import (
    CapExceeded,
    Ended,
    Extend,
    Granted,
    InDebt,
    Insufficient,
    Release,
    Reserve,
    Rider,
    Settle,
    Settled,
    Stale,
    Suspended,
)
from billing.pricing import (
    Bounds,
    Charge,
    Circumstances,
    Line,
    OutOfRange,
    Unpriced,
    Usage,
    affordable_output,
    ceiling,
    charge,
)
from gateway import limits
from gateway.callers import Caller
from gateway.callid import CallIds
from gateway.catalog import Offer, Priced, Serving
from gateway.costs import cost_of
from gateway.errors import (
    AccountInDebt,
    InsufficientCredits,
    InvalidRequest,
    KeyBudgetExceeded,
    NotAllowed,
    RateLimited,
    TooLarge,
    Unavailable,
)
from gateway.limits import Admission, Limiter
from gateway.metering import Measured, Meter
from gateway.models.calls import CallState, UsageSource

LEAST_OUTPUT = 16  # an answer shorter than this is not worth starting
LONGEST_CALL = timedelta(seconds=900)

CALL_COLUMNS = (
    *("id", "organization_id", "api_key_id", "user_id", "created_at", "ended_at", "state", "endpoint", "streamed"),
    *("model_asked", "model_served", "provider", "plan_version_id", "card_version_id", "circumstances", "usage"),
    *("usage_source", "billing_rule", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"),
    *("hold_nano", "price_nano", "cost_nano", "latency_ms", "first_byte_ms", "status", "error"),
    *("finish", "country", "label", "request_id"),
)
ATTEMPT_COLUMNS = (
    *("id", "call_id", "organization_id", "number", "provider", "credential_id", "upstream_model", "started_at"),
    *("status", "error", "usage", "cost_nano", "first_byte_ms", "latency_ms", "upstream_request_id"),
)
DEPARTURE_COLUMNS = (
    *("id", "call_id", "organization_id", "api_key_id", "number", "model", "provider", "endpoint", "leaves_at"),
)

log = logging.getLogger(__name__)


class ViewIsStale(Exception):
    """The caller's view was read before something changed; read it again and come back."""


@dataclass(frozen=True, slots=True)
class Plea:
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
    lines: tuple[Line, ...] = ()  # what bytes do not bound
    free_rule: str = ""  # the rule by which this is free, whatever its model costs

    def bounds(self, at: datetime) -> Bounds:
        """The most this can use."""
        return Bounds(
            input_bytes=self.input_bytes,
            max_output_tokens=self.output_limit,
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
    started_at: datetime
    started: float
    status: int = 0
    error: str = ""
    first_byte_ms: int | None = None
    latency_ms: int | None = None
    upstream_request_id: str = ""
    priced: Priced | None = None  # by its own route, where that is not the one the price was made of
    meter: Meter | None = None
    is_unknown: bool = False  # it left, and nobody said what it used


@dataclass(slots=True)
class OpenCall:
    """A call whose money is held."""

    id: int
    plea: Plea
    priced: Priced
    admission: Admission
    opened_at: datetime
    started: float
    held_nano: int
    output_limit: int
    tries: list[Try] = field(default_factory=list)
    first_byte_ms: int | None = None
    closed: "Closed | None" = None


@dataclass(frozen=True, slots=True)
class Closed:
    """How a call ended, in money."""

    charged_nano: int
    unrecovered_nano: int
    cost_nano: int | None


@dataclass(frozen=True, slots=True)
class End:
    """How a call ended, in facts; ``measured`` None means that nothing was used."""

    state: CallState
    status: int
    rule: str
    error: str = ""
    measured: Measured | None = None


class Desk:
    """Opens and closes the calls of one process."""

    def __init__(self, *, committer: Committer, limiter: Limiter, lease: Lease) -> None:
        self._committer = committer
        self._limiter = limiter
        self._lease = lease
        self._ids = CallIds(lease.process_id)

    async def open(self, plea: Plea, priced: Priced, first: Serving) -> OpenCall:
        """Pass the limits and hold the money; the departure of the first attempt is in the same transaction."""
        now = datetime.now(UTC)
        bounds = plea.bounds(now)
        modifiers = plea.caller.modifiers
        most = _capped(plea, _ceiling(bounds, priced, plea))
        least = min(most, _ceiling(_shortened(bounds, min(LEAST_OUTPUT, plea.output_limit)), priced, plea))
        call_id = self._ids.new()
        admission = await self._admit(plea, call_id, bounds)
        opened = OpenCall(call_id, plea, priced, admission, now, time.monotonic(), 0, plea.output_limit)
        departure = self._departure(opened, first)
        try:
            verdict = await self._committer.submit(
                Reserve(
                    hold_id=call_id,
                    organization_id=plea.caller.organization,
                    process_id=self._lease.process_id,
                    epoch=plea.caller.epoch,
                    minimum_nano=least,
                    maximum_nano=most,
                    caps=plea.caller.caps,
                    riders=(departure,),
                )
            )
            opened.held_nano = _granted(verdict, plea, least)
        except Busy as error:
            await self._limiter.settle(admission, tokens=0)
            raise Unavailable("The books are busy; try again in a moment.", retry_after_s=1) from error
        except BaseException:
            await self._limiter.settle(admission, tokens=0)
            raise
        if opened.held_nano < most or most < _ceiling(bounds, priced, plea):
            affordable = affordable_output(
                available_nano=opened.held_nano, bounds=bounds, rates=priced.rates, modifiers=modifiers
            )
            opened.output_limit = affordable or 1
        return opened

    async def depart_again(self, call: OpenCall, serving: Serving) -> None:
        """Write down that a further attempt leaves; the hold stays as it is."""
        verdict = await self._committer.submit(
            Extend(
                hold_id=call.id,
                organization_id=call.plea.caller.organization,
                step=len(call.tries) + 1,
                minimum_nano=0,
                maximum_nano=0,
                riders=(self._departure(call, serving),),
            )
        )
        if not isinstance(verdict, Granted):
            raise Unavailable("This call has ended.")

    async def close(self, call: OpenCall, end: End) -> Closed:
        """Charge what was used and free the rest; a second time returns the first answer."""
        if call.closed is not None:
            return call.closed
        made = _priced(call, end.measured)
        riders = (
            Rider("gateway_call", CALL_COLUMNS, [_call_row(call, end, made)]),
            Rider("gateway_attempt", ATTEMPT_COLUMNS, [_attempt_row(call, one, end, made) for one in call.tries]),
        )
        organization = call.plea.caller.organization
        if made is None or made.charge_nano == 0:
            await self._committer.submit(Release(call.id, organization, riders=riders))
            call.closed = Closed(0, 0, made.cost_nano if made else 0)
        else:
            exact = end.measured is not None and end.measured.source == "reported"
            verdict = await self._committer.submit(
                Settle(call.id, organization, made.charge_nano, exact, reference=f"call:{call.id}", riders=riders)
            )
            call.closed = _settled(call, verdict, made)
        used = sum(line.quantity for line in _lines(end.measured) if line.is_tokens)
        await self._limiter.settle(call.admission, tokens=used)
        return call.closed

    async def _admit(self, plea: Plea, call_id: int, bounds: Bounds) -> Admission:
        admission = await self._limiter.admit(
            hash_tag=f"org:{plea.caller.organization}",
            scopes=plea.caller.scopes,
            call=str(call_id),
            tokens=bounds.input_tokens + bounds.output_tokens,
        )
        if not admission.admitted:
            message = f"This goes over the limit of {admission.refused_by}; come back in {admission.retry_after_s} s."
            refused = RateLimited(message, retry_after_s=admission.retry_after_s)
            refused.headers = tuple(limits.told(admission))
            raise refused
        return admission

    def _departure(self, call: OpenCall, serving: Serving) -> Rider:
        attempt = Try(self._ids.new(), len(call.tries) + 1, serving, datetime.now(UTC), time.monotonic())
        call.tries.append(attempt)
        caller = call.plea.caller
        row = (
            *(attempt.id, call.id, caller.organization, caller.key, attempt.number),
            *(call.plea.offer.slug, serving.provider, call.plea.endpoint, attempt.started_at),
        )
        return Rider("gateway_departure", DEPARTURE_COLUMNS, [row])


def _shortened(bounds: Bounds, output: int) -> Bounds:
    return replace(bounds, max_output_tokens=output)


def _ceiling(bounds: Bounds, priced: Priced, plea: Plea) -> int:
    if plea.free_rule:
        return 0
    try:
        return ceiling(bounds=bounds, rates=priced.rates, modifiers=plea.caller.modifiers)
    except OutOfRange as error:
        raise TooLarge("No account could hold what this could cost; ask for less.") from error
    except Unpriced as error:
        message = f"{plea.offer.slug!r} has no price for what this asks; leave 'service_tier' out."
        raise InvalidRequest(message, param="service_tier") from error


def _capped(plea: Plea, most: int) -> int:
    return most if plea.max_cost_nano is None else min(most, plea.max_cost_nano)


def _granted(verdict: object, plea: Plea, least: int) -> int:
    match verdict:
        case Granted(granted_nano=granted):
            return granted
        case Stale():
            raise ViewIsStale
        case Insufficient(available_nano=available):
            message = (
                f"This call can cost {dollars(least)} at least, and {dollars(available)} is available."
                " Top up your credit, or ask for less."
            )
            raise InsufficientCredits(message)
        case CapExceeded(scope_kind=kind, window=window, limit_nano=limit):
            message = f"The {window} budget of this {kind}, {dollars(limit)}, leaves no room for this call."
            raise KeyBudgetExceeded(message)
        case InDebt(debt_nano=debt):
            message = f"A payment was taken back after it was spent; {dollars(debt)} must be settled first."
            raise AccountInDebt(message)
        case Suspended():
            raise NotAllowed("This organization is suspended; write to support.")
    log.error("the ledger answered a reserve of %s with %s", plea.caller.organization, verdict)
    raise Unavailable("The books could not take this call; try again.")


def _settled(call: OpenCall, verdict: object, made: Charge) -> Closed:
    if isinstance(verdict, Settled):
        return Closed(verdict.charged_nano, verdict.unrecovered_nano, made.cost_nano)
    if not isinstance(verdict, Ended):
        log.error("the ledger answered the settlement of call %s with %s", call.id, verdict)
    return Closed(0, made.charge_nano, made.cost_nano)


def _lines(measured: Measured | None) -> Sequence[Line]:
    return () if measured is None else measured.usage.lines


def _priced(call: OpenCall, measured: Measured | None) -> Charge | None:
    """Price what was measured; a line without a price is told and left out, never a reason to give all away."""
    if measured is None:
        return None
    lines = measured.usage.lines
    circumstances = _circumstances(call)
    try:
        return charge(usage=measured.usage, rates=call.priced.rates, circumstances=circumstances)
    except (Unpriced, OutOfRange) as error:
        log.error("call %s cannot be priced in full: %s", call.id, error)  # noqa: TRY400 - the sentence is the story
    known = [line for line in lines if _has_price(line, call, circumstances)]
    return charge(usage=Usage(tuple(known)), rates=call.priced.rates, circumstances=circumstances)


def _has_price(line: Line, call: OpenCall, circumstances: Circumstances) -> bool:
    try:
        charge(usage=Usage((line,)), rates=call.priced.rates, circumstances=circumstances)
    except (Unpriced, OutOfRange):
        return False
    return True


def _circumstances(call: OpenCall) -> Circumstances:
    plea = call.plea
    return Circumstances(at=call.opened_at, service_tier=plea.service_tier, modifiers=plea.caller.modifiers)


# --- Rows -------------------------------------------------------------------------------------------------------------


def _call_row(call: OpenCall, end: End, made: Charge | None) -> tuple[object, ...]:
    plea, caller, last = call.plea, call.plea.caller, call.tries[-1]
    lines = _lines(end.measured)
    return (
        *(call.id, caller.organization, caller.key, caller.user, call.opened_at, datetime.now(UTC)),
        *(end.state.value, plea.endpoint, plea.streamed, plea.offer.slug, plea.offer.served_as or plea.offer.slug),
        *(last.serving.provider, call.priced.plan_version, call.priced.card_version),
        *(json.dumps(_circumstances(call).to_json()), json.dumps(made.usage.to_json() if made else [])),
        *(_source(end.measured), end.rule),
        *(_tokens(lines, "input"), _tokens(lines, "input", cache="read")),
        *(_tokens(lines, "output"), _tokens(lines, "output", modality="reasoning")),
        *(call.held_nano, made.charge_nano if made else 0, _whole_cost(call, end, made)),
        *(_since(call.started), call.first_byte_ms, end.status, _kept(end.error, 60)),
        *(_kept(end.measured.finish or "", 40) if end.measured else "", plea.country, plea.label, plea.request_id),
    )


def _attempt_row(call: OpenCall, one: Try, end: End, made: Charge | None) -> tuple[object, ...]:
    measured = _measured_by(call, one, end)
    usage = measured.usage.to_json() if measured is not None else []
    return (
        *(one.id, call.id, call.plea.caller.organization, one.number, one.serving.provider, one.serving.credential),
        *(one.serving.upstream_model, one.started_at, one.status, _kept(one.error, 60), json.dumps(usage)),
        *(_cost(call, one, end, made), one.first_byte_ms, one.latency_ms),
        _kept(one.upstream_request_id, 120),
    )


def _measured_by(call: OpenCall, one: Try, end: End) -> Measured | None:
    """What an attempt used: as charged, or, where nothing was charged for it, as its provider reported all the same."""
    if one is call.tries[-1] and end.measured is not None:
        return end.measured
    return one.meter.measured() if one.meter is not None and one.meter.tally is not None else None


def _cost(call: OpenCall, one: Try, end: End, made: Charge | None) -> int | None:
    """What an attempt cost us; the usual one, served by the route that made the price, has been computed already."""
    measured = _measured_by(call, one, end)
    if measured is None:
        return None if one.is_unknown else 0
    if one.priced is None and measured is end.measured and made is not None and measured.cost_usd is None:
        return made.cost_nano
    return cost_of(measured, (one.priced or call.priced).rates, _circumstances(call))


def _whole_cost(call: OpenCall, end: End, made: Charge | None) -> int | None:
    """All attempts together, as far as their cost is known; None when that of the answer itself is not."""
    costs = [_cost(call, one, end, made) for one in call.tries]
    return None if costs[-1] is None else sum(cost for cost in costs if cost is not None)


def _kept(text: str, longest: int) -> str:
    """What a provider said, as a row can keep it: a text no database takes must not stop a settlement."""
    return "".join(character for character in text if character.isprintable())[:longest]


def _source(measured: Measured | None) -> str:
    if measured is None:
        return UsageSource.NONE.value
    return UsageSource.REPORTED.value if measured.source == "reported" else UsageSource.ESTIMATED.value


def _tokens(lines: Sequence[Line], direction: str, *, cache: str = "", modality: str = "") -> int:
    return sum(
        line.quantity
        for line in lines
        if line.bucket.direction == direction
        and line.is_tokens
        and cache in {"", line.bucket.cache}
        and modality in {"", line.bucket.modality}
    )


def _since(started: float) -> int:
    return int((time.monotonic() - started) * 1000)
