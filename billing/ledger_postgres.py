"""How PostgreSQL is told what the ledger wants: whole columns travel as arrays.

So a batch of any size is one statement with one plan. Wallets are locked with ``FOR NO KEY UPDATE``, which lets foreign
keys pass. Mirrors ``ledger_sqlite``.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
from django.db.backends.base.base import BaseDatabaseWrapper

from billing.ledger_tables import Change, Table
from billing.ledger_wire import Line, Question
from billing.operations import Rider

_quickly = msgspec.json.Encoder(enc_hook=str).encode

MARK = "%s"
AMONG = "= ANY(%s::bigint[])"
AMONG_TEXT = "= ANY(%s::text[])"
LOCK = " FOR NO KEY UPDATE"
CAPS = "caps::text"
HELD_CAPS = (
    "(SELECT (pair ->> 0)::bigint FROM billing_hold AS h CROSS JOIN LATERAL jsonb_array_elements(h.caps) AS pair"
    " WHERE h.id = ANY(%s::bigint[]))"
)
KEYED = (
    "unnest(%s::bigint[], %s::text[], %s::bigint[], %s::text[], %s::date[])"
    " AS k(organization_id, scope_kind, scope_id, window_kind, window_start)"
    " ON c.organization_id = k.organization_id AND c.scope_kind = k.scope_kind AND c.scope_id = k.scope_id"
    ' AND c."window" = k.window_kind AND c.window_start = k.window_start'
)


def cursor(connection: BaseDatabaseWrapper) -> Line:
    """A line that binds on the server and carries many statements at once, neither of which Django's own does."""
    return Line(connection.connection)


def asked(cursor: Any, questions: Sequence[Question]) -> list[list[Any]]:
    """The rows of each question, all of them asked in one go."""
    rows: list[list[Any]] = cursor.ask(questions)
    return rows


def numbers(values: Iterable[int | None]) -> str:
    """A column of whole numbers as one array; the text form is much cheaper to make than a bound list."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def names(values: Iterable[str]) -> list[str]:
    """A column of texts as one array."""
    return list(values)


def keys(values: Iterable[tuple[int, str, int, str, str]]) -> list[Any]:
    """The names of counters as parameters for ``KEYED``."""
    return _arrays(["bigint", "text", "bigint", "text", "date"], list(values))


def clock(value: datetime) -> datetime:
    """A point in time as this database's rows come back."""
    return value


def moment(value: datetime) -> datetime:
    """A point in time as this database keeps it."""
    return value


def _arrays(types: Iterable[str], rows: Sequence[tuple[Any, ...]]) -> list[Any]:
    columns = zip(*rows, strict=True)
    return [numbers(column) if kind == "bigint" else list(column) for kind, column in zip(types, columns, strict=True)]


@cache
def _insert(table: Table) -> str:
    arrays = ", ".join(f"%s::{'text' if kind == 'jsonb' else kind}[]" for kind in table.types)
    picked = ", ".join(f"u.c{place}{'::jsonb' if kind == 'jsonb' else ''}" for place, kind in enumerate(table.types))
    columns = ", ".join(f'"{name}"' for name in table.columns)
    stamp, stamped = (f", {table.stamp}", ", %s::timestamptz") if table.stamp else ("", "")
    alias = ", ".join(f"c{place}" for place in range(len(table.types)))
    return f"INSERT INTO {table.name} ({columns}{stamp}) SELECT {picked}{stamped} FROM unnest({arrays}) AS u({alias})"


def insert(cursor: Any, table: Table, rows: Sequence[tuple[Any, ...]], now: datetime | None) -> None:
    """Add rows; ``now`` fills the table's stamp."""
    cursor.execute(_insert(table), [*([now] if table.stamp else []), *_arrays(table.types, rows)])


@cache
def _change(change: Change) -> str:
    seen = [f"seen_{name}" for name in change.seen]
    sets = ", ".join(f"{name} = u.{name}" for name in change.sets) + (
        f", {change.stamp} = %s::timestamptz" if change.stamp else ""
    )
    guards = "".join(f" AND t.{name} = u.seen_{name}" for name in change.seen)
    guards += f" AND t.{change.guard}" if change.guard else ""
    arrays = ", ".join(f"%s::{kind}[]" for kind in change.types)
    alias = ", ".join(["id", *change.sets, *seen])
    return f"UPDATE {change.table} AS t SET {sets} FROM unnest({arrays}) AS u({alias}) WHERE t.id = u.id{guards}"


def together(cursor: Any) -> AbstractContextManager[object]:
    """Statements that need no answer of each other share one way to the database and back."""
    shared: AbstractContextManager[object] = cursor.together()
    return shared


def change(cursor: Any, change: Change, rows: Sequence[tuple[Any, ...]], now: datetime) -> Callable[[], int]:
    """Change rows that still are as they were seen; ask the answer how many, once all is written."""
    told = cursor.execute(_change(change), [*([now] if change.stamp else []), *_arrays(change.types, rows)])
    return lambda: int(told.rowcount)


def ride(
    cursor: Any,
    connection: BaseDatabaseWrapper,
    rider: Rider,
    rows: Sequence[tuple[Any, ...]],
    *,
    perhaps_there: bool = False,
) -> None:
    """Insert somebody else's rows; the table itself says what its columns hold."""
    objects = [dict(zip(rider.columns, row, strict=True)) for row in rows]
    statement = _ride(rider.table, rider.columns) + (" ON CONFLICT DO NOTHING" if perhaps_there else "")
    cursor.execute(statement, [_written(objects, holds_bytes=any(bytes in map(type, row) for row in rows))])


def _written(objects: list[dict[str, Any]], *, holds_bytes: bool) -> str:
    """Rows as JSON; the quick writer has a form of its own for bytes, and none for what is odd in a text."""
    if not holds_bytes:
        with suppress(UnicodeEncodeError, OverflowError):
            return _quickly(objects).decode()
    return json.dumps(objects, default=_plain)


def _plain(value: Any) -> str:
    """What JSON has no form for, as this database reads it."""
    return f"\\x{value.hex()}" if isinstance(value, bytes) else str(value)


@cache
def _ride(table: str, names: tuple[str, ...]) -> str:
    quoted = '"' + table.replace('"', '""') + '"'
    columns = ", ".join('"' + name.replace('"', '""') + '"' for name in names)
    return f"INSERT INTO {quoted} ({columns}) SELECT {columns} FROM json_populate_recordset(NULL::{quoted}, %s::json)"
