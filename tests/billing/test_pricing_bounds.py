"""Ceilings for holds and the longest affordable answer, by hand."""

from dataclasses import replace
from datetime import timedelta
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
    Plan,
    Rates,
    Unpriced,
    affordable_output,
    ceiling,
)

PLUS: dict[str, Any] = {"name": "plus", "version": 1, "method": "cost_plus", "multiplier": "1"}
ADJUSTED: dict[str, Any] = {
    "name": "adj", "version": 1, "method": "adjusted_token", "base_price": "10", "multiplier": "1.2",
}  # fmt: skip
M_STD: dict[str, Any] = {
    "provider": "openai",
    "model": "m",
    "version": 1,
    "rates": [{"direction": "input", "price": "3"}, {"direction": "output", "price": "15"}],
}
RICH: dict[str, Any] = {
    **M_STD,
    "rates": [
        *M_STD["rates"],
        {"direction": "input", "cache": "read", "price": "0.3"},
        {"direction": "input", "cache": "write_1h", "price": "6"},
        {"direction": "input", "modality": "audio", "price": "40"},
        {"direction": "output", "modality": "reasoning", "price": "20"},
        {"direction": "output", "modality": "audio", "price": "80"},
        {"direction": "output", "modality": "image", "price": "10"},
        {"direction": "input", "modality": "image", "unit": "image", "price": "0.04"},
    ],
}
ASKED = Bounds(input_bytes=1000, max_output_tokens=100)
AT = Circumstances.from_json({"at": "2026-11-21T12:00:00Z"}).at
IMAGES = Line(Bucket("input", "image", "none", "image"), 2)


def prices(plan: dict[str, Any], card: dict[str, Any] | None = M_STD) -> Rates:
    return Rates.of(plan=Plan.from_json(plan), card=Card.from_json(card) if card else None, model="m")


def most(bounds: Bounds, card: dict[str, Any] | None = M_STD, plan: dict[str, Any] = PLUS, **more: Any) -> int:
    return ceiling(bounds=bounds, rates=prices(plan, card), **more)


@pytest.mark.parametrize(
    ("change", "hold"),
    [
        ({}, 1000 * 3000 + 100 * 15_000),
        ({"n": 3}, 1000 * 3000 + 300 * 15_000),
        ({"messages": 2}, 1032 * 3000 + 100 * 15_000),
        ({"max_output_tokens": 0}, 1000 * 3000),
        ({"input_bytes": 0}, 100 * 15_000),
        ({"lines": (Line(Bucket("input", cache="read"), 7), Line(Bucket("input"), 5))}, 1012 * 3000 + 100 * 15_000),
    ],
)
def test_bytes_limit_and_count(change: dict[str, Any], hold: int) -> None:
    assert most(replace(ASKED, **change)) == hold


@pytest.mark.parametrize(
    ("question", "answer", "hold"),
    [
        (None, None, 1000 * 40_000 + 100 * 80_000),
        ("text", "text", 1000 * 6000 + 100 * 20_000),
        ("audio", "text", 1000 * 40_000 + 100 * 20_000),
        ("text", "audio", 1000 * 6000 + 100 * 80_000),
        ("text", "image", 1000 * 6000 + 100 * 20_000),
        ("image", "text", 1000 * 6000 + 100 * 20_000),
    ],
)
def test_the_dearest_modality_and_cache_class_within_reach(question: Any, answer: Any, hold: int) -> None:
    assert most(replace(ASKED, question=question, answer=answer), RICH) == hold


def test_the_dearest_modality_is_found_wherever_it_stands() -> None:
    cheap_audio = [
        {"direction": "input", "modality": "audio", "price": "1"},
        {"direction": "output", "modality": "audio", "price": "2"},
    ]
    card = {**M_STD, "rates": [*M_STD["rates"], *cheap_audio]}
    assert most(ASKED, card) == most(replace(ASKED, question="audio", answer="audio"), card) == 4_500_000
    media = replace(ASKED, lines=(Line(Bucket("input", "audio"), 10),))
    assert most(media, card) == 4_500_000 + 10 * 1000


