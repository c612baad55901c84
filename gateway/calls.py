"""Opens a call with its hold, and closes it with its settlement; the two moments a call touches the ledger.

Promise: nothing is sent upstream before the hold and the departure are committed, and no answer is complete before its
charge is. A long stream holds its first ``STEP_OUTPUT`` tokens and more as it goes, so that a large limit never locks
away what it may not use. A call is closed once, whoever tries first; what nobody can price or settle is given back in
full and told. Whatever becomes of the caller, the hold's end carries the call's rows with it.
"""

import logging
import time
from datetime import UTC, datetime

from asgiref.sync import sync_to_async
from django.db import DatabaseError, IntegrityError

from billing.commit import Busy, Committer
from billing.leases import Lease
from billing.money import ceil_ratio, dollars
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
from billing.pricing import Bounds, Charge, OutOfRange, Unpriced, affordable_output, ceiling
from gateway import idempotency, pace, recovery, rows
from gateway.callers import ViewIsStale
from gateway.callid import CallIds
from gateway.catalog import Priced, Serving
from gateway.charging import is_exact, offered, priced, tokens_held, tokens_used
from gateway.errors import (
    AccountInDebt,
    GatewayError,
    InsufficientCredits,
    InvalidRequest,
    KeyBudgetExceeded,
    NotAllowed,
    TooLarge,
    Unavailable,
)
from gateway.fair_billing import Rule
from gateway.limits import Admission, Limiter
from gateway.models.calls import CallState
from gateway.records import Closed, End, OpenCall, Plea, Try

LEAST_OUTPUT = 16  # an answer shorter than this is not worth starting
STEP_OUTPUT = 4_096  # so much of a stream's answer is held at a time
FIRST_EXTENSION = 1_000  # numbers of the ledger's steps: further attempts count from 2, extensions from here

ABANDONED = End(CallState.FAILED, 499, Rule.CLIENT_LEFT_BEFORE_ANSWER, "client_left")
BROKEN = End(CallState.FAILED, 500, Rule.FAILED_FREE, "server_error")

log = logging.getLogger(__name__)


