"""Presets: five ready plans, one for each kind of shop people have asked for."""

from typing import Final

from billing.pricing.plans import Plan

SOURCES: Final[dict[str, dict[str, object]]] = {
    "s0": {
        "name": "s0",
        "version": 1,
        "method": "cost_plus",
        "percent": "25",
        "min_profit": "0.10",
        "volume": {"threshold": 1_000_000, "percent": "5", "of": "tokens"},
    },
    "s1": {
        "name": "s1",
        "version": 1,
        "method": "cost_plus",
        "percent": "25",
        "min_charge": "0.001",
        "trial_tokens": 100_000,
    },
    "s2": {
        "name": "s2",
        "version": 1,
        "method": "cost_plus",
        "multiplier": "1.8",
        "display": {"unit": "credit", "unit_value": "0.01"},
    },
    "s3": {
        "name": "s3",
        "version": 1,
        "method": "flat_token",
        "price": "20.00",
        "display": {"unit": "token", "unit_value": "0.00002"},
    },
    "s4": {
        "name": "s4",
        "version": 1,
        "method": "adjusted_token",
        "base_price": "10.00",
        "multiplier": "1.2",
        "on_unknown_model": "one_to_one",
        "display": {"unit": "token", "unit_value": "0.00001"},
    },
}

PRESETS: Final[dict[str, Plan]] = {name: Plan.from_json(source) for name, source in SOURCES.items()}
