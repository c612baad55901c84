"""Logarithmic histograms: how long things took, in buckets that grow by a tenth and can be added up for ever.

Promise: a bucket is found by comparing whole numbers, in Python and in either database alike, so nothing depends on
whose logarithm it was; two histograms are merged by adding counts; a percentile is within five per cent of the truth
(half a unit for the smallest values). A histogram is a mapping from a bucket's number to how many fell into it.
"""

from bisect import bisect_right
from collections.abc import Mapping

LARGEST = 4_000_000  # milliseconds: more than an hour; tenths of tokens a second: nothing writes that fast


def _bounds() -> tuple[int, ...]:
    """The smallest value of each bucket but the first, which begins at 0."""
    found = [1]
    while found[-1] < LARGEST:
        found.append(max(found[-1] + 1, -(-found[-1] * 11 // 10)))
    return tuple(found)


BOUNDS = _bounds()


def bucket(value: int) -> int:
    """The number of the bucket a value falls into."""
    return bisect_right(BOUNDS, value)


def bucket_sql(value: str) -> str:
    """The same as an SQL expression: a tree of comparisons."""
    return _tree(value, 0, len(BOUNDS))


def _tree(value: str, low: int, high: int) -> str:
    if low == high:
        return str(low)
    middle = (low + high) // 2
    left, right = _tree(value, low, middle), _tree(value, middle + 1, high)
    return f"CASE WHEN {value} < {BOUNDS[middle]} THEN {left} ELSE {right} END"


def typical(number: int) -> float:
    """The middle of a bucket."""
    if number == 0:
        return 0.0
    lowest = BOUNDS[number - 1]
    following = BOUNDS[number] if number < len(BOUNDS) else lowest + 1
    return (lowest + following - 1) / 2


def percentile(histogram: Mapping[int, int], share: float) -> float | None:
    """The value below which this share of the counted lies; None when nothing was counted."""
    total = sum(histogram.values())
    if not total:
        return None
    wanted, seen = share * total, 0
    for number in sorted(histogram):
        seen += histogram[number]
        if seen >= wanted:
            return typical(number)
    return typical(max(histogram))
