"""What holds for every card, plan, modifier and usage there could be."""

import json
import os
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from billing import pricing
from billing.pricing import engine
from tests.billing import independent_pricing
from tests.billing.pricing_strategies import cards, decimals, moments, requests, sold_buckets, usages, within

# TOLLGATE_EXAMPLES=2000 makes a long proof of these short ones.
EXAMPLES = int(os.environ.get("TOLLGATE_EXAMPLES", "60"))
thorough = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def prepared(request: dict[str, Any]) -> tuple[pricing.Rates, pricing.Circumstances]:
    rates = pricing.Rates.of(plan=pricing.Plan.from_json(request["plan"]), card=pricing.Card.from_json(request["card"]))
    return rates, pricing.Circumstances.from_json(
        {"at": request["at"], "modifiers": request["modifiers"], "service_tier": request["context"]["service_tier"]}
    )


def priced(request: dict[str, Any]) -> pricing.Charge:
    rates, circumstances = prepared(request)
    return pricing.charge(usage=pricing.Usage.from_json(request["usage"]), rates=rates, circumstances=circumstances)


@thorough
@given(requests())
def test_two_arithmetics_agree(request: dict[str, Any]) -> None:
    try:
        other = independent_pricing.answer(request)
    except independent_pricing.Unpriced:
        other = {"error": "unpriced"}
    try:
        made = priced(request)
    except pricing.Unpriced:
        assert other.get("error") == "unpriced"
        return
    assert other.get("error") is None
    assert (made.cost_nano, made.charge_nano, made.below_cost) == (
        other["cost_nano"],
        other["charge_nano"],
        other["below_cost"],
    )
    if request["plan"]["method"] == "adjusted_token":
        assert made.adjusted_tokens == other["adjusted_tokens"]


@thorough
@given(requests(), st.randoms())
def test_a_snapshot_recomputes_bit_for_bit_and_the_order_of_lines_is_nothing(
    request: dict[str, Any], chance: Any
) -> None:
    try:
        made = priced(request)
    except pricing.Unpriced:
        assume(False)
    record = json.loads(json.dumps(pricing.snapshot(made)))
    chance.shuffle(record["usage"])
    assert pricing.agrees(record)
    again = pricing.recompute(record)
    assert json.loads(json.dumps(pricing.snapshot(again))) == json.loads(json.dumps(pricing.snapshot(made)))
    record["result"]["charge_nano"] += 1
    assert not pricing.agrees(record)


@thorough
@given(requests(), st.data())
def test_charges_are_never_negative_and_grow_with_every_bucket(request: dict[str, Any], data: st.DataObject) -> None:
    rates, circumstances = prepared(request)
    usage = pricing.Usage.from_json(request["usage"])
    assume(usage.lines)
    # Within one context tier: a card may well be cheaper above a threshold, that is its own affair.
    circumstances = replace(circumstances, context_tokens=usage.input_tokens)
    grown = data.draw(st.sampled_from(usage.lines))
    more = pricing.Usage(
        tuple(replace(line, quantity=line.quantity + 1) if line == grown else line for line in usage.lines)
    )
    try:
        made = pricing.charge(usage=usage, rates=rates, circumstances=circumstances)
        bigger = pricing.charge(usage=more, rates=rates, circumstances=circumstances)
    except pricing.Unpriced:
        assume(False)
    assert 0 <= made.charge_nano <= bigger.charge_nano
    assert made.cost_nano is not None
    assert 0 <= made.cost_nano <= (bigger.cost_nano or 0)


