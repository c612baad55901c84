# ruff: noqa: E501  (a table reads best with one case per line)
"""What is written wrongly is refused, with the place and the remedy; nothing is dropped in silence."""

import time
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest

from billing.pricing import (
    Bounds,
    Bucket,
    Card,
    Circumstances,
    Line,
    Malformed,
    Modifiers,
    Order,
    Plan,
    Rates,
    Usage,
)
from billing.pricing.cards import ContextTier, Rate, Window
from billing.pricing.plans import Override, Volume

RATE = {"direction": "input", "price": "3.00"}
CARD: dict[str, Any] = {"provider": "openai", "model": "m-std", "version": 1, "rates": [RATE]}
PLAN: dict[str, Any] = {"name": "s1", "version": 1, "method": "cost_plus", "percent": "25"}
FLAT: dict[str, Any] = {"name": "s3", "version": 1, "method": "flat_token", "price": "20"}
LINE: dict[str, Any] = {"direction": "input", "quantity": 1}


def refused(reader: Any, source: object) -> str:
    with pytest.raises(Malformed) as refusal:
        reader(source)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("lines", "usage must be a list of at most 500 items."),
        ([LINE] * 501, "usage must be a list of at most 500 items."),
        ([1], "usage[0] must be an object with named fields."),
        ([{"direction": "input"}], "usage[0] needs the field 'quantity'."),
        ([{"quantity": 1}], "usage[0] needs the field 'direction'."),
        ([{**LINE, "direction": "sideways"}], "usage[0]: 'direction' must be one of input, output."),
        ([{**LINE, "unit": ["token"]}], "usage[0]: 'unit' must be one of token, character, second, image, search, request."),
        ([{**LINE, "cache": "write"}], "usage[0]: 'cache' must be one of none, read, write_5m, write_1h."),
        ([{**LINE, "quantity": -1}], "usage[0]: 'quantity' must be a whole number from 0 to 1000000000000."),
        ([{**LINE, "quantity": 10**12 + 1}], "usage[0]: 'quantity' must be a whole number from 0 to 1000000000000."),
        ([{**LINE, "quantity": 1.0}], "usage[0]: 'quantity' must be a whole number from 0 to 1000000000000."),
        ([{**LINE, "quantity": "1"}], "usage[0]: 'quantity' must be a whole number from 0 to 1000000000000."),
        ([{**LINE, "quantity": True}], "usage[0]: 'quantity' must be a whole number from 0 to 1000000000000."),
        ([LINE, {**LINE, "amount": 3, "tier": 1}], "usage[1] does not know the field 'amount', 'tier'."),
        ([LINE, {**LINE, "cache": None}], "Usage names input text token twice; each bucket may appear once."),
        ([{**LINE, "direction": "output", "cache": "read"}], "usage[0]: output is never cached, so its cache must be none."),
        ([{**LINE, "modality": "reasoning"}], "usage[0]: reasoning is output, never input."),
    ],
)  # fmt: skip
def test_usage(source: object, message: str) -> None:
    assert refused(Usage.from_json, source) == message


def test_usage_is_read_in_canonical_order() -> None:
    usage = Usage.from_json(
        [{"direction": "output", "quantity": 5}, {**LINE, "cache": "read"}, {**LINE, "quantity": 10**12}]
    )
    assert usage == Usage.of([(Bucket("input"), 10**12), (Bucket("input", "text", "read"), 1), (Bucket("output"), 5)])
    assert usage.to_json()[1] == {
        "direction": "input",
        "modality": "text",
        "cache": "read",
        "unit": "token",
        "quantity": 1,
    }
    assert (usage.input_tokens, usage.tokens, usage.is_empty) == (10**12 + 1, 10**12 + 6, False)
    assert Usage.of([(Bucket("input"), 0), (Bucket("input", "image", "none", "image"), 0)]).is_empty
    assert Usage.of([(Bucket("input", "image", "none", "image"), 3)]).tokens == 0


