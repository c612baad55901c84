"""What keys and members have spent against what they may: the figures behind the bars.

Promise: a bar shows what the ledger itself counts against the cap (spent and held, in the window of now); the month's
spend comes from rollups, so a page of keys asks the same few questions however many calls there were.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db.models import Q

from accounts.models import Organization
from accounts.models.bounds import SpendCaps
from analytics import reports
from analytics.reports import Scope
from billing.models import CapCounter

FULL = 100
NEAR = 80
WINDOWS = (("day", "a day"), ("month", "a month"), ("total", "in all"))


@dataclass(frozen=True, slots=True)
class Bar:
    """One cap and how full it is."""

    window: str
    words: str
    limit_nano: int
    used_nano: int
    resets_at: datetime | None

    @property
    def percent(self) -> int:
        """How full, of a hundred; a cap of nothing is full."""
        return min(FULL, self.used_nano * FULL // self.limit_nano) if self.limit_nano else FULL

    @property
    def level(self) -> str:
        """A word for the colour."""
        return "bad" if self.percent >= FULL else "warn" if self.percent >= NEAR else "good"


def window_start(window: str, now: datetime) -> date | None:
    """The first day of the window; None for the one without end."""
    today = now.astimezone(UTC).date()
    return {"day": today, "month": today.replace(day=1)}.get(window)


def _resets_at(window: str, now: datetime) -> datetime | None:
    start = window_start(window, now)
    if start is None:
        return None
    following = start + timedelta(days=1) if window == "day" else (start + timedelta(days=32)).replace(day=1)
    return datetime(following.year, following.month, following.day, tzinfo=UTC)


def used(
    organization: Organization, scope_kind: str, *, now: datetime, with_holds: bool = True
) -> dict[tuple[int, str], int]:
    """What every key, member or organization has spent and holds in the windows of now."""
    today = now.astimezone(UTC).date()
    current = Q(window="total") | Q(window="day", window_start=today)
    current |= Q(window="month", window_start=today.replace(day=1))
    counters = CapCounter.objects.of(organization).filter(current, scope_kind=scope_kind)
    rows = counters.values_list("scope_id", "window", "spent", "held")
    return {(scope_id, window): spent + held * with_holds for scope_id, window, spent, held in rows}


def bars(row: SpendCaps, scope_id: int, counted: dict[tuple[int, str], int], *, now: datetime) -> list[Bar]:
    """The caps that are set, the shortest window first."""
    found = []
    for window, words in WINDOWS:
        limit = getattr(row, f"cap_{window}_nano")
        if limit is not None:
            found.append(Bar(window, words, limit, counted.get((scope_id, window), 0), _resets_at(window, now)))
    return found


def this_month(organization: Organization, dimension: str, *, now: datetime) -> dict[int, int]:
    """What each key (``api_key_id``) or member (``user_id``) was charged this UTC month."""
    today = now.astimezone(UTC).date()
    scope = Scope(today.replace(day=1), today, organization=organization)
    return {number: figures.charge_nano for (number,), figures in reports.by(scope, dimension).items()}


def nearest(found: Iterable[Bar]) -> Bar | None:
    """The fullest of some bars."""
    return max(found, key=lambda bar: bar.percent, default=None)
