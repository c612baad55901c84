"""A call's charge, computed again from its row: usage, circumstances and the versions pinned at its admission.

Promise: nothing but the stored rows is used, versions never change, and the same engine prices as did at settlement; so
a call recomputes bit for bit for as long as its rows exist. Whatever differs is said in a sentence.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from billing.models.plans import CostCardVersion, PlanVersion
from billing.pricing import Card, Charge, Circumstances, Malformed, OutOfRange, Plan, Rates, Unpriced, Usage, charge
from gateway.costs import card_cost, together
from gateway.fair_billing import TABLE, Rule, Share
from gateway.models.calls import Attempt, Call, UsageSource

REMEMBERED = 500


class NotRecomputable(Exception):
    """Something that the price was made of is missing or cannot be read."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """A call's charge, computed anew; ``made`` is None where the rule charges nothing."""

    made: Charge | None
    price_nano: int
    cost_nano: int | None


class Versions:
    """Rates by the versions they are made of, each read once."""

    def __init__(self) -> None:
        self._rates: dict[tuple[int, int | None, str], Rates] = {}

    def rates(self, plan_version: int, card_version: int | None, model: str) -> Rates:
        """The rates that these versions give for a model."""
        key = (plan_version, card_version, model)
        if key not in self._rates:
            if len(self._rates) >= REMEMBERED:
                self._rates.clear()
            self._rates[key] = _read_rates(*key)
        return self._rates[key]


def _read_rates(plan_version: int, card_version: int | None, model: str) -> Rates:
    plan = PlanVersion.objects.filter(pk=plan_version).values_list("body", flat=True).first()
    card = None
    if card_version is not None:
        card = CostCardVersion.objects.filter(pk=card_version).values_list("body", flat=True).first()
    if plan is None or (card_version is not None and card is None):
        message = f"version {plan_version} of the plan or {card_version} of the cost card is not there"
        raise NotRecomputable(message)
    try:
        return Rates.of(plan=Plan.from_json(plan), card=Card.from_json(card) if card else None, model=model)
    except (Malformed, Unpriced) as error:
        message = f"versions {plan_version} and {card_version} give no price: {error}"
        raise NotRecomputable(message) from error


def replay(call: Call, attempts: Sequence[Attempt], versions: Versions) -> Replayed:
    """Compute a call's charge anew, and its cost from its attempts (in order)."""
    rule = _rule(call)
    usage, circumstances = _read(call.usage), _read_circumstances(call)
    cost_nano = together([_cost(call, one, circumstances, versions) for one in attempts])
    if TABLE[rule].share is Share.NOTHING or (usage.is_empty and call.usage_source == UsageSource.NONE):
        return Replayed(None, 0, cost_nano)
    rates = versions.rates(call.plan_version_id, call.card_version_id, call.model_served)
    try:
        made = charge(usage=usage, rates=rates, circumstances=circumstances)
    except (Unpriced, OutOfRange) as error:
        raise NotRecomputable(str(error)) from error
    return Replayed(made, made.charge_nano, cost_nano)


def _cost(call: Call, attempt: Attempt, circumstances: Circumstances, versions: Versions) -> int | None:
    """What an attempt's own card makes of what it used; what its provider told, or nobody knows, stands as it is."""
    usage = _read(attempt.usage)
    if attempt.cost_told or attempt.cost_nano is None or usage.is_empty:
        return attempt.cost_nano
    rates = versions.rates(call.plan_version_id, attempt.card_version_id, call.model_served)
    return card_cost(usage.lines, rates, circumstances)


def _rule(call: Call) -> Rule:
    try:
        return Rule(call.billing_rule)
    except ValueError:
        message = f"{call.billing_rule!r} is no rule of the fair-billing table"
        raise NotRecomputable(message) from None


def _read(usage: object) -> Usage:
    try:
        return Usage.from_json(usage)
    except Malformed as error:
        raise NotRecomputable(str(error)) from error


def _read_circumstances(call: Call) -> Circumstances:
    try:
        return Circumstances.from_json(call.circumstances)
    except Malformed as error:
        raise NotRecomputable(str(error)) from error


def differences(call: Call, hold: Any, attempts: Sequence[Attempt], versions: Versions) -> Iterator[str]:
    """What of a call does not follow from its rows, in sentences; nothing when all does."""
    try:
        again = replay(call, attempts, versions)
    except NotRecomputable as error:
        yield str(error)
        return
    if again.price_nano != call.price_nano:
        yield f"priced {call.price_nano}, recomputed {again.price_nano} nano-USD"
    if again.cost_nano != call.cost_nano:
        yield f"cost {call.cost_nano}, recomputed {again.cost_nano} nano-USD"
    if hold is None:
        yield "there is no hold"
        return
    exact = call.usage_source == UsageSource.REPORTED
    owed = again.price_nano if exact else min(again.price_nano, hold.held_nano)
    booked = hold.charged_nano + hold.unrecovered_nano
    if booked != owed:
        yield f"owed {owed}, booked {hold.charged_nano} charged and {hold.unrecovered_nano} unrecovered nano-USD"
