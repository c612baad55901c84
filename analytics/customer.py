"""What a customer asks about its own use: so much of this, in that hour or day, by model, key or member.

Promise: answers are sums of the organization's own rows and hold what it was charged, never what that cost. Days and
hours are those of the zone that is asked for; a stretch made of whole UTC days is read from days, any other from
quarters of an hour, so that both say the same. One statement answers for all stretches at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection

from accounts.models import Organization
from analytics import rollups
from analytics.reports import BadQuestion, begin_of

DIMENSIONS = {"model": "model", "key": "api_key_id", "member": "user_id"}
PERIODS = ("hour", "day", "week", "month")
MOST_SLOTS = 1_000
KEYS = -1


@dataclass(frozen=True, slots=True)
class Use:
    """Sums of some calls; money is what was charged, in nano-USD."""

    requests: int = 0
    errors: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    charge_nano: int = 0
    unrecovered_nano: int = 0
    cache_savings_nano: int = 0

    @property
    def tokens(self) -> int:
        """All tokens, in and out."""
        return self.input_tokens + self.output_tokens

    @property
    def success(self) -> Fraction | None:
        """Answered calls per call."""
        return 1 - Fraction(self.errors, self.requests) if self.requests else None

    @property
    def error_rate(self) -> Fraction | None:
        """Failed calls per call."""
        return Fraction(self.errors, self.requests) if self.requests else None

    def __add__(self, other: "Use") -> "Use":
        return Use(*(getattr(self, name) + getattr(other, name) for name in MEASURES))


MEASURES = tuple(one.name for one in fields(Use))


@dataclass(frozen=True, slots=True)
class Slot:
    """A stretch of time, and the moment in its own zone that it begins with."""

    begins: datetime
    starts_at: datetime
    ends_at: datetime

    @property
    def is_whole_utc_days(self) -> bool:
        """Whether rows of days can answer for it."""
        return all(moment == rollups.day_of(moment.date()) for moment in (self.starts_at, self.ends_at))


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first moment of a local day, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def slots(*, since: date, until: date, zone: ZoneInfo, period: str = "day") -> list[Slot]:
    """The hours, days, weeks or months from the first day to the last, both within; the outer ones may be cut."""
    if period not in PERIODS or since > until:
        raise BadQuestion("Ask for hours, days, weeks or months, from an earlier day to a later one.")
    start, end = midnight(since, zone), midnight(until + timedelta(days=1), zone)
    borders = _hours(start, end) if period == "hour" else _days(since, until, zone, period)
    if len(borders) > MOST_SLOTS:
        message = f"That is {len(borders):,} rows; ask for longer steps or a shorter time."
        raise BadQuestion(message)
    return [
        Slot(low.astimezone(zone), low, high)
        for low, high in zip(borders, [*borders[1:], end], strict=True)
        if low < high
    ]


def _hours(start: datetime, end: datetime) -> list[datetime]:
    return [start + timedelta(hours=n) for n in range(int((end - start) / timedelta(hours=1)))]


def _days(since: date, until: date, zone: ZoneInfo, period: str) -> list[datetime]:
    days = [since + timedelta(days=n) for n in range((until - since).days + 1)]
    firsts = [day for day in days if day == since or begin_of(day, period) == day]
    return [midnight(day, zone) for day in firsts]


def series(
    organization: Organization,
    stretches: Sequence[Slot],
    *,
    by: str = "",
    only: dict[str, Any] | None = None,
    keys_of: Slot | None = None,
) -> dict[tuple[int, Any], Use]:
    """Sums by the stretch's place and, if ``by`` says so, by model, key or member; what is empty is not there.

    ``only`` narrows it to some values of the same dimensions; ``keys_of`` asks in the same statement for the sums of
    each key (by its number as text) over one stretch more, which stand at the place ``KEYS``.
    """
    if not stretches:
        return {}
    whole = all(slot.is_whole_utc_days for slot in stretches)
    table, time = ("analytics_customerday", "day") if whole else ("analytics_customerquarter", "starts_at")
    column = f"q.{DIMENSIONS[by]}" if by else "''"
    bounds: list[Any] = []
    for place, slot in enumerate(stretches):
        bounds += [place, *_bounds(slot, whole=whole)]
    where, parameters = "", []
    for name, value in (only or {}).items():
        where += f" AND q.{DIMENSIONS[name]} = %s"
        parameters.append(value)
    rows = ", ".join(["(%s, %s, %s)"] * len(stretches))
    sums = ", ".join(f"sum(q.{name})" for name in MEASURES)
    statement = (
        f"WITH s(n, low, high) AS (VALUES {rows}) SELECT s.n, {column}, {sums} FROM s JOIN {table} q"
        f" ON q.organization_id = %s AND q.{time} >= s.low AND q.{time} < s.high{where} GROUP BY s.n, {column}"
    )
    if not by:
        statement = statement.replace(f" GROUP BY s.n, {column}", " GROUP BY s.n")
    if keys_of is not None:
        low, high = _bounds(keys_of, whole=whole)
        statement += (
            f" UNION ALL SELECT {KEYS}, CAST(q.api_key_id AS text), {sums} FROM {table} q WHERE q.organization_id = %s"
            f" AND q.{time} >= %s AND q.{time} < %s GROUP BY q.api_key_id"
        )
        parameters += [organization.pk, low, high]
    with connection.cursor() as cursor:
        cursor.execute(statement, [*bounds, organization.pk, *parameters])
        return {(place, name): Use(*map(int, values)) for place, name, *values in cursor.fetchall()}


def by_model_and_key(organization: Organization, slot: Slot) -> dict[tuple[str, int], Use]:
    """One stretch, told apart by both."""
    whole = slot.is_whole_utc_days
    table, time = ("analytics_customerday", "day") if whole else ("analytics_customerquarter", "starts_at")
    sums = ", ".join(f"sum({name})" for name in MEASURES)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT model, api_key_id, {sums} FROM {table} WHERE organization_id = %s AND {time} >= %s AND {time} < %s"
            " GROUP BY model, api_key_id ORDER BY model, api_key_id",
            [organization.pk, *_bounds(slot, whole=whole)],
        )
        return {(model, key): Use(*map(int, values)) for model, key, *values in cursor.fetchall()}


def _bounds(slot: Slot, *, whole: bool) -> tuple[Any, Any]:
    if whole and connection.vendor == "postgresql":
        return slot.starts_at.date(), slot.ends_at.date()
    return rollups.time_bounds("day" if whole else "starts_at", slot.starts_at, slot.ends_at)


def total(found: dict[tuple[int, Any], Use], *, places: range | None = None, name: Any = None) -> Use:
    """Add up some of a series' sums."""
    summed = Use()
    for (place, key), use in found.items():
        if (places is None or place in places) and (name is None or key == name):
            summed += use
    return summed


def by_name(found: dict[tuple[int, Any], Use], *, places: range | None = None) -> dict[Any, Use]:
    """Add a series up over time; what was charged most comes first."""
    names: dict[Any, Use] = {}
    for (place, key), use in found.items():
        if places is None or place in places:
            names[key] = names.get(key, Use()) + use
    return dict(sorted(names.items(), key=lambda row: (-row[1].charge_nano, -row[1].requests, str(row[0]))))
