"""The proof that the books are right, from the rows alone.

Promise: ``run()`` only reads, in bounded memory, on a living system, and names the invariant, the account and the row
that breaks it. It repairs nothing. Other rooms add their own checks with ``register()``. A whole run looks at
everything; an incremental one at what came after the last clean checkpoint (and at everything that is cheap).
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from django.db import DatabaseError, connection, transaction

from billing import audit_guards
from billing.audit_checks import CHECKS, WORDS, Check
from billing.models import AuditCheckpoint

MOST_FINDINGS = 100  # per check; whoever has that many has seen enough


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    invariant: str
    check: str
    table: str
    row: int | None
    account: int | None
    detail: str

    def __str__(self) -> str:
        account = f", account {self.account}" if self.account is not None else ""
        row = f" {self.row}" if self.row is not None else ""
        return f"{self.invariant}: {self.check}: {self.table}{row}{account}{': ' if self.detail else ''}{self.detail}"


@dataclass(slots=True)
class Report:
    """What a run saw."""

    since: int
    last_transfer_id: int
    transfers: int
    checks: int = 0
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)


OVERLAP = 10_000
RegisteredCheck = Callable[[int], Iterable[Finding]]  # told the transfer of the checkpoint; 0 means everything
_registered: dict[str, RegisteredCheck] = {}


def register(name: str, check: RegisteredCheck) -> None:
    """Let another room prove its part: ``check`` is told the last transfer already proven (0: none), and only reads."""
    _registered[name] = check


def run(*, full: bool = True) -> Report:
    """Look at the books."""
    started_at = time.perf_counter()
    since = 0 if full else _last_clean()
    last, many = _rows(f"SELECT coalesce(max(id), 0), count(*) FROM billing_transfer t WHERE t.id > {since}")[0]
    report = Report(since=since, last_transfer_id=max(last, since), transfers=many)
    report.findings += _guards()
    for check in CHECKS:
        if full or check.new != "never":
            report.findings += _ask(check, since)
            report.checks += 1
    for registered in _registered.values():
        report.findings += _ask_registered(registered, since)
        report.checks += 1
    report.seconds = time.perf_counter() - started_at
    return report


def checkpoint(report: Report, *, now: datetime) -> AuditCheckpoint:
    """Remember how far a run came; only a clean one moves the next incremental start."""
    return AuditCheckpoint.objects.create(
        last_transfer_id=report.last_transfer_id,
        transfers=report.transfers,
        findings=len(report.findings),
        created_at=now,
    )


def _last_clean() -> int:
    """Some way back from the last clean end, because numbers are given out before they are committed."""
    last = AuditCheckpoint.objects.filter(findings=0).values_list("last_transfer_id", flat=True).first()
    return max(0, (last or 0) - OVERLAP)


def _ask(check: Check, since: int) -> list[Finding]:
    new = check.new.format(since=since) if since else ""
    orgs = f"WHERE t.organization_id IN (SELECT organization_id FROM billing_transfer WHERE id > {since})"
    # Placeholders are filled in order, never from data; a per cent sign would be one for the driver.
    sql = check.sql.format(new=new, transfers=orgs if since else "", **WORDS[connection.vendor])
    try:
        rows = _rows(f"{sql} LIMIT {MOST_FINDINGS}")
    except DatabaseError as error:  # sums that overflow, for one: nothing sane makes them
        return [Finding(check.invariant, check.name, check.table, None, None, f"could not be computed: {error}")]
    return [
        Finding(check.invariant, check.name, check.table, row, account, check.says.format(*words))
        for account, row, *words in rows
    ]


def _ask_registered(check: RegisteredCheck, since: int) -> list[Finding]:
    with _reading():
        return list(islice(check(since), MOST_FINDINGS))


def _guards() -> list[Finding]:
    with _reading():
        gone = audit_guards.missing()
    return [Finding("I2", "the database guards its rows", "guard", None, None, words) for words in gone]


def _rows(sql: str) -> list[Any]:
    with _reading():
        return _fetched(sql)


def _fetched(sql: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        found: list[Any] = cursor.fetchall()
        return found


def rows(sql: str) -> list[Any]:
    """The answer to a registered check's question, bounded like all others; it is asked inside that check's reading."""
    return _fetched(f"{sql} LIMIT {MOST_FINDINGS}")


@contextmanager
def _reading() -> Iterator[None]:
    """The database itself sees to it that nothing is written meanwhile by us.

    On PostgreSQL for one transaction, which is rolled back, so that it ends with it wherever that ran: behind a pooler
    a setting of the session would meet somebody else. On SQLite a transaction would keep every writer out.
    """
    if connection.vendor == "postgresql":
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL transaction_read_only = on")
            yield
            transaction.set_rollback(True)
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = ON")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA query_only = OFF")


__all__ = ["Finding", "Report", "checkpoint", "register", "rows", "run"]
