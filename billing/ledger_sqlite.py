"""How SQLite is told what the ledger wants: sets travel as JSON, batches as ``executemany``.

The writer is alone by ``BEGIN IMMEDIATE``, so there is no row to lock. Mirrors ``ledger_postgres``.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from billing.ledger_tables import Change, Table
from billing.operations import Rider

MARK = "?"
AMONG = "IN (SELECT value FROM json_each(?))"
AMONG_TEXT = AMONG
LOCK = ""
CAPS = "caps"
HELD_CAPS = (
    "(SELECT json_extract(pair.value, '$[0]') FROM billing_hold AS h, json_each(h.caps) AS pair"
    " WHERE h.id IN (SELECT value FROM json_each(?)))"
)
KEYED = (
    "json_each(?) AS k ON c.organization_id = json_extract(k.value, '$[0]')"
    " AND c.scope_kind = json_extract(k.value, '$[1]') AND c.scope_id = json_extract(k.value, '$[2]')"
    " AND c.\"window\" = json_extract(k.value, '$[3]') AND c.window_start = json_extract(k.value, '$[4]')"
)


def cursor(connection: BaseDatabaseWrapper) -> Any:
    """A cursor without Django's translation in between."""
    return connection.connection.cursor()


def numbers(values: Iterable[int]) -> str:
    """A set of whole numbers as one parameter."""
    return json.dumps(list(values))


names = numbers


def keys(values: Iterable[tuple[int, str, int, str, str]]) -> list[str]:
    """The names of counters as parameters for ``KEYED``."""
    return [json.dumps(list(values))]


def clock(value: datetime) -> datetime:
    """A point in time as this database's rows come back: in UTC, without saying so."""
    return value.astimezone(UTC).replace(tzinfo=None)


def moment(value: datetime) -> str:
    """A point in time as this database keeps it."""
    return str(clock(value))


def insert(cursor: Any, table: Table, rows: Sequence[tuple[Any, ...]], now: datetime | None) -> None:
    """Add rows; ``now`` fills the table's stamp."""
    stamped = [(*row, moment(now)) for row in rows] if table.stamp and now else rows
    cursor.executemany(_insert(table), stamped)


@cache
def _insert(table: Table) -> str:
    columns = [*table.columns, *([table.stamp] if table.stamp else [])]
    names = ", ".join(f'"{name}"' for name in columns)
    return f"INSERT INTO {table.name} ({names}) VALUES ({', '.join('?' * len(columns))})"


def asked(cursor: Any, questions: Sequence[tuple[str, Sequence[Any]]]) -> list[list[Any]]:
    """The rows of each question."""
    return [cursor.execute(statement, parameters).fetchall() for statement, parameters in questions]


def together(cursor: Any) -> AbstractContextManager[object]:
    """Statements that need no answer of each other; in the same process there is no way to save."""
    return nullcontext()


def change(cursor: Any, change: Change, rows: Sequence[tuple[Any, ...]], now: datetime) -> Callable[[], int]:
    """Change rows that still are as they were seen; ask the answer how many, once all is written."""
    stamp = (moment(now),) if change.stamp else ()
    many = len(change.sets)
    parameters = [(*row[1 : many + 1], *stamp, row[0], *row[many + 1 :]) for row in rows]
    cursor.executemany(_change(change), parameters)
    changed = int(cursor.rowcount)
    return lambda: changed


@cache
def _change(change: Change) -> str:
    sets = ", ".join(f"{name} = ?" for name in (*change.sets, *([change.stamp] if change.stamp else [])))
    guards = "".join(f" AND {name} = ?" for name in change.seen) + (f" AND {change.guard}" if change.guard else "")
    return f"UPDATE {change.table} SET {sets} WHERE id = ?{guards}"


def ride(
    cursor: Any,
    connection: BaseDatabaseWrapper,
    rider: Rider,
    rows: Sequence[tuple[Any, ...]],
    *,
    perhaps_there: bool = False,
) -> None:
    """Insert somebody else's rows."""
    quote = connection.ops.quote_name
    columns = ", ".join(quote(name) for name in rider.columns)
    marks = ", ".join("?" * len(rider.columns))
    cursor.executemany(
        f"INSERT INTO {quote(rider.table)} ({columns}) VALUES ({marks})"
        + (" ON CONFLICT DO NOTHING" if perhaps_there else ""),
        [tuple(map(_plain, row)) for row in rows],
    )


def _plain(value: Any) -> Any:
    """As Django's fields would have written it."""
    if value is None or isinstance(value, (int, str, bytes, float)):
        return value
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, Decimal):
        return str(value)
    return json.dumps(value)
