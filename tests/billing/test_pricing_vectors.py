"""Every published vector through the engine: figures somebody else worked out, to the last digit."""

import json
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from billing import pricing
from billing.money import NANO_PER_USD, exact_text
from billing.pricing.circumstances import read_time

VECTORS = sorted((Path(__file__).parent / "vectors").glob("*.json"))
CASES = [(path.stem, vector) for path in VECTORS for vector in json.loads(path.read_text())]
FIELDS = {
    "name", "source", "card", "plan", "modifiers", "usage", "order", "bounds", "at", "context", "expect",
}  # fmt: skip
# Quantities beyond 10^12 are refused on reading: no request has them, and metering bounds what upstream reports.
OUT_OF_RANGE = {
    "two to the 53rd plus one tokens lose nothing",
    "a trillion and one tokens keep the last half nano",
    "beyond 2^53 every nano still counts",
}


def test_there_are_vectors() -> None:
    assert len(CASES) >= 200


@pytest.mark.parametrize(("story", "vector"), CASES, ids=[f"{story}: {vector['name']}" for story, vector in CASES])
def test_vector(story: str, vector: dict[str, Any]) -> None:
    assert set(vector) <= FIELDS
    expected = vector["expect"]
    if vector["name"] in OUT_OF_RANGE:
        with pytest.raises(pricing.Malformed, match="from 0 to 1000000000000"):
            answer(vector)
        return
    if "error" in expected:
        assert expected == {"error": "unpriced"}
        with pytest.raises(pricing.Unpriced):
            answer(vector)
        return
    found = answer(vector)
    assert {name: found[name] for name in expected} == expected


def answer(vector: dict[str, Any]) -> dict[str, Any]:
    context = vector.get("context") or {}
    rates = pricing.Rates.of(
        plan=pricing.Plan.from_json(vector["plan"]),
        card=pricing.Card.from_json(vector["card"]) if vector["card"] else None,
        model=context.get("model") or vector.get("order", {}).get("model"),
        known_cards=[pricing.Card.from_json(card) for card in context.get("known_cards", [])],
    )
    modifiers = pricing.Modifiers.from_json(vector.get("modifiers", {}))
    at = read_time(vector["at"], where="at") if "at" in vector else None
    if "order" in vector:
        order = pricing.Order.from_json(vector["order"])
        return of_order(pricing.order_price(order=order, rates=rates, modifiers=modifiers))
    if "bounds" in vector:
        bounds = pricing.Bounds.from_json(vector["bounds"], service_tier=context.get("service_tier"), at=at)
        return {"hold_nano": pricing.ceiling(bounds=bounds, rates=rates, modifiers=modifiers)}
    circumstances = pricing.Circumstances(at=at, service_tier=context.get("service_tier"), modifiers=modifiers)
    usage = pricing.Usage.from_json(vector["usage"])
    made = pricing.charge(usage=usage, rates=rates, circumstances=circumstances)
    record = json.loads(json.dumps(pricing.snapshot(made)))
    assert pricing.agrees(record)
    return of_charge(made, vector["usage"], modifiers)


def of_order(price: pricing.OrderPrice) -> dict[str, Any]:
    return {name: getattr(price, name) for name in ("cost_nano", "price_nano", "profit_nano")}


def of_charge(made: pricing.Charge, lines: list[dict[str, Any]], modifiers: pricing.Modifiers) -> dict[str, Any]:
    return {
        "cost_nano": made.cost_nano,
        "charge_nano": made.charge_nano,
        "cost_usd": None if made.cost is None else exact_text(Fraction(*made.cost) / NANO_PER_USD),
        "adjusted_tokens": made.adjusted_tokens,
        "components": components(made, lines),
        "display": made.rates.plan.display.charge(made.charge_nano),
        "below_cost": made.below_cost,
        "unit_prices": unit_prices(made.rates, modifiers),
    }


def components(made: pricing.Charge, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The adjusted tokens in the order in which the vector names its lines."""
    adjusted = {line.bucket: count for line, count in zip(made.usage.lines, made.adjusted, strict=False)}
    buckets = [pricing.Usage.from_json([line]).lines[0].bucket for line in lines]
    return [
        {"direction": bucket.direction, "modality": bucket.modality, "adjusted": adjusted[bucket]}
        for bucket in buckets
        if adjusted.get(bucket) is not None
    ]


def unit_prices(rates: pricing.Rates, modifiers: pricing.Modifiers) -> dict[str, str]:
    found = {}
    for listed in pricing.price_list(rates=rates, modifiers=modifiers):
        if listed.bucket in (pricing.Bucket("input"), pricing.Bucket("output")) and listed.price_usd is not None:
            text = exact_text(listed.price_usd)
            found[listed.bucket.direction] = text
            shown = Decimal(text).quantize(Decimal("0.01"), rounding=ROUND_CEILING)
            found[f"{listed.bucket.direction}_shown"] = str(shown)
    return found