@pytest.mark.parametrize(
    ("bucket", "quantity", "message"),
    [
        (Bucket("input"), -1, "The quantity of input text token must be a whole number from 0 to 1000000000000."),
        (
            Bucket("input", "text", "write_5m"),
            True,
            "The quantity of input text token (cache write 5m) must be a whole number",
        ),
        (Bucket("in"), 1, "A usage line: 'direction' must be one of input, output."),
        (Bucket("input", "smell"), 1, "A usage line: 'modality' must be one of text, audio, image"),
        (Bucket("output", "text", "read"), 1, "A usage line: output is never cached"),
    ],
)
def test_lines_made_in_code_are_held_to_the_same(bucket: Bucket, quantity: int, message: str) -> None:
    with pytest.raises(Malformed) as refusal:
        Line(bucket, quantity)
    assert str(refusal.value).startswith(message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"provider": ""}, "card: 'provider' must be a printable text of 1 to 200 characters."),
        ({"provider": 7}, "card: 'provider' must be a printable text of 1 to 200 characters."),
        ({"model": "m" * 201}, "card: 'model' must be a printable text of 1 to 200 characters."),
        ({"model": "m\n"}, "card: 'model' must be a printable text of 1 to 200 characters."),
        ({"version": None}, "card needs the field 'version'."),
        ({"version": True}, "card: 'version' must be a whole number or a text of at most 40 characters."),
        ({"version": 1.5}, "card: 'version' must be a whole number or a text of at most 40 characters."),
        ({"version": "v" * 41}, "card: 'version' must be a whole number or a text of at most 40 characters."),
        ({"version": ""}, "card: 'version' must be a whole number or a text of at most 40 characters."),
        ({"rates": {"input": "3"}}, "card.rates must be a list of at most 500 items."),
        ({"rates": [{"direction": "input"}]}, "card.rates[0] needs the field 'price'."),
        ({"rates": [{**RATE, "price": 3}]}, "card.rates[0]: 'price' must be a decimal number written as a string, such as \"3.75\"."),
        ({"rates": [{**RATE, "price": "-3"}]}, "card.rates[0]: 'price': '-3' is not a plain decimal number such as 3.75 (no sign, exponent or spaces)."),
        ({"rates": [{**RATE, "price": "1000000.1", "per": 1}]}, "card.rates[0]: 'price' must be at least 0 and at most 1000000."),
        ({"rates": [{**RATE, "per": 0}]}, "card.rates[0]: 'per' must be a whole number from 1 to 1000000000."),
        ({"rates": [{**RATE, "per": 10**9 + 1}]}, "card.rates[0]: 'per' must be a whole number from 1 to 1000000000."),
        ({"rates": [{**RATE, "prise": "3"}]}, "card.rates[0] does not know the field 'prise'."),
        ({"rates": [RATE, RATE]}, "card.rates prices input text token twice."),
        ({"context_tiers": [{"above_tokens": -1, "rates": []}]}, "card.context_tiers[0]: 'above_tokens' must be a whole number from 0 to 1000000000000."),
        ({"context_tiers": [{"above_tokens": 1, "rates": [RATE, RATE]}]}, "card.context_tiers[0].rates prices input text token twice."),
        ({"context_tiers": [{"above_tokens": 1, "rates": [], "below": 2}]}, "card.context_tiers[0] does not know the field 'below'."),
        ({"context_tiers": [{"above_tokens": 1, "rates": []}] * 2}, "card has two context tiers above the same number of tokens."),
        ({"service_tiers": ["flex"]}, "card.service_tiers must be an object with at most 500 entries."),
        ({"service_tiers": {str(name): "1" for name in range(501)}}, "card.service_tiers must be an object with at most 500 entries."),
        ({"service_tiers": {"": "1"}}, "card.service_tiers: every name must be a printable text of 1 to 200 characters."),
        ({"service_tiers": {"x" * 201: "1"}}, "card.service_tiers: every name must be a printable text of 1 to 200 characters."),
        ({"service_tiers": {"a\tb": "1"}}, "card.service_tiers: every name must be a printable text of 1 to 200 characters."),
        ({"service_tiers": {5: "1"}}, "card.service_tiers: every name must be a printable text of 1 to 200 characters."),
        ({"service_tiers": {"flex": "10001"}}, "card: service tier 'flex' must be at least 0 and at most 10000."),
        ({"peak": [{"from": "8:30", "to": "09:00", "multiplier": "2"}]}, "card.peak[0]: 'from' must be a time of day such as 08:30."),
        ({"peak": [{"from": "08:30", "to": "24:00", "multiplier": "2"}]}, "card.peak[0]: 'to' must be a time of day such as 08:30."),
        ({"peak": [{"from": "08:60", "to": "09:00", "multiplier": "2"}]}, "card.peak[0]: 'from' must be a time of day such as 08:30."),
        ({"peak": [{"from": "08:30", "to": "08:30", "multiplier": "2"}]}, "card.peak[0] covers no time: 'from' and 'to' are the same."),
        ({"peak": [{"from": "08:30", "to": "09:30", "multiplier": "10001"}]}, "card.peak[0]: 'multiplier' must be at least 0 and at most 10000."),
        ({"peak": [{"from": "08:30", "to": "09:30", "multiplier": "2", "days": 5}]}, "card.peak[0] does not know the field 'days'."),
        ({"free": "yes"}, "card: 'free' must be true or false."),
        ({"currency": "EUR"}, "card does not know the field 'currency'."),
    ],
)  # fmt: skip
def test_cards(change: dict[Any, Any], message: str) -> None:
    assert refused(Card.from_json, {**CARD, **change}) == message