def test_lines_bound_what_bytes_do_not() -> None:
    assert most(replace(ASKED, question="text", answer="text", lines=(IMAGES,)), RICH) == 8_000_000 + 80_000_000
    audio = (Line(Bucket("input", "audio"), 10), Line(Bucket("input", "audio", "read"), 5))
    assert most(replace(ASKED, question="text", answer="text", lines=audio), RICH) == 8_000_000 + 15 * 40_000
    with pytest.raises(Unpriced, match="no price for input image image"):
        most(replace(ASKED, lines=(IMAGES,)))
    assert most(replace(ASKED, lines=(replace(IMAGES, quantity=0),))) == 4_500_000


def test_every_context_tier_passed_counts() -> None:
    card = {
        **M_STD,
        "context_tiers": [
            {"above_tokens": 1000, "rates": [{"direction": "input", "price": "9"}]},
            {
                "above_tokens": 2000,
                "rates": [{"direction": "input", "price": "1"}, {"direction": "output", "price": "30"}],
            },
        ],
    }
    assert most(ASKED, card) == 1000 * 3000 + 100 * 15_000
    assert most(replace(ASKED, input_bytes=1001), card) == 1001 * 9000 + 100 * 15_000
    assert most(replace(ASKED, input_bytes=2001), card) == 2001 * 9000 + 100 * 30_000
    media = replace(ASKED, lines=(Line(Bucket("input"), 1),))
    assert most(media, card) == 1001 * 9000 + 100 * 15_000


@pytest.mark.parametrize(
    ("tier", "start", "minutes", "factor"),
    [
        (None, None, 0, 4),
        (None, "11:59", 0, 1),
        (None, "11:59", 1, 2),
        (None, "11:00", 59, 1),
        (None, "13:59", 0, 2),
        (None, "13:59", 601, 4),
        (None, "14:00", 599, 1),
        (None, "14:00", 600, 4),
        (None, "00:10", 0, 4),
        (None, "02:00", 48 * 60, 4),
        ("flex", "11:00", 0, 1),
        ("priority", "11:00", 0, 2),
        ("priority", "12:00", 0, 4),
    ],
)
def test_the_dearest_hour_and_service_tier_within_reach(tier: Any, start: Any, minutes: int, factor: int) -> None:
    card = {
        **M_STD,
        "service_tiers": {"flex": "0.5", "priority": "2"},
        "peak": [
            {"from": "12:00", "to": "14:00", "multiplier": "2"},
            {"from": "16:00", "to": "17:00", "multiplier": "0.1"},
            {"from": "00:00", "to": "01:00", "multiplier": "4"},
        ],
    }
    at = Circumstances.from_json({"at": f"2026-11-21T{start}:00Z"}).at if start else None
    until = at + timedelta(minutes=minutes) if at else None
    bounds = replace(ASKED, service_tier=tier, at=at, until=until)
    assert most(bounds, card) == 4_500_000 * factor
    assert most(replace(bounds, service_tier="flex"), {**card, "peak": []}) == 4_500_000


def test_leaving_a_cheap_hour_counts() -> None:
    card = {**M_STD, "peak": [{"from": "10:00", "to": "12:30", "multiplier": "0.5"}]}
    assert most(replace(ASKED, at=AT), card) == 2_250_000
    assert AT is not None
    assert most(replace(ASKED, at=AT, until=AT + timedelta(minutes=30)), card) == 4_500_000
    assert most(replace(ASKED, at=AT, until=AT + timedelta(minutes=29, seconds=59)), card) == 2_250_000
    late = AT + timedelta(minutes=29, seconds=59)
    assert most(replace(ASKED, at=late, until=late + timedelta(seconds=1)), card) == 4_500_000
    with pytest.raises(Unpriced, match="service tier 'batch'"):
        most(replace(ASKED, service_tier="batch"))


