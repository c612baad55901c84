"""Packages: the volume discount, the least profit, and tokens nobody has used yet."""

from typing import Any

import pytest

from billing.pricing import (
    PRESETS,
    Card,
    Malformed,
    Modifiers,
    Order,
    OrderPrice,
    OutOfRange,
    Plan,
    Rates,
    Unpriced,
    order_price,
)

CARD: dict[str, Any] = {
    "provider": "openrouter",
    "model": "gpt-4",
    "version": 1,
    "rates": [{"direction": "input", "price": "3"}, {"direction": "output", "price": "15"}],
    "context_tiers": [{"above_tokens": 10, "rates": [{"direction": "input", "price": "99"}]}],
}
PLUS: dict[str, Any] = {"name": "o", "version": 1, "method": "cost_plus", "percent": "25"}


def sold(
    order: dict[str, Any], plan: dict[str, Any] | Plan = PLUS, modifiers: Any = None, card: Any = CARD
) -> OrderPrice:
    plan = plan if isinstance(plan, Plan) else Plan.from_json(plan)
    rates = Rates.of(plan=plan, card=Card.from_json(card) if card else None, model=order.get("model", "gpt-4"))
    return order_price(order=Order.from_json(order), rates=rates, modifiers=Modifiers.from_json(modifiers or {}))


def test_the_worked_example_of_the_first_shop() -> None:
    assert sold({"cost": "0.003"}) == OrderPrice(
        cost_nano=3_000_000,
        price_nano=3_750_000,
        profit_nano=750_000,
        discounted=False,
        least_profit_applied=False,
        below_margin_floor=False,
    )


def test_the_least_profit_of_an_order() -> None:
    small = sold({"cost": "0.003"}, PRESETS["s0"])
    assert (small.price_nano, small.profit_nano, small.least_profit_applied) == (103_000_000, 100_000_000, True)
    exact = sold({"cost": "0.4"}, PRESETS["s0"])
    assert (exact.price_nano, exact.least_profit_applied) == (500_000_000, False)


@pytest.mark.parametrize(
    ("tokens", "share", "cost", "price", "discounted"),
    [
        (999_999, "0.5", 8_999_991_000, 11_249_988_750, False),
        (1_000_000, "0.5", 9_000_000_000, 10_687_500_000, True),
        (1_000_001, "0.5", 9_000_009_000, 10_687_510_688, True),
        (1_000_000, "1", 3_000_000_000, 3_562_500_000, True),
        (1_000_000, "0", 15_000_000_000, 17_812_500_000, True),
        (1_000_000, None, 15_000_000_000, 17_812_500_000, True),
        (0, None, 0, 100_000_000, False),
    ],
)
def test_tokens_and_their_discount(tokens: int, share: Any, cost: int, price: int, discounted: bool) -> None:  # noqa: FBT001
    found = sold({"model": "gpt-4", "tokens": tokens, "input_share": share}, PRESETS["s0"])
    assert (found.cost_nano, found.price_nano, found.discounted) == (cost, price, discounted)
    assert found.profit_nano == price - cost


def test_dollars_and_their_discount() -> None:
    plan = {**PLUS, "volume": {"threshold": "99.5", "percent": "10", "of": "usd"}}
    assert sold({"cost": "79.6"}, plan).price_nano == 89_550_000_000
    assert not sold({"cost": "79.5"}, plan).discounted
    assert sold({"cost": "159.2"}, plan, {"coupon_percent": "50"}).discounted
    assert not sold({"cost": "79.6"}, plan, {"coupon_percent": "50"}).discounted
    tokens = {**PLUS, "volume": {"threshold": 0, "percent": "10", "of": "tokens"}}
    assert not sold({"cost": "79.6"}, tokens).discounted


def test_no_discount_sells_below_cost() -> None:
    plan = {**PLUS, "volume": {"threshold": 0, "percent": "30", "of": "usd"}}
    assert (sold({"cost": "1"}, plan).price_nano, sold({"cost": "1"}, plan).profit_nano) == (10**9, 0)
    assert sold({"cost": "1"}, modifiers={"coupon_percent": "100"}).price_nano == 10**9
    assert sold({"cost": "1"}, {**PLUS, "margin_floor": "0.2"}).below_margin_floor is False
    assert sold({"cost": "1"}, {**PLUS, "margin_floor": "0.3"}).below_margin_floor is True
    assert sold({"cost": "1"}, {**plan, "margin_floor": "0.1"}).below_margin_floor is True
    assert sold({"cost": "0.0000000001"}).price_nano == 1


def test_methods_with_prices_of_their_own_sell_tokens_at_them() -> None:
    flat = {"name": "f", "version": 1, "method": "flat_token", "price": "20"}
    found = sold({"model": "gpt-4", "tokens": 1000}, flat)
    assert (found.cost_nano, found.price_nano) == (15_000_000, 20_000_000)
    adjusted = {"name": "a", "version": 1, "method": "adjusted_token", "base_price": "10", "multiplier": "1.2"}
    assert sold({"model": "gpt-4", "tokens": 1000, "input_share": "1"}, adjusted).price_nano == 3_600_000
    assert sold({"cost": "1"}, adjusted).price_nano == 1_200_000_000
    with pytest.raises(Malformed, match=r"^A flat_token plan prices tokens of a model, not a cost"):
        sold({"cost": "1"}, flat)
    with pytest.raises(Unpriced, match=r"^Nobody knows what tokens of gpt-4 cost, so they are not sold in packages"):
        sold({"model": "gpt-4", "tokens": 1000}, adjusted, card=None)


def test_both_sides_need_a_price_where_both_may_be_used() -> None:
    half = {**CARD, "rates": CARD["rates"][:1]}
    assert sold({"model": "gpt-4", "tokens": 1000, "input_share": "1"}, card=half).cost_nano == 3_000_000
    for share in (None, "0.9"):
        with pytest.raises(Unpriced, match=r"^There is no price for output text token"):
            sold({"model": "gpt-4", "tokens": 1000, "input_share": share}, card=half)


def test_overrides_and_limits() -> None:
    assert (
        sold({"model": "gpt-4", "cost": "1"}, {**PLUS, "models": {"gpt-4": {"multiplier": "3"}}}).price_nano
        == 3 * 10**9
    )
    dear = {**PLUS, "percent": None, "multiplier": "10000"}
    with pytest.raises(OutOfRange):
        sold({"cost": "1000000000"}, dear)
    dearest = {**CARD, "rates": [{"direction": "input", "price": "1000000", "per": 1}]}
    with pytest.raises(OutOfRange):
        sold({"model": "gpt-4", "tokens": 10**12, "input_share": "1"}, card=dearest)
