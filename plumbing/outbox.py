"""What must happen after commit: a row written in the same transaction, handled later at least once.

Promise: if the transaction commits, the message is handled; if it rolls back, it never was. The row is the truth and
the broker only a doorbell: when it is deaf, flushed or down, the sweep finds every row that is due. A message is known
by its topic and business key and is accepted once. A row is leased while it is handled, so a worker that dies gives it
back when the lease ends; therefore handlers run **at least once** and must be idempotent on the key. Failures wait
exponentially longer, and after its topic's number of tries a row is parked with the error's class and a redacted
sentence: one poisoned row never stops its neighbours.

    outbox.add(topic="wallet.low", key=f"{wallet.id}:{crossing.id}", payload={...})    # inside the transaction

    @outbox.handles("wallet.low")
    def warn(message: outbox.Message) -> None: ...                                     # imported in AppConfig.ready

Writers outside the ORM (the ledger's riders) insert into ``outbox_messages`` the columns ``topic``, ``key`` and
``payload`` (JSON text); the database fills in the rest and the sweep finds the row within ten seconds, or at once if
the writer calls ``ring()`` after its commit. A handled row is emptied, and forgotten after ``REMEMBERED_FOR``.
"""

import random
import secrets as chance
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import DatabaseError, connection, transaction
from django.db.models import F, Min, QuerySet
from django.utils import timezone
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from plumbing import logs
from plumbing.models import OutboxMessage
from plumbing.secrets import redact

log = structlog.get_logger(__name__)

LEASE = timedelta(minutes=5)  # longer than any handler may take
SHIFT_S = 20.0  # how long one task keeps its worker before it rings again
FIRST_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(hours=6)
TRIES = 12  # about three hours of waiting
REMEMBERED_FOR = timedelta(days=30)

_handlers: dict[str, "_Handler"] = {}


class Hopeless(Exception):
    """Raised by a handler: trying again cannot help, park the row now."""


class UnknownTopic(Exception):
    """Nobody handles this topic, so a message to it would wait for ever."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as its handler sees it."""

    topic: str
    key: str
    payload: dict[str, Any]
    confidential: str | None
    tries: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class State:
    """How the outbox is doing: for gauges, ``/ready``-like pages and ``doctor``."""

    pending: int
    oldest_age_s: float
    parked: int


@dataclass(frozen=True, slots=True)
class _Handler:
    run: Callable[[Message], None]
    tries: int


def handles(topic: str, *, tries: int = TRIES) -> Callable[[Callable[[Message], None]], Callable[[Message], None]]:
    """Register the one function that handles a topic."""

    def register(run: Callable[[Message], None]) -> Callable[[Message], None]:
        known = _handlers.get(topic)
        assert known is None or known.run.__qualname__ == run.__qualname__, f"{topic} already has a handler"
        _handlers[topic] = _Handler(run, tries)
        return run

    return register


def add(*, topic: str, key: str, payload: Mapping[str, Any] | None = None, confidential: str | None = None) -> None:
    """Write a message in the caller's transaction; the same topic and key a second time changes nothing."""
    if topic not in _handlers:
        message = f"No handler is registered for the topic {topic!r}."
        raise UnknownTopic(message)
    row = OutboxMessage(topic=topic, key=key, payload=dict(payload or {}), confidential=confidential)
    OutboxMessage.objects.bulk_create([row], ignore_conflicts=True)
    if not any(queued[1] is ring for queued in reversed(connection.run_on_commit)):
        transaction.on_commit(ring)


def ring() -> None:
    """Tell a worker that something is due; a deaf doorbell is logged, and the sweep comes anyway."""
    from plumbing import tasks  # tasks import this room

    try:
        tasks.drain_outbox.apply_async(retry=False)
    except Exception as error:  # noqa: BLE001 - whatever the broker's client raises, the row is already safe
        log.warning("outbox_doorbell_failed", error_class=type(error).__name__)


def drain(*, now: Callable[[], datetime] = timezone.now, limit: int = 200) -> int:
    """Handle what is due, topic by topic in turn, until nothing is or it has taken long enough; return how many.

    Taking turns keeps a topic whose receivers are slow or dead from standing before all others.
    """
    stop_at = time.monotonic() + SHIFT_S
    handled = 0
    turns = deque(_due_topics(now()))
    while turns and handled < limit and time.monotonic() < stop_at:
        topic = turns.popleft()
        row = _take(topic, now=now())
        if row is None:
            continue
        turns.append(topic)
        _handle(row, now=now)
        handled += 1
    return handled


def is_due(*, now: datetime) -> bool:
    """Whether a message could be taken now."""
    return _due(now).exists()


def state(*, now: datetime) -> State:
    """Pending and parked messages, and the age of the oldest that should have been handled by now."""
    pending = OutboxMessage.objects.filter(done_at=None, parked_at=None)
    oldest = pending.filter(due_at__lte=now).aggregate(oldest=Min("created_at"))["oldest"]
    return State(
        pending=pending.count(),
        oldest_age_s=max(0.0, (now - oldest).total_seconds()) if oldest else 0.0,
        parked=OutboxMessage.objects.exclude(parked_at=None).count(),
    )


def unpark(messages: Iterable[int], *, now: datetime) -> int:
    """Give parked messages all their tries again; return how many there were."""
    parked = OutboxMessage.objects.filter(id__in=list(messages), parked_at__isnull=False)
    returned = parked.update(parked_at=None, tries=0, due_at=now)
    if returned:
        transaction.on_commit(ring)
    return returned


