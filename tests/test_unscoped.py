"""Tenant rows are reached by ``.of(organization)``; ``.unscoped`` is named only where a tenant cannot be known yet."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("accounts", "analytics", "billing", "config", "dashboard", "desk", "gateway", "plumbing", "sandbox")

# A file's name, and why it may look at rows of every tenant.
ALLOWED = {
    "admin.py": "the operators' desk, scoped to a storefront by its own base class",
    "tasks.py": "background work for everybody",
    "audit.py": "the books of everybody",
    "accounts/tenancy.py": "defines it",
    "accounts/access.py": "the door: it learns the tenant from a host, a person or a secret",
    "accounts/keys.py": "changes rows it was handed by primary key, and finds leaked secrets whosever they are",
    "accounts/people.py": "erases one person everywhere they were",
    "analytics/loaddata.py": "makes the wallets of thousands of organizations that nobody else has seen yet",
    "billing/leases.py": "resolves the holds of dead processes, whosever they are",
    "billing/adjustments.py": "locks a correction it was handed by primary key",
    "billing/reconciler.py": "compares everybody's payments with the provider's list",
    "billing/recharging.py": "sweeps the standing orders of everybody; an outbox row names an order alone",
    "billing/refunds.py": "locks a payment it was handed by primary key",
    "billing/settling.py": "a provider's number is all that is known before its order is",
    "billing/tidings.py": "an outbox row names a payment alone",
    "billing/topups.py": "locks and claims an order it was handed by primary key",
    "billing/wallets.py": "opens wallets; each query names its organization, before the rows exist",
    "gateway/diagnoses.py": "a customer's secret is all that is known when it does not work",
    "gateway/audit_checks.py": "the calls of everybody, for the audit",
    "gateway/recovery.py": "tells the stories of calls that died, whosever they were",
    "desk/rows.py": "rows for the operators, each question narrowed by the operator's scope",
    "gateway/callers.py": "a secret is all that is known before its organization is",
    "accounts/members.py": "an invitation's token is all that is known before its organization is",
}


def unscoped_in(path: Path) -> bool:
    tree = ast.parse(path.read_text())
    return any(isinstance(node, ast.Attribute) and node.attr == "unscoped" for node in ast.walk(tree))


def is_allowed(relative: Path) -> bool:
    return (
        relative.name in ALLOWED
        or str(relative) in ALLOWED
        or "admin" in relative.parts[:-1]
        or relative.parts[1:3] == ("management", "commands")
    )


def sources() -> list[Path]:
    found = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    return [path for path in found if "migrations" not in path.parts]


def test_unscoped_appears_only_where_it_is_argued():
    strangers = [
        str(path.relative_to(ROOT))
        for path in sources()
        if unscoped_in(path) and not is_allowed(path.relative_to(ROOT))
    ]
    assert not strangers, f"use .objects.of(organization), or argue it in {Path(__file__).name}: {strangers}"


def test_the_list_holds_nobody_who_no_longer_needs_it():
    listed = [name for name in ALLOWED if "/" in name and name != "accounts/tenancy.py"]
    assert [name for name in listed if not unscoped_in(ROOT / name)] == []