def test_a_whole_card() -> None:
    source = {
        **CARD,
        "rates": [
            {"direction": "output", "price": "1000000000000", "per": 1000000},
            RATE,
            {"direction": "input", "modality": "search", "unit": "search", "price": "0.01"},
            {"direction": "input", "unit": "character", "price": "5"},
        ],
        "context_tiers": [{"above_tokens": 10**12, "rates": []}, {"above_tokens": 0, "rates": [RATE]}],
        "service_tiers": {"priority": "2", "flex": "0.5", "x" * 200: "10000"},
        "peak": [{"from": "23:59", "to": "00:00", "multiplier": "10000"}],
    }
    card = Card.from_json(source)
    assert card == Card(
        provider="openai",
        model="m-std",
        version=1,
        rates=(
            Rate(Bucket("input", "search", "none", "search"), Fraction(1, 100), 1),
            Rate(Bucket("input", "text", "none", "character"), Fraction(5), 10**6),
            Rate(Bucket("input"), Fraction(3), 10**6),
            Rate(Bucket("output"), Fraction(10**12), 10**6),
        ),
        context_tiers=(ContextTier(0, (Rate(Bucket("input"), Fraction(3), 10**6),)), ContextTier(10**12, ())),
        service_tiers=(("flex", Fraction(1, 2)), ("priority", Fraction(2)), ("x" * 200, Fraction(10000))),
        peak=(Window(23 * 60 + 59, 0, Fraction(10000)),),
    )
    assert card.to_json() == {
        "provider": "openai",
        "model": "m-std",
        "version": 1,
        "rates": [
            {"direction": "input", "modality": "search", "cache": "none", "unit": "search", "price": "0.01", "per": 1},
            {"direction": "input", "modality": "text", "cache": "none", "unit": "character", "price": "5", "per": 1000000},
            {"direction": "input", "modality": "text", "cache": "none", "unit": "token", "price": "3", "per": 1000000},
            {"direction": "output", "modality": "text", "cache": "none", "unit": "token", "price": "1000000000000", "per": 1000000},
        ],
        "context_tiers": [
            {"above_tokens": 0, "rates": [{"direction": "input", "modality": "text", "cache": "none", "unit": "token", "price": "3", "per": 1000000}]},
            {"above_tokens": 10**12, "rates": []},
        ],
        "service_tiers": {"flex": "0.5", "priority": "2", "x" * 200: "10000"},
        "peak": [{"from": "23:59", "to": "00:00", "multiplier": "10000"}],
        "free": False,
    }  # fmt: skip
    assert Card.from_json({**CARD, "version": "2026-11", "rates": None, "free": True}).rates == ()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("s1", "plan must be an object with named fields."),
        ({**PLAN, "method": "magic"}, "plan: 'method' must be one of cost_plus, flat_token, adjusted_token, unit_price, fixed_list."),
        ({**PLAN, "multiplier": "1.25"}, "plan: write either 'multiplier' or 'percent', not both."),
        ({**PLAN, "percent": None}, "plan needs the field 'multiplier'."),
        ({**PLAN, "percent": "-100.1"}, "plan: 'percent' must be at least 0 and at most 100."),
        ({**PLAN, "percent": "1000001"}, "plan: 'percent' must be at least 0 and at most 1000000."),
        ({**PLAN, "percent": "--1"}, "plan: 'percent': '-1' is not a plain decimal number such as 3.75 (no sign, exponent or spaces)."),
        ({**PLAN, "percent": 25}, "plan: 'percent' must be a decimal number written as a string, such as \"3.75\"."),
        ({**PLAN, "percent": "0.00000000000000001"}, "plan: 'percent' may have at most 16 decimal places."),
        ({**PLAN, "percent": None, "multiplier": "10000.1"}, "plan: 'multiplier' must be at least 0 and at most 10000."),
        ({**PLAN, "price": "20"}, "plan does not know the field 'price'."),
        ({**PLAN, "units": []}, "plan does not know the field 'units'."),
        ({**PLAN, "list": {}}, "plan does not know the field 'list'."),
        ({**PLAN, "bugdet": "1"}, "plan does not know the field 'bugdet'."),
        ({**PLAN, "min_charge": "1000001"}, "plan: 'min_charge' must be at least 0 and at most 1000000."),
        ({**PLAN, "min_profit": "1000001"}, "plan: 'min_profit' must be at least 0 and at most 1000000."),
        ({**PLAN, "margin_floor": "1.1"}, "plan: 'margin_floor' must be at least 0 and at most 1."),
        ({**PLAN, "min_charge_free_models": 1}, "plan: 'min_charge_free_models' must be true or false."),
        ({**PLAN, "allow_loss": "no"}, "plan: 'allow_loss' must be true or false."),
        ({**PLAN, "on_unknown_model": "guess"}, "plan: 'on_unknown_model' must be one of reject, one_to_one, highest_known."),
        ({**PLAN, "trial_tokens": 10**9 + 1}, "plan: 'trial_tokens' must be a whole number from 0 to 1000000000."),
        ({**PLAN, "rounding": {"mode": "floor"}}, "plan.rounding: 'mode' must be one of ceil."),
        ({**PLAN, "rounding": {"scope": "component"}}, "plan.rounding: 'scope' must be one of request."),
        ({**PLAN, "rounding": {"quantum_nano": 0}}, "plan.rounding: 'quantum_nano' must be a whole number from 1 to 1000000000."),
        ({**PLAN, "rounding": {"quantum_nano": 10**9 + 1}}, "plan.rounding: 'quantum_nano' must be a whole number from 1 to 1000000000."),
        ({**PLAN, "rounding": {"quantum": 1}}, "plan.rounding does not know the field 'quantum'."),
        ({**PLAN, "display": {"unit": "credit"}}, "plan.display needs the field 'unit_value'."),
        ({**PLAN, "display": {"unit": "EUR"}}, "plan.display: 'unit' must be one of USD, credit, token."),
        ({**PLAN, "display": {"unit": "credit", "unit_value": "0.03"}}, "plan.display: A credit must be worth an amount that divides a dollar without a remainder that never ends."),
        ({**PLAN, "display": {"unit": "token", "unit_value": "0"}}, "plan.display: A display unit is worth more than nothing and at most 1000000 dollars."),
        ({**PLAN, "display": {"unit": "token", "unit_value": "0.0000000001"}}, "plan.display: 'unit_value': An amount of dollars may have at most nine decimal places."),
        ({**PLAN, "display": {"unit": "token", "unit_value": "1000001"}}, "plan.display: 'unit_value' must be at least 0 and at most 1000000."),
        ({**PLAN, "display": {"unit": "USD", "worth": "1"}}, "plan.display does not know the field 'worth'."),
        ({**PLAN, "display": {"unit": "token", "unit_value": "1", "worth": "1"}}, "plan.display does not know the field 'worth'."),
        ({**PLAN, "volume": {"threshold": 1, "percent": "5"}}, "plan.volume needs the field 'of'."),
        ({**PLAN, "volume": {"threshold": "1", "percent": "5", "of": "tokens"}}, "plan.volume: 'threshold' must be a whole number from 0 to 1000000000000."),
        ({**PLAN, "volume": {"threshold": "1000000000000.5", "percent": "5", "of": "usd"}}, "plan.volume: 'threshold' must be at least 0 and at most 1000000000000."),
        ({**PLAN, "volume": {"threshold": 1, "percent": "101", "of": "usd"}}, "plan.volume: 'percent' must be at least 0 and at most 100."),
        ({**PLAN, "volume": {"threshold": 1, "percent": "-5", "of": "usd"}}, "plan.volume: 'percent': '-5' is not a plain decimal number such as 3.75 (no sign, exponent or spaces)."),
        ({**PLAN, "volume": {"threshold": 1, "percent": "5", "of": "usd", "to": 3}}, "plan.volume does not know the field 'to'."),
        ({**PLAN, "models": {"m": {"multiplier": "2", "percent": "3"}}}, "plan.models.m: write either 'multiplier' or 'percent', not both."),
        ({**PLAN, "models": {"m": {"price": "2"}}}, "plan.models.m does not know the field 'price'."),
        ({**PLAN, "models": {"m": {"min_charge": "1000001"}}}, "plan.models.m: 'min_charge' must be at least 0 and at most 1000000."),
        ({**PLAN, "models": {"m": {"billable": "yes"}}}, "plan.models.m: 'billable' must be true or false."),
        ({**PLAN, "models": {"m": {"allow_loss": 0}}}, "plan.models.m: 'allow_loss' must be true or false."),
        ({**FLAT, "price": None}, "plan needs the field 'price'."),
        ({**FLAT, "price": "1000000000000.5"}, "plan: 'price' must be at least 0 and at most 1000000000000."),
        ({**FLAT, "models": {"m": {"multiplier": "2"}}}, "plan.models.m does not know the field 'multiplier'."),
        ({**FLAT, "units": [RATE]}, "plan: a flat_token plan has one price for every token; 'units' is for what is not tokens."),
        ({**PLAN, "method": "adjusted_token"}, "plan needs the field 'base_price'."),
        ({**PLAN, "method": "adjusted_token", "base_price": "0"}, "plan: 'base_price' must be more than 0 and at most 1000000000000."),
        ({**PLAN, "method": "adjusted_token", "base_price": "1000000000000.5"}, "plan: 'base_price' must be more than 0 and at most 1000000000000."),
        ({"name": "u", "version": 1, "method": "unit_price"}, "plan: a unit_price plan needs at least one rate in 'units'."),
        ({"name": "u", "version": 1, "method": "fixed_list"}, "plan: a fixed_list plan needs at least one model in 'list'."),
        ({"name": "u", "version": 1, "method": "fixed_list", "list": {"m": "free"}}, "plan.list.m must be a list of at most 500 items."),
        ({"name": "u", "version": 1, "method": "fixed_list", "list": {"m": [RATE, RATE]}}, "plan.list.m.rates prices input text token twice."),
    ],
)  # fmt: skip
def test_plans(source: object, message: str) -> None:
    assert refused(Plan.from_json, source) == message