def forget(*, now: datetime, slice_size: int = 500) -> int:
    """Delete messages handled long ago, in short slices; their keys may be used again from then on."""
    forgotten = 0
    while True:
        old = OutboxMessage.objects.filter(done_at__lt=now - REMEMBERED_FOR).values_list("id", flat=True)[:slice_size]
        deleted, _ = OutboxMessage.objects.filter(id__in=list(old)).delete()
        forgotten += deleted
        if deleted < slice_size:
            return forgotten


def _due(now: datetime) -> QuerySet[OutboxMessage]:
    # Only topics this process can handle: during a deployment a new topic waits for a new worker.
    return OutboxMessage.objects.filter(done_at=None, parked_at=None, due_at__lte=now, topic__in=list(_handlers))


def _due_topics(now: datetime) -> list[str]:
    topics = list(_due(now).order_by().values_list("topic", flat=True).distinct())
    random.shuffle(topics)
    return topics


def _take(topic: str, *, now: datetime) -> OutboxMessage | None:
    """Lease the topic's message that has been due longest, in a short transaction of its own."""
    with transaction.atomic():
        rows = _due(now).filter(topic=topic).order_by("due_at", "id")
        if connection.features.has_select_for_update_skip_locked:
            rows = rows.select_for_update(skip_locked=True)
        found = rows.values_list("id", "tries").first()
        if found is None:
            return None
        key, tries = found
        # Where rows cannot be locked (SQLite) the condition on ``tries`` lets one worker win; in life SQLite's
        # immediate transactions already queue them.
        taken = OutboxMessage.objects.filter(id=key, tries=tries, done_at=None, parked_at=None).update(
            lease=chance.token_hex(16), due_at=now + LEASE, tries=F("tries") + 1
        )
        return OutboxMessage.objects.defer("confidential").get(id=key) if taken else None


def _handle(row: OutboxMessage, *, now: Callable[[], datetime]) -> None:
    handler = _handlers[row.topic]
    if row.tries > handler.tries:  # it took its worker down with it, every time
        _park(row, "WorkerLost", "The worker died while handling this message.", now=now())
        return
    with logs.bound(outbox_topic=row.topic, outbox_key=row.key):
        try:
            handler.run(_message(row))
        except Hopeless as error:
            _park(row, *_told(error), now=now())
        except Exception as error:  # noqa: BLE001 - a handler's failure is this room's business
            _failed(row, handler, error, now=now())
        else:
            _finish(row, done_at=now(), payload={}, confidential=None, error_class="", error_sentence="")


def _message(row: OutboxMessage) -> Message:
    return Message(row.topic, row.key, row.payload, row.confidential, row.tries, row.created_at)


def _failed(row: OutboxMessage, handler: _Handler, error: Exception, *, now: datetime) -> None:
    name, sentence = _told(error)
    if row.tries >= handler.tries:
        _park(row, name, sentence, now=now)
        return
    log.warning("outbox_try_failed", tries=row.tries, error_class=name, error=sentence)
    _finish(row, due_at=now + wait_after(row.tries), error_class=name, error_sentence=sentence)


def _park(row: OutboxMessage, name: str, sentence: str, *, now: datetime) -> None:
    log.error("outbox_parked", topic=row.topic, key=row.key, tries=row.tries, error_class=name, error=sentence)
    _finish(row, parked_at=now, error_class=name, error_sentence=sentence)


def _finish(row: OutboxMessage, **changes: Any) -> None:
    """Write the outcome, unless the lease ran out and somebody else has the message now."""
    mine = OutboxMessage.objects.filter(id=row.id, lease=row.lease, done_at=None)
    if not mine.update(lease="", **changes):
        log.warning("outbox_lease_lost", topic=row.topic, key=row.key)


def _told(error: Exception) -> tuple[str, str]:
    return type(error).__name__[:120], logs.harmless(redact(str(error)))[:300]


def wait_after(tries: int) -> timedelta:
    """Twice as long after each failure, within bounds, and never quite the same for two neighbours."""
    longest: timedelta = min(FIRST_WAIT * 2 ** min(tries - 1, 20), LONGEST_WAIT)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing


class _Gauges(Collector):
    """Reads the table when Prometheus asks, so every process tells the same truth."""

    def describe(self) -> list[GaugeMetricFamily]:
        return self._families(None)

    def collect(self) -> list[GaugeMetricFamily]:
        try:
            return self._families(state(now=timezone.now()))
        except DatabaseError:
            return []  # the database's absence is told by /ready

    def _families(self, state: State | None) -> list[GaugeMetricFamily]:
        told: dict[str, tuple[str, float | None]] = {
            "pending": ("Messages not handled yet.", state.pending if state else None),
            "oldest_age_seconds": (
                "Age of the oldest message that is due; alert above 300.",
                state.oldest_age_s if state else None,
            ),
            "parked": ("Messages given up and parked.", state.parked if state else None),
        }
        return [GaugeMetricFamily(f"tollgate_outbox_{name}", help_, value) for name, (help_, value) in told.items()]


def register_gauges() -> None:
    """Show the outbox at ``/metrics``; called once, when the apps are ready."""
    REGISTRY.register(_Gauges())
