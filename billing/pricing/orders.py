"""Orders: the price of a package of tokens sold at once.

The volume discount and the minimum profit belong here and nowhere else, as the minimum charge belongs to a request:
price = cost x multiplier x modifiers, less the discount from the threshold on, at least cost plus the least profit,
so that no discount ever sells a package below cost.
"""

from dataclasses import dataclass
from fractions import Fraction

from billing.money import NANO_PER_USD, ceil_ratio
from billing.pricing.cards import Unpriced, find
from billing.pricing.engine import below_floor, within_64_bits
from billing.pricing.modifiers import NO_MODIFIERS, Modifiers
from billing.pricing.plans import MULTIPLYING, Volume
from billing.pricing.rates import Rates, Table
from billing.pricing.reading import Fields, Malformed
from billing.pricing.usage import Bucket

MAX_ORDER_USD = 10**9


@dataclass(frozen=True, slots=True)
class Order:
    """What is bought: tokens of a model, a share of them input; or something whose cost is known.

    Without a share nobody knows which tokens will be used, and all are priced as the dearer side.
    """

    tokens: int | None = None
    input_share: Fraction | None = None
    cost_usd: Fraction | None = None
    model: str | None = None

    @classmethod
    def from_json(cls, source: object) -> "Order":
        """Read an order, strictly: either tokens or a cost."""
        fields = Fields(source, where="order")
        if fields.has("cost"):
            order = cls(
                cost_usd=fields.decimal("cost", most=MAX_ORDER_USD), model=fields.optional("model", fields.text)
            )
        else:
            order = cls(
                tokens=fields.integer("tokens"),
                input_share=fields.optional("input_share", lambda name: fields.decimal(name, most=1)),
                model=fields.text("model"),
            )
        fields.done()
        return order


@dataclass(frozen=True, slots=True)
class OrderPrice:
    """What an order costs us, what it sells for, and which rules decided."""

    cost_nano: int
    price_nano: int
    profit_nano: int
    discounted: bool
    least_profit_applied: bool
    below_margin_floor: bool


def order_price(*, order: Order, rates: Rates, modifiers: Modifiers = NO_MODIFIERS) -> OrderPrice:
    """Price one order; raises `Unpriced` when its model, or a price for its tokens, is missing."""
    cost, price = _cost_and_price(order, rates)
    price *= modifiers.product
    discounted = _reaches(rates.plan.volume, order, price)
    if rates.plan.volume is not None and discounted:
        price *= 1 - rates.plan.volume.discount
    least = cost + rates.plan.min_profit * NANO_PER_USD
    has_least = price < least
    final = least if has_least else price
    cost_nano = within_64_bits(ceil_ratio(*cost.as_integer_ratio()))
    price_nano = within_64_bits(ceil_ratio(*final.as_integer_ratio()))
    return OrderPrice(
        cost_nano=cost_nano,
        price_nano=price_nano,
        profit_nano=price_nano - cost_nano,
        discounted=discounted,
        least_profit_applied=has_least,
        below_margin_floor=below_floor(rates, cost.as_integer_ratio(), final.as_integer_ratio()),
    )


def _cost_and_price(order: Order, rates: Rates) -> tuple[Fraction, Fraction]:
    """Return exact cost and price in nano-USD, before discount and least profit."""
    if order.cost_usd is not None:
        if rates.plan.method not in MULTIPLYING:
            msg = f"A {rates.plan.method} plan prices tokens of a model, not a cost."
            raise Malformed(msg)
        cost = order.cost_usd * NANO_PER_USD
        return cost, cost * rates.terms.multiplier
    tariff = rates.tariffs[0]
    if tariff.cost is None:
        msg = f"Nobody knows what tokens of {rates.model} cost, so they are not sold in packages."
        raise Unpriced(msg)
    return _per_token(order, tariff.cost), _per_token(order, tariff.price)


def _per_token(order: Order, table: Table) -> Fraction:
    if order.input_share is None:
        return max(_side(table, "input"), _side(table, "output")) * (order.tokens or 0)
    shares = (("input", order.input_share), ("output", 1 - order.input_share))
    return sum((_side(table, side) * share * (order.tokens or 0) for side, share in shares if share), Fraction(0))


def _side(table: Table, direction: str) -> Fraction:
    numerator = find(table.numerators, Bucket(direction))
    if numerator is None:
        msg = f"There is no price for {Bucket(direction)}."
        raise Unpriced(msg)
    return Fraction(numerator, table.denominator)


def _reaches(volume: Volume | None, order: Order, price_nano: Fraction) -> bool:
    if volume is None:
        return False
    if volume.of == "usd":
        return price_nano >= volume.threshold * NANO_PER_USD
    return order.tokens is not None and order.tokens >= volume.threshold
