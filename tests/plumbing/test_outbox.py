"""The outbox: committed means handled, rolled back means never, and no worker, broker or poison changes that."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from celery import Celery
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from prometheus_client import REGISTRY, generate_latest

from plumbing import outbox, tasks
from plumbing.models import OutboxMessage

TOPIC = "test.topic"
Register = Callable[..., None]


class Boom(Exception):
    pass


def _add_and_fail(key: str) -> None:
    with transaction.atomic():
        outbox.add(topic=TOPIC, key=key)
        raise Boom


@pytest.fixture(autouse=True)
def rings(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A doorbell that only counts; the tests answer the door themselves."""
    heard: list[dict[str, Any]] = []
    monkeypatch.setattr(tasks.drain_outbox, "apply_async", lambda **options: heard.append(options))
    return heard


@pytest.fixture
def handle() -> Iterator[Register]:
    """Register handlers for the length of a test."""
    known = dict(outbox._handlers)

    def register(run: Callable[[outbox.Message], None], *, topic: str = TOPIC, tries: int = 3) -> None:
        outbox._handlers.pop(topic, None)
        outbox.handles(topic, tries=tries)(run)

    yield register
    outbox._handlers.clear()
    outbox._handlers.update(known)


@pytest.fixture
def handled(handle: Register) -> list[outbox.Message]:
    """What the ordinary handler saw."""
    seen: list[outbox.Message] = []
    handle(seen.append)
    return seen


def _in_threads(count: int, work: Callable[[], Any]) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - told to the test below
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not errors
    assert not any(thread.is_alive() for thread in threads)


def _later(**delta: int) -> Callable[[], datetime]:
    return lambda: timezone.now() + timedelta(**delta)


@pytest.mark.django_db(transaction=True)
class TestPromise:
    def test_a_committed_message_rings_once_and_is_handled_once(
        self, handled: list[outbox.Message], rings: list[Any]
    ) -> None:
        with transaction.atomic():
            outbox.add(topic=TOPIC, key="a", payload={"n": 1}, confidential="whisper")
            outbox.add(topic=TOPIC, key="b")
            assert rings == []
        assert len(rings) == 1
        assert outbox.drain() == 2
        assert outbox.drain() == 0
        assert [(message.key, message.payload, message.confidential, message.tries) for message in handled] == [
            ("a", {"n": 1}, "whisper", 1),
            ("b", {}, None, 1),
        ]

    def test_a_rolled_back_message_never_was(self, handled: list[outbox.Message], rings: list[Any]) -> None:
        with pytest.raises(Boom):
            _add_and_fail("a")
        assert not OutboxMessage.objects.exists()
        assert rings == []

    def test_a_rolled_back_savepoint_takes_its_ring_along(
        self, handled: list[outbox.Message], rings: list[Any]
    ) -> None:
        with transaction.atomic():
            with pytest.raises(Boom):
                _add_and_fail("inner")
            outbox.add(topic=TOPIC, key="outer")
        assert len(rings) == 1
        outbox.drain()
        assert [message.key for message in handled] == ["outer"]

    def test_the_same_key_is_accepted_once_even_after_it_was_handled(self, handled: list[outbox.Message]) -> None:
        for _ in range(2):
            outbox.add(topic=TOPIC, key="a", payload={"n": 1})
            outbox.add(topic=TOPIC, key="a", payload={"n": 2})
            outbox.drain()
        assert [message.payload for message in handled] == [{"n": 1}]

    def test_the_same_key_from_several_threads_is_accepted_once(self, handled: list[outbox.Message]) -> None:
        def work() -> None:
            for n in range(5):
                outbox.add(topic=TOPIC, key=f"k{n}")

        _in_threads(5, work)
        assert OutboxMessage.objects.count() == 5

    def test_a_handled_message_is_emptied_and_keeps_its_key(self, handled: list[outbox.Message]) -> None:
        outbox.add(topic=TOPIC, key="a", payload={"n": 1}, confidential="whisper")
        outbox.drain()
        row = OutboxMessage.objects.get(key="a")
        assert (row.payload, row.confidential, row.lease, row.tries) == ({}, None, "", 1)
        assert row.done_at is not None

    def test_what_is_confidential_lies_sealed_in_the_table(self, handled: list[outbox.Message]) -> None:
        outbox.add(topic=TOPIC, key="a", confidential="canary-whisper")
        with connection.cursor() as cursor:
            cursor.execute("SELECT confidential FROM outbox_messages")
            stored = cursor.fetchone()[0]
        assert stored.startswith("gAAAAA")
        assert "canary" not in stored

    def test_a_topic_nobody_handles_is_refused(self) -> None:
        with pytest.raises(outbox.UnknownTopic, match="nobody"):
            outbox.add(topic="nobody", key="a")

    def test_a_raw_writer_needs_three_columns(self, handled: list[outbox.Message]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO outbox_messages (topic, key, payload) VALUES (%s, %s, %s)", [TOPIC, "raw", '{"n": 7}']
            )
        assert outbox.drain() == 1
        assert handled[0].payload == {"n": 7}
        assert abs(handled[0].created_at - timezone.now()) < timedelta(minutes=1)

    def test_a_topic_of_a_newer_version_waits_for_its_worker(self, handled: list[outbox.Message]) -> None:
        OutboxMessage.objects.create(topic="from.tomorrow", key="a")
        assert outbox.drain() == 0
        assert outbox.state(now=timezone.now()).pending == 1
        assert OutboxMessage.objects.get().tries == 0


