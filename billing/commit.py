"""Group commit: many callers, one transaction, each its own verdict.

Promise: ``await committer.submit(operation)`` answers after the operation is durable, or raises; there is no third way.
One thread with a connection of its own takes whatever waits, without lingering, as one transaction of the ledger, so a
commit to disk is shared by all who came while the last one ran. The queue is bounded: who finds it full is told at once
(``Busy``, a 503), unless it is to end a hold. A poisoned operation fails alone: its batch is halved until it stands by
itself, and its neighbours get their verdicts. A wallet that somebody else keeps locked makes its own operations wait,
not the others. Deadlocks, serialization failures, a busy file and a connection lost in the middle of COMMIT are tried
again a few times; that is safe because every operation is idempotent. A caller who is cancelled while a reserve is
under way leaves a release behind, and so does a reserve of which nobody knows whether it was done; the end of a hold
whose caller is gone is tried until it is done. ``stop()`` finishes what waits and takes nothing new.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psycopg
from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from billing import ledger
from billing.operations import Granted, Operation, Release, Reserve, Settle, Verdict

CAPACITY = 10_000
LARGEST_BATCH = 500
TRIES = 5
PAUSE_S = 0.02
LOCK_TIMEOUT_MS = 200
PATIENCE_S = 5.0  # how long an operation may be put off because its wallet is locked elsewhere
# SQLSTATEs. The database is away, full or read-only: connection exceptions, resources, intervention, read-only.
LOST = ("08", "53", "57", "25006")
RACED = ("40001", "40P01")  # serialization failure, deadlock
LOCKED = "55P03"  # lock not available within LOCK_TIMEOUT_MS
LOCKED_WALLETS = """
WITH asked AS (SELECT unnest(%s::bigint[]) AS id), free AS MATERIALIZED (
    SELECT organization_id FROM billing_wallet WHERE organization_id IN (SELECT id FROM asked)
    FOR NO KEY UPDATE SKIP LOCKED
)
SELECT organization_id FROM billing_wallet
WHERE organization_id IN (SELECT id FROM asked) AND organization_id NOT IN (SELECT organization_id FROM free)
"""

log = logging.getLogger(__name__)


class Busy(RuntimeError):
    """Too much waits already, or the committer is stopping; the caller answers 503 and nothing has happened."""


class OpenTransaction(RuntimeError):
    """A caller waits for a commit while a transaction of its own is open: it would wait for itself."""


@dataclass(slots=True, eq=False)
class _Waiter:
    operation: Operation
    loop: asyncio.AbstractEventLoop | None
    future: "asyncio.Future[Verdict] | None"
    gone: bool = False
    perhaps_done: bool = False  # a try ended without telling whether it was committed
    put_off_at: float | None = None
    outcome: Verdict | BaseException | None = field(default=None)


class Committer:
    """The one queue of a process. Start it once, submit from any event loop, stop it last."""

    def __init__(
        self,
        *,
        using: str = DEFAULT_DB_ALIAS,
        capacity: int = CAPACITY,
        largest_batch: int = LARGEST_BATCH,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.using, self.capacity, self.largest_batch, self.clock = using, capacity, largest_batch, clock
        self.batches = self.operations = 0
        self._waiting: deque[_Waiter] = deque()
        self._wake = threading.Condition()
        self._stopping = True
        self._thread: threading.Thread | None = None
        self._prepared: object = None  # the raw connection that was set up last

    # --- Life ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to take operations."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take nothing new, finish what waits, and end."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    # --- Callers ------------------------------------------------------------------------------------------------------

    async def submit(self, operation: Operation) -> Verdict:
        """Wait until the operation is durable and return its verdict."""
        if _transaction_open(self.using):
            raise OpenTransaction("submit() inside a transaction; call ledger.apply() on its connection instead")
        loop = asyncio.get_running_loop()
        waiter = _Waiter(operation, loop, loop.create_future())
        self._enqueue(waiter)
        assert waiter.future is not None
        try:
            return await waiter.future
        except asyncio.CancelledError:
            self._abandon(waiter)
            raise

    def _enqueue(self, waiter: _Waiter) -> None:
        with self._wake:
            if self._stopping:
                raise Busy("the ledger is stopping")
            ends_hold = isinstance(
                waiter.operation, (Settle, Release)
            )  # as many as were admitted, and they must get in
            if len(self._waiting) >= self.capacity and not ends_hold:
                raise Busy("too many operations wait for the ledger")
            self._waiting.append(waiter)
            self._wake.notify()

    def _abandon(self, waiter: _Waiter) -> None:
        """The caller is gone. A reserve that waits is dropped; one that is under way, or done, is given back.

        What ends a hold is carried out all the same, and from now on nobody else would try it again.
        """
        operation = waiter.operation
        with self._wake:
            if isinstance(operation, Reserve):
                waiter.gone = True
                if isinstance(waiter.outcome, Granted):
                    self._give_back(operation)
            elif isinstance(operation, (Settle, Release)):
                waiter.loop = None
                self._try_again(waiter)

    def _give_back(self, operation: Reserve) -> None:
        """Beyond the bound of the queue and while stopping: it frees, and must not be refused. The lock is held."""
        riders = operation.if_abandoned() if operation.if_abandoned else ()
        release = Release(operation.hold_id, operation.organization_id, riders=riders)
        self._waiting.append(_Waiter(release, None, None))
        self._wake.notify()

    def _try_again(self, waiter: _Waiter) -> None:
        """What nobody waits for is not given up for a trouble that passes, unless it is time to end; under the lock."""
        if isinstance(waiter.outcome, Exception) and _passes(waiter.outcome) and not self._stopping:
            self._waiting.append(_Waiter(waiter.operation, None, None))

    # --- The thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while batch := self._next_batch():
                self.batches += 1
                self.operations += len(batch)
                self._commit(batch)
                self._answer(batch)
        finally:
            self._hang_up()

    def _next_batch(self) -> list[_Waiter]:
        """Everything that waits, up to a bound; empty when it is time to end."""
        with self._wake:
            while True:
                while not self._waiting and not self._stopping:
                    self._wake.wait()
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self.largest_batch))]
                for waiter in batch:
                    if waiter.gone and waiter.perhaps_done and isinstance(waiter.operation, Reserve):
                        self._give_back(waiter.operation)
                batch = [waiter for waiter in batch if not waiter.gone]
                if batch or (self._stopping and not self._waiting):
                    return batch

    def _commit(self, batch: Sequence[_Waiter]) -> None:
        """Give each waiter its outcome; halve a batch that fails until the culprit stands alone."""
        try:
            verdicts = self._apply(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is one waiter's answer and not the thread's end
            if stuck := self._stuck(batch) if _sqlstate(error) == LOCKED else []:
                self._put_off(stuck, error)
                if others := [waiter for waiter in batch if waiter not in stuck]:
                    self._commit(others)
            elif len(batch) == 1 or _lost(error) or _raced(error):
                self._fail(batch, error)
            else:
                middle = len(batch) // 2
                self._commit(batch[:middle])
                self._commit(batch[middle:])
        else:
            for waiter, verdict in zip(batch, verdicts, strict=True):
                waiter.outcome = verdict

    def _fail(self, batch: Sequence[_Waiter], error: Exception) -> None:
        log.error("the ledger could not do %s: %s", {type(waiter.operation).__name__ for waiter in batch}, error)
        for waiter in batch:
            waiter.outcome = error

    def _stuck(self, batch: Sequence[_Waiter]) -> Sequence[_Waiter]:
        """Those whose wallet is locked elsewhere.

        None, when the lock was another one and the batch must be halved to find who needs it; one that is alone waits
        in any case. Where the wallets cannot even be looked at, all wait.
        """
        try:
            with transaction.atomic(using=self.using), connections[self.using].cursor() as cursor:
                cursor.execute(LOCKED_WALLETS, [[getattr(waiter.operation, "organization_id", 0) for waiter in batch]])
                locked = {organization_id for (organization_id,) in cursor.fetchall()}
        except DatabaseError:
            return batch
        stuck = [waiter for waiter in batch if getattr(waiter.operation, "organization_id", 0) in locked]
        return stuck or (batch if len(batch) == 1 else [])

    def _put_off(self, stuck: Sequence[_Waiter], error: Exception) -> None:
        """Send operations back into the queue for a while; those that nobody waits for, for as long as it takes."""
        now = time.monotonic()
        with self._wake:
            for waiter in stuck:
                waiter.put_off_at = waiter.put_off_at or now
                if now - waiter.put_off_at > PATIENCE_S and (waiter.loop is not None or self._stopping):
                    waiter.outcome = error
                else:
                    self._waiting.append(waiter)

    def _apply(self, batch: Sequence[_Waiter]) -> list[Verdict]:
        operations = [waiter.operation for waiter in batch]
        attempt = 0
        while True:
            attempt += 1
            try:
                connection = self._connection()  # set up before the transaction, whose rollback would undo it
                with transaction.atomic(using=self.using):
                    return ledger.apply(connection, operations, self.clock())
            except (DatabaseError, InterfaceError) as error:
                if _lost(error):
                    for waiter in batch:
                        waiter.perhaps_done = True
                    self._hang_up()
                elif not _raced(error):
                    raise
                if attempt == TRIES:
                    raise
                time.sleep(PAUSE_S * attempt)

    def _connection(self) -> BaseDatabaseWrapper:
        """The thread's own. Its statements are few and always the same, so PostgreSQL may keep their plans."""
        connection = connections[self.using]
        connection.ensure_connection()
        raw = connection.connection
        if connection.vendor == "postgresql" and raw is not self._prepared:
            self._prepared = raw
            if not connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):  # set where a pooler stands in between
                raw.prepare_threshold = 3
            with connection.cursor() as cursor:
                cursor.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}")
        return connection

    def _hang_up(self) -> None:
        """End the connection itself: what was set up on it must not reach whoever a pool would give it to next."""
        connection = connections[self.using]
        if connection.connection is not None and connection.vendor == "postgresql":
            connection.connection.close()
        connection.close()

    def _answer(self, batch: Sequence[_Waiter]) -> None:
        """Wake the waiters, one call into each event loop; whoever left meanwhile gives back what it was granted."""
        loops: dict[asyncio.AbstractEventLoop, list[_Waiter]] = {}
        with self._wake:
            for waiter in batch:
                self._undo(waiter)
                if waiter.loop is not None and waiter.outcome is not None:
                    loops.setdefault(waiter.loop, []).append(waiter)
        for loop, waiters in loops.items():
            try:
                loop.call_soon_threadsafe(_wake_up, waiters)
            except RuntimeError:  # the loop was closed under its callers, who are gone without having been cancelled
                log.warning("an event loop ended before %d answers", len(waiters))
                with self._wake:
                    for waiter in waiters:
                        waiter.gone, waiter.loop = True, None
                        self._undo(waiter)

    def _undo(self, waiter: _Waiter) -> None:
        """What nobody will answer for is given back: a grant whose caller left, a reserve that may have been done."""
        operation, outcome = waiter.operation, waiter.outcome
        if isinstance(operation, Reserve):
            unknown = waiter.perhaps_done and isinstance(outcome, Exception)
            if unknown or (waiter.gone and isinstance(outcome, Granted)):
                self._give_back(operation)
        elif waiter.loop is None:
            self._try_again(waiter)


