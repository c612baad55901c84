"""One batch's open page of the ledger: what it read, what it has decided, what it will write.

Promise: everything a decision needs is read by a handful of statements under the wallets' locks, and everything it
changes is written by another handful, whatever the size of the batch. Rows go back only if they still are as they were
read, so that even a writer who forgot the lock could not lose an update.
"""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple, Self

from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from billing import ledger_postgres, ledger_sqlite, ledger_tables
from billing.ledger_tables import Change, Table
from billing.models.ledger import HOUSE_IDS, NANO_USD, PRIORITIES, Kind, Window
from billing.operations import Cap, Credit, Extend, Lapse, Operation, Post, Release, Reserve, Rider, Settle, Withdraw

CounterKey = tuple[int, str, int, str, str]


class Raced(OperationalError):
    """A row changed under a writer that holds its wallet: somebody wrote without the lock. Trying again is safe."""


class Account:
    """An account as this batch sees it."""

    __slots__ = ("burn_key", "held", "id", "kind", "live", "posted", "seen", "unit")

    def __init__(self, row: Sequence[Any], now: Any) -> None:
        self.id: int = row[0]
        self.posted: int = row[6]
        self.held: int = row[7]
        self.kind, self.unit, priority, expires_at = row[2:6]
        self.live = expires_at is None or expires_at > now
        self.burn_key = (priority, expires_at is None, expires_at or "", self.id)
        self.seen = (self.posted, self.held)

    @property
    def available(self) -> int:
        """What is neither spent nor held."""
        return self.posted - self.held


class Wallet:
    """An organization's means, in the order in which they are burned."""

    __slots__ = ("debt", "epoch", "grants", "organization_id", "paid", "suspended")

    def __init__(self, organization_id: int, epoch: int, suspended: bool) -> None:  # noqa: FBT001 - a row, as it came
        self.organization_id, self.epoch, self.suspended = organization_id, epoch, suspended
        self.grants: list[Account] = []
        self.paid: Account | None = None
        self.debt: Account | None = None

    def add(self, account: Account) -> None:
        """Take in an account."""
        if account.kind == Kind.DEBT:
            self.debt = account
            return
        if account.kind == Kind.PAID:
            self.paid = account
        self.grants.append(account)

    @property
    def owed(self) -> int:
        """What the organization owes."""
        return self.debt.posted if self.debt else 0

    @property
    def available_nano(self) -> int:
        """Money that could be held now."""
        return sum(account.available for account in self.grants if account.live and account.unit == NANO_USD)


class Counter:
    """A cap's counter as this batch sees it."""

    __slots__ = ("held", "id", "scope", "seen", "spent")

    def __init__(self, row: Sequence[Any]) -> None:
        self.id, self.spent, self.held = row[:3]
        self.scope: tuple[str, int, str] = (row[4], row[5], row[6])
        self.seen = (self.spent, self.held)


class Hold:
    """A hold as this batch sees it. ``lines`` are (step, account, amount, value)."""

    __slots__ = (
        "caps",
        "charged",
        "held",
        "id",
        "late",
        "lines",
        "organization_id",
        "outcome",
        "process_id",
        "seen_held",
        "unrecovered",
    )

    def __init__(self, hold_id: int, organization_id: int, process_id: int, caps: list[tuple[Counter, int]]) -> None:
        self.id, self.organization_id, self.process_id, self.caps = hold_id, organization_id, process_id, caps
        self.held = self.charged = self.unrecovered = 0
        self.seen_held: int | None = None  # not in the database yet
        self.outcome: str | None = None
        self.late = False
        self.lines: list[tuple[int, Account, int, int]] = []

    def granted_in(self, step: int) -> int:
        """What the reserve (step 0) or one extension got."""
        return sum(value for its_step, _, _, value in self.lines if its_step == step)


class KnownTransfer(NamedTuple):
    """A transfer that an operation names."""

    id: int
    organization_id: int | None
    debit_id: int
    credit_id: int
    amount: int
    reverses_id: int | None