def test_own_prices_hold_by_what_they_sell_and_the_card_prices() -> None:
    units = {"name": "u", "version": 1, "method": "unit_price", "units": RICH["rates"]}
    assert most(ASKED, M_STD, units) == 1000 * 6000 + 100 * 20_000
    assert most(ASKED, RICH, units) == 1000 * 40_000 + 100 * 80_000
    flat = {"name": "f", "version": 1, "method": "flat_token", "price": "20"}
    assert most(ASKED, RICH, flat) == 1100 * 20_000
    nothing_out = {**M_STD, "rates": M_STD["rates"][:1]}
    assert most(replace(ASKED, max_output_tokens=0), nothing_out) == 3_000_000
    with pytest.raises(Unpriced, match="no price for output text token"):
        most(ASKED, nothing_out)


def test_the_minimum_and_the_modifiers_of_the_charge() -> None:
    plan = {**PLUS, "min_charge": "0.01", "rounding": {"quantum_nano": 7}}
    assert most(ASKED, plan=plan) == 10_000_004
    assert (
        most(replace(ASKED, input_bytes=10_000), plan=plan, modifiers=Modifiers.from_json({"coupon_percent": "50"}))
        == 15_750_000
    )
    assert most(replace(ASKED, input_bytes=0, max_output_tokens=0), plan=plan) == 0
    free = {**M_STD, "rates": [{**rate, "price": "0"} for rate in M_STD["rates"]], "free": True}
    assert most(ASKED, free, plan) == 0
    # The dearest bucket to sell costs nothing, another costs something: the minimum may apply.
    units = {"name": "u", "version": 1, "method": "unit_price", "units": RICH["rates"], "min_charge": "1"}
    audio = [{"direction": "input", "modality": "audio", "price": "0"}, {"direction": "output", "price": "0"}]
    half_free = {**M_STD, "rates": [M_STD["rates"][0], *audio]}
    assert most(ASKED, half_free, units) == 10**9


