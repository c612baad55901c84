"""What the usage of one call is priced at: at its settlement, and by whoever recomputes it later from its row."""

import logging
from collections.abc import Sequence

from billing.pricing import Charge, Circumstances, Line, OutOfRange, Rates, Unpriced, Usage, charge
from gateway.metering import Measured
from gateway.records import OpenCall

log = logging.getLogger(__name__)


def lines_of(measured: Measured | None) -> Sequence[Line]:
    """What was used, line by line."""
    return () if measured is None else measured.usage.lines


def circumstances_of(call: OpenCall) -> Circumstances:
    """What the price depends on besides usage and rates; kept on the row."""
    plea = call.plea
    return Circumstances(at=call.opened_at, service_tier=plea.service_tier, modifiers=plea.caller.modifiers)


def priced(call: OpenCall, measured: Measured | None) -> Charge | None:
    """Price what was measured; a line without a price is told and left out, never a reason to give all away."""
    if measured is None:
        return None
    circumstances, rates = circumstances_of(call), call.priced.rates
    try:
        return charge(usage=measured.usage, rates=rates, circumstances=circumstances)
    except (Unpriced, OutOfRange) as error:
        log.error("call %s cannot be priced in full: %s", call.id, error)  # noqa: TRY400 - the sentence is the story
    known = [line for line in measured.usage.lines if _has_price(line, rates, circumstances)]
    return charge(usage=Usage(tuple(known)), rates=rates, circumstances=circumstances)


def _has_price(line: Line, rates: Rates, circumstances: Circumstances) -> bool:
    try:
        charge(usage=Usage((line,)), rates=rates, circumstances=circumstances)
    except (Unpriced, OutOfRange):
        return False
    return True
