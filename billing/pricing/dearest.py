"""What nobody has put a price on, counted as the dearest thing there is a price for.

A provider may report a kind of usage that its card does not know: a picture or a sound in a model sold by text, or a
search that nobody asked for. Such a line is never free, and never goes by the price of something else: tokens are
counted as the dearest priced tokens of their direction, searches as the dearest priced searches. Where the card prices
nothing in that unit, a unit costs what the dearest known one costs, written as so many of the dearest tokens of its
direction. So the usage that comes out has a price, and recomputes from itself alone.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType

from billing.money import ceil_ratio
from billing.pricing.cards import find
from billing.pricing.rates import Rates, Tariff
from billing.pricing.reading import MAX_QUANTITY
from billing.pricing.usage import ALL_BUCKETS, Bucket, Line, Usage

NOTHING_KNOWN: Mapping[str, Fraction] = MappingProxyType({})


def with_prices(
    usage: Usage, rates: Rates, known: Mapping[str, Fraction] = NOTHING_KNOWN
) -> tuple[Usage, tuple[Bucket, ...]]:
    """Move what has no price to where it is dearest; also name what was moved, or could not be.

    ``known`` says for each unit but tokens the most that one is known to cost anywhere, in nano-USD.
    """
    tariff = rates.tariffs[bisect_left(rates.thresholds, usage.input_tokens)]
    quantities: dict[Bucket, int] = defaultdict(int)
    moved = []
    for line in usage.lines:
        if not line.quantity or _is_priced(tariff, line.bucket):
            quantities[line.bucket] += line.quantity
            continue
        moved.append(line.bucket)
        if (alike := _dearest(tariff, line.bucket.direction, line.bucket.unit)) is not None:
            quantities[alike] += line.quantity
        elif (tokens := _dearest(tariff, line.bucket.direction, "token")) is not None:
            quantities[tokens] += _in_tokens(line, tokens, tariff, known, rates.terms.multiplier or Fraction(1))
    return Usage(tuple(Line(bucket, quantity) for bucket, quantity in quantities.items())), tuple(moved)


def _in_tokens(line: Line, tokens: Bucket, tariff: Tariff, known: Mapping[str, Fraction], multiplier: Fraction) -> int:
    """How many of these tokens cost what the line is known to cost elsewhere; one to one where nobody knows that."""
    cost = known.get(line.bucket.unit)
    price = Fraction(find(tariff.price.numerators, tokens) or 0, tariff.price.denominator)
    if cost is None or not price:
        return line.quantity
    wanted = line.quantity * cost * multiplier
    return min(MAX_QUANTITY, ceil_ratio(wanted.numerator * price.denominator, wanted.denominator * price.numerator))


def _is_priced(tariff: Tariff, bucket: Bucket) -> bool:
    tables = [tariff.price] if tariff.ratios is None or bucket.unit != "token" else [tariff.ratios]
    tables += [] if tariff.cost is None else [tariff.cost]
    return all(find(table.numerators, bucket) is not None for table in tables)


def _dearest(tariff: Tariff, direction: str, unit: str) -> Bucket | None:
    """The dearest priced bucket of a direction that is counted in this unit."""
    table = tariff.ratios if tariff.ratios is not None and unit == "token" else tariff.price
    alike = (bucket for bucket in sorted(ALL_BUCKETS) if (bucket.direction, bucket.unit) == (direction, unit))
    priced = (bucket for bucket in alike if _is_priced(tariff, bucket))
    worth = {bucket: (find(table.numerators, bucket) or 0, bucket.modality == "text") for bucket in priced}
    return max(worth, key=worth.__getitem__, default=None)
