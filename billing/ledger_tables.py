"""The tables of the ledger as both engines need to know them: what is read, where rows are added, how rows change.

Promise: the text of a statement never depends on the size of a batch, so each has one plan and is parsed once.
"""

from functools import cache
from types import ModuleType
from typing import NamedTuple


class Table(NamedTuple):
    """Where rows are added. ``stamp`` is filled with the time of the batch."""

    name: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    stamp: str = ""


class Change(NamedTuple):
    """How rows are changed: by id, to new values, if ``seen`` columns are still what they were and the guard holds."""

    table: str
    sets: tuple[str, ...]
    types: tuple[str, ...]  # id, sets, seen
    seen: tuple[str, ...] = ()
    guard: str = ""
    stamp: str = ""


HOLDS = Table(
    "billing_hold",
    ("id", "organization_id", "process_id", "held_nano", "caps", "charged_nano", "unrecovered_nano"),
    ("bigint", "bigint", "bigint", "bigint", "jsonb", "bigint", "bigint"),
    stamp="created_at",
)
LINES = Table(
    "billing_holdline",
    ("organization_id", "hold_id", "step", "position", "account_id", "amount", "value_nano"),
    ("bigint",) * 7,
)
TRANSFERS = Table(
    "billing_transfer",
    (
        "organization_id",
        "debit_id",
        "credit_id",
        "amount",
        "value_nano",
        "hold_id",
        "position",
        "reverses_id",
        "uid",
        "code",
        "reference",
        "reason",
    ),
    (*("bigint",) * 8, *("text",) * 4),
    stamp="created_at",
)
COUNTERS = Table(
    "billing_capcounter",
    ("organization_id", "scope_kind", "scope_id", "window", "window_start", "spent", "held"),
    ("bigint", "text", "bigint", "text", "date", "bigint", "bigint"),
)
BALANCES = Change("billing_account", ("posted", "held"), ("bigint",) * 5, seen=("posted", "held"))
SPENDING = Change("billing_capcounter", ("spent", "held"), ("bigint",) * 5, seen=("spent", "held"))
EXTENDED = Change("billing_hold", ("held_nano",), ("bigint",) * 3, seen=("held_nano",), guard="outcome IS NULL")
ENDED = Change(
    "billing_hold",
    ("outcome", "charged_nano", "unrecovered_nano"),
    ("bigint", "text", "bigint", "bigint"),
    guard="outcome IS NULL",
    stamp="resolved_at",
)
SETTLED_LATE = Change(
    "billing_hold",
    ("charged_nano", "unrecovered_nano"),
    ("bigint",) * 3,
    guard="late_settled_at IS NULL",
    stamp="late_settled_at",
)


class Reads(NamedTuple):
    """Every question a batch asks; one engine's wording."""

    wallets: str
    balances: str
    accounts: str
    holds: str
    lines: str
    held_counters: str
    counters_by_key: str
    transfers: str
    reversed: str
    house: str
    open_account: str


@cache
def reads(engine: ModuleType) -> Reads:
    """Word the questions for one engine."""
    among, among_text, mark = engine.AMONG, engine.AMONG_TEXT, engine.MARK
    account = "SELECT id, organization_id, kind, unit, priority, expires_at, posted, held FROM billing_account"
    counter = (
        'SELECT c.id, c.spent, c.held, c.organization_id, c.scope_kind, c.scope_id, c."window", c.window_start'
        " FROM billing_capcounter AS c"
    )
    return Reads(
        wallets="SELECT organization_id, epoch, suspended FROM billing_wallet"
        f" WHERE organization_id {among} ORDER BY organization_id{engine.LOCK}",
        balances=f"{account} WHERE organization_id {among} AND posted > 0",
        accounts=f"{account} WHERE organization_id {among}",
        holds=f"SELECT id, organization_id, process_id, held_nano, {engine.CAPS}, outcome, charged_nano,"
        f" unrecovered_nano, late_settled_at IS NOT NULL FROM billing_hold WHERE id {among}",
        lines="SELECT hold_id, step, account_id, amount, value_nano FROM billing_holdline"
        f" WHERE hold_id {among} ORDER BY hold_id, step, position",
        held_counters=f"{counter} WHERE c.id IN {engine.HELD_CAPS}",
        counters_by_key=f"{counter} JOIN {engine.KEYED}",
        transfers="SELECT uid, id, organization_id, debit_id, credit_id, amount, reverses_id"
        f" FROM billing_transfer WHERE uid {among_text}",
        reversed="SELECT reverses_id, sum(amount) FROM billing_transfer"
        f" WHERE reverses_id {among} GROUP BY reverses_id",
        house=f"SELECT id FROM billing_account WHERE organization_id IS NULL AND kind = {mark} AND unit = {mark}",
        open_account="INSERT INTO billing_account (organization_id, kind, unit, label, priority, expires_at, posted,"
        f" held, created_at) VALUES ({mark}, {mark}, {mark}, {mark}, {mark}, {mark}, 0, 0, {mark})"
        " ON CONFLICT DO NOTHING RETURNING id",
    )
