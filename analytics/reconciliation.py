"""Our books of what wire attempts cost, against what providers say: the gap, by provider, model and day.

Promise: an import is read whole before anything of it is kept, a line that makes no sense is named with its number, and
importing the same file again changes nothing; a later file replaces the days and models it names. A gap has a name:
missing on the bill, missing in our books, or another amount. Nothing is ever repaired here.

Days are UTC, by the moment an attempt left. Amounts are read to the nano-dollar, rounded to nearest where an export has
more places than that.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import TypeVar

from django.db import connection, transaction

from analytics import rollups
from analytics.models import BillLine
from gateway.callid import first_id

NANO = 10**9
MOST_BYTES = 50_000_000
OPENROUTER = "openrouter"
GENERIC = "generic"

Cell = tuple[date, str]


class BadBill(ValueError):
    """A file that is no bill; the sentence names the line."""


@dataclass(frozen=True, slots=True)
class Gap:
    """One provider, model and day on which the two books differ, or agree."""

    provider: str
    day: date
    model: str
    ours_nano: int
    theirs_nano: int | None  # None: not on the bill at all
    attempts: int
    unknown: int  # attempts whose cost we do not know

    @property
    def gap_nano(self) -> int:
        """What they ask beyond what we wrote."""
        return (self.theirs_nano or 0) - self.ours_nano

    @property
    def name(self) -> str:
        """What kind of gap it is."""
        if self.theirs_nano is None:
            return "missing on the bill" if self.ours_nano else "agrees"
        if not self.attempts:
            return "missing in our books" if self.theirs_nano else "agrees"
        return "another amount" if self.gap_nano else "agrees"


def take(*, provider: str, kind: str, text: str, source: str, now: datetime) -> int:
    """Keep a bill; returns how many days and models it names."""
    if len(text) > MOST_BYTES:
        raise BadBill("A bill has at most 50 MB; split it by month.")
    reader = {OPENROUTER: _openrouter, GENERIC: _generic}.get(kind)
    if reader is None:
        message = f"A bill is of the kind {OPENROUTER} or {GENERIC}."
        raise BadBill(message)
    costs: dict[Cell, int] = defaultdict(int)
    requests: dict[Cell, int] = defaultdict(int)
    for day, model, nano, many in reader(text):
        costs[day, model] += nano
        requests[day, model] += many
    with transaction.atomic():
        for (day, model), nano in sorted(costs.items()):
            BillLine.objects.update_or_create(
                provider=provider,
                day=day,
                model=model,
                defaults={
                    "cost_nano": nano,
                    "requests": requests[day, model] or None,
                    "source": source[:120],
                    "imported_at": now,
                },
            )
    return len(costs)


def gaps(*, provider: str, since: date, until: date) -> list[Gap]:
    """Compare both books over days, the largest gap first."""
    ours = _ours(provider, since, until)
    theirs = {
        (row.day, row.model): row.cost_nano
        for row in BillLine.objects.filter(provider=provider, day__gte=since, day__lte=until)
    }
    found = []
    for day, model in sorted(ours.keys() | theirs.keys()):
        cost, attempts, unknown = ours.get((day, model), (0, 0, 0))
        found.append(Gap(provider, day, model, cost, theirs.get((day, model)), attempts, unknown))
    return sorted(found, key=lambda gap: (-abs(gap.gap_nano), gap.day, gap.model))


def _ours(provider: str, since: date, until: date) -> dict[Cell, tuple[int, int, int]]:
    start, end = rollups.day_of(since), rollups.day_of(until + timedelta(days=1))
    day = "(started_at AT TIME ZONE 'UTC')::date" if connection.vendor == "postgresql" else "date(started_at)"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {day}, upstream_model, coalesce(sum(cost_nano), 0), count(*),"
            " sum(CASE WHEN cost_nano IS NULL THEN 1 ELSE 0 END) FROM gateway_attempt"
            f" WHERE id >= %s AND id < %s AND provider = %s AND {day} >= %s AND {day} <= %s GROUP BY 1, 2",
            [
                *(first_id(start - rollups.LONGEST), first_id(end + rollups.LONGEST), provider),
                *(since.isoformat(), until.isoformat()),
            ],
        )
        return {
            (when if isinstance(when, date) else date.fromisoformat(when), model): (int(cost), many, int(unknown))
            for when, model, cost, many, unknown in cursor.fetchall()
        }


# --- Reading bills ----------------------------------------------------------------------------------------------------

Line = tuple[date, str, int, int]
T = TypeVar("T")


def _openrouter(text: str) -> Iterator[Line]:
    """OpenRouter's activity export: one line a generation, with its cost in dollars."""
    columns = {
        "moment": ("created_at", "date"),
        "model": ("model_permaslug", "model", "model_slug"),
        "cost": ("cost_total", "usage", "cost"),
    }
    return _read(text, columns)


def _generic(text: str) -> Iterator[Line]:
    """Any CSV with a day, a model and a cost in dollars, and perhaps a number of requests."""
    columns = {
        "moment": ("day", "date", "created_at"),
        "model": ("model",),
        "cost": ("cost_usd", "cost", "amount_usd", "amount"),
        "requests": ("requests", "count"),
    }
    return _read(text, columns)


def _read(text: str, columns: dict[str, tuple[str, ...]]) -> Iterator[Line]:
    lines = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    there = {name.strip().lower(): name for name in lines.fieldnames or []}
    names = {what: next((there[one] for one in ones if one in there), None) for what, ones in columns.items()}
    missing = [what for what in ("moment", "model", "cost") if names[what] is None]
    if missing:
        message = f"The first line names no {missing[0]}; one of {', '.join(columns[missing[0]])} is needed."
        raise BadBill(message)
    for number, line in enumerate(lines, start=2):
        yield _line(number, {what: (line.get(name) or "").strip() for what, name in names.items() if name})


def _line(number: int, values: dict[str, str]) -> Line:
    day = _told(number, "day", values["moment"], _day)
    nano = _told(number, "cost", values["cost"], _nano)
    many = _told(number, "number of requests", values.get("requests") or "1", int)
    if not values["model"] or len(values["model"]) > 160:
        message = f"Line {number}: a model has 1 to 160 characters."
        raise BadBill(message)
    if nano < 0 or many < 0:
        message = f"Line {number}: what is below zero is a credit note, and no cost of calls."
        raise BadBill(message)
    return day, values["model"], nano, many


def _told(number: int, what: str, text: str, read: Callable[[str], T]) -> T:
    try:
        return read(text)
    except (ValueError, InvalidOperation, OverflowError) as error:
        message = f"Line {number}: {text[:40]!r} is no {what}."
        raise BadBill(message) from error


def _day(text: str) -> date:
    moment = datetime.fromisoformat(text)
    return (moment.astimezone(UTC) if moment.tzinfo else moment).date()


def _nano(text: str) -> int:
    amount = Decimal(text.removeprefix("$"))
    if not amount.is_finite() or abs(amount) > 10**9:
        raise ValueError(text)
    return int((amount * NANO).to_integral_value(ROUND_HALF_EVEN))
