import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from billing import audit, tasks
from billing.models import AuditCheckpoint
from billing.models.ledger import Kind
from billing.operations import Tokens, Withdraw
from tests.billing.ledger_stage import TOKENS, Stage

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop_life() -> tuple[Stage, Stage]:
    """Two customers who have done a bit of everything."""
    stages = (Stage(), Stage())
    for stage in stages:
        stage.top_up(100_000, uid=f"pay-{stage.organization.pk}")
        stage.top_up(500, kind=Kind.PROMO, expires_at=stage.now + timedelta(days=5), source="promotions")
        stage.top_up(300, kind=Kind.TRIAL, unit=TOKENS, value_nano=0, source="promotions")
        caps = (stage.cap(50_000), stage.cap(90_000, window="month"))
        settled, _ = stage.reserve(2_000, caps=caps, tokens=(Tokens(TOKENS, 1_000),))
        stage.settle(settled, 1_500, tokens=(Tokens(TOKENS, 700),))
        released, _ = stage.reserve(1_000, caps=caps)
        stage.release(released)
        late, _ = stage.reserve(1_000, caps=caps)
        stage.release(late, outcome="expired")
        stage.settle(late, 700)
        over, _ = stage.reserve(1_000, caps=(stage.cap(2_000, scope="member"),))
        stage.settle(over, 5_000)
        stage.one(
            Withdraw(
                uid=f"refund-{stage.organization.pk}",
                organization_id=stage.organization.pk,
                amount=9_000,
                code="refund",
                may_owe=True,
                reverses=f"pay-{stage.organization.pk}",
            )
        )
        stage.reserve(1_200, caps=caps)
    assert audit.run().findings == []
    return stages


PAID = "(SELECT id FROM billing_account WHERE organization_id = {org} AND kind = 'paid')"
PROMO = "(SELECT id FROM billing_account WHERE organization_id = {org} AND kind = 'promo')"
TRIAL = "(SELECT id FROM billing_account WHERE organization_id = {org} AND kind = 'trial')"
USAGE = (
    "(SELECT min(id) FROM billing_transfer WHERE organization_id = {org} AND code = 'usage' AND debit_id = "
    + PAID
    + ")"
)
OPEN = "(SELECT id FROM billing_hold WHERE organization_id = {org} AND outcome IS NULL)"
SETTLED = "(SELECT min(id) FROM billing_hold WHERE organization_id = {org} AND outcome = 'settled')"
RELEASED = "(SELECT min(id) FROM billing_hold WHERE organization_id = {org} AND outcome = 'released')"
LINE = "(SELECT min(id) FROM billing_holdline WHERE hold_id = " + OPEN + ")"
COUNTER = "(SELECT min(id) FROM billing_capcounter WHERE organization_id = {org} AND spent > 0 AND held > 0)"
COLUMNS = "organization_id, debit_id, credit_id, amount, value_nano, code, reference, reason, created_at"
COPY = f"INSERT INTO billing_transfer (uid, {COLUMNS}) SELECT 'forged', {COLUMNS} FROM billing_transfer WHERE id = "
GIFT = (
    f"INSERT INTO billing_transfer (uid, {COLUMNS}) SELECT 'forged', organization_id, {PROMO}, credit_id, 5, 5,"
    " 'refund', '', '', created_at FROM billing_transfer WHERE code = 'refund' AND organization_id = {org}"
)
REFUND = (
    f"INSERT INTO billing_transfer (uid, reverses_id, {COLUMNS}) SELECT 'forged', reverses_id, organization_id,"
    " debit_id, credit_id, 91001, 91001, code, '', '', created_at FROM billing_transfer WHERE code = 'refund'"
    " AND organization_id = {org}"
)

