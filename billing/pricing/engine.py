"""The one pipeline: usage -> cost -> plan method -> modifiers -> guards -> rounding -> charge.

Quotes, holds, settlements, replays and what-ifs all come through `charge` or its inner `priced`, so they cannot
disagree. All arithmetic is on integers; money is rounded once, up, at the end. A result that would not fit into
64 bits is refused rather than wrapped.
"""

from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from itertools import repeat
from math import gcd

from msgspec import Struct

from billing.money import MAX_NANO, ceil_ratio
from billing.pricing.cards import Card, find
from billing.pricing.circumstances import PLAIN, Circumstances
from billing.pricing.rates import Rates, Straight, Table, Tariff
from billing.pricing.usage import Line, Usage

Ratio = tuple[int, int]
ONE: Ratio = (1, 1)
NO_MINIMUM: Ratio = (0, 1)


class OutOfRange(ArithmeticError):
    """An amount that no account could hold; nothing is charged, somebody must look."""


class Charge(Struct, frozen=True):
    """The answer: what it cost us, what it is charged at, and everything that led there.

    `cost` and `price` are exact nano-USD as integer ratios, the price after modifiers and before guards; `adjusted`
    holds for each usage line the tokens an adjusted_token plan counts (None for what is not tokens).
    """

    usage: Usage
    rates: Rates
    circumstances: Circumstances
    tier: int
    scale: Ratio
    cost: Ratio | None
    price: Ratio
    adjusted: tuple[int | None, ...]
    minimum_applied: bool
    cost_nano: int | None
    charge_nano: int
    below_cost: bool
    below_margin_floor: bool

    @property
    def adjusted_tokens(self) -> int | None:
        """Return all tokens an adjusted_token plan bills, or None under other methods."""
        return sum(tokens or 0 for tokens in self.adjusted) if self.rates.plan.method == "adjusted_token" else None

    @property
    def cost_is_estimate(self) -> bool:
        """Say whether the cost is only that of the dearest known model."""
        return bool(self.rates.known_cards)


def charge(*, usage: Usage, rates: Rates, circumstances: Circumstances = PLAIN) -> Charge:
    """Price one request; raises `Unpriced` for what has no price and `OutOfRange` for what no account could hold."""
    context_tokens = circumstances.context_tokens
    tier = bisect_left(rates.thresholds, usage.input_tokens if context_tokens is None else context_tokens)
    scale = ONE if rates.card is None else _scale(rates.card, circumstances)
    return priced(
        usage=usage, rates=rates, circumstances=circumstances, tariff=rates.tariffs[tier], tier=tier, scale=scale
    )


def priced(
    *,
    usage: Usage,
    rates: Rates,
    circumstances: Circumstances,
    tariff: Tariff,
    tier: int,
    scale: Ratio,
    parts: Sequence[int] | None = None,
) -> Charge:
    """Price lines by one tariff and one multiple of its rates.

    In a bound a line may fall into several components; `parts` then says into how many.
    """
    cost = None if tariff.cost is None else _scaled(tariff.cost, usage.lines, scale)
    numerator, denominator, adjusted = _by_method(rates, tariff, usage.lines, scale, parts)
    product = rates.product_of(circumstances.modifiers)
    price = (numerator * product.numerator, denominator * product.denominator)
    minimum = _minimum(rates, cost, is_empty=usage.is_empty) if circumstances.with_minimum else NO_MINIMUM
    minimum_applied = price[0] * minimum[1] < minimum[0] * price[1]
    final = minimum if minimum_applied else price
    cost_nano = None if cost is None else within_64_bits(ceil_ratio(*cost))
    charge_nano = _rounded(final, rates.plan.quantum_nano)
    return Charge(
        usage=usage,
        rates=rates,
        circumstances=circumstances,
        tier=tier,
        scale=scale,
        cost=cost,
        price=price,
        adjusted=adjusted,
        minimum_applied=minimum_applied,
        cost_nano=cost_nano,
        charge_nano=charge_nano,
        below_cost=cost_nano is not None and charge_nano < cost_nano and not rates.terms.allow_loss,
        below_margin_floor=cost is not None and below_floor(rates, cost, final),
    )


