"""What the usage of one call is priced at: at its settlement, and by whoever recomputes it later from its row."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from billing import units
from billing.money import ceil_ratio
from billing.operations import Tokens
from billing.pricing import Bounds, Bucket, Charge, Circumstances, Line, OutOfRange, Rates, Unpriced, Usage, charge
from billing.pricing.cards import find
from billing.pricing.dearest import with_prices
from gateway import alarms
from gateway.metering import Measured
from gateway.records import OpenCall, Plea
from gateway.shipped import dearest_known

log = logging.getLogger(__name__)


def has_price(rates: Rates, bucket: Bucket) -> bool:
    """Whether a kind of usage has a price here, and where cost is known a cost as well."""
    tariff = rates.tariffs[0]
    if bucket.unit == "token" and tariff.ratios is not None:
        return True
    return all(find(table.numerators, bucket) is not None for table in (tariff.price, tariff.cost) if table is not None)


def lines_of(measured: Measured | None) -> Sequence[Line]:
    """What was used, line by line."""
    return () if measured is None else measured.usage.lines


def circumstances_of(call: OpenCall) -> Circumstances:
    """What the price depends on besides usage and rates; kept on the row."""
    plea = call.plea
    return Circumstances(at=call.opened_at, service_tier=plea.service_tier, modifiers=plea.caller.modifiers)


def priced(call: OpenCall, measured: Measured | None) -> Charge | None:
    """Price what was measured; what nobody has put a price on is charged as the dearest known, and told."""
    if measured is None:
        return None
    circumstances, rates = circumstances_of(call), call.priced.rates
    try:
        return charge(usage=measured.usage, rates=rates, circumstances=circumstances)
    except (Unpriced, OutOfRange):
        usage, moved = with_prices(measured.usage, rates, dearest_known())
        for bucket in moved:
            alarms.raised("unpriced_usage", unpriced(call, bucket))
    try:
        return charge(usage=usage, rates=rates, circumstances=circumstances)
    except (Unpriced, OutOfRange) as error:  # no account could hold it: somebody must look, nothing is charged
        log.error("call %s cannot be priced: %s", call.id, error)  # noqa: TRY400 - the sentence is the story
        return charge(usage=Usage(()), rates=rates, circumstances=circumstances)


def unpriced(call: OpenCall, bucket: Bucket) -> str:
    """What an operator is told of usage without a price."""
    serving = call.tries[-1].serving
    return (
        f"{serving.provider} reports {bucket.direction} {bucket.modality} ({bucket.unit}) for {serving.upstream_model},"
        f" which has no price for it; it is charged as the dearest that is known. Put a price on its card."
    )


def is_exact(measured: Measured | None, made: Charge | None) -> bool:
    """Whether usage was reported and priced as it stands; else the hold is the most that is charged."""
    return measured is not None and measured.source == "reported" and (made is None or made.usage == measured.usage)


# --- Tokens of grants -------------------------------------------------------------------------------------------------


def tokens_held(bounds: Bounds) -> int:
    """The most tokens a call can use; what is also counted another way (searches) is not held in tokens."""
    if any(not line.is_tokens for line in bounds.lines):
        return 0
    return bounds.input_tokens + bounds.output_tokens


def tokens_used(made: Charge) -> int:
    """The tokens a charge was made of; a search among them counts as many tokens as its price would have bought."""
    lines = [line for line in made.usage.lines if line.is_tokens]
    tokens = made.usage.tokens
    if len(lines) == len(made.usage.lines) or not tokens:
        return tokens
    alike = replace(made.circumstances, context_tokens=made.usage.input_tokens)
    part = charge(usage=Usage(tuple(lines)), rates=made.rates, circumstances=alike).price
    return ceil_ratio(tokens * made.price[0] * part[1], made.price[1] * part[0]) if part[0] else 0


def offered(plea: Plea, tokens: int) -> tuple[Tokens, ...]:
    """A call's tokens, in the units of the grants that may pay for them."""
    offer = plea.offer
    return units.offered(offer.served_as or offer.slug, tokens)
