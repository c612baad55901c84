"""Lists of an organization's calls: newest first, page by page along one index, however many there are.

Promise: a page costs the same on a thousand calls and on ten million. Nothing is counted and nothing skipped over; what
is narrowed further than by time looks at ``LOOKED_AT`` calls at a time and says how far back it has looked, so that a
rare call is found in steps instead of making somebody wait.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from accounts.models import Organization
from billing.models import Hold
from gateway.callid import first_id, moment_of
from gateway.models import Call

PAGE = 50
LOOKED_AT = 10_000
LARGEST_ID = 2**63 - 1
BATCH = 1_000

# What a list may be narrowed by: our own words, and the value is bound.
CONDITIONS = {
    "model": "model_asked = %s",
    "key": "api_key_id = %s",
    "member": "user_id = %s",
    "state": "state = %s",
    "label": "label = %s",
    "request_id": "request_id = %s",
    "least_nano": "price_nano >= %s",
    "most_nano": "price_nano <= %s",
}
COLUMNS = "id, model_asked, api_key_id, user_id, state, label, request_id, price_nano"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which calls: of which time, and with what; or the one of a number."""

    since: datetime | None = None
    until: datetime | None = None
    having: Mapping[str, Any] = field(default_factory=dict)
    only: int | None = None

    @property
    def lowest(self) -> int:
        """The smallest id of that time."""
        if self.only is not None:
            return self.only
        return max(0, first_id(self.since)) if self.since else 0

    @property
    def highest(self) -> int:
        """The first id after it."""
        if self.only is not None:
            return min(LARGEST_ID, self.only + 1)
        return min(LARGEST_ID, max(0, first_id(self.until))) if self.until else LARGEST_ID


@dataclass(frozen=True, slots=True)
class Listed:
    """A call with what its hold says was charged."""

    call: Call
    charged_nano: int
    unrecovered_nano: int


@dataclass(frozen=True, slots=True)
class Page:
    """One page; ``older`` is where the next one begins, ``looked_back_to`` how far a search came without an end."""

    rows: tuple[Listed, ...]
    older: int | None
    looked_back_to: datetime | None = None


def page(organization: Organization, wanted: Wanted, *, before: int | None = None, size: int = PAGE) -> Page:
    """The newest calls of those wanted, or those older than one."""
    highest = min(wanted.highest, before if before is not None else LARGEST_ID)
    if not wanted.having:
        rows = _read(_charged(organization).filter(pk__gte=wanted.lowest, pk__lt=highest)[: size + 1])
        return Page(rows[:size], rows[size - 1].call.pk if len(rows) > size else None)
    ids, stopped_at = _ids(organization, wanted, wanted.lowest, highest, size + 1)
    shown = ids[:size]
    if len(ids) > size:
        return Page(listed(organization, shown), shown[-1])
    if stopped_at is None:
        return Page(listed(organization, shown), None)
    return Page(listed(organization, shown), stopped_at, moment_of(stopped_at))


def newer(organization: Organization, wanted: Wanted, *, after: int, size: int = PAGE) -> tuple[Listed, ...]:
    """The newest calls that came after one, newest first: the live tail."""
    ids, _ = _ids(organization, wanted, max(wanted.lowest, after + 1), wanted.highest, size)
    return listed(organization, ids)


def newest_id(organization: Organization) -> int:
    """The newest call there is, or 0."""
    found = Call.objects.of(organization).order_by("-pk").values_list("pk", flat=True).first()
    return int(found or 0)


def everything(organization: Organization, wanted: Wanted) -> Iterator[Listed]:
    """All calls wanted, newest first, read in batches."""
    before: int | None = None
    while True:
        found = page(organization, wanted, before=before, size=BATCH)
        yield from found.rows
        if found.older is None:
            return
        before = found.older


def listed(organization: Organization, ids: Sequence[int]) -> tuple[Listed, ...]:
    """These calls, newest first, with their charges."""
    return _read(_charged(organization).filter(pk__in=ids)) if ids else ()