class Page:
    """The rows of one batch."""

    def __init__(self, connection: BaseDatabaseWrapper, now: datetime) -> None:
        self.connection, self.now = connection, now
        self.engine: ModuleType = ledger_postgres if connection.vendor == "postgresql" else ledger_sqlite
        self.sql = ledger_tables.reads(self.engine)
        self.cursor = self.engine.cursor(connection)
        self.wallets: dict[int, Wallet] = {}
        self.accounts: dict[int, Account] = {}
        self.holds: dict[int, Hold] = {}
        self.counters: dict[int, Counter] = {}
        self.counter_ids: dict[CounterKey, int] = {}
        self.known: dict[str, KnownTransfer] = {}
        self.reversed: dict[int, int] = {}
        self.houses: dict[tuple[str, str], int] = {(kind, NANO_USD): place for kind, place in HOUSE_IDS.items()}
        self.starts = window_starts(now)
        self.new_holds: list[Hold] = []
        self.extended: dict[int, Hold] = {}
        self.ended: list[Hold] = []
        self.settled_late: list[Hold] = []
        self.new_lines: list[tuple[Any, ...]] = []
        self.transfers: list[tuple[Any, ...]] = []
        self.changes: list[tuple[str, int, Callable[[], int]]] = []
        self.riders: dict[tuple[str, tuple[str, ...], bool], list[tuple[Any, ...]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cursor.close()  # not left to the garbage: an error's traceback would keep the connection's file open

    # --- Reading ------------------------------------------------------------------------------------------------------

    def read(self, operations: Sequence[Operation]) -> None:
        """Lock the wallets in the order of their ids, then read what the operations speak of; all asked in one go.

        The database answers in order, so everything after the first question is read under the locks.
        """
        asked: list[tuple[str, Sequence[Any], Callable[[list[Any]], None]]] = []
        numbers = self.engine.numbers
        organizations = {operation.organization_id for operation in operations if not isinstance(operation, Post)}
        if organizations:
            whole = {op.organization_id for op in operations if isinstance(op, (Credit, Withdraw, Lapse))}
            asked.append((self.sql.wallets, (numbers(sorted(organizations)),), self._take_wallets))
            if held := organizations - whole:
                asked.append((self.sql.balances, (numbers(held),), self._take_accounts))
            if whole:
                asked.append((self.sql.accounts, (numbers(whole),), self._take_accounts))
        if wanted := self._wanted_counters(operations):
            asked.append((self.sql.counters_by_key, self.engine.keys(wanted), self._take_counters))
        if holds := {op.hold_id for op in operations if isinstance(op, (Reserve, Extend, Settle, Release))}:
            parameters = (numbers(holds),)
            asked.append((self.sql.held_counters, parameters, self._take_counters))
            asked.append((self.sql.holds, parameters, self._take_holds))
            asked.append((self.sql.lines, parameters, self._take_lines))
        if asked:
            answers = self.engine.asked(self.cursor, [question[:2] for question in asked])
            for (_, _, take), rows in zip(asked, answers, strict=True):
                take(rows)
        if wanted:
            self._open_counters(wanted)
        if causes := [op for op in operations if isinstance(op, (Credit, Withdraw, Post))]:
            self._read_causes(causes)

    def _all(self, statement: str, *parameters: Any) -> list[Any]:
        self.cursor.execute(statement, parameters)
        found: list[Any] = self.cursor.fetchall()
        return found

    def _take_wallets(self, rows: list[Any]) -> None:
        for organization_id, epoch, suspended in rows:
            self.wallets[organization_id] = Wallet(organization_id, epoch, bool(suspended))

    def _take_accounts(self, rows: list[Any]) -> None:
        now = self.engine.clock(self.now)
        touched = set()
        for row in rows:
            if (wallet := self.wallets.get(row[1])) is None:  # opened a moment after we asked for it
                continue
            account = Account(row, now)
            self.accounts[account.id] = account
            wallet.add(account)
            touched.add(wallet)
        for wallet in touched:
            if len(wallet.grants) > 1:
                wallet.grants.sort(key=_burn_key)

    def counter_key(self, organization_id: int, cap: Cap) -> CounterKey:
        """The name of a cap's counter in the window of now."""
        return (organization_id, cap.scope_kind, cap.scope_id, cap.window, self.starts[cap.window])

    def _wanted_counters(self, operations: Sequence[Operation]) -> set[CounterKey]:
        return {
            self.counter_key(operation.organization_id, cap)
            for operation in operations
            if isinstance(operation, Reserve)
            for cap in operation.caps
        }

    def _open_counters(self, wanted: set[CounterKey]) -> None:
        """Counters of a window that nobody has called in yet."""
        missing = sorted(key for key in wanted - self.counter_ids.keys() if key[0] in self.wallets)
        if missing:
            self.engine.insert(self.cursor, ledger_tables.COUNTERS, [(*key, 0, 0) for key in missing], None)
            self._take_counters(self._all(self.sql.counters_by_key, *self.engine.keys(missing)))

    def _take_counters(self, rows: list[Any]) -> None:
        for row in rows:
            if row[0] not in self.counters:
                self.counters[row[0]] = Counter(row)
            self.counter_ids[row[3], row[4], row[5], row[6], str(row[7])] = row[0]

    def _take_holds(self, rows: list[Any]) -> None:
        for row in rows:
            hold = self.holds[row[0]] = Hold(row[0], row[1], row[2], [])
            hold.held = hold.seen_held = row[3]
            if row[4] != "[]":
                hold.caps = [(self.counters[counter_id], limit) for counter_id, limit in json.loads(row[4])]
            hold.outcome, hold.charged, hold.unrecovered, hold.late = row[5], row[6], row[7], bool(row[8])

    def _take_lines(self, rows: list[Any]) -> None:
        for hold_id, step, account_id, amount, value_nano in rows:
            # A line of an ended hold may name an account that holds nothing any more and was not read.
            self.holds[hold_id].lines.append((step, self.accounts.get(account_id), amount, value_nano))  # type: ignore[arg-type]

    def _read_causes(self, causes: Sequence[Credit | Withdraw | Post]) -> None:
        uids = {operation.uid for operation in causes}
        for operation in causes:
            if isinstance(operation, Withdraw):
                uids |= {owed_uid(operation.uid), operation.reverses} - {""}
        originals = {operation.reverses for operation in causes if isinstance(operation, Withdraw)}
        for uid, *transfer in self._all(self.sql.transfers, self.engine.names(uids)):
            self.known[uid] = KnownTransfer(*transfer)
        ids = [self.known[uid].id for uid in originals if uid in self.known]
        if ids:
            self.reversed = {
                original: int(total) for original, total in self._all(self.sql.reversed, self.engine.numbers(ids))
            }

    def original(self, uid: str) -> KnownTransfer | None:
        """The transfer to be reversed; if this very batch makes it, it is written now, because it needs a number."""
        known = self.known.get(uid)
        if known is None or known.id:
            return known
        self._insert(ledger_tables.TRANSFERS, self.transfers)
        self.transfers = []
        for name, *transfer in self._all(self.sql.transfers, self.engine.names([uid])):
            self.known[name] = KnownTransfer(*transfer)
        return self.known[uid]

    # --- Deciding -----------------------------------------------------------------------------------------------------

    def house(self, kind: str, unit: str) -> int:
        """The house's account of this kind and unit; opened when it is first needed."""
        found = self.houses.get((kind, unit))
        if found is None:
            asked = (self.sql.house, kind, unit)  # another process may open it between question and insertion
            rows = self._all(*asked) or self._open(None, kind, unit, "", 0, None) or self._all(*asked)
            found = self.houses[kind, unit] = rows[0][0]
        return found

    def open_grant(self, wallet: Wallet, credit: Credit) -> Account:
        """A new account for one grant."""
        priority = PRIORITIES[credit.kind]
        kept, expires_at = None, None
        if credit.expires_at:
            kept, expires_at = self.engine.moment(credit.expires_at), self.engine.clock(credit.expires_at)
        [[account_id]] = self._open(wallet.organization_id, credit.kind, credit.unit, credit.label, priority, kept)
        row = (account_id, wallet.organization_id, credit.kind, credit.unit, priority, expires_at, 0, 0)
        account = self.accounts[account_id] = Account(row, self.engine.clock(self.now))
        wallet.add(account)
        wallet.grants.sort(key=lambda account: account.burn_key)
        return account

    def _open(self, *values: Any) -> list[Any]:
        return self._all(self.sql.open_account, *values, self.engine.moment(self.now))

    def hold_line(self, hold: Hold, step: int, position: int, account: Account, amount: int, value_nano: int) -> None:
        """Set an amount of an account aside."""
        account.held += amount
        hold.held += value_nano
        hold.lines.append((step, account, amount, value_nano))
        self.new_lines.append((hold.organization_id, hold.id, step, position, account.id, amount, value_nano))

    def transfer(  # noqa: PLR0913 - the columns of a row, by name
        self,
        *,
        organization_id: int | None,
        debit: int,
        credit: int,
        amount: int,
        value_nano: int,
        code: str,
        hold: tuple[int, int] = (0, 0),
        reverses: int | None = None,
        uid: str = "",
        reference: str = "",
        reason: str = "",
    ) -> None:
        """One movement. It is known by its hold and its place there, or by its uid."""
        hold_id, position = hold if hold[0] else (None, None)
        self.transfers.append(
            (
                *(organization_id, debit, credit, amount, value_nano, hold_id, position, reverses),
                *(uid or None, code, reference, reason),
            )
        )

    def carry(self, riders: Sequence[Rider], *, perhaps_there: bool) -> None:
        """Take somebody else's rows along; those that may be there already are kept once, by their own key."""
        for table, columns, rows in riders:
            self.riders.setdefault((table, columns, perhaps_there), []).extend(rows)

    # --- Writing ------------------------------------------------------------------------------------------------------

    def write(self) -> None:
        """Put everything down. Lines go before their holds, because a hold's trigger adds them up."""
        with self.engine.together(self.cursor):
            self._write()
        for table, wanted, changed in self.changes:
            if changed() != wanted:
                message = f"{table}: a row is not as it was read"
                raise Raced(message)

    def _write(self) -> None:
        self._insert(ledger_tables.LINES, self.new_lines)
        self._insert(
            ledger_tables.HOLDS,
            [(hold.id, hold.organization_id, hold.process_id, hold.held, _caps(hold), 0, 0) for hold in self.new_holds],
        )
        self._change(ledger_tables.BALANCES, [(a.id, a.posted, a.held, *a.seen) for a in _moved(self.accounts)])
        self._change(ledger_tables.SPENDING, [(c.id, c.spent, c.held, *c.seen) for c in _used(self.counters)])
        self._change(
            ledger_tables.EXTENDED,
            [(hold.id, hold.held, hold.seen_held) for hold in self.extended.values() if hold.seen_held is not None],
        )
        self._change(
            ledger_tables.ENDED,
            [
                (hold.id, hold.outcome, *((0, 0) if hold.late else (hold.charged, hold.unrecovered)))
                for hold in self.ended
            ],
        )
        self._change(
            ledger_tables.SETTLED_LATE, [(hold.id, hold.charged, hold.unrecovered) for hold in self.settled_late]
        )
        self._insert(ledger_tables.TRANSFERS, self.transfers)
        for (table, columns, perhaps_there), rows in self.riders.items():
            rider = Rider(table, columns, ())
            self.engine.ride(self.cursor, self.connection, rider, rows, perhaps_there=perhaps_there)

    def _insert(self, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            self.engine.insert(self.cursor, table, rows, self.now)

    def _change(self, change: Change, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            self.changes.append((change.table, len(rows), self.engine.change(self.cursor, change, rows, self.now)))


def _burn_key(account: Account) -> Any:
    return account.burn_key


def owed_uid(uid: str) -> str:
    """The name of the part of a withdrawal that became a debt."""
    return f"{uid}.owed"


@cache
def _window_starts(day: date) -> dict[str, str]:
    return {
        Window.DAY.value: day.isoformat(),
        Window.MONTH.value: day.replace(day=1).isoformat(),
        Window.TOTAL.value: "2000-01-01",
    }


def window_starts(now: datetime) -> dict[str, str]:
    """The first day of each window that ``now`` lies in."""
    return _window_starts(now.astimezone(UTC).date())


def _caps(hold: Hold) -> str:
    if not hold.caps:
        return "[]"
    return json.dumps([[counter.id, limit] for counter, limit in hold.caps])


def _moved(accounts: dict[int, Account]) -> list[Account]:
    return sorted((a for a in accounts.values() if (a.posted, a.held) != a.seen), key=lambda account: account.id)


def _used(counters: dict[int, Counter]) -> list[Counter]:
    return sorted((c for c in counters.values() if (c.spent, c.held) != c.seen), key=lambda counter: counter.id)