def some_bounds(data: st.DataObject, request: dict[str, Any], sold: set[pricing.Bucket]) -> pricing.Bounds:
    extras = sorted(bucket for bucket in sold if bucket.unit != "token" or bucket == pricing.Bucket("input", "audio"))
    chosen = data.draw(st.lists(st.sampled_from(extras), unique=True, max_size=3)) if extras else []
    at = pricing.Circumstances.from_json({"at": request["at"]}).at
    assert at is not None
    return pricing.Bounds(
        input_bytes=data.draw(st.integers(0, 2500)),
        max_output_tokens=data.draw(st.integers(0, 300)),
        messages=data.draw(st.integers(0, 3)),
        n=data.draw(st.integers(1, 3)),
        lines=tuple(pricing.Line(bucket, data.draw(st.integers(0, 20))) for bucket in chosen),
        question=data.draw(st.sampled_from([None, "text", "audio"])),
        answer=data.draw(st.sampled_from([None, "text", "audio"])),
        service_tier=request["context"]["service_tier"],
        at=at,
        until=at + timedelta(minutes=data.draw(st.integers(0, 1500))),
    )


def moment_within(data: st.DataObject, bounds: pricing.Bounds) -> Any:
    assert bounds.at is not None
    assert bounds.until is not None
    span = int((bounds.until - bounds.at).total_seconds())
    return bounds.at + timedelta(seconds=data.draw(st.integers(0, span)))


@settings(thorough, max_examples=2 * EXAMPLES)
@given(requests(), st.data())
def test_a_ceiling_is_never_below_any_charge_within_its_bounds(request: dict[str, Any], data: st.DataObject) -> None:
    rates, circumstances = prepared(request)
    sold = sold_buckets(rates)
    bounds = some_bounds(data, request, sold)
    granted = data.draw(st.one_of(st.just(0), st.integers(0, 3000)))
    try:
        most = pricing.ceiling(bounds=bounds, rates=rates, modifiers=circumstances.modifiers, granted_tokens=granted)
    except pricing.Unpriced:
        assume(False)
    usage = data.draw(within(bounds, sold))
    circumstances = replace(circumstances, at=moment_within(data, bounds))
    if granted:
        parts = pricing.split(usage=usage, rates=rates, granted_tokens=granted, circumstances=circumstances)
        assert parts.charge.charge_nano <= most
    else:
        assert pricing.charge(usage=usage, rates=rates, circumstances=circumstances).charge_nano <= most


@thorough
@given(requests(), st.data())
def test_the_longest_affordable_answer_is_exactly_that(request: dict[str, Any], data: st.DataObject) -> None:
    rates, circumstances = prepared(request)
    bounds = replace(some_bounds(data, request, set()), question="text", answer="text")
    available = data.draw(st.integers(0, 10**9))

    def most(limit: int) -> int:
        asked = replace(bounds, max_output_tokens=limit)
        return pricing.ceiling(bounds=asked, rates=rates, modifiers=circumstances.modifiers)

    found = pricing.affordable_output(
        available_nano=available, bounds=bounds, rates=rates, modifiers=circumstances.modifiers
    )
    if found is None:
        assert most(0) > available
        return
    assert most(found) <= available
    assert found == bounds.max_output_tokens or most(found + 1) > available


@thorough
@given(requests(), st.integers(0, 5000))
def test_both_parts_of_a_split_add_up_to_the_whole(request: dict[str, Any], granted: int) -> None:
    rates, circumstances = prepared(request)
    usage = pricing.Usage.from_json(request["usage"])
    try:
        whole = pricing.charge(usage=usage, rates=rates, circumstances=replace(circumstances, with_minimum=False))
        parts = pricing.split(usage=usage, rates=rates, granted_tokens=granted, circumstances=circumstances)
    except pricing.Unpriced:
        assume(False)
    assert parts.covered_tokens == min(granted, usage.tokens) == parts.covered.tokens
    sums = [a.quantity + b.quantity for a, b in zip(parts.covered.lines, parts.paid.lines, strict=True)]
    assert sums == [line.quantity for line in usage.lines]
    assert parts.whole.charge_nano == whole.charge_nano
    bare = pricing.charge(
        usage=parts.paid,
        rates=rates,
        circumstances=replace(circumstances, with_minimum=False, context_tokens=usage.input_tokens),
    )
    assert parts.covered_nano >= 0
    assert parts.covered_nano + bare.charge_nano == whole.charge_nano
    assert parts.charge.charge_nano >= bare.charge_nano
    if granted and parts.paid.is_empty:
        assert parts.charge.charge_nano == 0