def plain_charge(straight: Straight, input_tokens: int, output_tokens: int, *, rates: Rates, product: Fraction) -> int:
    """Return the charge of two plain lines by unscaled prices: `priced` without the story, for ceilings.

    It is the same arithmetic in the same integers, and a property of the tests holds the two together.
    """
    cost: Ratio | None = None
    if straight.cost is not None:
        dear_in, dear_out, denominator = straight.cost
        cost = dear_in * input_tokens + dear_out * output_tokens, denominator
        within_64_bits(ceil_ratio(*cost))
    dear_in, dear_out, denominator = straight.price
    numerator = (dear_in * input_tokens + dear_out * output_tokens) * product.numerator
    denominator *= product.denominator
    least = _minimum(rates, cost, is_empty=not input_tokens and not output_tokens)
    if numerator * least[1] < least[0] * denominator:
        numerator, denominator = least
    return _rounded((numerator, denominator), rates.plan.quantum_nano)


def below_floor(rates: Rates, cost: Ratio, price: Ratio) -> bool:
    """Say whether (price - cost) / price is less than the plan's floor, exactly; a plan may allow losses."""
    floor = rates.plan.margin_floor
    if floor is None or rates.terms.allow_loss:
        return False
    kept = price[0] * cost[1] - cost[0] * price[1]
    return kept * floor.denominator < floor.numerator * price[0] * cost[1]


def _scale(card: Card, circumstances: Circumstances) -> Ratio:
    if not card.peak and circumstances.service_tier is None:
        return ONE
    service = card.service_multiplier(circumstances.service_tier)
    return (service * card.peak_multiplier(circumstances.at)).as_integer_ratio()


def _scaled(table: Table, lines: Sequence[Line], scale: Ratio) -> Ratio:
    return table.total(lines) * scale[0], table.denominator * scale[1]


def _by_method(
    rates: Rates, tariff: Tariff, lines: Sequence[Line], scale: Ratio, parts: Sequence[int] | None
) -> tuple[int, int, tuple[int | None, ...]]:
    """Return the method's exact price as a ratio, and what each line counts for where the plan adjusts tokens."""
    if not rates.follows_cost:
        scale = ONE
    if tariff.ratios is None:
        return (*_scaled(tariff.price, lines, scale), ())
    adjusted = tuple(
        _adjusted(tariff.ratios, line, scale, in_parts) if line.is_tokens else None
        for line, in_parts in zip(lines, parts or repeat(1), strict=False)
    )
    tokens = sum(count or 0 for count in adjusted)
    rest, below = _scaled(tariff.price, [line for line in lines if not line.is_tokens], scale)
    base, unit = rates.terms.base_nano.as_integer_ratio()
    return tokens * base * below + rest * unit, unit * below, adjusted


def _adjusted(ratios: Table, line: Line, scale: Ratio, parts: int) -> int:
    """Count a line's tokens by its ratio, rounded up; of several parts each may be rounded up by itself."""
    numerator, denominator = ratios.of_line(line) * scale[0], ratios.denominator * scale[1]
    if parts == 1:
        return ceil_ratio(numerator, denominator)
    each = (find(ratios.numerators, line.bucket) or 0) * scale[0]
    step = denominator // gcd(each, denominator)
    return (numerator * step // denominator + parts * (step - 1)) // step


def _minimum(rates: Rates, cost: Ratio | None, *, is_empty: bool) -> Ratio:
    """Return the least this request may be charged: a free model or an empty request has none unless flagged."""
    costs = cost is None or cost[0] > 0 or rates.plan.min_charge_free_models
    applies = rates.terms.billable or (costs and not is_empty)
    return rates.terms.min_charge_nano.as_integer_ratio() if applies else NO_MINIMUM


def _rounded(price: Ratio, quantum_nano: int) -> int:
    return within_64_bits(ceil_ratio(price[0], price[1] * quantum_nano) * quantum_nano)


def within_64_bits(nano: int) -> int:
    """Return an amount unchanged, or refuse it when no account could hold it."""
    if nano > MAX_NANO:
        msg = "This amount is beyond what an account can hold (about 9.2 billion dollars)."
        raise OutOfRange(msg)
    return nano