class Desk:
    """Opens and closes the calls of one process."""

    def __init__(self, *, committer: Committer, limiter: Limiter, lease: Lease) -> None:
        self._committer = committer
        self._limiter = limiter
        self._lease = lease
        self._ids = CallIds(lambda: lease.process_id)

    async def open(self, plea: Plea, priced: Priced, first: Serving) -> OpenCall:
        """Pass the limits and hold the money; the departure of the first attempt is in the same transaction."""
        now = datetime.now(UTC)
        bounds = plea.bounds(now)
        limit, covered, whole, most, least = _wanted(plea, priced, bounds)
        call_id = self._ids.new()
        admission = await self._admit(plea, call_id, bounds)
        call = OpenCall(call_id, plea, priced, admission, now, time.monotonic(), 0, limit, covered, bounds)
        try:
            verdict = await self._committer.submit(self._reserve(call, first, least, most))
            _take(call, _granted(verdict, plea, least))
        except IntegrityError as error:  # the idempotency key was taken in the meantime, by whoever came first
            await self._limiter.settle(admission, tokens=0)
            if plea.claim is None:
                raise
            raise idempotency.Taken from error
        except Busy as error:
            await self._limiter.settle(admission, tokens=0)
            raise Unavailable("The books are busy; try again in a moment.", retry_after_s=1) from error
        except BaseException:
            await self._limiter.settle(admission, tokens=0)
            raise
        try:
            if call.held_nano < most or most < whole:
                call.output_limit = call.covered_output = self._shortened(call)
        except GatewayError as error:
            await self.close(call, End(CallState.FAILED, error.status, Rule.FAILED_FREE, error.code))
            raise
        except Exception:
            await self.close(call, BROKEN)
            raise
        return call

    async def depart_again(self, call: OpenCall, serving: Serving, priced: Priced) -> None:
        """Write down that a further attempt leaves; the hold and the price stay as they are, the cost is its own."""
        departure = self._departure(call, serving, priced)
        step = len(call.tries)
        operation = Extend(call.id, call.plea.caller.organization, step, 0, 0, riders=(departure,))
        try:
            verdict = await self._committer.submit(operation)
        except IntegrityError:  # written already, by a try whose answer was lost
            return
        if not isinstance(verdict, Granted):
            raise Unavailable("This call has ended.")

    async def extend(self, call: OpenCall) -> None:
        """Hold enough for the next step of a long answer, or say why not."""
        plea = call.plea
        farthest = min(call.covered_output + STEP_OUTPUT, call.output_limit)
        nearest = min(call.covered_output + LEAST_OUTPUT, call.output_limit)
        most, tokens = _missing(call, farthest)
        least = min(most, _missing(call, nearest)[0])
        step = FIRST_EXTENSION + call.extensions
        call.extensions += 1
        try:
            verdict = await self._committer.submit(
                Extend(call.id, plea.caller.organization, step, least, most, tokens=offered(plea, tokens))
            )
        except (Busy, DatabaseError) as error:
            raise Unavailable("The books could not be asked for more of this answer.") from error
        granted = _granted(verdict, plea, least)
        _take(call, granted)
        reached = farthest if granted.granted_nano >= most else min(farthest, self._affordable(call) or 0)
        if call.grant_tokens and reached <= call.covered_output:
            raise InsufficientCredits("Your free tokens and credit end here. Top up your credit to go on.")
        call.covered_output = max(call.covered_output, reached)

    async def close(self, call: OpenCall, end: End) -> Closed:
        """Charge what was used and free the rest; a second time returns the first answer."""
        if call.closed is not None:
            return call.closed
        made = priced(call, end.measured)
        riders = (*rows.ended(call, end, made), *idempotency.answered(call.plea.claim, call.id, end))
        organization = call.plea.caller.organization
        operation: Release | Settle
        if made is None or made.charge_nano == 0:
            operation = Release(call.id, organization, riders=riders)
        else:
            exact = is_exact(end.measured, made)
            reference = f"call:{call.id}"
            tokens = offered(call.plea, tokens_used(made))
            operation = Settle(call.id, organization, made.charge_nano, exact, tokens, reference, riders)
        closed = _settled(call, await self._ended(operation), made)
        if call.closed is None:
            used = end.measured.usage.tokens if end.measured is not None else 0
            await self._limiter.settle(call.admission, tokens=used)  # a second time is harmless
            call.closed = closed
        return call.closed

    async def _ended(self, operation: Release | Settle) -> object:
        """End the hold. A call that was written off as lost while this process slept is written anew."""
        try:
            return await self._committer.submit(operation)
        except IntegrityError:
            return await sync_to_async(recovery.close_late, thread_sensitive=False)(operation)

    async def _admit(self, plea: Plea, call_id: int, bounds: Bounds) -> Admission:
        tokens = bounds.input_tokens + bounds.output_tokens
        return await pace.passed(self._limiter, plea.caller, call=str(call_id), tokens=tokens)

    def _reserve(self, call: OpenCall, first: Serving, least: int, most: int) -> Reserve:
        caller = call.plea.caller
        departure = self._departure(call, first, call.priced)
        return Reserve(
            hold_id=call.id,
            organization_id=caller.organization,
            process_id=self._lease.process_id,
            epoch=caller.epoch,
            minimum_nano=least,
            maximum_nano=most,
            tokens=offered(call.plea, tokens_held(_covered(call))),
            caps=caller.caps,
            riders=(departure, *idempotency.claimed(call.plea.claim, call.id)),
            if_abandoned=lambda: rows.ended(call, ABANDONED, None),
        )

    def _departure(self, call: OpenCall, serving: Serving, priced: Priced) -> Rider:
        attempt = Try(self._ids.new(), len(call.tries) + 1, serving, priced, datetime.now(UTC), time.monotonic())
        call.tries.append(attempt)
        return rows.departure(call, attempt)

    def _shortened(self, call: OpenCall) -> int:
        """How long an answer is covered by less than was asked for; tokens that end before it begins cover none."""
        affordable = self._affordable(call) or 0
        if call.grant_tokens and not affordable:
            raise InsufficientCredits("Your free tokens do not reach for this question. Top up your credit.")
        return affordable or 1

    def _affordable(self, call: OpenCall) -> int | None:
        plea = call.plea
        return affordable_output(
            available_nano=call.held_money_nano,
            granted_tokens=call.grant_tokens,
            bounds=plea.bounds(call.opened_at, call.output_limit),
            rates=call.priced.rates,
            modifiers=plea.caller.modifiers,
        )


