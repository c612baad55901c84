"""The price list: what each bucket of a model sells for, and what is kept of it.

Markup is on cost, margin is on price, and both are always labelled. Prices are for customers; cost, ratio, markup
and margin are for the desk.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from billing.money import NANO_PER_USD
from billing.pricing.cards import MILLION, PER_MILLION_UNITS, find
from billing.pricing.modifiers import NO_MODIFIERS, Modifiers
from billing.pricing.rates import Rates, Table, Tariff
from billing.pricing.usage import Bucket


@dataclass(frozen=True, slots=True)
class ListedPrice:
    """Price and cost, in USD per `per` units, of one bucket in the tier above a number of input tokens."""

    bucket: Bucket
    above_tokens: int | None
    per: int
    cost_usd: Fraction
    price_usd: Fraction | None
    ratio: Fraction | None

    @property
    def markup(self) -> Fraction | None:
        """Return profit as a share of cost: 1/4 at a multiplier of 1.25; None where nothing is paid or asked."""
        return None if self.price_usd is None else _share(self.price_usd - self.cost_usd, self.cost_usd)

    @property
    def margin(self) -> Fraction | None:
        """Return profit as a share of price: 1/5 at a multiplier of 1.25; None where nothing is asked."""
        return None if self.price_usd is None else _share(self.price_usd - self.cost_usd, self.price_usd)


def price_list(*, rates: Rates, modifiers: Modifiers = NO_MODIFIERS) -> tuple[ListedPrice, ...]:
    """List every bucket the card names, tier by tier; a price is None where the plan has none for it."""
    product = rates.product_of(modifiers)
    tiers = zip((None, *rates.thresholds), rates.tariffs, strict=True)
    return tuple(listed for above, tariff in tiers for listed in _listed(tariff, above, product))


def _listed(tariff: Tariff, above_tokens: int | None, product: Fraction) -> Iterator[ListedPrice]:
    if tariff.cost is None:
        return
    for bucket in sorted(tariff.cost.numerators):
        per = MILLION if bucket.unit in PER_MILLION_UNITS else 1
        price = _usd(tariff.price, bucket, per)
        yield ListedPrice(
            bucket=bucket,
            above_tokens=above_tokens,
            per=per,
            cost_usd=_usd(tariff.cost, bucket, per) or Fraction(0),
            price_usd=None if price is None else price * product,
            ratio=None if tariff.ratios is None else _exact(tariff.ratios, bucket),
        )


def _usd(table: Table, bucket: Bucket, per: int) -> Fraction | None:
    nano = _exact(table, bucket)
    return None if nano is None else nano * Fraction(per, NANO_PER_USD)


def _exact(table: Table, bucket: Bucket) -> Fraction | None:
    numerator = find(table.numerators, bucket)
    return None if numerator is None else Fraction(numerator, table.denominator)


def _share(part: Fraction, whole: Fraction) -> Fraction | None:
    return Fraction(part, whole) if whole else None