def test_a_whole_plan() -> None:
    plan = Plan.from_json(
        {
            **PLAN,
            "min_charge": "1000000",
            "min_profit": "0.1",
            "min_charge_free_models": True,
            "margin_floor": "1",
            "allow_loss": True,
            "volume": {"threshold": "99.5", "percent": "100", "of": "usd"},
            "on_unknown_model": "highest_known",
            "models": {"m": {"percent": "-100", "min_charge": "0", "billable": False, "allow_loss": False}, "n": {}},
            "rounding": {"mode": "ceil", "quantum_nano": 10**9, "scope": "request"},
            "display": {"unit": "USD", "unit_value": "1"},
            "trial_tokens": 10**9,
        }
    )
    assert plan.multiplier == Fraction(5, 4)
    assert plan.volume == Volume(Fraction(199, 2), Fraction(1), "usd")
    assert plan.override("m") == Override(Fraction(0), Fraction(0), billable=False, allow_loss=False)
    assert plan.override("n") == plan.override("unheard of") == Override()
    assert plan.to_json() == {
        "name": "s1",
        "version": 1,
        "method": "cost_plus",
        "multiplier": "1.25",
        "min_charge": "1000000",
        "min_charge_free_models": True,
        "min_profit": "0.1",
        "volume": {"threshold": "99.5", "percent": "100", "of": "usd"},
        "margin_floor": "1",
        "allow_loss": True,
        "on_unknown_model": "highest_known",
        "models": {"m": {"multiplier": "0", "min_charge": "0", "billable": False, "allow_loss": False}, "n": {}},
        "rounding": {"mode": "ceil", "quantum_nano": 10**9, "scope": "request"},
        "display": {"unit": "USD", "unit_value": "1"},
        "trial_tokens": 10**9,
    }


