"""Charts as data: what a script draws, a screen reader hears and a table shows are the same numbers.

Promise: the largest names keep a colour of their own and the rest is one "Other", so that a stack always adds up to the
whole. Values of money are dollars as numbers for the drawing alone; tables show them exactly.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analytics.customer import Slot, Use
from billing.money import NANO_PER_USD
from dashboard import periods

MOST_NAMES = 6
OTHER = "Other"
METRICS: Mapping[str, tuple[str, Callable[[Use], int]]] = {
    "spend": ("Spend", lambda use: use.charge_nano),
    "requests": ("Requests", lambda use: use.requests),
    "tokens": ("Tokens", lambda use: use.tokens),
    "errors": ("Failed calls", lambda use: use.errors),
    "savings": ("Cache savings", lambda use: use.cache_savings_nano),
}
MONEY = {"spend", "savings"}


@dataclass(frozen=True, slots=True)
class Chart:
    """A stacked bar chart of one measure."""

    id: str
    title: str
    metric: str
    labels: list[str]
    names: list[str]
    values: list[list[int]]  # one list for each name
    before: list[int] | None = None

    @property
    def json_id(self) -> str:
        """Where its data stands in the page."""
        return f"{self.id}-data"

    @property
    def is_money(self) -> bool:
        """Whether the values are nano-USD."""
        return self.metric in MONEY

    @property
    def totals(self) -> list[int]:
        """The height of each bar."""
        return [sum(column) for column in zip(*self.values, strict=True)] if self.values else [0] * len(self.labels)

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self.totals)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(self.totals)

    @property
    def highest(self) -> tuple[str, int]:
        """The tallest bar."""
        tallest = max(range(len(self.labels)), key=lambda place: self.totals[place])
        return self.labels[tallest], self.totals[tallest]

    @property
    def rows(self) -> list[tuple[str, list[int], int]]:
        """The same as a table, newest first, without the empty ones."""
        columns = list(zip(*self.values, strict=True))
        table = zip(self.labels, columns, self.totals, strict=True)
        return [(label, list(column), total) for label, column, total in table if total][::-1]

    @property
    def data(self) -> dict[str, Any]:
        """What the script draws."""
        scale = NANO_PER_USD if self.is_money else 1
        return {
            "labels": self.labels,
            "money": self.is_money,
            "names": self.names,
            "values": [[value / scale if self.is_money else value for value in series] for series in self.values],
            "before": None if self.before is None else [value / scale for value in self.before],
        }


def stacked(
    *,
    chart_id: str,
    title: str,
    metric: str,
    stretches: Sequence[Slot],
    found: Mapping[tuple[int, Any], Use],
    step: str,
    naming: Callable[[Any], str],
    before: Sequence[int] | None = None,
) -> Chart:
    """Stack a series by its names, the largest first."""
    measure = METRICS[metric][1]
    totals: dict[Any, int] = {}
    for (_, name), use in found.items():
        totals[name] = totals.get(name, 0) + measure(use)
    ranked = sorted((name for name, value in totals.items() if value), key=lambda name: (-totals[name], str(name)))
    kept = ranked if len(ranked) <= MOST_NAMES else ranked[: MOST_NAMES - 1]
    values = [[measure(found.get((place, name), Use())) for place in range(len(stretches))] for name in kept]
    names = [naming(name) for name in kept]
    if len(kept) < len(ranked):
        rest = set(ranked[len(kept) :])
        other = [0] * len(stretches)
        for (place, name), use in found.items():
            if name in rest:
                other[place] += measure(use)
        names.append(OTHER)
        values.append(other)
    labels = [periods.label(slot, step) for slot in stretches]
    return Chart(chart_id, title, metric, labels, names, values, list(before) if before is not None else None)


def heights(found: Mapping[tuple[int, Any], Use], many: int, metric: str) -> list[int]:
    """The sum of each stretch."""
    measure = METRICS[metric][1]
    sums = [0] * many
    for (place, _), use in found.items():
        sums[place] += measure(use)
    return sums
