"""Ninety days of each model, for everybody: how often it answered and how fast. Rates, never counts.

Promise: a day with calls too few to mean anything says so; figures are those of the shop's own calls.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

from django.core.cache import cache

from accounts.models import Storefront
from analytics import reports
from analytics.reports import Figures, Scope

DAYS = 90
CACHE_S = 60
LEAST_CALLS = 20
GOOD, FAIR = Fraction(99, 100), Fraction(95, 100)


@dataclass(frozen=True, slots=True)
class Day:
    """One day of one model."""

    day: date
    success: Fraction | None

    @property
    def name(self) -> str:
        """The day in words."""
        return f"{self.day.day} {self.day:%b %Y}"

    @property
    def state(self) -> str:
        """How it is drawn: good, fair, poor, or none where too little was asked."""
        if self.success is None:
            return "none"
        return "good" if self.success >= GOOD else "fair" if self.success >= FAIR else "poor"


@dataclass(frozen=True, slots=True)
class Line:
    """One model."""

    model: str
    days: tuple[Day, ...]
    success: Fraction | None
    latency_ms: float | None
    first_byte_ms: float | None

    @property
    def now(self) -> str:
        """The state of the newest day that says anything."""
        return next((day.state for day in reversed(self.days) if day.success is not None), "none")

    @property
    def worst(self) -> Day | None:
        """The day on which most failed."""
        told = [day for day in self.days if day.success is not None]
        return min(told, key=lambda day: day.success or 0, default=None)


def lines(storefront: Storefront, models: list[str], *, now: datetime) -> list[Line]:
    """What the page shows, for the models that are sold; a minute old at most."""
    found: Any = cache.get_or_set(f"uptime:{storefront.pk}", lambda: _lines(storefront, now), CACHE_S)
    nothing = tuple(Day(now.date() - timedelta(days=DAYS - 1 - n), None) for n in range(DAYS))
    return [found.get(model) or Line(model, nothing, None, None, None) for model in models]


def overall(found: list[Line]) -> str:
    """The state of the shop: that of its worst model."""
    order = ("poor", "fair", "good")
    states = {line.now for line in found}
    return next((state for state in order if state in states), "none")


def _lines(storefront: Storefront, now: datetime) -> dict[str, Line]:
    scope = Scope(now.date() - timedelta(days=DAYS - 1), now.date(), storefront=storefront)
    by_model: dict[str, dict[date, Figures]] = {}
    for (day, model), figures in reports.by_day_and_model(scope).items():
        by_model.setdefault(model, {})[day] = figures
    timings = reports.percentiles(scope, shares=(0.5,), by_model=True)
    return {model: _line(model, scope, days, timings.get(model, {})) for model, days in by_model.items()}


def _line(model: str, scope: Scope, days: dict[date, Figures], timings: dict[str, dict[float, float | None]]) -> Line:
    all_days = [scope.since + timedelta(days=n) for n in range(DAYS)]
    total = sum(days.values(), Figures())
    return Line(
        model=model,
        days=tuple(Day(day, _success(days.get(day, Figures()))) for day in all_days),
        success=_success(total),
        latency_ms=timings.get("latency_ms", {}).get(0.5),
        first_byte_ms=timings.get("first_byte_ms", {}).get(0.5),
    )


def _success(figures: Figures) -> Fraction | None:
    return 1 - Fraction(figures.errors, figures.requests) if figures.requests >= LEAST_CALLS else None