def test_a_plan_says_nothing_it_was_not_told() -> None:
    assert Plan.from_json(PLAN) == Plan(name="s1", version=1, method="cost_plus", multiplier=Fraction(5, 4))
    assert Plan.from_json({**PLAN, "display": {"unit": "USD"}, "rounding": {}}) == Plan.from_json(PLAN)
    assert Plan.from_json(FLAT).on_unknown_model == "reject"
    adjusted = Plan.from_json({**PLAN, "method": "adjusted_token", "base_price": "1000000000000"})
    assert adjusted.on_unknown_model == "one_to_one"
    tokens = {"threshold": 5, "percent": "0.5", "of": "tokens"}
    assert Plan.from_json({**PLAN, "volume": tokens}).to_json()["volume"] == tokens
    assert Plan.from_json({**PLAN, "percent": "0.0000000000000001"}).multiplier == 1 + Fraction(1, 10**18)


def test_a_list_plan_is_written_with_all_its_models() -> None:
    rate = {"direction": "input", "modality": "text", "cache": "none", "unit": "token", "price": "3", "per": 1000000}
    plan = Plan.from_json({"name": "l", "version": 1, "method": "fixed_list", "list": {"m": [rate], "n": []}})
    assert plan.to_json()["list"] == {"m": [rate], "n": []}
    assert plan.for_model("n").to_json()["list"] == {"n": []}
    image = {**rate, "modality": "image", "unit": "image", "per": 1}
    units = Plan.from_json(
        {"name": "u", "version": 1, "method": "unit_price", "units": [image], "models": {"m": {}, "n": {}}}
    )
    assert units.to_json()["units"] == [image]
    assert units.for_model("m").to_json()["models"] == {"m": {}}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([], "modifiers must be an object with named fields."),
        ({"group_multiplier": "10001"}, "modifiers: 'group_multiplier' must be at least 0 and at most 10000."),
        ({"organization_multiplier": "10001"}, "modifiers: 'organization_multiplier' must be at least 0 and at most 10000."),
        ({"coupon_percent": "100.1"}, "modifiers: 'coupon_percent' must be at least 0 and at most 100."),
        ({"coupon_percent": "-1"}, "modifiers: 'coupon_percent': '-1' is not a plain decimal number such as 3.75 (no sign, exponent or spaces)."),
        ({"arm": {"name": "B"}}, "modifiers.arm needs the field 'multiplier'."),
        ({"arm": {"multiplier": "1"}}, "modifiers.arm needs the field 'name'."),
        ({"arm": {"name": "B", "multiplier": "10001"}}, "modifiers.arm: 'multiplier' must be at least 0 and at most 10000."),
        ({"arm": {"name": "B", "multiplier": "1", "share": "0.5"}}, "modifiers.arm does not know the field 'share'."),
        ({"coupon": "10"}, "modifiers does not know the field 'coupon'."),
    ],
)  # fmt: skip
def test_modifiers(source: object, message: str) -> None:
    assert refused(Modifiers.from_json, source) == message