@pytest.mark.django_db(transaction=True)
class TestDoorbell:
    def test_a_dead_broker_costs_nothing_but_a_line(
        self, handled: list[outbox.Message], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def refuse(**_: Any) -> None:
            raise ConnectionError("redis://:canary-password@broker is down")

        monkeypatch.setattr(tasks.drain_outbox, "apply_async", refuse)
        with transaction.atomic():
            outbox.add(topic=TOPIC, key="a")
        assert "outbox_doorbell_failed" in caplog.text
        assert "canary" not in caplog.text
        assert tasks.sweep_outbox() == 1
        assert [message.key for message in handled] == ["a"]

    @pytest.mark.slow
    def test_a_broker_flushed_with_a_thousand_pending_loses_none(
        self, handle: Register, rings: list[dict[str, Any]]
    ) -> None:
        seen: Counter[str] = Counter()
        lock = threading.Lock()

        def count(message: outbox.Message) -> None:
            with lock:
                seen[message.key] += 1

        handle(count)
        for slice_ in range(10):
            with transaction.atomic():
                for n in range(100):
                    outbox.add(topic=TOPIC, key=f"{slice_}-{n}")
        assert len(rings) == 10
        rings.clear()  # FLUSHALL: every doorbell is gone
        assert outbox.state(now=timezone.now()).pending == 1000

        def sweep_until_empty() -> None:
            while tasks.sweep_outbox():
                pass

        _in_threads(4, sweep_until_empty)
        assert sum(seen.values()) == 1000
        assert set(seen.values()) == {1}
        assert outbox.state(now=timezone.now()) == outbox.State(pending=0, oldest_age_s=0.0, parked=0)

    def test_a_task_rings_again_when_more_is_due(
        self, handled: list[outbox.Message], rings: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(outbox.drain, "__kwdefaults__", {"now": timezone.now, "limit": 2})
        with transaction.atomic():
            for n in range(3):
                outbox.add(topic=TOPIC, key=str(n))
        rings.clear()
        assert tasks.drain_outbox("unknown", arguments="are fine") == 2
        assert len(rings) == 1
        assert tasks.drain_outbox() == 1
        assert len(rings) == 1


@pytest.mark.django_db(transaction=True)
class TestWorkers:
    def test_many_workers_share_the_rows_and_handle_each_once(self, handle: Register) -> None:
        seen: Counter[str] = Counter()
        lock = threading.Lock()

        def count(message: outbox.Message) -> None:
            with lock:
                seen[message.key] += 1

        handle(count)
        with transaction.atomic():
            for n in range(60):
                outbox.add(topic=TOPIC, key=str(n))
        _in_threads(6, outbox.drain)
        outbox.drain()
        assert len(seen) == 60
        assert set(seen.values()) == {1}

    def test_a_worker_killed_between_take_and_done_gives_the_row_back(self, handled: list[outbox.Message]) -> None:
        outbox.add(topic=TOPIC, key="a")
        assert outbox._take(TOPIC, now=timezone.now()) is not None  # ... and the worker is gone
        assert outbox.drain() == 0
        assert outbox.drain(now=_later(minutes=4)) == 0
        assert outbox.drain(now=_later(minutes=6)) == 1
        assert [(message.key, message.tries) for message in handled] == [("a", 2)]

    def test_a_message_that_kills_every_worker_is_parked(self, handled: list[outbox.Message]) -> None:
        outbox.add(topic=TOPIC, key="a")
        for hours in range(3):
            assert outbox._take(TOPIC, now=timezone.now() + timedelta(hours=hours)) is not None
        outbox.drain(now=_later(hours=4))
        row = OutboxMessage.objects.get()
        assert row.parked_at is not None
        assert row.error_class == "WorkerLost"
        assert handled == []

    def test_a_worker_that_outlived_its_lease_does_not_overwrite_its_successor(
        self, handle: Register, caplog: pytest.LogCaptureFixture
    ) -> None:
        def slow(message: outbox.Message) -> None:
            if message.tries == 1:  # paused beyond the lease; meanwhile somebody else does the work
                assert outbox.drain(now=_later(minutes=6)) == 1
                raise Boom

        handle(slow)
        outbox.add(topic=TOPIC, key="a")
        outbox.drain()
        row = OutboxMessage.objects.get()
        assert row.done_at is not None
        assert (row.tries, row.error_class) == (2, "")
        assert "outbox_lease_lost" in caplog.text

    def test_a_row_somebody_else_took_first_is_left_alone(
        self, handled: list[outbox.Message], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        outbox.add(topic=TOPIC, key="a")
        monkeypatch.setattr(outbox, "LEASE", timedelta())
        monkeypatch.setattr(OutboxMessage.objects.none().__class__, "update", lambda *_, **__: 0)
        assert outbox._take(TOPIC, now=timezone.now() + timedelta(seconds=1)) is None


@pytest.mark.django_db(transaction=True)
class TestFailure:
    def test_a_failure_waits_longer_each_time_and_then_is_parked_with_its_reason(self, handle: Register) -> None:
        def fail(message: outbox.Message) -> None:
            raise Boom("no luck with sk-tg-0123456789abcdef\nFORGED line")

        handle(fail, tries=3)
        outbox.add(topic=TOPIC, key="a", payload={"n": 1})
        now = timezone.now() + timedelta(seconds=1)
        waits = []
        for _ in range(3):
            assert outbox.drain(now=partial(datetime.fromtimestamp, now.timestamp(), UTC)) == 1
            row = OutboxMessage.objects.get()
            waits.append(row.due_at - now)
            now = max(row.due_at, now) + timedelta(milliseconds=1)
        assert timedelta(seconds=2) <= waits[0] <= timedelta(seconds=5)
        assert timedelta(seconds=5) <= waits[1] <= timedelta(seconds=10)
        assert row.parked_at is not None
        assert row.error_class == "Boom"
        assert row.error_sentence == r"no luck with sk-[redacted]\nFORGED line"
        assert row.payload == {"n": 1}  # kept: the operator decides
        assert outbox.drain(now=_later(days=30)) == 0

    def test_poison_does_not_stop_its_neighbours(self, handle: Register) -> None:
        seen: list[str] = []

        def pick(message: outbox.Message) -> None:
            if message.key == "poison":
                raise Boom
            seen.append(message.key)

        handle(pick)
        for key in ("one", "poison", "two"):
            outbox.add(topic=TOPIC, key=key)
        for minutes in range(5):
            outbox.drain(now=_later(minutes=minutes))
        assert seen == ["one", "two"]
        assert outbox.state(now=timezone.now()) == outbox.State(pending=0, oldest_age_s=0.0, parked=1)

    def test_a_hopeless_message_is_parked_at_once(self, handle: Register) -> None:
        def give_up(message: outbox.Message) -> None:
            raise outbox.Hopeless("The endpoint is gone.")

        handle(give_up)
        outbox.add(topic=TOPIC, key="a")
        outbox.drain()
        row = OutboxMessage.objects.get()
        assert (row.tries, row.error_class, row.error_sentence) == (1, "Hopeless", "The endpoint is gone.")
        assert row.parked_at is not None

    def test_a_parked_message_can_be_given_all_its_tries_again(self, handle: Register, rings: list[Any]) -> None:
        def give_up(message: outbox.Message) -> None:
            raise outbox.Hopeless

        handle(give_up)
        outbox.add(topic=TOPIC, key="a")
        outbox.drain()
        rings.clear()
        seen: list[outbox.Message] = []
        handle(seen.append)
        row = OutboxMessage.objects.get()
        assert outbox.unpark([row.id], now=timezone.now()) == 1
        assert outbox.unpark([row.id], now=timezone.now()) == 0
        assert len(rings) == 1
        assert outbox.drain() == 1
        assert seen[0].tries == 1

    def test_a_topic_with_a_long_slow_queue_does_not_stand_before_the_others(self, handle: Register) -> None:
        order: list[str] = []
        handle(lambda message: order.append(message.key), topic="dead.endpoints")
        handle(lambda message: order.append(message.key), topic="mail")
        for n in range(20):
            outbox.add(topic="dead.endpoints", key=f"slow {n}")
        outbox.add(topic="mail", key="letter")
        outbox.drain()
        assert order.index("letter") <= 1
        assert len(order) == 21

    def test_a_task_gives_its_worker_back_in_time(
        self, handled: list[outbox.Message], monkeypatch: pytest.MonkeyPatch, rings: list[Any]
    ) -> None:
        outbox.add(topic=TOPIC, key="a")
        rings.clear()
        monkeypatch.setattr(outbox, "SHIFT_S", 0.0)
        assert tasks.drain_outbox() == 0
        assert len(rings) == 1

    def test_a_message_no_key_opens_fails_like_any_other(self, handled: list[outbox.Message], settings: Any) -> None:
        from cryptography.fernet import Fernet

        outbox.add(topic=TOPIC, key="a", confidential="whisper")
        settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
        assert outbox.drain() == 1
        assert OutboxMessage.objects.defer("confidential").get().error_class == "CannotUnseal"
        assert handled == []

    def test_waits_grow_to_an_end_and_differ_between_neighbours(self) -> None:
        assert all(outbox.wait_after(tries) <= outbox.LONGEST_WAIT for tries in range(1, 100))
        assert outbox.wait_after(40) >= outbox.LONGEST_WAIT / 2
        assert len({outbox.wait_after(5) for _ in range(20)}) > 1

    def test_two_functions_cannot_share_a_topic(self, handled: list[outbox.Message]) -> None:
        with pytest.raises(AssertionError, match="already has a handler"):
            outbox.handles(TOPIC)(lambda message: None)


@pytest.mark.django_db(transaction=True)
class TestState:
    def test_age_counts_from_the_oldest_that_is_due(self, handled: list[outbox.Message]) -> None:
        now = datetime(2026, 5, 1, 12, tzinfo=UTC)
        for minutes, wait in ((10, 0), (20, 60)):  # the older one is waiting for its next try
            OutboxMessage.objects.create(
                topic=TOPIC,
                key=str(minutes),
                created_at=now - timedelta(minutes=minutes),
                due_at=now + timedelta(minutes=wait),
            )
        assert outbox.state(now=now) == outbox.State(pending=2, oldest_age_s=600.0, parked=0)
        assert outbox.is_due(now=now)
        assert not outbox.is_due(now=now - timedelta(hours=1))

    def test_gauges_read_the_table_when_asked(self, handled: list[outbox.Message]) -> None:
        outbox.add(topic=TOPIC, key="a")
        figures = generate_latest(REGISTRY).decode()
        assert "tollgate_outbox_pending 1.0" in figures
        assert "tollgate_outbox_parked 0.0" in figures
        assert "tollgate_outbox_oldest_age_seconds" in figures

    def test_gauges_without_a_database_are_silent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def gone(**_: Any) -> outbox.State:
            raise DatabaseError

        monkeypatch.setattr(outbox, "state", gone)
        assert outbox._Gauges().collect() == []
        assert [family.samples for family in outbox._Gauges().describe()] == [[], [], []]

    def test_old_handled_messages_are_forgotten_and_parked_ones_are_not(self, handled: list[outbox.Message]) -> None:
        now = timezone.now()
        long_ago = now - timedelta(days=31)
        for n in range(5):
            OutboxMessage.objects.create(topic=TOPIC, key=f"done-{n}", done_at=long_ago)
        OutboxMessage.objects.create(topic=TOPIC, key="parked", parked_at=long_ago)
        OutboxMessage.objects.create(topic=TOPIC, key="recent", done_at=now)
        OutboxMessage.objects.create(topic=TOPIC, key="pending", created_at=long_ago)
        assert outbox.forget(now=now, slice_size=2) == 5
        assert tasks.forget_outbox() == 0
        assert set(OutboxMessage.objects.values_list("key", flat=True)) == {"parked", "recent", "pending"}

    def test_rows_name_themselves(self) -> None:
        assert str(OutboxMessage(topic="a", key="b")) == "a b"


def test_a_real_broker_that_is_not_there_is_swallowed_soon(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = Celery("broken", broker="redis://127.0.0.1:1/0", set_as_current=False)
    app.conf.broker_transport_options = {"socket_connect_timeout": 1}
    monkeypatch.setattr(tasks, "drain_outbox", app.task(name="broken.drain")(lambda: None))
    started_at = time.monotonic()
    outbox.ring()
    assert time.monotonic() - started_at < 5
    assert "outbox_doorbell_failed" in caplog.text


def test_every_process_knows_the_installations_queue_and_beats_what_exists() -> None:
    app = tasks.drain_outbox.app
    assert app.main == "tollgate"
    assert app.conf.broker_url == settings.CELERY_BROKER_URL
    app.loader.import_default_modules()  # as a worker does when it starts
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= set(app.tasks)
    with app.connection_for_write() as broker:
        broker.ensure_connection(max_retries=1, timeout=5)
    assert app.conf.beat_scheduler == "plumbing.beat:LeasedScheduler"
