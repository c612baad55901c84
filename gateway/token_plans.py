"""What plans that count in tokens say beside an answer: the customer's tokens, and a line in the log.

Promise: under such a plan (``flat_token``, ``adjusted_token``) a whole chat answer in OpenAI's words carries one more
member, ``gateway_usage``; every other answer keeps its bytes. How raw tokens became billed ones under
``adjusted_token`` is in the log of each call, in the words its operators know; ratios go nowhere else.
"""

from datetime import UTC, datetime
from typing import Any

import structlog

from accounts.models import Organization
from billing.pricing import Charge, Circumstances, OutOfRange, Unpriced, charge
from gateway import figures
from gateway.dialects.passing import rewritten
from gateway.metering import Measured
from gateway.records import Closed, End, OpenCall
from plumbing import readers

COUNTING = frozenset({"flat_token", "adjusted_token"})

log = structlog.get_logger(__name__)


def counts_tokens(call: OpenCall) -> bool:
    """Whether this call's plan counts in tokens."""
    return call.priced.rates.plan.method in COUNTING


async def with_usage(call: OpenCall, measured: Measured, closed: Closed, body: bytes) -> bytes:
    """A whole chat answer with what it took and what is left, in the plan's tokens."""
    made = _priced(call, measured)
    display = call.priced.rates.plan.display
    tokens = sum(line.quantity for line in measured.usage.lines if line.is_tokens)
    if made is not None and made.adjusted_tokens is not None:
        tokens = made.adjusted_tokens
    elif display.unit == "token":
        tokens = int(display.charge(closed.charged_nano))
    left = await readers.read(_left, call)
    usage = {
        "tokens_charged": tokens,
        "user_balance_after": figures.shown(display, left),
        "user_api_key": call.plea.caller.masked,
    }
    return rewritten(body, {"gateway_usage": usage})


def note(call: OpenCall, end: End) -> None:
    """Write down how raw tokens became billed ones, where a plan adjusts them."""
    if end.measured is None or call.priced.rates.plan.method != "adjusted_token":
        return
    made = _priced(call, end.measured)
    if made is not None and made.adjusted_tokens is not None:
        log.info("[Proxy] Token adjustment for billing:", **_adjustment(call, made))


def _adjustment(call: OpenCall, made: Charge) -> dict[str, Any]:
    raw, adjusted = {"input": 0, "output": 0}, {"input": 0, "output": 0}
    for line, count in zip(made.usage.lines, made.adjusted, strict=True):
        if count is not None:
            raw[line.bucket.direction] += line.quantity
            adjusted[line.bucket.direction] += count
    ratios = {
        direction: f"{adjusted[direction] / raw[direction]:.3f}" if raw[direction] else "0.000" for direction in raw
    }
    return {
        "userId": call.plea.caller.user,
        "model": call.plea.offer.slug,
        "provider": call.tries[-1].serving.provider,
        "rawInput": raw["input"],
        "rawOutput": raw["output"],
        "adjustedInput": adjusted["input"],
        "adjustedOutput": adjusted["output"],
        "totalAdjusted": made.adjusted_tokens,
        "inputRatio": ratios["input"],
        "outputRatio": ratios["output"],
    }


def _priced(call: OpenCall, measured: Measured) -> Charge | None:
    plea = call.plea
    circumstances = Circumstances(at=call.opened_at, service_tier=plea.service_tier, modifiers=plea.caller.modifiers)
    try:
        return charge(usage=measured.usage, rates=call.priced.rates, circumstances=circumstances)
    except (Unpriced, OutOfRange):
        return None  # the settlement has told this already


def _left(call: OpenCall) -> int:
    organization = Organization.objects.get(pk=call.plea.caller.organization)
    return figures.left_nano(organization, call.plea.caller.caps, now=datetime.now(UTC))