# What a superuser did by hand, and which invariants must be named. Several statements: the forger kept totals in step.
CORRUPTIONS = {
    "a charge made larger": ("UPDATE billing_transfer SET amount = amount + 1 WHERE id = " + USAGE, "I1 I3"),
    "a charge and its worth made larger": (
        f"UPDATE billing_transfer SET amount = amount + 1, value_nano = value_nano + 1 WHERE id = {USAGE}",
        "I3 I5",
    ),
    "a charge removed": ("DELETE FROM billing_transfer WHERE id = " + USAGE, "I3 I5"),
    "a charge removed, the balance put in step": (
        f"UPDATE billing_account SET posted = posted + (SELECT amount FROM billing_transfer WHERE id = {USAGE})"
        f" WHERE id = {PAID}; DELETE FROM billing_transfer WHERE id = {USAGE}",
        "I5",
    ),
    "a top-up turned round": (
        "UPDATE billing_transfer SET debit_id = credit_id, credit_id = debit_id WHERE uid = 'pay-{org}'",
        "I3",
    ),
    "a transfer doubled": (COPY + USAGE, "I3"),
    "a balance raised": (f"UPDATE billing_account SET posted = posted + 1 WHERE id = {PAID}", "I3"),
    "a balance lowered": (f"UPDATE billing_account SET posted = posted - 1 WHERE id = {PAID}", "I3"),
    "held money forgotten": (f"UPDATE billing_account SET held = held - 1 WHERE id = {PAID}", "I4"),
    "more held than there is": (f"UPDATE billing_account SET held = posted + 1 WHERE id = {PAID}", "I4"),
    "an overdraft": (f"UPDATE billing_account SET posted = -1, held = 0 WHERE id = {PAID}", "I3 I4"),
    "a total kept for the house": ("UPDATE billing_account SET posted = 5 WHERE kind = 'revenue'", "I4"),
    "an open hold made larger": (f"UPDATE billing_hold SET held_nano = held_nano + 1 WHERE id = {OPEN}", "I4 I5"),
    "a line made smaller": (
        f"UPDATE billing_holdline SET amount = amount - 1, value_nano = value_nano - 1 WHERE id = {LINE}",
        "I4 I5",
    ),
    "a line removed": (f"DELETE FROM billing_holdline WHERE id = {LINE}", "I4 I5"),
    "a line on somebody else's account": (
        "UPDATE billing_holdline SET account_id = (SELECT id FROM billing_account WHERE organization_id = {other}"
        f" AND kind = 'paid') WHERE id = {LINE}",
        "I4 I5",
    ),
    "a hold ended without freeing": (
        f"UPDATE billing_hold SET outcome = 'released', resolved_at = created_at WHERE id = {OPEN}",
        "I4",
    ),
    "a settled hold opened again": (
        f"UPDATE billing_hold SET outcome = NULL, resolved_at = NULL WHERE id = {SETTLED}",
        "I4 I5",
    ),
    "a settled hold called released": (f"UPDATE billing_hold SET outcome = 'released' WHERE id = {SETTLED}", "I5"),
    "a settled charge changed": (
        f"UPDATE billing_hold SET charged_nano = charged_nano + 1 WHERE id = {SETTLED}",
        "I3 I5",
    ),
    "a release that charged": (f"UPDATE billing_hold SET charged_nano = 5 WHERE id = {RELEASED}", "I3 I5"),
    "a loss of the house hidden": (
        "UPDATE billing_transfer SET code = 'usage' WHERE code = 'unrecovered' AND organization_id = {org}",
        "I5",
    ),
    "a hold removed": (f"DELETE FROM billing_hold WHERE id = {SETTLED}", "I3 I5"),
    "a cap that forgot spending": (f"UPDATE billing_capcounter SET spent = spent - 1 WHERE id = {COUNTER}", "I3"),
    "a cap that holds too much": (f"UPDATE billing_capcounter SET held = held + 1 WHERE id = {COUNTER}", "I4"),
    "a cap removed": (f"DELETE FROM billing_capcounter WHERE id = {COUNTER}", "I5"),
    "a hold moved to another window": (
        f"UPDATE billing_hold SET created_at = '2026-09-01 00:00:00+00:00' WHERE id = {OPEN}",
        "I5",
    ),
    "a refund beyond its payment": (
        f"{REFUND}; UPDATE billing_account SET posted = posted - 91001, held = 0 WHERE id = {PAID}",
        "I9",
    ),
    "a gift paid out": (f"{GIFT}; UPDATE billing_account SET posted = posted - 5 WHERE id = {PROMO}", "I9"),
    "a transfer across units": (f"UPDATE billing_transfer SET debit_id = {TRIAL} WHERE id = {USAGE}", "I1 I3"),
    "a transfer moved to a stranger": (
        "UPDATE billing_transfer SET organization_id = {other} WHERE id = " + USAGE,
        "I1 I5",
    ),
    "a transfer hung on another hold": (
        f"UPDATE billing_transfer SET hold_id = {OPEN}, position = 9 WHERE id = {USAGE}",
        "I5",
    ),
    "a wallet removed": ("DELETE FROM billing_wallet WHERE organization_id = {org}", "I3"),
    "a suspension lifted": (
        "UPDATE accounts_organization SET standing = 'suspended' WHERE id = {org}",
        "I13",
    ),
    "a cap made another's": (
        "UPDATE billing_capcounter SET scope_kind = 'organization', scope_id = {other} WHERE id = " + COUNTER,
        "I4",
    ),
    "a loss of the house that belongs to nobody": (
        "UPDATE billing_transfer SET organization_id = NULL WHERE code = 'unrecovered' AND organization_id = {org}",
        "I5",
    ),
    "paid credit that will expire": (
        f"UPDATE billing_account SET expires_at = '2020-01-01 00:00:00+00:00' WHERE id = {PAID}",
        "I4",
    ),
    "a gift burned last": (f"UPDATE billing_account SET priority = 9 WHERE id = {PROMO}", "I4"),
    "a gift that became paid credit": (
        "UPDATE billing_transfer SET debit_id = 4 WHERE uid = 'pay-{org}'",
        "I9",
    ),
    "a refund of a gift": (
        "UPDATE billing_transfer SET reverses_id = (SELECT min(id) FROM billing_transfer WHERE credit_id = "
        + PROMO
        + ") WHERE code = 'refund' AND organization_id = {org}",
        "I9",
    ),
    "a refund of nothing": (
        "UPDATE billing_transfer SET reverses_id = 999999999 WHERE code = 'refund' AND organization_id = {org}",
        "I9",
    ),
    "the house's accounts exchanged": (
        "UPDATE billing_account SET kind = 'other' WHERE id = 3",
        "I1",
    ),
    "a process that never was": (
        f"UPDATE billing_hold SET process_id = 999999999 WHERE id = {OPEN}",
        "I5",
    ),
    "a process long dead": (
        "UPDATE billing_processlease SET heartbeat_at = '2020-01-01 00:00:00+00:00'"
        f" WHERE id = (SELECT process_id FROM billing_hold WHERE id = {OPEN})",
        "I5",
    ),
}