def test_modifiers_are_one_exact_product() -> None:
    source = {
        "group_multiplier": "0.9",
        "organization_multiplier": "1.1",
        "coupon_percent": "10",
        "arm": {"name": "B", "multiplier": "1.05"},
    }
    modifiers = Modifiers.from_json(source)
    assert modifiers.product == Fraction("0.9") * Fraction("1.1") * Fraction("0.9") * Fraction("1.05")
    assert modifiers.to_json() == source
    assert Modifiers.from_json({}).to_json() == {}
    assert Modifiers.from_json({"coupon_percent": "100", "group_multiplier": "10000"}).product == 0
    assert Modifiers.from_json({"group_multiplier": "0"}).product == 0
    assert Modifiers.from_json({"organization_multiplier": "0"}).product == 0
    assert Modifiers.from_json({"arm": {"name": "A", "multiplier": "1"}}).to_json() == {
        "arm": {"name": "A", "multiplier": "1"}
    }


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"at": "2026-11-21T08:30:00"}, "circumstances: 'at' must be a time with its zone, such as 2026-11-21T08:30:00Z."),
        ({"at": "half past eight"}, "circumstances: 'at' must be a time with its zone, such as 2026-11-21T08:30:00Z."),
        ({"at": 1763713800}, "circumstances: 'at' must be a time with its zone, such as 2026-11-21T08:30:00Z."),
        ({"service_tier": 5}, "circumstances: 'service_tier' must be a printable text of 1 to 200 characters."),
        ({"context_tokens": -1}, "circumstances: 'context_tokens' must be a whole number from 0 to 1000000000000000000000000."),
        ({"without_minimum": 1}, "circumstances: 'without_minimum' must be true or false."),
        ({"modifiers": {"x": 1}}, "modifiers does not know the field 'x'."),
        ({"when": "now"}, "circumstances does not know the field 'when'."),
    ],
)  # fmt: skip
def test_circumstances(source: object, message: str) -> None:
    assert refused(Circumstances.from_json, source) == message


