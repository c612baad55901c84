"""Tables that only grow: the database itself refuses the rest, on both engines, until the migration is undone."""

from collections.abc import Iterator

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.migrations.state import ProjectState

from plumbing.append_only import AppendOnly

pytestmark = pytest.mark.django_db(transaction=True)


def _run(*statements: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.fixture
def operation() -> Iterator[AppendOnly]:
    _run("CREATE TABLE grows (n integer)", "INSERT INTO grows VALUES (1)")
    operation = AppendOnly("grows")
    with connection.schema_editor() as editor:
        operation.database_forwards("plumbing", editor, ProjectState(), ProjectState())
    yield operation
    _run("DROP TABLE grows")


def test_rows_are_added_and_never_changed(operation: AppendOnly) -> None:
    _run("INSERT INTO grows VALUES (2)")
    refused = ["UPDATE grows SET n = 3", "DELETE FROM grows", "DELETE FROM grows WHERE n = 1"]
    if connection.vendor == "postgresql":
        refused.append("TRUNCATE grows")
    for statement in refused:
        with pytest.raises(DatabaseError, match="append-only"):
            _run(statement)
    with connection.cursor() as cursor:
        cursor.execute("SELECT n FROM grows ORDER BY n")
        assert cursor.fetchall() == [(1,), (2,)]


def test_undoing_the_migration_opens_the_table_again(operation: AppendOnly) -> None:
    with connection.schema_editor() as editor:
        operation.database_backwards("plumbing", editor, ProjectState(), ProjectState())
    _run("UPDATE grows SET n = 3", "DELETE FROM grows")


def test_it_writes_and_describes_itself() -> None:
    operation = AppendOnly("grows")
    operation.state_forwards("plumbing", ProjectState())
    assert operation.describe() == "Make grows append-only"
    assert operation.deconstruct() == ("AppendOnly", ["grows"], {})
