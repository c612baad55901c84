"""Tables that only grow: a migration operation that makes the database itself refuse UPDATE and DELETE.

Promise: once ``AppendOnly("table")`` has run, no code path, shell or admin can change or remove a row of that
table on either engine; on PostgreSQL TRUNCATE is refused as well. There is no off switch: tests start from a
copy of the migrated database instead of emptying tables.
"""

from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

POSTGRESQL_FUNCTION = """
CREATE OR REPLACE FUNCTION tollgate_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
"""


class AppendOnly(Operation):
    """Refuse changes to existing rows of one table, by trigger."""

    reduces_to_sql = True
    reversible = True

    def __init__(self, table: str) -> None:
        self.table = table

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """The model's shape does not change."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        for statement in statements(self.table, schema_editor.connection.vendor):
            schema_editor.execute(statement, params=None)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        on_table = f" ON {self.table}" if schema_editor.connection.vendor == "postgresql" else ""
        for event in ("update", "delete", *(("truncate",) if on_table else ())):
            schema_editor.execute(f"DROP TRIGGER IF EXISTS {self.table}_no_{event}{on_table}", params=None)

    def describe(self) -> str:
        return f"Make {self.table} append-only"

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return (self.__class__.__qualname__, [self.table], {})


def statements(table: str, vendor: str) -> list[str]:
    """What puts the guard up, on one engine."""
    if vendor == "postgresql":
        row = "FOR EACH ROW EXECUTE FUNCTION tollgate_append_only()"
        return [
            POSTGRESQL_FUNCTION,
            f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {row}",
            f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {row}",
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} EXECUTE FUNCTION tollgate_append_only()",
        ]
    return [
        f"CREATE TRIGGER {table}_no_{event} BEFORE {event.upper()} ON {table}"
        f" BEGIN SELECT RAISE(ABORT, '{table} is append-only: {event.upper()} refused'); END"
        for event in ("update", "delete")
    ]