def test_circumstances_are_written_as_far_as_they_differ() -> None:
    assert Circumstances().to_json() == {}
    assert Circumstances.from_json({}) == Circumstances()
    source = {
        "at": "2026-11-21T07:30:00+00:00",
        "service_tier": "flex",
        "modifiers": {"coupon_percent": "10"},
        "context_tokens": 7,
        "without_minimum": True,
    }
    circumstances = Circumstances.from_json({**source, "at": "2026-11-21T08:30:00+01:00"})
    assert circumstances == Circumstances(
        at=datetime(2026, 11, 21, 7, 30, tzinfo=UTC),
        service_tier="flex",
        modifiers=Modifiers(coupon=Fraction(1, 10)),
        context_tokens=7,
        with_minimum=False,
    )
    assert circumstances.to_json() == source


def test_circumstances_are_written_in_utc_wherever_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        written = Circumstances.from_json({"at": "2026-11-21T08:30:00+01:00"}).to_json()
    finally:
        monkeypatch.undo()
        time.tzset()
    assert written == {"at": "2026-11-21T07:30:00+00:00"}


def test_lists_may_be_as_long_as_they_say() -> None:
    tiers = {f"tier {number}": "1" for number in range(500)}
    assert len(Card.from_json({**CARD, "service_tiers": tiers}).service_tiers) == 500


BOUNDS = {"input_bytes": 10, "max_output_tokens": 5}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_bytes": -1}, "bounds: 'input_bytes' must be a whole number from 0 to 1000000000000."),
        ({"n": 0}, "bounds: 'n' must be a whole number from 1 to 10000."),
        ({"n": 10_001}, "bounds: 'n' must be a whole number from 1 to 10000."),
        ({"messages": -1}, "bounds: 'messages' must be a whole number from 0 to 1000000000000."),
        ({"messages": 10**12}, "A request of more than 1000000000000 tokens either way is refused."),
        ({"max_output_tokens": 10**12, "n": 2}, "A request of more than 1000000000000 tokens either way is refused."),
        ({"max_output_tokens": None}, "bounds: without 'max_output_tokens' the model's own limits are needed."),
        ({"max_output_tokens": None, "model": {}}, "bounds: without 'max_output_tokens' the model's own limits are needed."),
        ({"model": {"ceiling": 5}}, "bounds.model does not know the field 'ceiling'."),
        ({"question": "smell"}, "bounds: 'question' must be one of text, audio, image, video, reasoning, search, request, file."),
        ({"answer": "smell"}, "bounds: 'answer' must be one of text, audio, image, video, reasoning, search, request, file."),
        ({"lines": [{"direction": "output", "quantity": 1}]}, "Tokens of the answer are bounded by max_output_tokens, not by lines."),
        ({"best_of": 2}, "bounds does not know the field 'best_of'."),
    ],
)  # fmt: skip
def test_bounds(change: dict[str, object], message: str) -> None:
    assert refused(Bounds.from_json, {**BOUNDS, **change}) == message


