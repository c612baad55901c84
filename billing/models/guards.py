"""What a CHECK cannot say, kept by triggers: a hold ends once, lines add up, a transfer stays within one unit.

Promise: the same refusals on both engines, whoever writes. PostgreSQL looks at a whole statement at a time, so that a
batch of a hundred rows is checked by one query.
"""

from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

MAY_CHANGE = """
    (old.outcome IS NULL AND (new.outcome IS NOT NULL OR new.held_nano >= old.held_nano)
        OR old.outcome IN ('released', 'expired') AND new.outcome = old.outcome AND new.resolved_at = old.resolved_at
            AND new.held_nano = old.held_nano AND old.late_settled_at IS NULL AND new.late_settled_at IS NOT NULL)
    AND new.id = old.id AND new.organization_id = old.organization_id AND new.process_id = old.process_id
    AND new.caps = old.caps AND new.created_at = old.created_at
"""
FIXED = "new.organization_id IS DISTINCT FROM old.organization_id OR new.kind <> old.kind OR new.unit <> old.unit"

POSTGRESQL = [
    """
CREATE FUNCTION billing_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%: % refused', TG_ARGV[0], TG_OP USING ERRCODE = 'integrity_constraint_violation';
END $$
""",
    f"""
CREATE FUNCTION billing_hold_ends_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT ({MAY_CHANGE}) THEN
        RAISE EXCEPTION 'hold % has ended, or only its end may be written', old.id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN new;
END $$
""",
    (
        "CREATE TRIGGER billing_hold_ends_once BEFORE UPDATE ON billing_hold"
        " FOR EACH ROW EXECUTE FUNCTION billing_hold_ends_once()"
    ),
    (
        "CREATE TRIGGER billing_hold_stays BEFORE DELETE ON billing_hold"
        " FOR EACH ROW EXECUTE FUNCTION billing_refuse('a hold stays')"
    ),
    (
        "CREATE TRIGGER billing_hold_no_truncate BEFORE TRUNCATE ON billing_hold"
        " EXECUTE FUNCTION billing_refuse('a hold stays')"
    ),
    (
        "CREATE TRIGGER billing_account_stays BEFORE DELETE ON billing_account"
        " FOR EACH ROW EXECUTE FUNCTION billing_refuse('an account stays')"
    ),
    (
        "CREATE TRIGGER billing_account_no_truncate BEFORE TRUNCATE ON billing_account"
        " EXECUTE FUNCTION billing_refuse('an account stays')"
    ),
    (
        f"CREATE TRIGGER billing_account_fixed BEFORE UPDATE OF organization_id, kind, unit ON billing_account"
        f" FOR EACH ROW WHEN ({FIXED}) EXECUTE FUNCTION billing_refuse('an account keeps its owner, kind and unit')"
    ),
    """
CREATE FUNCTION billing_lines_add_up() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong bigint;
BEGIN
    SELECT fresh.id INTO wrong FROM fresh
        WHERE fresh.outcome IS NULL AND fresh.held_nano <> (
            SELECT coalesce(sum(value_nano), 0) FROM billing_holdline WHERE hold_id = fresh.id) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the lines of hold % do not add up to it', wrong
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$
""",
    (
        "CREATE TRIGGER billing_lines_add_up AFTER INSERT ON billing_hold"
        " REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION billing_lines_add_up()"
    ),
    (
        "CREATE TRIGGER billing_lines_still_add_up AFTER UPDATE ON billing_hold"
        " REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION billing_lines_add_up()"
    ),
    """
CREATE FUNCTION billing_one_unit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong bigint;
BEGIN
    SELECT fresh.id INTO wrong FROM fresh
        JOIN billing_account debit ON debit.id = fresh.debit_id
        JOIN billing_account credit ON credit.id = fresh.credit_id
        WHERE debit.unit <> credit.unit
            OR debit.unit = 'nano_usd' AND fresh.value_nano <> fresh.amount
            OR debit.organization_id IS NOT NULL AND debit.organization_id IS DISTINCT FROM fresh.organization_id
            OR credit.organization_id IS NOT NULL AND credit.organization_id IS DISTINCT FROM fresh.organization_id
        LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'transfer % crosses units, values or owners', wrong
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$
""",
    (
        "CREATE TRIGGER billing_one_unit AFTER INSERT ON billing_transfer"
        " REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION billing_one_unit()"
    ),
]
POSTGRESQL_BACK = [
    "DROP TRIGGER billing_hold_ends_once ON billing_hold",
    "DROP TRIGGER billing_hold_stays ON billing_hold",
    "DROP TRIGGER billing_hold_no_truncate ON billing_hold",
    "DROP TRIGGER billing_lines_add_up ON billing_hold",
    "DROP TRIGGER billing_lines_still_add_up ON billing_hold",
    "DROP TRIGGER billing_account_stays ON billing_account",
    "DROP TRIGGER billing_account_no_truncate ON billing_account",
    "DROP TRIGGER billing_account_fixed ON billing_account",
    "DROP TRIGGER billing_one_unit ON billing_transfer",
    "DROP FUNCTION billing_refuse, billing_hold_ends_once, billing_lines_add_up, billing_one_unit",
]

