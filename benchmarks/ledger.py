"""How many reserve + settle pairs a second, on this machine, on either engine.

    python -m benchmarks.ledger [--engine sqlite|postgresql] [--pairs 4000] [--rounds 3] [--callers 64]

For one wallet and for 1,000: group commit, the ledger one operation a transaction, the same SQL as group commit sent by
a bare loop (recorded, then replayed on a copy of the database), and the obvious way: one ORM transaction per operation,
in threads. Each reserve has one active cap. Rounds are interleaved and medians shown; ratios are what counts.
"""

import argparse
import asyncio
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from itertools import count
from types import ModuleType
from typing import Any, Self

from tests.simulator.worlds import START, copied, make_organizations, say, world

HELD, CHARGED = 1_000, 700
ENOUGH = 10**15
CAP = 10**15


class Work:
    """The same pairs for every contender: whose wallet, which hold."""

    def __init__(self, organizations: list[int], pairs: int, process_id: int) -> None:
        numbers = count(process_id << 39)
        self.process_id = process_id
        self.pairs = [(next(numbers), organizations[place % len(organizations)]) for place in range(pairs)]

    def reserve(self, hold_id: int, organization_id: int) -> Any:
        from billing.operations import Cap, Reserve

        cap = Cap("organization", organization_id, "month", CAP)
        return Reserve(hold_id, organization_id, self.process_id, 1, HELD, HELD, caps=(cap,))

    def settle(self, hold_id: int, organization_id: int) -> Any:
        from billing.operations import Settle

        return Settle(hold_id, organization_id, CHARGED, exact=True)


def grouped(work: Work, callers: int) -> None:
    """Group commit: so many callers at once, each waiting for both of its commits."""
    from billing.commit import Committer

    committer = Committer(clock=lambda: START)
    committer.start()
    waiting = iter(work.pairs)

    async def caller() -> None:
        for pair in waiting:
            await committer.submit(work.reserve(*pair))
            await committer.submit(work.settle(*pair))

    async def all_callers() -> None:
        await asyncio.gather(*(caller() for _ in range(callers)))

    asyncio.run(all_callers())
    committer.stop()


def one_by_one(work: Work, callers: int) -> None:
    """The ledger without gathering: a transaction per operation, on one connection."""
    from django.db import connection, transaction

    from billing import ledger

    for pair in work.pairs:
        for operation in (work.reserve(*pair), work.settle(*pair)):
            with transaction.atomic():
                ledger.apply(connection, [operation], START)


def obvious(work: Work, callers: int) -> None:
    """What one would write first: lock the rows, change them, save them; a transaction per operation, in threads."""
    from django.db import connections

    waiting, lock = iter(work.pairs), threading.Lock()

    def thread() -> None:
        try:
            while True:
                with lock:
                    pair = next(waiting, None)
                if pair is None:
                    return
                _obvious_reserve(work.process_id, *pair)
                _obvious_settle(*pair)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(min(callers, 16)) as pool:
        for future in [pool.submit(thread) for _ in range(min(callers, 16))]:
            future.result()


def _obvious_reserve(process_id: int, hold_id: int, organization_id: int) -> None:
    from django.db import transaction

    from billing.models import Account, CapCounter, Hold, HoldLine, Wallet

    with transaction.atomic():
        wallet = Wallet.unscoped.select_for_update().get(organization_id=organization_id)
        assert wallet.epoch == 1
        assert not wallet.suspended
        account = Account.unscoped.get(organization_id=organization_id, kind="paid")
        counter, _ = CapCounter.unscoped.get_or_create(
            organization_id=organization_id,
            scope_kind="organization",
            scope_id=organization_id,
            window="month",
            window_start=START.date(),
        )
        assert account.posted - account.held >= HELD
        assert counter.spent + counter.held + HELD <= CAP
        account.held += HELD
        account.save(update_fields=["held"])
        counter.held += HELD
        counter.save(update_fields=["held"])
        HoldLine.objects.create(
            organization_id=organization_id,
            hold_id=hold_id,
            step=0,
            position=0,
            account=account,
            amount=HELD,
            value_nano=HELD,
        )
        Hold.unscoped.create(
            id=hold_id,
            organization_id=organization_id,
            process_id=process_id,
            held_nano=HELD,
            caps=[[counter.pk, CAP]],
            created_at=START,
        )


def _obvious_settle(hold_id: int, organization_id: int) -> None:
    from django.db import transaction

    from billing.models import Account, CapCounter, Hold, HoldLine, Transfer, Wallet

    with transaction.atomic():
        Wallet.unscoped.select_for_update().get(organization_id=organization_id)
        hold = Hold.unscoped.get(pk=hold_id)
        line = HoldLine.objects.get(hold=hold)
        account = Account.unscoped.get(pk=line.account_id)
        counter = CapCounter.unscoped.get(pk=hold.caps[0][0])
        account.posted, account.held = account.posted - CHARGED, account.held - HELD
        account.save(update_fields=["posted", "held"])
        counter.spent, counter.held = counter.spent + CHARGED, counter.held - HELD
        counter.save(update_fields=["spent", "held"])
        hold.outcome, hold.charged_nano, hold.resolved_at = "settled", CHARGED, START
        hold.save(update_fields=["outcome", "charged_nano", "resolved_at"])
        Transfer.unscoped.create(
            organization_id=organization_id,
            debit=account,
            credit_id=1,
            amount=CHARGED,
            value_nano=CHARGED,
            code="usage",
            hold=hold,
            position=0,
            created_at=START,
        )


