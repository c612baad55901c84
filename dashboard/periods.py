"""Which time a page is about: a preset or two days of the asker's own, kept in the address.

Promise: days begin at midnight in the organization's zone, what is nonsense falls back to the preset and says so, and a
time never has more steps than a chart can show.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from analytics import customer
from analytics.customer import Slot

PRESETS = {"today": "Today", "7d": "7 days", "30d": "30 days", "90d": "90 days", "month": "This month"}
DEFAULT = "30d"
LONGEST_DAYS = 366
STEPS = {"hour": 8, "day": 120, "week": 366, "month": 366}  # the longest time each step is offered for
FIRST_DAY = date(2026, 1, 1)  # no call is older than the ids of calls


@dataclass(frozen=True, slots=True)
class Span:
    """From the first day to the last, both within, in steps."""

    since: date
    until: date
    zone: ZoneInfo
    step: str
    name: str
    trouble: str = ""

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.until - self.since).days + 1

    @property
    def starts_at(self) -> datetime:
        """Its first moment."""
        return customer.midnight(self.since, self.zone)

    @property
    def ends_at(self) -> datetime:
        """The first moment after it."""
        return customer.midnight(self.until + timedelta(days=1), self.zone)

    @property
    def before(self) -> "Span":
        """As many days just before."""
        last = self.since - timedelta(days=1)
        return Span(last - timedelta(days=self.days - 1), last, self.zone, self.step, self.name)

    @property
    def steps(self) -> list[str]:
        """Steps that make sense for it."""
        return [step for step, longest in STEPS.items() if self.days <= longest and (step != "month" or self.days > 31)]

    def slots(self) -> list[Slot]:
        """Its steps as stretches of time."""
        return customer.slots(since=self.since, until=self.until, zone=self.zone, period=self.step)

    def whole(self) -> list[Slot]:
        """All of it as one stretch."""
        return [Slot(self.starts_at.astimezone(self.zone), self.starts_at, self.ends_at)]


def read(query: Mapping[str, str], *, zone: ZoneInfo, now: datetime, default: str = DEFAULT) -> Span:
    """What the address asks for."""
    today = now.astimezone(zone).date()
    name, trouble = query.get("range", ""), ""
    since, until = _day(query.get("since", "")), _day(query.get("until", ""))
    if name == "custom" or (not name and (since or until)):
        until = min(until or today, today)
        since = max(since or until - timedelta(days=29), FIRST_DAY)
        if since > until:
            trouble = "The first day comes after the last one; here are the last 30 days."
        elif (until - since).days >= LONGEST_DAYS:
            since, trouble = until - timedelta(days=LONGEST_DAYS - 1), "A year is the longest time one page shows."
        if since <= until:
            return _stepped(Span(since, until, zone, "day", "custom", trouble), query.get("step", ""))
        name = default
    name = name if name in PRESETS else default
    return _stepped(Span(_first(name, today), today, zone, "day", name, trouble), query.get("step", ""))


def _first(name: str, today: date) -> date:
    if name == "month":
        return today.replace(day=1)
    return today - timedelta(days={"today": 0, "7d": 6, "30d": 29, "90d": 89}[name])


def _stepped(span: Span, wanted: str) -> Span:
    usual = "hour" if span.days <= 2 else "day" if span.days <= STEPS["day"] else "week"
    step = wanted if wanted in span.steps else usual
    return Span(span.since, span.until, span.zone, step, span.name, span.trouble)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if len(text) == len("2026-01-01") else None
    except ValueError:
        return None


def label(slot: Slot, step: str) -> str:
    """What a stretch is called on an axis."""
    begins = slot.begins
    if step == "hour":
        return f"{begins.day} {begins:%b} {begins:%H:%M}"
    if step == "month":
        return f"{begins:%b %Y}"
    return f"{begins.day} {begins:%b}"