LINES_ADD_UP = (
    " BEGIN SELECT RAISE(ABORT, 'the lines of a hold do not add up to it') WHERE new.held_nano <>"
    " (SELECT coalesce(sum(value_nano), 0) FROM billing_holdline WHERE hold_id = new.id); END"
)
SQLITE = {
    "billing_hold_ends_once": f"BEFORE UPDATE ON billing_hold WHEN NOT ({MAY_CHANGE})"
    " BEGIN SELECT RAISE(ABORT, 'this hold has ended, or only its end may be written'); END",
    "billing_hold_stays": "BEFORE DELETE ON billing_hold BEGIN SELECT RAISE(ABORT, 'a hold stays'); END",
    "billing_account_stays": "BEFORE DELETE ON billing_account BEGIN SELECT RAISE(ABORT, 'an account stays'); END",
    "billing_account_fixed": "BEFORE UPDATE OF organization_id, kind, unit ON billing_account"
    f" WHEN {FIXED} BEGIN SELECT RAISE(ABORT, 'an account keeps its owner, kind and unit'); END",
    "billing_lines_add_up": f"AFTER INSERT ON billing_hold WHEN new.outcome IS NULL{LINES_ADD_UP}",
    "billing_lines_still_add_up": f"AFTER UPDATE OF held_nano ON billing_hold WHEN new.outcome IS NULL{LINES_ADD_UP}",
    "billing_one_unit": """AFTER INSERT ON billing_transfer
 BEGIN SELECT RAISE(ABORT, 'a transfer crosses units, values or owners')
    FROM billing_account debit, billing_account credit WHERE debit.id = new.debit_id AND credit.id = new.credit_id
        AND (debit.unit <> credit.unit
            OR debit.unit = 'nano_usd' AND new.value_nano <> new.amount
            OR debit.organization_id IS NOT NULL AND debit.organization_id IS DISTINCT FROM new.organization_id
            OR credit.organization_id IS NOT NULL AND credit.organization_id IS DISTINCT FROM new.organization_id);
 END""",
}


class Guards(Operation):
    """Install the triggers of the ledger."""

    reduces_to_sql = True
    reversible = True

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """The models' shape does not change."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        # An SQLite before 3.39 knows IS DISTINCT FROM by its older name.
        made = [f"CREATE TRIGGER {name} {text}".replace("IS DISTINCT FROM", "IS NOT") for name, text in SQLITE.items()]
        for statement in POSTGRESQL if schema_editor.connection.vendor == "postgresql" else made:
            schema_editor.execute(statement, params=None)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        dropped = [f"DROP TRIGGER {name}" for name in SQLITE]
        for statement in POSTGRESQL_BACK if schema_editor.connection.vendor == "postgresql" else dropped:
            schema_editor.execute(statement, params=None)

    def describe(self) -> str:
        return "Guard holds, accounts and transfers by trigger"

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return (self.__class__.__qualname__, [], {})
