"""What is refused on save: a sale below cost, a margin under the floor, a price that is nothing by accident.

Every problem names its place and says what would mend it; all of them are told at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from billing.money import exact_text
from billing.pricing.cards import Card, Unpriced
from billing.pricing.catalogue import ListedPrice, price_list
from billing.pricing.modifiers import NO_MODIFIERS, Modifiers
from billing.pricing.plans import Plan
from billing.pricing.rates import Rates

Kind = Literal["all_zero", "unpriced", "below_cost", "below_margin_floor"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason not to save, in a sentence for the person who saves."""

    kind: Kind
    place: str
    sentence: str


def card_problems(card: Card) -> tuple[Problem, ...]:
    """Refuse a card that would make a model free by omission."""
    if not card.is_free_by_omission:
        return ()
    sentence = "Every rate of this card is zero. If the model really costs nothing, mark the card as free."
    return (Problem("all_zero", card.model, sentence),)


def plan_problems(
    *, plan: Plan, card: Card, model: str | None = None, modifiers: Modifiers = NO_MODIFIERS
) -> tuple[Problem, ...]:
    """List what would lose money if this plan sold this card's model, at its dearest hour and service tier."""
    try:
        rates = Rates.of(plan=plan, card=card, model=model)
    except Unpriced as reason:
        return (Problem("unpriced", model or card.model, str(reason)),)
    scale = Fraction(1) if rates.follows_cost else card.dearest_scale
    listed = price_list(rates=rates, modifiers=modifiers)
    return tuple(problem for price in listed for problem in _line_problems(rates, price, scale))


def _line_problems(rates: Rates, listed: ListedPrice, scale: Fraction) -> Iterator[Problem]:
    place = str(listed.bucket) + (
        f" above {listed.above_tokens} input tokens" if listed.above_tokens is not None else ""
    )
    price, cost = listed.price_usd, listed.cost_usd * scale
    if price is None:
        sentence = f"The plan has no price for {listed.bucket}; such usage would be refused. Add a rate."
        yield Problem("unpriced", place, sentence)
        return
    if rates.terms.allow_loss:
        return
    per = f"{listed.bucket.unit}" if listed.per == 1 else f"{listed.per} {listed.bucket.unit}s"
    if price < cost:
        sentence = f"Sells at ${exact_text(price)} what costs ${exact_text(cost)} per {per}. Raise it or allow a loss."
        yield Problem("below_cost", place, sentence)
    elif price - cost < (rates.plan.margin_floor or 0) * price:
        sentence = (
            f"Keeps less of ${exact_text(price)} per {per} than the margin floor asks; the cost is ${exact_text(cost)}."
        )
        yield Problem("below_margin_floor", place, sentence)