class Recorder:
    """Remembers every statement a run of group commit sends, transaction by transaction."""

    def __init__(self) -> None:
        from billing import ledger_book, ledger_postgres, ledger_sqlite

        self.transactions: list[list[tuple[str, list[tuple[str, Any]]]]] = []
        self.engines: tuple[Any, ...] = (ledger_postgres, ledger_sqlite)
        self.originals = [engine.cursor for engine in self.engines]
        self.page = ledger_book.Page

    def __enter__(self) -> Self:
        for engine, original in zip(self.engines, self.originals, strict=True):
            engine.cursor = self._recording(original)
        return self

    def __exit__(self, *_: object) -> None:
        for engine, original in zip(self.engines, self.originals, strict=True):
            engine.cursor = original

    def _recording(self, original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        recorder = self

        class Tape:
            """Passes on what it is given; what travels together is remembered together."""

            def __init__(self, connection: Any) -> None:
                self.cursor = original(connection)
                self.steps: list[tuple[str, list[tuple[str, Any]]]] = []
                self.gathered: list[tuple[str, Any]] | None = None
                recorder.transactions.append(self.steps)

            def __getattr__(self, name: str) -> Any:
                return getattr(self.cursor, name)

            def execute(self, statement: str, parameters: Any = ()) -> Any:
                if self.gathered is None:
                    self.steps.append(("execute", [(statement, parameters)]))
                else:
                    self.gathered.append((statement, parameters))
                return self.cursor.execute(statement, parameters)

            def executemany(self, statement: str, parameters: Any) -> Any:
                self.steps.append(("executemany", [(statement, parameters)]))
                return self.cursor.executemany(statement, parameters)

            def ask(self, questions: Any) -> Any:
                self.steps.append(("ask", list(questions)))
                return self.cursor.ask(questions)

            @contextmanager
            def together(self) -> Iterator[None]:
                self.gathered = []
                with self.cursor.together():
                    yield
                self.steps.append(("together", self.gathered))
                self.gathered = None

        return Tape

    def replay(self, work: Work, callers: int) -> None:
        """The bare loop."""
        from django.db import connection, transaction

        from billing import ledger_postgres, ledger_sqlite

        connection.ensure_connection()
        engine: ModuleType = ledger_sqlite
        if connection.vendor == "postgresql":
            connection.connection.prepare_threshold = 3
            engine = ledger_postgres
        for steps in self.transactions:
            with transaction.atomic():
                cursor = engine.cursor(connection)
                for how, statements in steps:
                    if how == "ask":
                        cursor.ask(statements)
                    else:
                        with cursor.together() if how == "together" else nullcontext():
                            for statement, parameters in statements:
                                getattr(cursor, "executemany" if how == "executemany" else "execute")(
                                    statement, parameters
                                )
                    if how == "execute":
                        cursor.fetchall()
                cursor.close()


def measure(name: str, contender: Callable[[Work, int], None], work: Work, callers: int) -> tuple[float, float]:
    """Pairs per second and this process's CPU milliseconds per pair, on a copy of the database; the books must hold."""
    from billing import audit

    with copied():
        cpu, clock = time.process_time(), time.perf_counter()
        contender(work, callers)
        seconds, cpu = time.perf_counter() - clock, time.process_time() - cpu
        findings = audit.run().findings
        assert not findings, (name, findings[:3])
    return len(work.pairs) / seconds, cpu * 1_000 / len(work.pairs)


def main() -> None:
    """Run every contender and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--pairs", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--callers", type=int, default=64)
    arguments = parser.parse_args()
    with world(arguments.engine):
        from django.db import connection

        from billing.models import ProcessLease

        if arguments.engine == "sqlite":  # sixteen threads at one file: on a busy machine one of them waits very long
            connection.settings_dict["OPTIONS"]["timeout"] = 600
        organizations = make_organizations(1_000, credit=ENOUGH)
        lease = ProcessLease.objects.create(name="bench", started_at=START, heartbeat_at=START.replace(year=2100))
        for wallets in (1, 1_000):
            _compare(arguments, organizations[:wallets], lease.pk)


def _compare(arguments: argparse.Namespace, organizations: list[int], process_id: int) -> None:
    work = Work(organizations, arguments.pairs, process_id)
    few = Work(organizations, max(200, arguments.pairs // 8), process_id)
    seen: dict[str, list[tuple[float, float]]] = {}
    for _ in range(arguments.rounds):
        with Recorder() as recorder:
            measure("recorded", grouped, work, arguments.callers)
        for name, contender, amount in (
            ("group commit", grouped, work),
            ("the same SQL, bare", recorder.replay, work),
            ("one by one", one_by_one, few),
            ("one ORM transaction per operation", obvious, few),
        ):
            seen.setdefault(name, []).append(measure(name, contender, amount, arguments.callers))
    say(f"\n{arguments.engine}, {len(organizations)} wallet(s), {arguments.callers} callers, {arguments.pairs} pairs:")
    medians = {
        name: [statistics.median(column) for column in zip(*rounds, strict=True)] for name, rounds in seen.items()
    }
    for name, (rate, cpu_ms) in medians.items():
        say(f"  {name:36} {rate:9,.0f} pairs/s   {cpu_ms:6.3f} CPU-ms per pair")
    ratio = medians["group commit"][0] / medians["one ORM transaction per operation"][0]
    say(f"  group commit / one ORM transaction per operation: {ratio:.1f}")


if __name__ == "__main__":
    main()
