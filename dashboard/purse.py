"""What an organization has, how long that lasts, and what the month will come to.

Promise: what is held is told apart from what can be spent; guesses are made of whole days, are marked as guesses, and
are not made from too little. Amounts are nano-USD.
"""

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction

from accounts.models import Organization
from analytics import forecasts
from billing.models import Account
from billing.models.ledger import NANO_USD, PRIORITIES, Kind

PACE_DAYS = 7
LOW_DAYS = 3


@dataclass(frozen=True, slots=True)
class Purse:
    """Balances of one moment."""

    available_nano: int
    held_nano: int
    bonus_nano: int  # of what is available: gifts and grants
    owed_nano: int
    next_expiry: datetime | None
    expiring_nano: int


def of(organization: Organization, *, now: datetime) -> Purse:
    """Read the accounts."""
    accounts = list(Account.objects.of(organization).filter(unit=NANO_USD))
    alive = [one for one in accounts if one.kind in PRIORITIES and (one.expires_at is None or one.expires_at > now)]
    ending = sorted(
        (one.expires_at, one.posted - one.held) for one in alive if one.expires_at and one.posted > one.held
    )
    return Purse(
        available_nano=sum(one.posted - one.held for one in alive),
        held_nano=sum(one.held for one in alive),
        bonus_nano=sum(one.posted - one.held for one in alive if one.kind != Kind.PAID),
        owed_nano=sum(one.posted for one in accounts if one.kind == Kind.DEBT),
        next_expiry=ending[0][0] if ending else None,
        expiring_nano=ending[0][1] if ending else 0,
    )


def pace_nano(days: Sequence[int]) -> int:
    """What an ordinary day costs: the mean of the last whole days (the last number is today, and is left out)."""
    recent = list(days[-PACE_DAYS - 1 : -1])
    first = next((place for place, spent in enumerate(recent) if spent), len(recent))
    counted = recent[first:]
    return sum(counted) // len(counted) if counted else (days[-1] if days else 0)


def runway_days(available_nano: int, pace: int) -> Fraction | None:
    """How many days the balance lasts at this pace; None where nothing is spent."""
    return Fraction(max(0, available_nano), pace) if pace > 0 else None


@dataclass(frozen=True, slots=True)
class MonthEnd:
    """What this month may come to, and how far such a guess was off for the last week."""

    so_far_nano: int
    nano: int
    error_percent: float | None


def month_end(days: Sequence[int], *, today: date) -> MonthEnd | None:
    """Carry the month on by what weekdays usually cost; with under three weeks of history, by the last days' pace."""
    so_far = sum(days[-today.day :])
    left = calendar.monthrange(today.year, today.month)[1] - today.day
    history = [float(spent) for spent in days[:-1]]
    first = next((place for place, spent in enumerate(history) if spent), len(history))
    history = history[first:]
    if not any(days):
        return None
    if len(history) < forecasts.LEAST_DAYS:
        rest, error = pace_nano(days) * left + max(0, pace_nano(days) - days[-1]), None
    else:
        coming = forecasts.seasonal(history, left + 1)  # today is the first of them, and part of it is over
        rest, error = int(sum(coming[1:]) + max(0.0, coming[0] - days[-1])), forecasts.backtest(history)
    return MonthEnd(so_far, so_far + rest, error)