def _transaction_open(using: str) -> bool:
    """Whether the thread of this event loop has a transaction open.

    Inside a task ``connections`` shows a fresh connection of its own, so this looks past asgiref's public door.
    """
    threads_own = connections._connections._storage  # type: ignore[attr-defined]  # noqa: SLF001
    connection = getattr(threads_own, using, None)
    return connection is not None and connection.in_atomic_block


def _wake_up(waiters: Sequence[_Waiter]) -> None:
    for waiter in waiters:
        future = waiter.future
        if future is None or future.done():
            continue
        if isinstance(waiter.outcome, BaseException):
            future.set_exception(waiter.outcome)
        else:
            assert waiter.outcome is not None
            future.set_result(waiter.outcome)


def _sqlstate(error: BaseException) -> str:
    return str(getattr(error.__cause__ or error, "sqlstate", None) or "")


def _raced(error: BaseException) -> bool:
    """Somebody was in the way; the same again may succeed."""
    busy = getattr(error.__cause__, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
    return busy or isinstance(error, ledger.Raced) or _sqlstate(error) in RACED


def _lost(error: BaseException) -> bool:
    """The database is away, and whether COMMIT arrived is unknown; the same again finds out."""
    if isinstance(error, InterfaceError) or _sqlstate(error).startswith(LOST):
        return True
    return isinstance(error.__cause__, psycopg.OperationalError) and not _sqlstate(error)


def _passes(error: BaseException) -> bool:
    """A trouble that time heals, unlike an operation that can never be done."""
    return _lost(error) or _raced(error) or _sqlstate(error) == LOCKED
