"""Who holds customers' money: a process that says again and again that it lives; a sweep gives back what the dead left.

Promise: a hold has no timer of its own, so a long stream is never cut; a process that was killed is noticed after
``DEAD_AFTER`` and its holds, no others, are released in short transactions. A process that only slept and comes back
finds its lease gone, takes another, and its late settlements charge what is still available. No clock of an
application's host is ever compared with another's.
"""

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count

from django.db import DatabaseError, InterfaceError, OperationalError, connection, connections, transaction
from django.db.models import Q
from django.db.models.functions import Now

from billing import ledger
from billing.models import Hold, ProcessLease
from billing.models.ledger import Outcome
from billing.operations import Release, Rider

HEARTBEAT_S = 5.0
DEAD_AFTER = timedelta(seconds=30)
SLICE = 100  # holds resolved in one transaction, so that no reserve waits long behind the sweep
ALIKE = 1 << 16  # no two living leases are alike in these bits, which their processes' ids carry
NUMBER_BITS = 39  # a lease gives out 5 * 10^11 numbers; 2^24 leases fit above them

Story = Callable[[Sequence[int]], Mapping[int, tuple[Rider, ...]]]
_stories: list[Story] = []

log = logging.getLogger(__name__)


def when_expired(story: Story) -> None:
    """Let another room say what rides with the end of a dead process's hold: told the holds, it answers by hold."""
    if story not in _stories:
        _stories.append(story)


def database_now() -> datetime:
    """The time by the one clock that everybody shares."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT clock_timestamp()")
            now: datetime = cursor.fetchone()[0]
            return now.astimezone(UTC)
        cursor.execute("SELECT strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')")
        return datetime.fromisoformat(cursor.fetchone()[0])


class Lease:
    """A process's right to hold, and the numbers of its holds.

    ``start()`` takes a lease and keeps it alive from a thread of its own; ``stop()`` ends it, so that whatever it still
    holds is swept at once.
    """

    def __init__(self, name: str = "", *, heartbeat_s: float = HEARTBEAT_S) -> None:
        self.name = (name or f"{socket.gethostname()}:{os.getpid()}")[:120]
        self.heartbeat_s = heartbeat_s
        self._numbers: Iterator[int] = iter(())
        self._process_id = 0
        self._neighbours = 1
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def process_id(self) -> int:
        """The lease's number, as holds carry it."""
        return self._process_id

    @property
    def neighbours(self) -> int:
        """How many processes of this one's kind (the first word of its name) lived at the last beat, with itself."""
        return self._neighbours

    def next_hold(self) -> tuple[int, int]:
        """A number for a new hold that nobody else will ever use, and the process it belongs to."""
        number = next(self._numbers)
        return number, number >> NUMBER_BITS

    def take(self) -> None:
        """Take a new lease."""
        self._process_id = _new_lease(self.name)
        # One assignment: another thread sees the old numbers or the new ones, never a mixture.
        self._numbers = count(self._process_id << NUMBER_BITS)
        self._neighbours = self._count()

    def beat(self) -> bool:
        """Say that we live; a lease that was given up for dead is replaced. Returns whether it was still ours."""
        alive = ProcessLease.objects.filter(pk=self._process_id, ended_at__isnull=True).update(heartbeat_at=Now())
        if not alive:
            log.warning("lease %s was given up for dead; taking another", self._process_id)
            self.take()
        else:
            self._neighbours = self._count()
        return bool(alive)

    def _count(self) -> int:
        kind = self.name.split(" ")[0]
        living = ProcessLease.objects.filter(ended_at__isnull=True, heartbeat_at__gte=Now() - DEAD_AFTER)
        return max(1, living.filter(Q(name=kind) | Q(name__startswith=f"{kind} ")).count())

    def start(self) -> None:
        """Take a lease and keep it."""
        self.take()
        self._stopping.clear()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the lease."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        ProcessLease.objects.filter(pk=self._process_id, ended_at__isnull=True).update(ended_at=Now())

    def _keep(self) -> None:
        try:
            while not self._stopping.wait(self.heartbeat_s):
                try:
                    self.beat()
                except (DatabaseError, InterfaceError):  # it is away; the next beat says so again or succeeds
                    log.exception("a heartbeat failed")
                    connections.close_all()
        finally:
            connections.close_all()


def _new_lease(name: str) -> int:
    """A new lease; one that is like a living one in its last bits is ended at once, and the next is taken."""
    while True:
        lease = ProcessLease.objects.create(name=name, started_at=Now(), heartbeat_at=Now())
        living = ProcessLease.objects.filter(ended_at__isnull=True).exclude(pk=lease.pk).values_list("pk", flat=True)
        if all((other - lease.pk) % ALIKE for other in living):
            return int(lease.pk)
        ProcessLease.objects.filter(pk=lease.pk).update(ended_at=Now())


def sweep() -> int:
    """Expire the holds of dead and ended processes; returns how many. Safe to run anywhere, any number of times."""
    # First the lease: a heartbeat competes for its row, so a process that wakes up now knows that it lost its holds.
    ProcessLease.objects.filter(ended_at__isnull=True, heartbeat_at__lt=Now() - DEAD_AFTER).update(ended_at=Now())
    swept = 0
    for process_id in _ended_and_holding():
        last = 0
        while holds := _open_holds(process_id, last):
            swept += _expire(holds)
            last = holds[-1][0]
    return swept


def _ended_and_holding() -> list[int]:
    """Processes with open holds are few and found by the index of open holds; leases of all time are not looked at."""
    holding = Hold.unscoped.filter(outcome__isnull=True).order_by().values_list("process_id", flat=True).distinct()
    return list(ProcessLease.objects.filter(ended_at__isnull=False, pk__in=list(holding)).values_list("pk", flat=True))


def _open_holds(process_id: int, after: int) -> list[tuple[int, int]]:
    holds = Hold.unscoped.filter(process_id=process_id, outcome__isnull=True, pk__gt=after).order_by("pk")
    return list(holds.values_list("pk", "organization_id")[:SLICE])


def _expire(holds: Sequence[tuple[int, int]]) -> int:
    """What a dead process knew and nobody acknowledged is the house's: the whole hold goes back.

    A hold that cannot be ended (somebody wrote into the books) is left to the audit and keeps no others, whatever it
    is that it breaks; only a database that is away, or somebody in the way, stops the sweep until the next one.
    """
    try:
        with transaction.atomic():
            told = [story([hold_id for hold_id, _ in holds]) for story in _stories]
            releases = [
                Release(hold_id, organization_id, Outcome.EXPIRED, tuple(r for of in told for r in of.get(hold_id, ())))
                for hold_id, organization_id in holds
            ]
            verdicts = ledger.apply(connection, releases, database_now())
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        if len(holds) == 1:
            log.exception("hold %s cannot be ended", holds[0][0])
            return 0
        return sum(_expire([hold]) for hold in holds)
    return sum(not getattr(verdict, "repeated", True) for verdict in verdicts)


@contextlib.contextmanager
def leased(name: str = "") -> Iterator[Lease]:
    """A lease for the length of a block."""
    lease = Lease(name)
    lease.start()
    try:
        yield lease
    finally:
        lease.stop()
