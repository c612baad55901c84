"""Reading counts that a provider reports: whole numbers that are not negative, anything else flagged and not believed.

Real usage blocks are dirty and hostile ones exist. A count that is a string, a fraction, negative, true or larger than
any call can be is no count: it is left out, so that metering estimates, and the block is flagged for a person.
"""

from decimal import Decimal
from typing import Any

from gateway.dialects.neutral import Json, Tally

LARGEST_COUNT = 10**10
LARGEST_COST_USD = Decimal(100_000)


class Counts:
    """Takes counts out of usage blocks and remembers what was odd about them."""

    def __init__(self) -> None:
        self.flags: set[str] = set()

    def of(self, source: Json, *names: str) -> int | None:
        """Take the first of these members that holds a count."""
        for name in names:
            value = source.get(name)
            if value is None:
                continue
            if type(value) is int and 0 <= value <= LARGEST_COUNT:
                return value
            self.flags.add("invalid_count")
        return None

    def part(self, source: Json, name: str) -> Json:
        """Take an object inside a usage block; empty when there is none."""
        value = source.get(name)
        if value is not None and type(value) is not dict:
            self.flags.add("invalid_count")
        return value if type(value) is dict else {}

    def rounded_up(self, source: Json, name: str) -> int | None:
        """Take a length in seconds, whole or not, rounded up."""
        value = source.get(name)
        if type(value) is float and 0 <= value <= LARGEST_COUNT:
            return int(value) + (value > int(value))
        return self.of(source, name)

    def dollars(self, value: Any, *, per: int = 1) -> Decimal | None:
        """Take an amount of dollars, given in parts of `per` to the dollar; 0 is an amount, not a silence."""
        if value is None:
            return None
        if type(value) in {int, float, str}:
            try:
                amount = Decimal(str(value)) / per
            except ArithmeticError:
                amount = Decimal(-1)
            if amount.is_finite() and 0 <= amount <= LARGEST_COST_USD:
                return amount
        self.flags.add("invalid_cost")
        return None


def total(*counts: int | None) -> int | None:
    """Add what was said; None when nothing was."""
    said = [count for count in counts if count is not None]
    return sum(said) if said else None


def cached(tally: Tally) -> tuple[int, int, int]:
    """Say how much was read from a cache, written for minutes and for an hour, together never more than the input."""
    left, parts = tally.input or 0, []
    for asked in (tally.cache_read, tally.cache_write_5m, tally.cache_write_1h):
        part = min(asked or 0, left)
        left -= part
        parts.append(part)
    return parts[0], parts[1], parts[2]
