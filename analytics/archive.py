"""Months of calls leave the database only by way of a file that can be read and replayed.

Promise: ``archive`` writes calls, their attempts, and what their holds charged, one JSON object a line, gzipped, beside
a hash of the whole, reads the file back and counts it before the month is marked as archived. ``drop`` refuses a month
without a mark, one whose file no longer matches its hash, and one that has not ended; it rolls up once more first, and
then drops partitions on PostgreSQL or deletes rows in short slices on SQLite. The books are never touched: holds and
transfers stay, and rollups keep what they have.
"""

import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from analytics import rollups
from analytics.models import ArchivedMonth
from analytics.rows import read_json, read_moment
from gateway.callid import first_id, moment_of
from gateway.partitions import TABLES

SCHEMA = 1
PAGE = 2_000
SLICE = 500  # rows deleted in one transaction where there are no partitions


class NotArchived(ValueError):
    """The month may not be dropped; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month in UTC."""

    starts_at: datetime

    @classmethod
    def of(cls, day: date) -> "Month":
        """The month a day lies in."""
        return cls(datetime(day.year, day.month, 1, tzinfo=UTC))

    @property
    def ends_at(self) -> datetime:
        """The first moment of the next month."""
        return (self.starts_at + timedelta(days=32)).replace(day=1)

    @property
    def ids(self) -> tuple[int, int]:
        """The ids of its calls: from, to."""
        return first_id(self.starts_at), first_id(self.ends_at)

    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m}"


def archive(month: Month, *, folder: Path, now: datetime) -> ArchivedMonth:
    """Write a month to its file; the same month again replaces the file, unless its calls were dropped."""
    if now < month.ends_at + rollups.LONGEST:
        message = f"The month {month} has not ended yet; calls may still be added to it."
        raise NotArchived(message)
    known = ArchivedMonth.objects.filter(starts_at=month.starts_at).first()
    if known and known.dropped_at:
        return known
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"calls-{month}.jsonl.gz"
    unfinished = path.with_suffix(".unfinished")
    unfinished.touch(mode=0o600)
    calls, attempts = _write(month, unfinished)
    if counted(unfinished) != (calls, attempts):
        message = f"The file of {month} does not hold what was written; the disk may be full."
        raise NotArchived(message)
    unfinished.replace(path)
    made, _ = ArchivedMonth.objects.update_or_create(
        starts_at=month.starts_at,
        defaults={
            "ends_at": month.ends_at,
            "path": str(path),
            "sha256": _hash(path),
            "calls": calls,
            "attempts": attempts,
            "archived_at": now,
        },
    )
    return made


def drop(month: Month, *, now: datetime) -> ArchivedMonth:
    """Drop the calls of a month whose archive is whole."""
    kept = ArchivedMonth.objects.filter(starts_at=month.starts_at).first()
    if kept is None:
        message = f"The month {month} has no archive; make one first."
        raise NotArchived(message)
    if kept.dropped_at:
        return kept
    path = Path(kept.path)
    if not path.is_file() or _hash(path) != kept.sha256:
        message = f"The archive {path} is missing or changed; the calls of {month} stay."
        raise NotArchived(message)
    if _count("gateway_call", month) != kept.calls:
        message = f"Calls were added to {month} after its archive was made; archive it again."
        raise NotArchived(message)
    rollups.roll(since=month.starts_at, until=month.ends_at + rollups.LONGEST)
    with transaction.atomic():  # marked first, so that nobody rolls up a month that is going away
        kept.dropped_at = now
        kept.save(update_fields=["dropped_at"])
        if connection.vendor == "postgresql":
            _drop_partitions(month)
    if connection.vendor != "postgresql":
        _delete_slices(month)
    return kept


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Every call of an archive: its columns, ``hold`` (what was charged) and ``attempts``."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        header = json.loads(next(lines))
        if header.get("schema") != SCHEMA:
            message = f"{path} was written by another version of this archive ({header.get('schema')})."
            raise ValueError(message)
        for line in lines:
            yield json.loads(line)


