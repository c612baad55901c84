"""What the next days may bring, and how wrong that guess was before; and what a shop of some size would earn.

A forecast is the plainest that respects a week: the mean of each weekday over the last ``WEEKS``, carried on by the
trend between the halves of that time. Its error is measured on days it was not shown: the last ``HELD_BACK`` days are
forecast from what came before them, and the mean absolute error in per cent of what they really were is told beside it.
A model with less than three weeks of history gets no forecast rather than a number nobody should trust.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction

from analytics import reports
from analytics.reports import Scope

WEEK = 7
WEEKS = 4
HELD_BACK = 7
LEAST_DAYS = 21
MONTH_DAYS = 30


@dataclass(frozen=True, slots=True)
class Forecast:
    """Requests for each of the coming days."""

    model: str
    first_day: date
    requests: tuple[float, ...]
    error_percent: float | None
    history_days: int


def demand(scope: Scope, *, model: str, days: int = 14) -> Forecast | None:
    """Forecast one model from whole days of history that end with the scope's last day."""
    return demand_of(reports.by_time_of_model(scope, model), model=model, days=days)


def demand_of(found: Mapping[date, reports.Figures], *, model: str, days: int = 14) -> Forecast | None:
    """The same from days somebody has already asked for."""
    history = _history(found)
    if len(history) < LEAST_DAYS:
        return None
    return Forecast(
        model=model,
        first_day=max(found) + timedelta(days=1),
        requests=tuple(seasonal(history, days)),
        error_percent=backtest(history),
        history_days=len(history),
    )


def seasonal(history: Sequence[float], days: int) -> list[float]:
    """Weekday means times the trend of a week, one week further for each week ahead."""
    weeks = min(WEEKS, len(history) // WEEK)
    recent = list(history[-weeks * WEEK :])
    means = [sum(recent[place::WEEK]) / weeks for place in range(WEEK)]
    weekly = _weekly_growth(recent, weeks)
    middle = (weeks + 1) / 2  # the means stand for the middle of the time they were taken from
    return [max(0.0, means[day % WEEK] * weekly ** (middle + day // WEEK)) for day in range(days)]


def backtest(history: Sequence[float]) -> float | None:
    """The error on days held back, in per cent of what they were; None if there were none or they were empty."""
    before, held = history[:-HELD_BACK], history[-HELD_BACK:]
    if len(before) < 2 * WEEK or not sum(held):
        return None
    guessed = seasonal(before, HELD_BACK)
    return 100 * sum(abs(guess - real) for guess, real in zip(guessed, held, strict=True)) / sum(held)


def _weekly_growth(recent: Sequence[float], weeks: int) -> float:
    """The factor from one week to the next, held within a fifth so that one odd week promises no riches."""
    half = weeks // 2
    if not half:
        return 1.0
    early, late = sum(recent[: half * WEEK]), sum(recent[-half * WEEK :])
    if not early or not late:
        return 1.0
    return float(min(1.2, max(0.8, (late / early) ** (1 / (weeks - half)))))


def _history(found: Mapping[date, reports.Figures]) -> list[float]:
    counts = [figures.requests for _, figures in sorted(found.items())]
    first = next((place for place, many in enumerate(counts) if many), len(counts))
    return [float(many) for many in counts[first:]]


@dataclass(frozen=True, slots=True)
class Projection:
    """What so many users would bring; dollars as exact fractions."""

    messages_per_day: int
    revenue_per_day: Fraction
    revenue_per_month: Fraction
    profit_per_month: Fraction
    margin: Fraction
    markup: Fraction


def project(*, users: int, messages_per_user_per_day: int, usd_per_message: Fraction, margin: Fraction) -> Projection:
    """Project a month of 30 days; ``margin`` is profit per dollar charged (25 % markup is a margin of 20 %)."""
    if min(users, messages_per_user_per_day) < 0 or usd_per_message < 0 or not 0 <= margin < 1:
        raise reports.BadQuestion("Users, messages and prices are not negative; a margin is below 100 per cent.")
    messages = users * messages_per_user_per_day
    a_day = messages * usd_per_message
    return Projection(
        messages_per_day=messages,
        revenue_per_day=a_day,
        revenue_per_month=a_day * MONTH_DAYS,
        profit_per_month=a_day * MONTH_DAYS * margin,
        margin=margin,
        markup=margin / (1 - margin),
    )
