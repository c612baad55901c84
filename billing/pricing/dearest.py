"""What nobody has put a price on, counted as the dearest thing there is a price for.

A provider may report a kind of usage that its card does not know: a picture or a sound in a model sold by text. Such a
line is never free. It is counted under the dearest priced bucket of its own direction and unit, else under the dearest
of its direction, so the usage that comes out has a price, and recomputes from itself alone.
"""

from bisect import bisect_left
from collections import defaultdict

from billing.pricing.cards import find
from billing.pricing.rates import Rates, Tariff
from billing.pricing.usage import ALL_BUCKETS, Bucket, Line, Usage


def with_prices(usage: Usage, rates: Rates) -> tuple[Usage, tuple[Bucket, ...]]:
    """Move what has no price to where it is dearest; also name what was moved, or could not be."""
    tariff = rates.tariffs[bisect_left(rates.thresholds, usage.input_tokens)]
    quantities: dict[Bucket, int] = defaultdict(int)
    moved = []
    for line in usage.lines:
        bucket: Bucket | None = line.bucket
        if line.quantity and not _is_priced(tariff, line.bucket):
            moved.append(line.bucket)
            bucket = _dearest(tariff, line.bucket)
        if bucket is not None:
            quantities[bucket] += line.quantity
    return Usage(tuple(Line(bucket, quantity) for bucket, quantity in quantities.items())), tuple(moved)


def _is_priced(tariff: Tariff, bucket: Bucket) -> bool:
    tables = [tariff.price] if tariff.ratios is None or bucket.unit != "token" else [tariff.ratios]
    tables += [] if tariff.cost is None else [tariff.cost]
    return all(find(table.numerators, bucket) is not None for table in tables)


def _dearest(tariff: Tariff, unpriced: Bucket) -> Bucket | None:
    def worth(bucket: Bucket) -> tuple[bool, int]:
        table = tariff.ratios if tariff.ratios is not None and bucket.unit == "token" else tariff.price
        return bucket.unit == unpriced.unit, find(table.numerators, bucket) or 0

    alike = (bucket for bucket in sorted(ALL_BUCKETS) if bucket.direction == unpriced.direction)
    return max((bucket for bucket in alike if _is_priced(tariff, bucket)), key=worth, default=None)
