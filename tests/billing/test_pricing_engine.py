"""The pipeline by hand: fallbacks, tiers, hours, guards, rounding, receipts and their steps."""

import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from billing.pricing import (
    NO_MODIFIERS,
    PRESETS,
    Bucket,
    Card,
    Charge,
    Circumstances,
    Malformed,
    Modifiers,
    OutOfRange,
    Plan,
    Rates,
    Step,
    Unpriced,
    Usage,
    agrees,
    charge,
    explain,
    recompute,
    snapshot,
)

M_STD: dict[str, Any] = {
    "provider": "openai",
    "model": "m-std",
    "version": 1,
    "rates": [{"direction": "input", "price": "3"}, {"direction": "output", "price": "15"}],
}
PLUS: dict[str, Any] = {"name": "plus", "version": 1, "method": "cost_plus", "percent": "25"}
ADJUSTED: dict[str, Any] = {
    "name": "adj", "version": 1, "method": "adjusted_token", "base_price": "3", "multiplier": "1.2",
}  # fmt: skip
FLAT: dict[str, Any] = {"name": "flat", "version": 1, "method": "flat_token", "price": "20"}
IMAGE = {"direction": "input", "modality": "image", "unit": "image", "price": "0.04"}
CHAT = Usage.of([(Bucket("input"), 1000), (Bucket("output"), 500)])
NOTHING = Usage.of([(Bucket("input"), 0)])


def prices(plan: dict[str, Any], card: dict[str, Any] | None = M_STD, **more: Any) -> Rates:
    return Rates.of(plan=Plan.from_json(plan), card=None if card is None else Card.from_json(card), **more)


def priced(usage: Usage, plan: dict[str, Any], card: dict[str, Any] | None = M_STD, **circumstances: Any) -> Charge:
    rates = prices(plan, card, model=None if card else "stranger")
    return charge(usage=usage, rates=rates, circumstances=Circumstances.from_json(circumstances))


def test_the_reference_request() -> None:
    made = priced(CHAT, PLUS)
    assert (made.cost_nano, made.charge_nano, made.adjusted_tokens) == (10_500_000, 13_125_000, None)
    assert Fraction(*(made.cost or (0, 1))) == 10_500_000
    flags = (made.minimum_applied, made.below_cost, made.below_margin_floor, made.cost_is_estimate)
    assert not any(flags)


def test_the_smallest_charge_is_a_whole_nano() -> None:
    cheap = {**M_STD, "rates": [{"direction": "input", "price": "0.15"}]}
    assert priced(Usage.of([(Bucket("input"), 1)]), PLUS, cheap).charge_nano == 188


@pytest.mark.parametrize(
    ("bucket", "cost_nano"),
    [
        (Bucket("input", "text", "read"), 3000),
        (Bucket("input", "text", "write_1h"), 3000),
        (Bucket("output", "reasoning"), 15000),
    ],
)
def test_a_bucket_without_a_rate_is_never_cheaper_by_omission(bucket: Bucket, cost_nano: int) -> None:
    assert priced(Usage.of([(bucket, 1)]), PLUS).cost_nano == cost_nano


@pytest.mark.parametrize(
    "bucket", [Bucket("input", "audio"), Bucket("output", "audio"), Bucket("input", "image", "none", "image")]
)
def test_what_has_no_price_is_refused_by_name_unless_nothing_was_used(bucket: Bucket) -> None:
    with pytest.raises(Unpriced, match=rf"^There is no price for {bucket}.$".replace("(", r"\(")):
        priced(Usage.of([(bucket, 1)]), PLUS)
    assert priced(Usage.of([(bucket, 0)]), PLUS).charge_nano == 0


@pytest.mark.parametrize(
    "bucket", [Bucket("output", "reasoning", "none", "character"), Bucket("input", "text", "read", "character")]
)
def test_a_fallback_never_changes_the_unit(bucket: Bucket) -> None:
    with pytest.raises(Unpriced, match="no price for"):
        priced(Usage.of([(bucket, 1)]), PLUS)


