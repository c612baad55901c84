"""A migration operation: make a model's table, on PostgreSQL cut by month along its ids.

The default partition catches what no month was made for; ``gateway.partitions`` makes months ahead.
"""

from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations import CreateModel
from django.db.migrations.state import ProjectState


class CreateModelInMonths(CreateModel):
    """CreateModel, with ``PARTITION BY RANGE (id)`` where the engine can."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        editor: Any = schema_editor
        cut = editor.connection.vendor == "postgresql"
        plain = editor.sql_create_table
        if cut:
            editor.sql_create_table = plain + " PARTITION BY RANGE (id)"
        try:
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        finally:
            editor.sql_create_table = plain
        if cut:
            table = to_state.apps.get_model(app_label, self.name)._meta.db_table
            editor.execute(f"CREATE TABLE {table}_rest PARTITION OF {table} DEFAULT")