@contextmanager
def superuser() -> Iterator[None]:
    """Everything the database guards with is out of the way, and back in place for the audit; then all is undone."""
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("SET session_replication_role = replica")
            cursor.execute(
                "SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c'"
                " AND conrelid::regclass::text LIKE 'billing_%'"
            )
            constraints = cursor.fetchall()
            for table, name, _ in constraints:
                cursor.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
            yield
            for table, name, condition in constraints:
                cursor.execute(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {condition} NOT VALID')
            cursor.execute("SET session_replication_role = origin")
        else:
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            triggers = cursor.fetchall()
            for name, _ in triggers:
                cursor.execute(f"DROP TRIGGER {name}")
            cursor.execute("PRAGMA ignore_check_constraints = ON")
            cursor.execute("PRAGMA defer_foreign_keys = ON")
            yield
            cursor.execute("PRAGMA ignore_check_constraints = OFF")
            for _, sql in triggers:
                cursor.execute(sql)


class Undo(Exception):
    """Put everything back."""


def corrupted(sql: str, stages: tuple[Stage, Stage]) -> list[audit.Finding]:
    org, other = (stage.organization.pk for stage in stages)
    try:
        with transaction.atomic():
            with superuser(), connection.cursor() as cursor:
                for statement in sql.format(org=org, other=other).split("; "):
                    cursor.execute(statement)
                    assert cursor.rowcount >= 1, statement
            findings = audit.run().findings
            raise Undo
    except Undo:
        return findings


def test_every_corruption_by_hand_is_found_and_named(shop_life: tuple[Stage, Stage]) -> None:
    assert len(CORRUPTIONS) >= 20
    missed = {}
    for name, (sql, invariants) in CORRUPTIONS.items():
        found = {finding.invariant for finding in corrupted(sql, shop_life)}
        if not set(invariants.split()) <= found:
            missed[name] = (invariants, found)
    assert not missed
    assert audit.run().findings == []


def test_a_finding_names_the_account_and_the_row(shop_life: tuple[Stage, Stage]) -> None:
    account = shop_life[0].account()
    [finding] = corrupted(CORRUPTIONS["a balance raised"][0], shop_life)
    assert (finding.table, finding.row, finding.account) == ("account", account.pk, account.pk)
    wanted = f"posted is {account.posted + 1}, its transfers make {account.posted}"
    assert str(finding).endswith(f"account {account.pk}, account {account.pk}: {wanted}")


def test_a_guard_that_is_gone_is_a_finding() -> None:
    table = " ON billing_transfer" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER billing_transfer_no_update{table}")
    [finding] = audit.run().findings
    assert (finding.invariant, finding.detail) == ("I2", "billing_transfer_no_update is missing or off")
    assert str(finding).startswith("I2: the database guards its rows: guard: ")


def replaced(name: str, old: str, new: str) -> None:
    """Somebody with every right put another guard where one stood."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_get_triggerdef(oid), tgrelid::regclass FROM pg_trigger WHERE tgname = %s", [name])
        else:
            cursor.execute("SELECT sql, '' FROM sqlite_master WHERE name = %s", [name])
        [[text, table]] = cursor.fetchall()
        assert old in text
        cursor.execute(f"DROP TRIGGER {name}" + (f" ON {table}" if table else ""))
        cursor.execute(text.replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("billing_hold_stays", "BEFORE DELETE", "AFTER INSERT"),
        ("billing_hold_stays", "billing_hold", "billing_wallet"),
        ("billing_transfer_no_update", "UPDATE", "UPDATE OF reason"),
        ("billing_account_fixed", "kind, unit", "kind"),
    ],
)
def test_a_guard_that_guards_something_else_is_a_finding(name: str, old: str, new: str) -> None:
    replaced(name, f"{old} ", f"{new} ")
    [finding] = audit.run().findings
    assert (finding.invariant, finding.detail) == ("I2", f"{name} is not what it was")


def test_a_guard_that_only_looks_like_one_is_a_finding() -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "CREATE OR REPLACE FUNCTION billing_hold_ends_once() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN RETURN new; END $$"
            )
        else:
            replaced("billing_hold_ends_once", "RAISE(ABORT", "coalesce(0")
    [finding] = audit.run().findings
    assert finding.detail == "billing_hold_ends_once is not what it was"


def test_a_constraint_that_is_gone_is_a_finding() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX transfer_uid_once")
        wanted = {"transfer_uid_once is missing or off"}
        if connection.vendor == "postgresql":  # on SQLite a CHECK stands in the text of its table
            cursor.execute("ALTER TABLE billing_account DROP CONSTRAINT account_never_overdrawn")
            wanted.add("account_never_overdrawn is missing or off")
    assert {(finding.invariant, finding.detail) for finding in audit.run().findings} == {("I2", w) for w in wanted}


def test_an_incremental_run_begins_at_the_last_clean_checkpoint(
    shop_life: tuple[Stage, Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "OVERLAP", 0)
    first, _ = shop_life
    assert tasks.prove_books(full=True) == 0
    assert AuditCheckpoint.objects.first().findings == 0
    assert audit.run(full=False).transfers == 0
    first.top_up(5)
    report = audit.run(full=False)
    assert (report.transfers, report.findings) == (1, [])
    assert report.since > 0
    with superuser(), connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE billing_account SET posted = posted + 1 WHERE id = {PAID}".format(org=first.organization.pk)
        )
    assert [finding.invariant for finding in audit.run(full=False).findings] == ["I3"]
    assert tasks.prove_books() == 1
    assert audit.run(full=False).since == report.since  # a run with findings moves nothing


def test_sums_that_overflow_are_a_finding_and_no_accident(shop_life: tuple[Stage, Stage]) -> None:
    most = 9 * 10**18
    sql = f"UPDATE billing_transfer SET amount = {most}, value_nano = {most} WHERE code = 'top_up'"
    assert {"I3"} <= {finding.invariant for finding in corrupted(sql, shop_life)}


def test_other_rooms_register_their_own_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_registered", {})
    asked = []

    def check(since: int) -> Iterator[audit.Finding]:
        asked.append(since)
        for row in range(1_000):
            yield audit.Finding("I6", "one call, one charge", "call", row, None, "")

    audit.register("calls", check)
    report = audit.run()
    assert asked == [0]
    assert len(report.findings) == audit.MOST_FINDINGS
    assert str(report.findings[7]) == "I6: one call, one charge: call 7"


def test_the_audit_cannot_write(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def check(since: int) -> list[audit.Finding]:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA query_only" if connection.vendor == "sqlite" else "SHOW transaction_read_only")
            seen.append(cursor.fetchone()[0])
        return []

    monkeypatch.setattr(audit, "_registered", {"spy": check})
    audit.run()
    assert seen in ([1], ["on"])
    AuditCheckpoint.objects.create(last_transfer_id=1, transfers=1, findings=0, created_at="2026-01-01T00:00:00Z")


def test_the_command_answers_by_exit_code(shop_life: tuple[Stage, Stage], capsys: pytest.CaptureFixture[str]) -> None:
    call_command("audit", "--checkpoint")
    assert re.match(r"the books hold: \d+ transfers, \d+ checks", capsys.readouterr().out)
    call_command("audit", "--incremental")
    capsys.readouterr()
    with superuser(), connection.cursor() as cursor:
        cursor.execute("UPDATE billing_account SET posted = posted + 1 WHERE kind = 'promo'")
    with pytest.raises(SystemExit) as ended:
        call_command("audit", "--json")
    assert ended.value.code == 1
    report = json.loads(capsys.readouterr().out)
    assert {finding["invariant"] for finding in report["findings"]} == {"I3"}
    with pytest.raises(SystemExit):
        call_command("audit")
    assert "2 findings" in capsys.readouterr().out
