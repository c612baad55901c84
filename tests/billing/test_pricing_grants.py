"""A request on the boundary of a token grant: part covered, part paid, nothing lost between them."""

from typing import Any

import pytest

from billing.pricing import Bucket, Card, Circumstances, Malformed, Plan, Rates, Usage, split

CARD: dict[str, Any] = {
    "provider": "openai",
    "model": "m",
    "version": 1,
    "rates": [
        {"direction": "input", "price": "3"},
        {"direction": "output", "price": "15"},
        {"direction": "input", "modality": "image", "unit": "image", "price": "0.04"},
    ],
    "context_tiers": [{"above_tokens": 999, "rates": [{"direction": "output", "price": "30"}]}],
}
S1: dict[str, Any] = {"name": "s1", "version": 1, "method": "cost_plus", "percent": "25", "min_charge": "0.001"}
CHAT = Usage.of([(Bucket("output"), 500), (Bucket("input"), 1000)])


def parts_of(usage: Usage, granted: int, plan: dict[str, Any] = S1, **circumstances: Any) -> Any:
    rates = Rates.of(plan=Plan.from_json(plan), card=Card.from_json(CARD))
    return split(usage=usage, rates=rates, granted_tokens=granted, circumstances=Circumstances.from_json(circumstances))


@pytest.mark.parametrize(
    ("granted", "covered", "paid_nano"),
    [
        (0, 0, 22_500_000),
        (1, 1, 22_496_250),
        (1000, 1000, 18_750_000),
        (1001, 1001, 18_712_500),
        (1490, 1490, 1_000_000),
        (1499, 1499, 1_000_000),
        (1500, 1500, 0),
        (10**6, 1500, 0),
    ],
)
def test_the_question_is_covered_before_the_answer(granted: int, covered: int, paid_nano: int) -> None:
    parts = parts_of(CHAT, granted)
    assert (parts.covered_tokens, parts.charge.charge_nano) == (covered, paid_nano)
    assert parts.whole.charge_nano == 22_500_000
    assert parts.charge.tier == parts.whole.tier == 1
    assert parts.covered.tokens + parts.paid.tokens == 1500
    worth = covered * 3750 if covered <= 1000 else 3_750_000 + (covered - 1000) * 37_500
    assert parts.covered_nano == worth


def test_the_minimum_belongs_to_the_paid_part_alone() -> None:
    assert parts_of(CHAT, 1499).covered_nano == 22_500_000 - 37_500
    assert parts_of(CHAT, 1500).covered_nano == 22_500_000
    assert parts_of(CHAT, 1499).charge.minimum_applied
    assert not parts_of(CHAT, 1500).charge.minimum_applied
    assert not parts_of(CHAT, 1499).whole.minimum_applied
    billable = {**S1, "models": {"m": {"billable": True}}}
    assert parts_of(CHAT, 1500, billable).charge.charge_nano == 0
    assert parts_of(Usage(()), 5, billable).charge.charge_nano == 0
    assert parts_of(Usage(()), 0, billable).charge.charge_nano == 1_000_000
    assert parts_of(CHAT, 0, {**S1, "min_charge": "1"}).charge.charge_nano == 10**9


def test_only_tokens_are_covered() -> None:
    usage = Usage.of([(Bucket("input", "image", "none", "image"), 2), (Bucket("input"), 10)])
    parts = parts_of(usage, 100)
    assert parts.covered == Usage.of([(Bucket("input", "image", "none", "image"), 0), (Bucket("input"), 10)])
    assert parts.paid == Usage.of([(Bucket("input", "image", "none", "image"), 2), (Bucket("input"), 0)])
    assert parts.charge.charge_nano == 100_000_000
    assert parts.covered_nano == 37_500


def test_the_circumstances_hold_for_both_parts() -> None:
    parts = parts_of(CHAT, 1000, modifiers={"coupon_percent": "50"})
    assert (parts.whole.charge_nano, parts.charge.charge_nano, parts.covered_nano) == (11_250_000, 9_375_000, 1_875_000)


def test_no_grant_is_negative() -> None:
    with pytest.raises(Malformed, match=r"^A grant cannot hold fewer than 0 tokens"):
        parts_of(CHAT, -1)


def test_adjusted_tokens_round_in_each_part_and_still_add_up() -> None:
    plan = {"name": "a", "version": 1, "method": "adjusted_token", "base_price": "7", "multiplier": "1.2"}
    parts = parts_of(Usage.of([(Bucket("input"), 7)]), 3, plan)
    # 18/35 a token: 7 -> 4, the 4 that are paid -> 3, so the 3 covered were worth 1.
    assert (parts.whole.adjusted_tokens, parts.charge.adjusted_tokens) == (4, 3)
    assert parts.covered_nano == 7000
