"""What a person sees before saving: the price list, the differences, and what is refused."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from billing.pricing import (
    Bucket,
    Card,
    Difference,
    ListedPrice,
    Modifiers,
    Plan,
    Problem,
    Rates,
    card_problems,
    differences,
    plan_problems,
    price_list,
)

RATES = [{"direction": "input", "price": "0.15"}, {"direction": "output", "price": "0.60"}]
IMAGE = {"direction": "input", "modality": "image", "unit": "image", "price": "0.04"}
MINI: dict[str, Any] = {"provider": "openai", "model": "gpt-4o-mini", "version": 1, "rates": RATES}
PLUS: dict[str, Any] = {"name": "s1", "version": 1, "method": "cost_plus", "percent": "25"}
ADJUSTED: dict[str, Any] = {
    "name": "s4", "version": 1, "method": "adjusted_token", "base_price": "10", "multiplier": "1.2",
}  # fmt: skip
FLAT: dict[str, Any] = {"name": "s3", "version": 1, "method": "flat_token", "price": "20"}


def the_list(plan: dict[str, Any], card: dict[str, Any] = MINI, modifiers: Any = None) -> tuple[ListedPrice, ...]:
    rates = Rates.of(plan=Plan.from_json(plan), card=Card.from_json(card))
    return price_list(rates=rates, modifiers=Modifiers.from_json(modifiers or {}))


def test_the_price_list_of_a_markup() -> None:
    first, second = the_list(PLUS)
    assert first == ListedPrice(
        bucket=Bucket("input"),
        above_tokens=None,
        per=10**6,
        cost_usd=Fraction("0.15"),
        price_usd=Fraction("0.1875"),
        ratio=None,
    )
    assert (second.price_usd, second.markup, second.margin) == (Fraction("0.75"), Fraction(1, 4), Fraction(1, 5))
    assert the_list(PLUS, modifiers={"group_multiplier": "2"})[0].price_usd == Fraction("0.375")


@pytest.mark.parametrize(
    ("multiplier", "markup", "margin"),
    [("1.25", "0.25", Fraction(1, 5)), ("1.2", "0.2", Fraction(1, 6)), ("1.8", "0.8", Fraction(4, 9))],
)
def test_markup_is_on_cost_and_margin_on_price(multiplier: str, markup: str, margin: Fraction) -> None:
    listed = the_list({**PLUS, "percent": None, "multiplier": multiplier})[0]
    assert (listed.markup, listed.margin) == (Fraction(markup), margin)


def test_the_price_list_shows_tiers_units_and_ratios() -> None:
    card = {
        **MINI,
        "rates": [*RATES, IMAGE],
        "context_tiers": [{"above_tokens": 0, "rates": [{"direction": "input", "price": "0.3"}]}],
    }
    listed = the_list(ADJUSTED, card)
    assert [(str(price.bucket), price.above_tokens, price.per, price.price_usd, price.ratio) for price in listed] == [
        ("input image image", None, 1, Fraction("0.048"), Fraction("0.0048") * 10**6 * Fraction(1, 1)),
        ("input text token", None, 10**6, Fraction("0.18"), Fraction("0.018")),
        ("output text token", None, 10**6, Fraction("0.72"), Fraction("0.072")),
        ("input image image", 0, 1, Fraction("0.048"), Fraction("0.0048") * 10**6 * Fraction(1, 1)),
        ("input text token", 0, 10**6, Fraction("0.36"), Fraction("0.036")),
        ("output text token", 0, 10**6, Fraction("0.72"), Fraction("0.072")),
    ]


def test_nothing_asked_or_paid_has_no_share() -> None:
    free = {**MINI, "rates": [{"direction": "input", "price": "0"}], "free": True}
    listed = the_list(PLUS, free)[0]
    assert (listed.cost_usd, listed.price_usd, listed.markup, listed.margin) == (0, 0, None, None)
    unsold = the_list(FLAT, {**MINI, "rates": [*RATES, IMAGE]})[0]
    assert (unsold.price_usd, unsold.markup, unsold.margin) == (None, None, None)
    stranger = Rates.of(plan=Plan.from_json(ADJUSTED), card=None, model="stranger")
    assert price_list(rates=stranger) == ()


def test_differences_are_told_by_bucket() -> None:
    before = Card.from_json({**MINI, "rates": [*RATES, IMAGE], "service_tiers": {"flex": "0.5"}})
    after = Card.from_json(
        {
            **MINI,
            "version": 2,
            "rates": [{"direction": "input", "price": "0.20"}, RATES[1]],
            "service_tiers": {"flex": "0.5"},
            "peak": [{"from": "00:30", "to": "08:30", "multiplier": "0.5"}],
            "context_tiers": [{"above_tokens": 200000, "rates": RATES[:1]}],
        }
    )
    assert differences(before, after) == (
        Difference("version", "1", "2"),
        Difference("rates[input image none image].price", "0.04", None),
        Difference("rates[input image none image].per", "1", None),
        Difference("rates[input text none token].price", "0.15", "0.2"),
        Difference("context_tiers[200000].rates[input text none token].price", None, "0.15"),
        Difference("context_tiers[200000].rates[input text none token].per", None, "1000000"),
        Difference("peak[00:30 08:30].multiplier", None, "0.5"),
    )
    plan = Plan.from_json(PLUS)
    assert differences(plan, replace(plan, multiplier=Fraction("1.3"), allow_loss=True)) == (
        Difference("multiplier", "1.25", "1.3"),
        Difference("allow_loss", "False", "True"),
    )


def test_a_card_of_zeros_is_refused_unless_it_says_free() -> None:
    zeros = {**MINI, "rates": [{"direction": "input", "price": "0"}]}
    assert card_problems(Card.from_json(zeros)) == (
        Problem(
            "all_zero",
            "gpt-4o-mini",
            "Every rate of this card is zero. If the model really costs nothing, mark the card as free.",
        ),
    )
    assert card_problems(Card.from_json({**zeros, "free": True})) == ()
    assert card_problems(Card.from_json({**MINI, "rates": [*RATES, IMAGE]})) == ()
    assert card_problems(Card.from_json({**MINI, "rates": []})) != ()


def problems(plan: dict[str, Any], card: dict[str, Any] = MINI, modifiers: Any = None) -> list[tuple[str, str, str]]:
    found = plan_problems(
        plan=Plan.from_json(plan), card=Card.from_json(card), modifiers=Modifiers.from_json(modifiers or {})
    )
    return [(problem.kind, problem.place, problem.sentence) for problem in found]


def test_a_plan_that_earns_is_saved() -> None:
    assert problems(PLUS) == problems(ADJUSTED) == problems(FLAT) == []
    assert problems({**PLUS, "percent": "0"}) == []
    assert problems({**PLUS, "margin_floor": "0.2"}) == []


def test_selling_below_cost_is_refused_line_by_line() -> None:
    assert problems({**PLUS, "percent": "-10"}) == [
        (
            "below_cost",
            "input text token",
            "Sells at $0.135 what costs $0.15 per 1000000 tokens. Raise it or allow a loss.",
        ),
        (
            "below_cost",
            "output text token",
            "Sells at $0.54 what costs $0.6 per 1000000 tokens. Raise it or allow a loss.",
        ),
    ]
    assert problems({**PLUS, "percent": "-10", "allow_loss": True}) == []
    assert problems({**PLUS, "percent": "-10", "models": {"gpt-4o-mini": {"allow_loss": True}}}) == []
    assert [kind for kind, _, _ in problems(PLUS, modifiers={"coupon_percent": "21"})] == ["below_cost", "below_cost"]
    dear = {**MINI, "context_tiers": [{"above_tokens": 128000, "rates": [{"direction": "output", "price": "21"}]}]}
    assert problems(FLAT, dear) == [
        ("below_cost", "output text token above 128000 input tokens",
         "Sells at $20 what costs $21 per 1000000 tokens. Raise it or allow a loss."),
    ]  # fmt: skip


def test_prices_of_their_own_must_bear_the_dearest_hour_and_tier() -> None:
    hours = [{"from": "01:00", "to": "04:00", "multiplier": "2"}, {"from": "05:00", "to": "06:00", "multiplier": "0.1"}]
    card = {**MINI, "service_tiers": {"flex": "0.5", "priority": "3"}, "peak": hours}
    assert problems({**FLAT, "price": "3.6"}, card) == []
    assert [(kind, sentence[:37]) for kind, _, sentence in problems({**FLAT, "price": "3.5"}, card)] == [
        ("below_cost", "Sells at $3.5 what costs $3.6 per 100")
    ]
    cheap_hours = {**MINI, "service_tiers": {"flex": "0.5"}, "peak": hours[1:]}
    assert problems({**FLAT, "price": "0.6"}, cheap_hours) == []
    assert problems({**FLAT, "price": "0.59"}, cheap_hours) != []
    assert problems(PLUS, card) == []


def test_the_margin_floor_and_missing_prices() -> None:
    assert problems({**PLUS, "margin_floor": "0.21"}, {**MINI, "rates": [IMAGE]}) == [
        ("below_margin_floor", "input image image",
         "Keeps less of $0.05 per image than the margin floor asks; the cost is $0.04."),
    ]  # fmt: skip
    assert problems({**PLUS, "margin_floor": "0.21", "allow_loss": True}) == []
    assert problems(FLAT, {**MINI, "rates": [*RATES, IMAGE]}) == [
        ("unpriced", "input image image",
         "The plan has no price for input image image; such usage would be refused. Add a rate."),
    ]  # fmt: skip
    fixed = {"name": "l", "version": 1, "method": "fixed_list", "list": {"other": RATES}}
    assert problems(fixed) == [("unpriced", "gpt-4o-mini", "Plan l has no price for the model 'gpt-4o-mini'.")]
    named = plan_problems(plan=Plan.from_json(fixed), card=Card.from_json(MINI), model="alias")
    assert [problem.place for problem in named] == ["alias"]
    assert plan_problems(plan=Plan.from_json(fixed), card=Card.from_json(MINI), model="other") == ()