def find(call_id: int) -> dict[str, Any] | None:
    """One archived call, for ``replay``; None if no archive has it."""
    for month in ArchivedMonth.objects.all():
        low, high = Month(month.starts_at).ids
        if low <= call_id < high and Path(month.path).is_file():
            return next((call for call in read(Path(month.path)) if call["id"] == call_id), None)
    return None


def counted(path: Path) -> tuple[int, int]:
    """How many calls and attempts a file holds."""
    calls = attempts = 0
    for call in read(path):
        calls += 1
        attempts += len(call["attempts"])
    return calls, attempts


def due(*, now: datetime, keep_months: int) -> list[Month]:
    """Months that are older than what is kept and still have calls."""
    first = Month.of(now.date())
    for _ in range(keep_months):
        first = Month.of((first.starts_at - timedelta(days=1)).date())
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(id) FROM gateway_call WHERE id < %s", [first.ids[0]])
        (oldest,) = cursor.fetchone()
    found = []
    month = Month.of(moment_of(oldest).date()) if oldest is not None else first
    while month.starts_at < first.starts_at:
        found.append(month)
        month = Month(month.ends_at)
    return found


# --- Rows -------------------------------------------------------------------------------------------------------------


def _write(month: Month, path: Path) -> tuple[int, int]:
    calls = attempts = 0
    low, high = month.ids
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write(json.dumps({"schema": SCHEMA, "month": str(month)}) + "\n")
        while page := _rows("gateway_call", "id", low, high, PAGE):
            ids = [row["id"] for row in page]
            low = ids[-1] + 1
            holds = {row["id"]: row for row in _among("billing_hold", "id", ids)}
            tried: dict[int, list[dict[str, Any]]] = {}
            for row in _among("gateway_attempt", "call_id", ids):
                tried.setdefault(row["call_id"], []).append(row)
            for row in page:
                whole = {**row, "hold": holds.get(row["id"]), "attempts": tried.get(row["id"], [])}
                file.write(json.dumps(whole, default=str, separators=(",", ":")) + "\n")
                calls, attempts = calls + 1, attempts + len(whole["attempts"])
    return calls, attempts


def _rows(table: str, column: str, low: int, high: int, most: int) -> list[dict[str, Any]]:
    statement = f"SELECT * FROM {table} WHERE {column} >= %s AND {column} < %s ORDER BY {column} LIMIT %s"
    return _dictionaries(statement, [low, high, most])


def _among(table: str, column: str, ids: list[int]) -> list[dict[str, Any]]:
    marks = ", ".join(["%s"] * len(ids))
    return _dictionaries(f"SELECT * FROM {table} WHERE {column} IN ({marks}) ORDER BY id", ids)


def _dictionaries(statement: str, parameters: list[Any]) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        names = [column[0] for column in cursor.description]
        return [
            {name: _plain(name, value) for name, value in zip(names, row, strict=True)} for row in cursor.fetchall()
        ]


def _plain(name: str, value: Any) -> Any:
    """JSON columns come back as text from both engines; moments are written in UTC."""
    if name in {"usage", "circumstances", "caps"} and isinstance(value, str):
        return read_json(value)
    if isinstance(value, datetime):
        return read_moment(value).isoformat()
    return value


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _count(table: str, month: Month) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table} WHERE id >= %s AND id < %s", month.ids)
        return int(cursor.fetchone()[0])


def _drop_partitions(month: Month) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '4s'")  # calls queue behind this lock; the next night tries again
        for table in TABLES:
            cursor.execute(f"DROP TABLE IF EXISTS {table}_{month.starts_at:%Y_%m}")
            cursor.execute(f"DELETE FROM {table} WHERE id >= %s AND id < %s", month.ids)  # what had strayed


def _delete_slices(month: Month) -> None:
    for table in TABLES:
        gone = SLICE
        while gone == SLICE:
            with transaction.atomic(), connection.cursor() as cursor:
                chosen = f"SELECT id FROM {table} WHERE id >= %s AND id < %s LIMIT {SLICE}"
                cursor.execute(f"DELETE FROM {table} WHERE id IN ({chosen})", month.ids)
                gone = cursor.rowcount