def test_adjusted_tokens_are_held_as_if_every_component_rounded_up_by_itself() -> None:
    # Ratios 0.36 = 9/25 and 1.8 = 9/5; four cache classes in, text and reasoning out.
    asked = Bounds(input_bytes=100, max_output_tokens=10)
    tokens = (100 * 9 + 4 * 24) // 25 + (10 * 9 + 2 * 4) // 5
    assert most(asked, plan=ADJUSTED) == tokens * 10_000
    assert most(replace(asked, input_bytes=2), plan=ADJUSTED) == ((2 * 9 + 2 * 24) // 25 + 19) * 10_000
    assert most(replace(asked, input_bytes=0), plan=ADJUSTED) == 19 * 10_000
    whole = {**ADJUSTED, "multiplier": "10"}
    assert most(asked, plan=whole) == (100 * 3 + 10 * 15) * 10_000
    assert most(asked, None, ADJUSTED) == 110 * 10_000
    # Audio adds four classes in and one kind of answer; the grant adds two parts to every line.
    rich = Bounds(input_bytes=100, max_output_tokens=10, question="text", answer="text")
    assert most(rich, RICH, ADJUSTED) == ((100 * 18 + 8 * 24) // 25 + (10 * 12 + 4 * 4) // 5) * 10_000
    # Service tier and hour multiply the ratio; one granted token is a split as well; no figure passes through a float.
    tiered = {**M_STD, "service_tiers": {"priority": "2.5"}}
    dear = replace(asked, input_bytes=107, service_tier="priority")
    assert most(dear, tiered, ADJUSTED) == ((107 * 9 + 4 * 9) // 10 + (10 * 9 + 2 * 1) // 2) * 10_000
    split = (99 * 9 + 6 * 24) // 25 + (10 * 9 + 4 * 4) // 5
    assert most(asked, plan=ADJUSTED, granted_tokens=1) == split * 10_000
    huge = Bounds(input_bytes=10**12 - 1, max_output_tokens=0)
    million = {**M_STD, "rates": [{"direction": "input", "price": "7"}]}
    sevenths = {**ADJUSTED, "base_price": "7.0007", "multiplier": "1"}
    tokens = ((10**12 - 1) * 10_000 + 4 * 10_000) // 10_001
    assert most(huge, million, sevenths) == -(-tokens * 70_007 // 10)
    free = {**M_STD, "rates": [{**rate, "price": "0"} for rate in M_STD["rates"]], "free": True}
    assert most(asked, free, ADJUSTED) == 0
    half_free = {**M_STD, "rates": [free["rates"][0], M_STD["rates"][1]]}
    assert most(asked, half_free, ADJUSTED) == 19 * 10_000
    paid = (50 * 9 + 6 * 24) // 25 + (10 * 9 + 4 * 4) // 5
    assert most(asked, plan=ADJUSTED, granted_tokens=50) == paid * 10_000


def test_a_grant_covers_the_cheapest_tokens_of_a_bound() -> None:
    assert most(ASKED, granted_tokens=1) == 999 * 3000 + 100 * 15_000
    assert most(ASKED, granted_tokens=1000) == 100 * 15_000
    assert most(ASKED, granted_tokens=1001) == 99 * 15_000
    assert most(ASKED, granted_tokens=1100) == 0
    assert most(replace(ASKED, lines=(IMAGES,)), RICH, granted_tokens=10**6) == 80_000_000
    minimum = {**PLUS, "min_charge": "1", "models": {"m": {"billable": True}}}
    assert most(ASKED, plan=minimum, granted_tokens=1100) == 0
    assert most(ASKED, plan=minimum, granted_tokens=1099) == 10**9
    with pytest.raises(Malformed, match=r"^A grant cannot hold fewer than 0 tokens"):
        most(ASKED, granted_tokens=-1)


@pytest.mark.parametrize(
    ("available", "limit"),
    [
        (4_500_000, 100),
        (4_499_999, 99),
        (3_015_000, 1),
        (3_014_999, 0),
        (3_000_000, 0),
        (2_999_999, None),
        (0, None),
        (10**12, 100),
    ],
)
def test_the_longest_answer_a_balance_affords(available: int, limit: int | None) -> None:
    assert affordable_output(available_nano=available, bounds=ASKED, rates=prices(PLUS)) == limit


def test_the_longest_answer_counts_modifiers_answers_and_grants() -> None:
    rates, half = prices(PLUS), Modifiers.from_json({"coupon_percent": "50"})
    assert affordable_output(available_nano=2_000_000, bounds=ASKED, rates=rates, modifiers=half) == 66
    assert affordable_output(available_nano=3_450_000, bounds=replace(ASKED, n=3), rates=rates) == 10
    assert affordable_output(available_nano=150_000, bounds=ASKED, rates=rates, granted_tokens=1000) == 10
    dear = {**M_STD, "rates": [{**M_STD["rates"][0]}, {"direction": "output", "price": "1000000", "per": 1}]}
    endless = replace(ASKED, max_output_tokens=10**12)
    assert affordable_output(available_nano=2 * 10**15 + 3_000_000, bounds=endless, rates=prices(PLUS, dear)) == 2
    long = replace(ASKED, max_output_tokens=10**12)
    assert affordable_output(available_nano=15 * 10**15, bounds=long, rates=rates) == 10**12 - 200


def test_bounds_of_an_unknown_model_count_one_to_one() -> None:
    hours = replace(ASKED, service_tier="anything", at=AT, until=AT)
    assert most(hours, None, ADJUSTED) == 1100 * 10_000
    minimum = {**ADJUSTED, "min_charge": "1"}
    assert most(ASKED, None, minimum) == 10**9