def test_no_plan_sells_what_nobody_knows_the_cost_of() -> None:
    units = {"name": "u", "version": 1, "method": "unit_price", "units": [IMAGE]}
    usage = Usage.of([(Bucket("input", "image", "none", "image"), 1)])
    with pytest.raises(Unpriced, match="no price for input image image"):
        priced(usage, units)
    assert priced(usage, units, {**M_STD, "rates": [{**IMAGE, "price": "0.01"}]}).charge_nano == 40_000_000


def test_a_context_tier_replaces_what_it_names_for_the_whole_request() -> None:
    card = {
        **M_STD,
        "context_tiers": [
            {"above_tokens": 1000, "rates": [{"direction": "input", "price": "6"}]},
            {"above_tokens": 2000, "rates": [{"direction": "output", "price": "30"}]},
        ],
    }

    def cost(tokens: int, cached: int = 0) -> int | None:
        usage = Usage.of([(Bucket("input"), tokens), (Bucket("input", cache="read"), cached), (Bucket("output"), 1)])
        return priced(usage, PLUS, card).cost_nano

    assert cost(1000) == 1000 * 3000 + 15000
    assert cost(1001) == 1001 * 6000 + 15000
    assert cost(1000, 1) == 1001 * 6000 + 15000
    assert cost(2000) == 2000 * 6000 + 15000
    assert cost(2001) == 2001 * 3000 + 30000
    part = charge(usage=NOTHING, rates=prices(PLUS, card), circumstances=Circumstances(context_tokens=1001))
    assert part.tier == 1


HOURS = {
    **M_STD,
    "service_tiers": {"flex": "0.5", "priority": "2"},
    "peak": [
        {"from": "23:30", "to": "01:00", "multiplier": "2"},
        {"from": "00:30", "to": "08:30", "multiplier": "0.5"},
    ],
}