@pytest.mark.parametrize(
    "wrong",
    [
        {"input_bytes": -1},
        {"max_output_tokens": -1},
        {"messages": -1},
        {"n": 0},
        {"n": 10_001},
        {"input_bytes": 10**12 + 1},
    ],
)
def test_bounds_made_in_code_are_held_to_the_same(wrong: dict[str, int]) -> None:
    with pytest.raises(
        Malformed, match=r"^Bounds are whole numbers from 0 to 1000000000000, and n is one from 1 to 10000"
    ):
        Bounds(**{"input_bytes": 0, "max_output_tokens": 0, **wrong})


@pytest.mark.parametrize(
    ("asked", "model", "limit"),
    [
        (5, None, 5),
        (5, {"default_output_tokens": 3}, 5),
        (5, {"max_output_tokens": 3}, 3),
        (None, {"default_output_tokens": 3, "max_output_tokens": 9}, 3),
        (None, {"default_output_tokens": 9, "max_output_tokens": 3}, 3),
        (None, {"max_output_tokens": 3}, 3),
        (0, {"default_output_tokens": 3}, 0),
    ],
)
def test_the_lowest_limit_binds_the_answer(asked: int | None, model: object, limit: int) -> None:
    bounds = Bounds.from_json({"input_bytes": 0, "max_output_tokens": asked, "model": model})
    assert bounds.max_output_tokens == limit


def test_whole_bounds() -> None:
    at = datetime(2026, 11, 21, 7, 30, tzinfo=UTC)
    image = {"direction": "input", "modality": "image", "unit": "image", "quantity": 2}
    source = {**BOUNDS, "messages": 2, "n": 10_000, "lines": [image], "question": "text", "answer": "audio"}
    assert Bounds.from_json(source, service_tier="flex", at=at) == Bounds(
        input_bytes=10,
        max_output_tokens=5,
        messages=2,
        n=10_000,
        lines=(Line(Bucket("input", "image", "none", "image"), 2),),
        question="text",
        answer="audio",
        service_tier="flex",
        at=at,
    )
    assert Bounds.from_json(BOUNDS) == Bounds(input_bytes=10, max_output_tokens=5)
    audio = Line(Bucket("input", "audio"), 7)
    bounds = Bounds(input_bytes=10, max_output_tokens=5, messages=2, n=3, lines=(audio,))
    assert (bounds.input_tokens, bounds.output_tokens) == (49, 15)
    assert Bounds(input_bytes=10**12, max_output_tokens=10**12).input_tokens == 10**12


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"model": "m"}, "order needs the field 'tokens'."),
        ({"tokens": 5}, "order needs the field 'model'."),
        ({"model": "m", "tokens": "5"}, "order: 'tokens' must be a whole number from 0 to 1000000000000."),
        ({"model": "m", "tokens": 5, "input_share": "1.1"}, "order: 'input_share' must be at least 0 and at most 1."),
        ({"cost": "1000000001"}, "order: 'cost' must be at least 0 and at most 1000000000."),
        ({"cost": "1", "tokens": 5}, "order does not know the field 'tokens'."),
        ({"cost": "1", "model": 5}, "order: 'model' must be a printable text of 1 to 200 characters."),
    ],
)
def test_orders(source: object, message: str) -> None:
    assert refused(Order.from_json, source) == message


def test_whole_orders() -> None:
    assert Order.from_json({"cost": "1000000000"}) == Order(cost_usd=Fraction(10**9))
    assert Order.from_json({"cost": "1", "model": "m"}) == Order(cost_usd=Fraction(1), model="m")
    assert Order.from_json({"model": "m", "tokens": 5, "input_share": "0.25"}) == Order(
        tokens=5, input_share=Fraction(1, 4), model="m"
    )


def test_rates_of_a_snapshot_are_read_strictly() -> None:
    record = {"plan": PLAN, "model": "m-std", "card": CARD}
    assert Rates.from_json(record).record["card"] == Card.from_json(CARD).to_json()
    assert refused(Rates.from_json, {**record, "cards": []}) == "rates does not know the field 'cards'."
    assert refused(Rates.from_json, {**record, "model": None}) == "rates needs the field 'model'."