def _charged(organization: Organization) -> QuerySet[Call]:
    hold = Hold.objects.of(organization).filter(pk=OuterRef("pk"))
    found: QuerySet[Call] = Call.objects.of(organization).order_by("-pk")
    return found.annotate(
        charged_nano=Coalesce(Subquery(hold.values("charged_nano")[:1]), 0),
        unrecovered_nano=Coalesce(Subquery(hold.values("unrecovered_nano")[:1]), 0),
    )


def _read(rows: QuerySet[Any]) -> tuple[Listed, ...]:
    return tuple(Listed(call, call.charged_nano, call.unrecovered_nano) for call in rows)


def _ids(organization: Organization, wanted: Wanted, low: int, high: int, most: int) -> tuple[list[int], int | None]:
    """Ids that fit, newest first, and where the search stopped if it did so before the end."""
    span = "organization_id = %s AND id >= %s AND id < %s ORDER BY id DESC LIMIT %s"
    conditions = [CONDITIONS[name] for name in wanted.having]
    with connection.cursor() as cursor:
        if not conditions:
            cursor.execute(f"SELECT id FROM gateway_call WHERE {span}", [organization.pk, low, high, most])
            return [pk for (pk,) in cursor.fetchall()], None
        statement = (
            f"WITH looked AS (SELECT {COLUMNS} FROM gateway_call WHERE {span}), fits AS (SELECT id FROM looked WHERE"
            f" {' AND '.join(conditions)} ORDER BY id DESC LIMIT %s) SELECT id, 1 FROM fits UNION ALL"
            " SELECT min(id), 0 FROM looked HAVING count(*) >= %s"
        )
        cursor.execute(statement, [organization.pk, low, high, LOOKED_AT, *wanted.having.values(), most, LOOKED_AT])
        rows = cursor.fetchall()
    ids = sorted((pk for pk, fits in rows if fits), reverse=True)
    return ids, next((pk for pk, fits in rows if not fits), None)


# --- Labels and speed -------------------------------------------------------------------------------------------------


def by_label(organization: Organization, *, since: datetime, until: datetime) -> dict[str, tuple[int, int, int]]:
    """Requests, tokens and what was charged for each label that calls carried. It reads calls: ask for days."""
    low, high = max(0, first_id(since)), max(0, first_id(until))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.label, count(*), sum(c.input_tokens + c.output_tokens), coalesce(sum(h.charged_nano), 0)"
            " FROM gateway_call c LEFT JOIN billing_hold h ON h.id = c.id AND h.id >= %s AND h.id < %s"
            " WHERE c.organization_id = %s AND c.id >= %s AND c.id < %s GROUP BY c.label",
            [low, high, organization.pk, low, high],
        )
        return {label: (int(many), int(tokens), int(charged)) for label, many, tokens, charged in cursor.fetchall()}


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast answered calls were, of so many."""

    calls: int
    latency_ms: tuple[int, int]  # the middle one, and the one that 19 of 20 were below
    first_byte_ms: tuple[int, int] | None
    tokens_per_second: float | None


def speeds(organization: Organization, wanted: Wanted, *, sample: int = 2_000) -> dict[str, Speed]:
    """How fast each model was, by the newest so many calls of that time: a sample, so no history is too long."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT model_served, latency_ms, first_byte_ms, output_tokens, state FROM gateway_call"
            " WHERE organization_id = %s AND id >= %s AND id < %s ORDER BY id DESC LIMIT %s",
            [organization.pk, wanted.lowest, wanted.highest, sample],
        )
        rows = cursor.fetchall()
    found: dict[str, list[tuple[Any, ...]]] = {}
    for model, *timings, state in rows:
        if state == "done" and timings[0] is not None:
            found.setdefault(model, []).append(tuple(timings))
    return {model: _speed(timings) for model, timings in found.items()}


def _speed(timings: list[tuple[Any, ...]]) -> Speed:
    first = sorted(one[1] for one in timings if one[1] is not None)
    rates = sorted(one[2] * 1000 / (one[0] - (one[1] or 0)) for one in timings if one[2] and one[0] > (one[1] or 0))
    return Speed(
        calls=len(timings),
        latency_ms=_shares(sorted(one[0] for one in timings)),
        first_byte_ms=_shares(first) if first else None,
        tokens_per_second=rates[len(rates) // 2] if rates else None,
    )


def _shares(ordered: list[int]) -> tuple[int, int]:
    return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 19 // 20)]
