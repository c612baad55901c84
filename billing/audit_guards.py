"""Whether the database still refuses by itself what it refused when it was made.

Promise: a trigger or a constraint of the ledger that is gone, off, on another table, or no longer says what it said is
named. The words to compare with are those of the migrations, so nothing is written down twice.
"""

import re
from typing import Any, NamedTuple

from django.db import connection

from billing.models import Account, CapCounter, Hold, HoldLine, Transfer, Wallet
from billing.models.guards import POSTGRESQL, SQLITE
from plumbing import append_only

GROWING = ("billing_transfer", "billing_holdline")
GUARDED = (Wallet, Account, Hold, HoldLine, Transfer, CapCounter)

TRIGGERS = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT t.tgname, c.relname, t.tgtype, cardinality(t.tgattr::int2[]), t.tgqual IS NOT NULL, p.prosrc"
    " FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid"
    " WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')",
}
# A constraint that is not enforced (PostgreSQL 18 knows such) refuses nothing; one that is not valid still refuses.
CONSTRAINTS = {
    "sqlite": "SELECT sql FROM sqlite_master WHERE type = 'table' OR sql LIKE 'CREATE UNIQUE INDEX%'",
    "postgresql": "SELECT conname FROM pg_constraint c WHERE coalesce((to_jsonb(c) ->> 'conenforced')::boolean, true)"
    " UNION ALL SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
    " WHERE i.indisunique AND i.indisvalid",
}
# How pg_trigger writes down when a trigger fires: once a row, before or after, on which event.
EACH_ROW, BEFORE = 1, 2
EVENTS = {"INSERT": 4, "DELETE": 8, "UPDATE": 16, "TRUNCATE": 32}


class _Trigger(NamedTuple):
    table: str
    fires: int
    columns: int
    conditional: bool
    body: str


def missing() -> list[str]:
    """A sentence for everything that no longer guards."""
    return [*_triggers(), *_constraints()]


def _triggers() -> list[str]:
    rows = _rows(TRIGGERS[connection.vendor])
    if connection.vendor == "postgresql":
        there: dict[str, Any] = {name: _Trigger(*row) for name, *row in rows}
        wanted: dict[str, Any] = _on_postgresql()
    else:
        there = {name: _plain(text) for name, text in rows}
        wanted = _on_sqlite()
    return [
        f"{name} is not what it was" if name in there else f"{name} is missing or off"
        for name, guard in sorted(wanted.items())
        if there.get(name) != guard
    ]


def _constraints() -> list[str]:
    wanted = {constraint.name for model in GUARDED for constraint in model._meta.constraints}
    rows = _rows(CONSTRAINTS[connection.vendor])
    there = {name for (name,) in rows}
    if connection.vendor == "sqlite":
        there = set(re.findall(r'"(\w+)"', " ".join(text for (text,) in rows)))
    return [f"{name} is missing or off" for name in sorted(wanted - there)]


def _statements() -> list[str]:
    vendor = connection.vendor
    own = POSTGRESQL if vendor == "postgresql" else [f"CREATE TRIGGER {name} {text}" for name, text in SQLITE.items()]
    return [*own, *(statement for table in GROWING for statement in append_only.statements(table, vendor))]


def _on_sqlite() -> dict[str, str]:
    texts = [_plain(statement) for statement in _statements()]
    return {text.split()[2]: text for text in texts}


def _plain(text: str) -> str:
    """A renamed table comes back in quotes, and an older SQLite was told IS NOT."""
    return " ".join(text.replace('"', "").replace("IS DISTINCT FROM", "IS NOT").split())


def _on_postgresql() -> dict[str, _Trigger]:
    bodies: dict[str, str] = {}
    found = {}
    for statement in _statements():
        if function := re.search(r"FUNCTION (\w+)\(\) RETURNS trigger.*?\$\$(.*)\$\$", statement, re.DOTALL):
            bodies[function[1]] = function[2]
        elif made := re.match(r"CREATE TRIGGER (\w+) (\w+) (\w+)(?: OF (.*?))? ON (\w+)(.*)FUNCTION (\w+)", statement):
            name, when, event, columns, table, words, function_name = made.groups()
            fires = EVENTS[event] + BEFORE * (when == "BEFORE") + EACH_ROW * ("FOR EACH ROW" in words)
            many = len(columns.split(",")) if columns else 0
            found[name] = _Trigger(table, fires, many, "WHEN (" in words, bodies[function_name])
    return found


def _rows(sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())