@pytest.mark.parametrize(
    ("at", "tier", "cost_nano"),
    [
        ("2026-11-21T12:00:00Z", None, 10_500_000),
        ("2026-11-21T23:29:59Z", None, 10_500_000),
        ("2026-11-21T23:30:00Z", None, 21_000_000),
        ("2026-11-21T00:59:59Z", None, 21_000_000),
        ("2026-11-21T01:00:00Z", None, 5_250_000),
        ("2026-11-21T08:29:59Z", None, 5_250_000),
        ("2026-11-21T08:30:00Z", None, 10_500_000),
        ("2026-11-21T09:30:00+01:00", None, 10_500_000),
        ("2026-11-21T09:29:00+01:00", None, 5_250_000),
        ("2026-11-21T12:00:00Z", "flex", 5_250_000),
        ("2026-11-21T12:00:00Z", "default", 10_500_000),
        ("2026-11-21T23:30:00Z", "priority", 42_000_000),
    ],
)
def test_hours_and_service_tiers_multiply_every_rate(at: str, tier: str | None, cost_nano: int) -> None:
    made = priced(CHAT, PLUS, HOURS, at=at, service_tier=tier)
    assert (made.cost_nano, made.charge_nano) == (cost_nano, cost_nano * 5 // 4)
    assert priced(CHAT, FLAT, HOURS, at=at, service_tier=tier).charge_nano == 30_000_000


def test_hours_need_the_time_and_tiers_a_price() -> None:
    with pytest.raises(Malformed, match=r"^The card of m-std has peak hours: the time must be given, with its zone"):
        priced(CHAT, PLUS, HOURS)
    aware = Circumstances.from_json({"at": "2026-11-21T12:00:00Z"}).at
    assert aware is not None
    with pytest.raises(Malformed, match="has peak hours"):
        charge(usage=CHAT, rates=prices(PLUS, HOURS), circumstances=Circumstances(at=aware.replace(tzinfo=None)))
    with pytest.raises(Unpriced, match=r"^The card of m-std has no price for the service tier 'batch'"):
        priced(CHAT, PLUS, service_tier="batch")
    assert (
        priced(CHAT, PLUS, {**M_STD, "service_tiers": {"default": "3"}}, service_tier="default").cost_nano == 31_500_000
    )


def test_adjusted_tokens_round_up_each_component_exactly() -> None:
    usage = Usage.of([(Bucket("input"), 7), (Bucket("input", cache="read"), 1), (Bucket("output"), 1)])
    made = priced(usage, {**ADJUSTED, "base_price": "7"})
    # 3/7 x 1.2 = 18/35 and 15/7 x 1.2 = 18/7: 3.6 -> 4, 0.51 -> 1, 2.57 -> 3
    assert made.adjusted == (4, 1, 3)
    assert (made.adjusted_tokens, made.charge_nano) == (8, 56_000)
    whole = priced(Usage.of([(Bucket("input"), 5)]), ADJUSTED)
    assert (whole.adjusted_tokens, whole.charge_nano) == (6, 18_000)


def test_adjusted_plans_multiply_what_is_no_token() -> None:
    card = {**M_STD, "rates": [*M_STD["rates"], IMAGE], "service_tiers": {"priority": "2"}}
    usage = Usage.of([(Bucket("input"), 10), (Bucket("input", "image", "none", "image"), 3)])
    made = priced(usage, ADJUSTED, card, service_tier="priority", modifiers={"coupon_percent": "50"})
    assert made.adjusted == (None, 24)
    assert made.cost_nano == 60_000 + 240_000_000
    assert made.charge_nano == (24 * 3000 + 288_000_000) // 2


def test_an_unknown_model_counts_one_to_one_or_not_at_all() -> None:
    made = priced(CHAT, ADJUSTED, None, service_tier="whatever", at="2026-11-21T12:00:00Z")
    assert (made.cost, made.cost_nano, made.adjusted, made.charge_nano) == (None, None, (1000, 500), 4_500_000)
    assert not any((made.below_cost, made.below_margin_floor, made.cost_is_estimate))
    with pytest.raises(Unpriced, match="no price for input image image"):
        priced(Usage.of([(Bucket("input", "image", "none", "image"), 1)]), ADJUSTED, None)
    for plan in (PLUS, {**ADJUSTED, "on_unknown_model": "reject"}, {**PLUS, "on_unknown_model": "one_to_one"}):
        with pytest.raises(Unpriced, match=rf"^The model 'stranger' has no cost card, and plan {plan['name']} refuses"):
            prices(plan, None, model="stranger")
    with pytest.raises(Unpriced, match="refuses unknown models"):
        prices({**PLUS, "on_unknown_model": "highest_known"}, None, model="stranger")
    with pytest.raises(Malformed, match=r"^An unknown model still needs its name"):
        prices(ADJUSTED, None)


def test_the_dearest_known_card_stands_in() -> None:
    cards = [
        {**M_STD, "rates": [{"direction": "input", "price": "5"}, {"direction": "output", "price": "10"}]},
        {
            **HOURS,
            "rates": [*M_STD["rates"], {"direction": "output", "modality": "reasoning", "price": "4"}],
            "context_tiers": [{"above_tokens": 1000, "rates": [{"direction": "input", "price": "7"}]}],
        },
    ]
    known = [Card.from_json(card) for card in cards]
    plan = {**PLUS, "on_unknown_model": "highest_known"}
    rates = prices(plan, None, model="stranger", known_cards=known)
    made = charge(usage=CHAT, rates=rates)
    # The second card's rates count at its dearest hour, twice its base.
    assert made.cost_nano == 1000 * 6000 + 500 * 30_000
    assert made.cost_is_estimate
    assert (made.rates.card or known[0]).to_json() | {"rates": 0, "context_tiers": 0} == {
        "provider": "dearest-known", "model": "stranger", "version": "dearest of 2", "rates": 0, "context_tiers": 0,
        "service_tiers": {"flex": "0.5", "priority": "2"}, "peak": [], "free": False,
    }  # fmt: skip
    more = Usage.of([(Bucket("input"), 1001), (Bucket("output", "reasoning"), 1)])
    assert charge(usage=more, rates=rates).cost_nano == 1001 * 14_000 + 10_000
    assert charge(usage=CHAT, rates=rates, circumstances=Circumstances(service_tier="flex")).cost_nano == 10_500_000
    near = [
        {"above_tokens": above, "rates": [{"direction": "input", "price": price}]}
        for above, price in ((0, "8"), (1000, "9"), (1001, "10"))
    ]
    stepped = prices(plan, None, model="s", known_cards=[Card.from_json({**M_STD, "context_tiers": near})])
    costs = [charge(usage=Usage.of([(Bucket("input"), n)]), rates=stepped).cost_nano for n in (1, 1000, 1001, 1002)]
    assert costs == [8000, 8_000_000, 1001 * 9000, 1002 * 10_000]
    assert charge(usage=CHAT, rates=stepped, circumstances=Circumstances(context_tokens=0)).cost_nano == 10_500_000
    assert agrees(json.loads(json.dumps(snapshot(made))))
    assert prices(plan, M_STD, known_cards=known).known_cards == ()
    free = [replace(card, free=True) for card in known]
    assert prices(plan, None, model="s", known_cards=free).card == replace(
        prices(plan, None, model="s", known_cards=known).card or known[0], free=True
    )
    mixed = prices(plan, None, model="s", known_cards=[free[0], known[1]]).card
    assert mixed is not None
    assert not mixed.free


def test_a_card_of_zeros_prices_nothing_unless_it_says_free() -> None:
    zeros = {**M_STD, "rates": [{"direction": "input", "price": "0"}]}
    with pytest.raises(Unpriced, match=r"^Every rate of the card of 'm-std' is zero and it is not marked free"):
        prices(PLUS, zeros)
    assert priced(NOTHING, PLUS, {**zeros, "free": True}).charge_nano == 0
    tier = {"above_tokens": 5, "rates": [{"direction": "input", "price": "1"}]}
    assert priced(NOTHING, PLUS, {**zeros, "context_tiers": [tier]}).charge_nano == 0


def test_a_fixed_list_sells_its_own_models_alone() -> None:
    plan = {
        "name": "l",
        "version": 1,
        "method": "fixed_list",
        "list": {"m-std": [{"direction": "input", "price": "9"}]},
    }
    usage = Usage.of([(Bucket("input"), 1000)])
    assert priced(usage, plan).charge_nano == 9_000_000
    alias = prices({**plan, "list": {"alias": [{"direction": "input", "price": "8"}]}}, model="alias")
    assert charge(usage=usage, rates=alias).charge_nano == 8_000_000
    with pytest.raises(Unpriced, match=r"^Plan l has no price for the model 'other'.$"):
        prices(plan, model="other")
    with pytest.raises(Unpriced, match="no price for output text token"):
        priced(CHAT, plan)


FREE = {**M_STD, "rates": [{"direction": "input", "price": "0"}], "free": True}
MINIMUM = {**PLUS, "min_charge": "0.001"}
ONE = Usage.of([(Bucket("input"), 1)])


@pytest.mark.parametrize(
    ("usage", "plan", "card", "charge_nano", "applied"),
    [
        (ONE, MINIMUM, M_STD, 1_000_000, True),
        (CHAT, MINIMUM, M_STD, 13_125_000, False),
        (Usage.of([(Bucket("output"), 1), (Bucket("input"), 262)]), MINIMUM, M_STD, 1_001_250, False),
        (NOTHING, MINIMUM, M_STD, 0, False),
        (ONE, MINIMUM, FREE, 0, False),
        (ONE, {**MINIMUM, "min_charge_free_models": True}, FREE, 1_000_000, True),
        (NOTHING, {**MINIMUM, "min_charge_free_models": True}, FREE, 0, False),
        (NOTHING, {**MINIMUM, "models": {"m-std": {"billable": True}}}, FREE, 1_000_000, True),
        (NOTHING, {**MINIMUM, "models": {"m-std": {"billable": False}}}, M_STD, 0, False),
        (NOTHING, {**MINIMUM, "models": {"other": {"billable": True}}}, M_STD, 0, False),
        (ONE, {**MINIMUM, "models": {"m-std": {"min_charge": "0"}}}, M_STD, 3750, False),
        (ONE, {**MINIMUM, "models": {"m-std": {"min_charge": "0.5"}}}, M_STD, 500_000_000, True),
        (ONE, {**MINIMUM, "models": {"m-std": {"multiplier": "2"}}, "min_charge": "0"}, M_STD, 6000, False),
        (ONE, {**ADJUSTED, "min_charge": "1"}, None, 10**9, True),
        (ONE, {**MINIMUM, "min_charge": "0.0000037501"}, M_STD, 3751, True),
    ],
)
def test_minimum(usage: Usage, plan: Any, card: Any, charge_nano: int, applied: bool) -> None:  # noqa: FBT001
    made = priced(usage, plan, card)
    assert (made.charge_nano, made.minimum_applied) == (charge_nano, applied)


def test_no_coupon_reaches_below_the_minimum_and_parts_may_go_without() -> None:
    assert priced(CHAT, MINIMUM, modifiers={"coupon_percent": "100"}).charge_nano == 1_000_000
    assert priced(ONE, MINIMUM, without_minimum=True).charge_nano == 3750


def test_modifiers_are_exact_products_rounded_once() -> None:
    modifiers = {"group_multiplier": "0.9", "organization_multiplier": "1.1", "coupon_percent": "10"}
    made = priced(ONE, PLUS, modifiers={**modifiers, "arm": {"name": "B", "multiplier": "1.05"}})
    assert Fraction(*made.price) == Fraction("3750") * Fraction("0.93555")
    assert made.charge_nano == 3509


@pytest.mark.parametrize(("quantum", "charge_nano"), [(1, 3750), (7, 3752), (1000, 4000), (10**9, 10**9)])
def test_the_quantum_is_lifted_to(quantum: int, charge_nano: int) -> None:
    assert priced(ONE, {**PLUS, "rounding": {"quantum_nano": quantum}}).charge_nano == charge_nano


@pytest.mark.parametrize(
    ("change", "below_cost", "below_floor"),
    [
        ({"percent": "0"}, False, False),
        ({"percent": "-1"}, True, False),
        ({"percent": "-1", "allow_loss": True}, False, False),
        ({"percent": "-1", "models": {"m-std": {"allow_loss": True}}}, False, False),
        ({"percent": "-1", "allow_loss": True, "models": {"m-std": {"allow_loss": False}}}, True, False),
        ({"percent": "25", "margin_floor": "0.2"}, False, False),
        ({"percent": "25", "margin_floor": "0.2000001"}, False, True),
        ({"percent": "25", "margin_floor": "0.3", "allow_loss": True}, False, False),
        ({"percent": "-1", "margin_floor": "0"}, True, True),
        ({"percent": "0", "margin_floor": "0"}, False, False),
        ({"percent": "0", "margin_floor": "0.0001"}, False, True),
    ],
)
def test_what_loses_money_is_flagged(change: Any, below_cost: bool, below_floor: bool) -> None:  # noqa: FBT001
    for usage in (CHAT, Usage.of([(Bucket("input"), 37), (Bucket("input", cache="read"), 11)])):
        made = priced(usage, {**PLUS, **change})
        assert (made.below_cost, made.below_margin_floor) == (below_cost, below_floor)


def test_the_floor_is_checked_on_exact_figures_after_the_minimum() -> None:
    tiny = {**M_STD, "rates": [{"direction": "input", "price": "0.0001"}]}
    assert not priced(ONE, {**PLUS, "margin_floor": "0.2"}, tiny).below_margin_floor
    assert not priced(ONE, {**MINIMUM, "percent": "0", "margin_floor": "0.9"}).below_margin_floor
    assert priced(ONE, {**PLUS, "percent": "0", "margin_floor": "0.9"}).below_margin_floor


def test_what_no_account_could_hold_is_refused() -> None:
    dear = {**M_STD, "rates": [{"direction": "input", "price": "1000000", "per": 1}]}
    limit = (2**63 - 1) // 10**15
    at_cost = {**PLUS, "percent": "0"}
    assert priced(Usage.of([(Bucket("input"), limit)]), at_cost, dear).charge_nano == limit * 10**15
    with pytest.raises(OutOfRange, match=r"^This amount is beyond what an account can hold"):
        priced(Usage.of([(Bucket("input"), limit + 1)]), {**PLUS, "percent": "-100", "allow_loss": True}, dear)
    with pytest.raises(OutOfRange):
        priced(Usage.of([(Bucket("input"), limit)]), PLUS, dear)
    exact = {
        **M_STD,
        "rates": [
            {"direction": "input", "price": "9223.372036854", "per": 1},
            {"direction": "output", "price": "0.001"},
        ],
    }
    last = priced(Usage.of([(Bucket("input"), 10**6), (Bucket("output"), 775_807)]), at_cost, exact)
    assert (last.cost_nano, last.charge_nano) == (2**63 - 1, 2**63 - 1)
    with pytest.raises(OutOfRange):
        priced(Usage.of([(Bucket("input"), 10**6), (Bucket("output"), 775_808)]), at_cost, exact)


def test_presets_name_five_shops() -> None:
    assert list(PRESETS) == ["s0", "s1", "s2", "s3", "s4"]
    assert [plan.name for plan in PRESETS.values()] == list(PRESETS)
    assert {plan.version for plan in PRESETS.values()} == {1}
    assert [plan.multiplier for plan in PRESETS.values()] == [
        Fraction("1.25"), Fraction("1.25"), Fraction("1.8"), None, Fraction("1.2"),
    ]  # fmt: skip
    assert PRESETS["s1"].trial_tokens == 100_000
    assert (PRESETS["s1"].min_charge, PRESETS["s0"].min_profit) == (Fraction("0.001"), Fraction("0.1"))
    assert PRESETS["s0"].to_json()["volume"] == {"threshold": 1_000_000, "percent": "5", "of": "tokens"}
    assert [PRESETS[name].display.charge(10**9) for name in PRESETS] == ["1", "1", "100", "50000", "100000"]
    assert (PRESETS["s3"].price, PRESETS["s4"].base_price) == (Fraction(20), Fraction(10))
    assert PRESETS["s4"].on_unknown_model == "one_to_one"


# Receipts


def test_a_snapshot_carries_everything_and_nothing_of_other_models() -> None:
    plan = {**MINIMUM, "models": {"m-std": {"min_charge": "0.002"}, "secret": {"multiplier": "9"}}}
    made = priced(ONE, plan, modifiers={"coupon_percent": "5"}, service_tier="default")
    record = snapshot(made)
    assert set(record) == {"schema", "usage", "rates", "circumstances", "result"}
    assert record["schema"] == 1
    assert record["circumstances"] == {"service_tier": "default", "modifiers": {"coupon_percent": "5"}}
    assert record["result"] == {
        "cost_nano": 3000,
        "charge_nano": 2_000_000,
        "adjusted_tokens": None,
        "cost_is_estimate": False,
        "minimum_applied": True,
        "below_cost": False,
        "below_margin_floor": False,
    }
    rates: Any = record["rates"]
    assert set(rates["plan"]["models"]) == {"m-std"}
    assert (rates["model"], rates["card"]["model"], rates["known_cards"]) == ("m-std", "m-std", [])
    assert agrees(json.loads(json.dumps(record)))


def test_a_changed_snapshot_does_not_agree_and_a_foreign_one_is_refused() -> None:
    record = json.loads(json.dumps(snapshot(priced(CHAT, PLUS))))
    assert recompute(record).charge_nano == 13_125_000
    record["usage"][0]["quantity"] += 1
    assert not agrees(record)
    for schema in (0, 2):
        with pytest.raises(Malformed, match=r"^snapshot: 'schema' must be a whole number from 1 to 1"):
            recompute({**record, "schema": schema})
    with pytest.raises(Malformed, match=r"^snapshot does not know the field 'note'"):
        recompute({**record, "note": 1})
    with pytest.raises(Malformed, match=r"^snapshot needs the field 'result'"):
        recompute({**record, "result": None})


# Steps


def test_the_steps_of_an_ordinary_charge() -> None:
    made = priced(CHAT, MINIMUM)
    assert explain(made) == (
        Step("Cost of input text token", "1,000 x $3 per 1,000,000", "0.003", private=True),
        Step("Cost of output text token", "500 x $15 per 1,000,000", "0.0075", private=True),
        Step("Cost", "by the card", "0.0105", private=True),
        Step("Multiplier on cost", "x 1.25", None, private=True),
        Step("Price of input text token", "1,000 x $3.75 per 1,000,000", "0.00375"),
        Step("Price of output text token", "500 x $18.75 per 1,000,000", "0.009375"),
        Step("Price", "by the plan", "0.013125"),
        Step("Charge", "rounded up once, to 1 nano-USD", "0.013125"),
    )


def test_the_steps_of_a_dear_hour_with_everything_else() -> None:
    tier = {"above_tokens": 1000, "rates": [{**IMAGE, "price": "0.05"}]}
    card = {**HOURS, "context_tiers": [tier, {"above_tokens": 5000, "rates": []}]}
    plan = {**MINIMUM, "percent": "-50", "margin_floor": "0.1", "min_charge": "0", "rounding": {"quantum_nano": 1000}}
    usage = Usage.of(
        [(Bucket("input"), 1001), (Bucket("input", "audio"), 0), (Bucket("input", "image", "none", "image"), 2)]
    )
    modifiers = {
        "group_multiplier": "0.9", "organization_multiplier": "1.1", "coupon_percent": "10",
        "arm": {"name": "B", "multiplier": "1.05"},
    }  # fmt: skip
    made = priced(usage, plan, card, at="2026-11-21T23:30:00Z", service_tier="priority", modifiers=modifiers)
    assert explain(made) == (
        Step("Cost of input image image", "2 x $0.2", "0.4", private=True),
        Step("Cost of input text token", "1,001 x $12 per 1,000,000", "0.012012", private=True),
        Step("Context tier", "above 1,000 input tokens", private=True),
        Step("Service tier", "priority: rates x 2", private=True),
        Step("Hour", "23:30 to 01:00 UTC: rates x 2", private=True),
        Step("Cost", "by the card", "0.412012", private=True),
        Step("Multiplier on cost", "x 0.5", private=True),
        Step("Price of input image image", "2 x $0.1", "0.2"),
        Step("Price of input text token", "1,001 x $6 per 1,000,000", "0.006006"),
        Step("Price", "by the plan", "0.206006"),
        Step("Group", "x 0.9"),
        Step("Organization", "x 1.1"),
        Step("Coupon", "less 10 %"),
        Step("Experiment", "arm B: x 1.05"),
        Step("Price", "after modifiers", "0.1927289133"),
        Step("Charge", "rounded up once, to 1,000 nano-USD", "0.192729"),
        Step("Below cost", "this charge is less than what it cost", private=True),
        Step("Below the margin floor", "this charge keeps less than the plan asks", private=True),
    )


def test_the_steps_of_adjusted_tokens() -> None:
    card = {**M_STD, "rates": [*M_STD["rates"], IMAGE], "service_tiers": {"flex": "0.5"}}
    usage = Usage.of([(Bucket("input"), 7), (Bucket("input", "image", "none", "image"), 1)])
    made = priced(usage, {**ADJUSTED, "base_price": "7", "min_charge": "1"}, card, service_tier="flex")
    assert explain(made)[4:] == (
        Step("Multiplier on cost", "x 1.2", private=True),
        Step("Price of input image image", "1 x $0.024", "0.024"),
        Step("Ratio of input text token", "x 9/35, rounded up to whole tokens", private=True),
        Step("Price of input text token", "7 count as 2 x $7 per 1,000,000", "0.000014"),
        Step("Price", "by the plan", "0.024014"),
        Step("Minimum charge", "per request", "1"),
        Step("Charge", "rounded up once, to 1 nano-USD", "1"),
    )


def test_the_steps_of_an_unknown_cost_an_estimate_and_a_gift() -> None:
    unknown = explain(priced(Usage.of([(Bucket("input"), 7)]), ADJUSTED, None))
    assert unknown[:3] == (
        Step("Cost", "unknown: nobody has a card for this model", private=True),
        Step("Ratio of input text token", "x 1, rounded up to whole tokens", private=True),
        Step("Price of input text token", "7 count as 7 x $3 per 1,000,000", "0.000021"),
    )
    plan = {**PLUS, "on_unknown_model": "highest_known"}
    estimated = prices(plan, None, model="s", known_cards=[Card.from_json(M_STD)])
    assert Step("Cost", "by the dearest known card", "0.0105", private=True) in explain(
        charge(usage=CHAT, rates=estimated)
    )
    gift = explain(priced(CHAT, PLUS, modifiers={"coupon_percent": "100"}))
    assert [step.label for step in gift][-4:] == ["Coupon", "Price", "Charge", "Below cost"]
    assert [step.usd for step in gift if step.label == "Price"] == ["0"]
    flat = explain(priced(CHAT, FLAT))
    assert "Multiplier on cost" not in [step.label for step in flat]
    assert Step("Price of input text token", "1,000 x $20 per 1,000,000", "0.02") in flat


def test_modifiers_multiply_nothing_when_there_are_none() -> None:
    assert Modifiers() == NO_MODIFIERS
    assert NO_MODIFIERS.product == 1