def _covered(call: OpenCall) -> Bounds:
    """The most that an answer as long as the hold reaches for can use."""
    if call.covered_output == call.plea.output_limit:
        return call.bounds
    return call.plea.bounds(call.opened_at, call.covered_output)


def _wanted(plea: Plea, priced: Priced, bounds: Bounds) -> tuple[int, int, int, int, int]:
    """The output limit, how much of it the first hold covers, what that can cost, and the most and least to hold."""
    limit, cap = plea.output_limit, plea.max_cost_nano
    whole = _ceiling(bounds, priced, plea)
    if cap is not None and whole > cap:
        limit = (
            affordable_output(available_nano=cap, bounds=bounds, rates=priced.rates, modifiers=plea.caller.modifiers)
            or 1
        )
    covered = min(limit, STEP_OUTPUT) if plea.streamed else limit
    if covered != plea.output_limit:
        whole = _ceiling(bounds, priced, plea, covered)
    least = _ceiling(bounds, priced, plea, min(LEAST_OUTPUT, covered))
    most = whole if cap is None else min(whole, cap)
    return limit, covered, whole, most, min(least, most)


def _ceiling(bounds: Bounds, priced: Priced, plea: Plea, output_limit: int | None = None) -> int:
    if plea.free_rule is not None:
        return 0
    try:
        return ceiling(
            bounds=bounds, rates=priced.rates, modifiers=plea.caller.modifiers, max_output_tokens=output_limit
        )
    except OutOfRange as error:
        raise TooLarge("No account could hold what this could cost; ask for less.") from error
    except Unpriced as error:
        message = f"{plea.offer.slug!r} has no price for what this asks; leave 'service_tier' out."
        raise InvalidRequest(message, param="service_tier") from error


def _missing(call: OpenCall, output: int) -> tuple[int, int]:
    """What an answer of this length needs beyond what is held: in nano-USD, and the same in tokens.

    Tokens pay for their share of the whole price, whenever they were held.
    """
    bounds = call.plea.bounds(call.opened_at, output)
    price, tokens, money = _ceiling(bounds, call.priced, call.plea), tokens_held(bounds), call.held_money_nano
    if not tokens or price <= money:
        return max(0, price - call.held_nano), 0
    nano = ceil_ratio(price * max(0, tokens - call.grant_tokens), tokens) - money
    return max(0, nano), max(0, ceil_ratio(tokens * (price - money), price) - call.grant_tokens)


def _take(call: OpenCall, granted: Granted) -> None:
    call.held_nano += granted.granted_nano
    call.grant_tokens += granted.tokens
    call.grant_nano += granted.tokens_nano


def _granted(verdict: object, plea: Plea, least: int) -> Granted:
    match verdict:
        case Granted():
            return verdict
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


def _settled(call: OpenCall, verdict: object, made: Charge | None) -> Closed:
    if made is None or made.charge_nano == 0:
        return Closed(0, 0, made.cost_nano if made else 0)
    if isinstance(verdict, Settled):
        return Closed(verdict.charged_nano, verdict.unrecovered_nano, made.cost_nano)
    if not isinstance(verdict, Ended):
        log.error("the ledger answered the settlement of call %s with %s", call.id, verdict)
    return Closed(0, made.charge_nano, made.cost_nano)
