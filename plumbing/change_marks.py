"""A mark that moves whenever one of a few tables changes: a migration operation, and the cheap question for it.

Promise: once ``ChangeMark("mark", tables)`` has run, every committed change of these tables, by whatever hand, is seen
as another ``position("mark")``; whoever keeps a picture of the tables reads them anew only then. The mark is a table
that grows by a row with each changing statement, because one row for all would make writers wait for each other;
``trim`` takes the old rows away, which moves the mark once more and does no other harm. Django alters a table on SQLite
by making it anew, without its triggers: such a migration of a marked table must put the mark on again.
"""

from typing import Any

from django.db import connection
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

EVENTS = ("insert", "update", "delete")
KEPT_ROWS = 1_000

Position = tuple[int, int]


class ChangeMark(Operation):
    """Put a mark on tables, by triggers."""

    reduces_to_sql = True
    reversible = True

    def __init__(self, name: str, tables: list[str]) -> None:
        self.name, self.tables = name, tables

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """No model's shape changes."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        for statement in _statements(self.name, self.tables, schema_editor.connection.vendor):
            schema_editor.execute(statement, params=None)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        postgresql = schema_editor.connection.vendor == "postgresql"
        for table in self.tables:
            for event in EVENTS:
                on_table = f" ON {table}" if postgresql else ""
                schema_editor.execute(f"DROP TRIGGER {_trigger(self.name, table, event)}{on_table}", params=None)
        if postgresql:
            schema_editor.execute(f"DROP FUNCTION {self.name}_moves()", params=None)
        schema_editor.execute(f"DROP TABLE {self.name}", params=None)

    def describe(self) -> str:
        return f"Mark changes of {', '.join(self.tables)}"

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return (self.__class__.__qualname__, [self.name, self.tables], {})


def position(name: str) -> Position:
    """Where the mark stands; another answer than before means that something changed."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*), coalesce(max(id), 0) FROM {name}")  # noqa: S608 - our own table's name
        rows, newest = cursor.fetchone()
    return int(rows), int(newest)


def trim(name: str) -> None:
    """Forget old rows of a mark."""
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {name} WHERE id <= (SELECT max(id) FROM {name}) - {KEPT_ROWS}")  # noqa: S608


def _trigger(name: str, table: str, event: str) -> str:
    return f"{table}_{event}_{name}"[:63]


def _body(name: str) -> str:
    return f"$$ BEGIN INSERT INTO {name} DEFAULT VALUES; RETURN NULL; END $$"


def _row(name: str) -> str:
    return f"INSERT INTO {name} (id) VALUES (NULL)"  # noqa: S608 - our own table's name


def _statements(name: str, tables: list[str], vendor: str) -> list[str]:
    if vendor == "postgresql":
        return [
            f"CREATE TABLE {name} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)",
            f"CREATE FUNCTION {name}_moves() RETURNS trigger LANGUAGE plpgsql AS {_body(name)}",
            *(
                f"CREATE TRIGGER {_trigger(name, table, event)} AFTER {event.upper()} ON {table}"
                f" FOR EACH STATEMENT EXECUTE FUNCTION {name}_moves()"
                for table in tables
                for event in EVENTS
            ),
        ]
    return [
        f"CREATE TABLE {name} (id integer PRIMARY KEY AUTOINCREMENT)",
        *(
            f"CREATE TRIGGER {_trigger(name, table, event)} AFTER {event.upper()} ON {table} BEGIN {_row(name)}; END"
            for table in tables
            for event in EVENTS
        ),
    ]
