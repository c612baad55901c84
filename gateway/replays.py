"""A call's charge, computed again from its row: usage, circumstances and the versions pinned at its admission.

Promise: nothing but the stored rows is used, versions never change, and the same engine prices as did at settlement; so
a call recomputes bit for bit for as long as its rows exist. Whatever differs is said in a sentence.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from billing.models.plans import CostCardVersion, PlanVersion
from billing.pricing import Card, Charge, Circumstances, Malformed, OutOfRange, Plan, Rates, Unpriced, Usage, charge
from gateway.fair_billing import TABLE, Rule, Share
from gateway.models.calls import Call, UsageSource

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


def replay(call: Call, cost_card: int | None, versions: Versions) -> Replayed:
    """Compute a call's charge anew; ``cost_card`` is the version its answering attempt costs by."""
    rule = _rule(call)
    usage, circumstances = _read(call)
    if TABLE[rule].share is Share.NOTHING or (usage.is_empty and call.usage_source == UsageSource.NONE):
        return Replayed(None, 0, call.cost_nano if rule is Rule.SERVER_DIED else 0)
    rates = versions.rates(call.plan_version_id, call.card_version_id, call.model_served)
    try:
        made = charge(usage=usage, rates=rates, circumstances=circumstances)
    except (Unpriced, OutOfRange) as error:
        raise NotRecomputable(str(error)) from error
    return Replayed(made, made.charge_nano, _cost(call, made, cost_card, versions))


def _cost(call: Call, made: Charge, cost_card: int | None, versions: Versions) -> int | None:
    """A call that another route answered costs what that route costs."""
    if cost_card == call.card_version_id:
        return made.cost_nano
    try:
        rates = versions.rates(call.plan_version_id, cost_card, call.model_served)
        return charge(usage=made.usage, rates=rates, circumstances=made.circumstances).cost_nano
    except (Unpriced, OutOfRange, NotRecomputable):
        return None


def _rule(call: Call) -> Rule:
    try:
        return Rule(call.billing_rule)
    except ValueError:
        message = f"{call.billing_rule!r} is no rule of the fair-billing table"
        raise NotRecomputable(message) from None


def _read(call: Call) -> tuple[Usage, Circumstances]:
    try:
        return Usage.from_json(call.usage), Circumstances.from_json(call.circumstances)
    except Malformed as error:
        raise NotRecomputable(str(error)) from error


def differences(call: Call, hold: Any, cost_card: int | None, versions: Versions) -> Iterator[str]:
    """What of a call does not follow from its rows, in sentences; nothing when all does."""
    try:
        again = replay(call, cost_card, versions)
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