@thorough
@given(requests())
def test_cards_and_plans_survive_a_round_trip(request: dict[str, Any]) -> None:
    card, plan = pricing.Card.from_json(request["card"]), pricing.Plan.from_json(request["plan"])
    assert pricing.Card.from_json(json.loads(json.dumps(card.to_json()))) == card
    assert pricing.Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    modifiers = pricing.Modifiers.from_json(request["modifiers"])
    assert pricing.Modifiers.from_json(modifiers.to_json()) == modifiers
    usage = pricing.Usage.from_json(request["usage"])
    assert pricing.Usage.from_json(usage.to_json()) == usage
    assert pricing.differences(card, card) == pricing.differences(plan, plan) == ()


@thorough
@given(st.lists(cards(), min_size=1, max_size=3), st.data(), moments(), decimals(most=2))
def test_an_unknown_model_is_never_cheaper_than_any_known_one(
    known: list[dict[str, Any]], data: st.DataObject, at: str, multiplier: str
) -> None:
    plan = {"name": "p", "version": 1, "method": "cost_plus", "multiplier": multiplier}
    stand_in = pricing.Rates.of(
        plan=pricing.Plan.from_json({**plan, "on_unknown_model": "highest_known"}),
        card=None,
        model="stranger",
        known_cards=[pricing.Card.from_json(card) for card in known],
    )
    circumstances = pricing.Circumstances.from_json({"at": at, "service_tier": "flex"})
    usage = pricing.Usage.from_json(data.draw(usages(priced=known[0]["rates"])))
    asked = pricing.charge(usage=usage, rates=stand_in, circumstances=circumstances)
    assert asked.cost_is_estimate
    for card in known:
        rates = pricing.Rates.of(plan=pricing.Plan.from_json(plan), card=pricing.Card.from_json(card))
        try:
            known_charge = pricing.charge(usage=usage, rates=rates, circumstances=circumstances)
        except pricing.Unpriced:
            continue
        assert known_charge.charge_nano <= asked.charge_nano


@thorough
@given(requests())
def test_the_steps_add_up_to_the_charge(request: dict[str, Any]) -> None:
    try:
        made = priced(request)
    except pricing.Unpriced:
        assume(False)
    steps = pricing.explain(made)
    costs = [step.usd for step in steps if step.label.startswith("Cost of ")]
    prices = [step.usd for step in steps if step.label.startswith("Price of ")]
    total = next(step.usd for step in steps if step.label == "Cost")
    assert sum((Fraction(usd or 0) for usd in costs), Fraction(0)) == Fraction(total or 0)
    product = made.rates.product_of(made.circumstances.modifiers)
    assert sum((Fraction(usd or 0) for usd in prices), Fraction(0)) * product * 10**9 == Fraction(*made.price)
    assert Fraction(steps[-1].usd or next(s.usd for s in steps if s.label == "Charge") or 0) * 10**9 == made.charge_nano
    public = " ".join(f"{step.label} {step.detail}" for step in steps if not step.private)
    assert not any(word in public for word in ("Cost", "cost", "Ratio", "Multiplier"))


@thorough
@given(requests(), st.integers(0, 3000), st.integers(0, 3000))
def test_a_plain_ceiling_is_what_the_whole_engine_makes_of_two_lines(
    request: dict[str, Any], question: int, answer: int
) -> None:
    try:
        rates, circumstances = prepared(request)
    except pricing.Unpriced:
        return
    straight = rates.bounds[0].straight
    assume(straight is not None)
    bound = rates.bounds[0]
    usage = pricing.Bounds(input_bytes=question, max_output_tokens=answer).usage(bound, answer)
    whole = engine.priced(
        usage=usage,
        rates=rates,
        circumstances=pricing.Circumstances(modifiers=circumstances.modifiers),
        tariff=bound.tariff,
        tier=0,
        scale=engine.ONE,
    )
    product = rates.product_of(circumstances.modifiers)
    assert engine.plain_charge(straight, question, answer, rates=rates, product=product) == whole.charge_nano
