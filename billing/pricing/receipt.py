"""Receipts: a charge as a record that can be recomputed bit for bit.

A snapshot carries all it was made of (usage, card, plan, circumstances) and what came out, so a charge can be
proven years later without any other row. A snapshot of a newer schema than ours is refused, never guessed at.
"""

from collections.abc import Mapping

from billing.pricing.circumstances import Circumstances
from billing.pricing.engine import Charge, charge
from billing.pricing.rates import Rates
from billing.pricing.reading import Fields
from billing.pricing.usage import Usage

SCHEMA = 1


def snapshot(made: Charge) -> dict[str, object]:
    """Write a charge with everything needed to compute it again."""
    return {
        "schema": SCHEMA,
        "usage": made.usage.to_json(),
        "rates": dict(made.rates.record),
        "circumstances": made.circumstances.to_json(),
        "result": result(made),
    }


def result(made: Charge) -> dict[str, object]:
    """Write what came out."""
    return {
        "cost_nano": made.cost_nano,
        "charge_nano": made.charge_nano,
        "adjusted_tokens": made.adjusted_tokens,
        "cost_is_estimate": made.cost_is_estimate,
        "minimum_applied": made.minimum_applied,
        "below_cost": made.below_cost,
        "below_margin_floor": made.below_margin_floor,
    }


def recompute(source: Mapping[str, object]) -> Charge:
    """Compute the charge of a snapshot again, from the snapshot alone."""
    fields = Fields(source, where="snapshot")
    fields.integer("schema", least=SCHEMA, most=SCHEMA)
    fields.take("result")
    usage = Usage.from_json(fields.take("usage"))
    rates = Rates.from_json(fields.take("rates"))
    circumstances = Circumstances.from_json(fields.take("circumstances"))
    fields.done()
    return charge(usage=usage, rates=rates, circumstances=circumstances)


def agrees(source: Mapping[str, object]) -> bool:
    """Say whether a snapshot recomputes to the result it carries, in every field."""
    return result(recompute(source)) == source["result"]
