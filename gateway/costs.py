"""What each wire request cost us: as its provider says, else by the card of its own route.

Promise: an attempt that failed but whose provider counted something all the same is a cost like any other, and so is
input that was read for an answer that never came; what a provider itself asks wins over our card, 0 included; what
nobody knows is None, never 0.
"""

import logging
from collections.abc import Sequence
from decimal import Decimal

from billing.money import MAX_NANO, NANO_PER_USD
from billing.pricing import Charge, Circumstances, Line, OutOfRange, Rates, Unpriced, Usage, charge
from gateway.metering import Measured

log = logging.getLogger(__name__)


def cost_of(measured: Measured, rates: Rates, circumstances: Circumstances) -> int | None:
    """What a provider gets for this, in nano-USD, rounded up."""
    told = told_cost(measured.cost_usd)
    return card_cost(measured.usage.lines, rates, circumstances) if told is None else told


def card_cost(lines: Sequence[Line], rates: Rates, circumstances: Circumstances) -> int | None:
    """What usage costs by a card; a line that has no price is left out, as it is from the charge."""
    priced = _charge(lines, rates, circumstances)
    if priced is None:
        known = [line for line in lines if _charge((line,), rates, circumstances) is not None]
        priced = _charge(known, rates, circumstances) if known else None
    return None if priced is None else priced.cost_nano


def together(costs: Sequence[int | None]) -> int | None:
    """All attempts of a call, as far as their cost is known; None when that of the answer itself is not."""
    return None if not costs or costs[-1] is None else sum(cost for cost in costs if cost is not None)


def told_cost(cost_usd: Decimal | None) -> int | None:
    """A provider's own figure, where it gave one that an account could hold."""
    if cost_usd is None or not cost_usd.is_finite() or not 0 <= cost_usd <= MAX_NANO // NANO_PER_USD:
        return None
    nano = cost_usd * NANO_PER_USD
    whole = int(nano)
    return whole + (nano > whole)


def _charge(lines: Sequence[Line], rates: Rates, circumstances: Circumstances) -> Charge | None:
    try:
        return charge(usage=Usage(tuple(lines)), rates=rates, circumstances=circumstances)
    except (Unpriced, OutOfRange):
        return None
