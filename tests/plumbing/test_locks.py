"""Leases: one holder at a time by the database's clock, and beat in one place."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from django.db import DatabaseError, connection

from plumbing import beat, locks
from plumbing.models import Lease

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_lease_has_one_holder_until_it_is_given_back() -> None:
    with locks.lease("night", 30) as holder:
        assert Lease.objects.get(name="night").holder == holder
        with pytest.raises(locks.NotHeld, match="night"), locks.lease("night", 30):
            pytest.fail("two holders")
        with locks.lease("another name", 30):
            pass
    with locks.lease("night", 30):
        pass
    assert not Lease.objects.exists()


def test_a_lease_is_given_back_when_the_work_fails() -> None:
    with pytest.raises(ZeroDivisionError), locks.lease("night", 30):
        _ = 1 / 0
    assert locks.acquire("night", holder="next", ttl_s=1)


def test_a_lease_that_is_not_renewed_ends_by_the_database_clock() -> None:
    assert locks.acquire("night", holder="dead", ttl_s=0.3)
    assert not locks.acquire("night", holder="heir", ttl_s=30)
    time.sleep(0.4)  # the database's time cannot be set from here
    assert locks.acquire("night", holder="heir", ttl_s=30)
    assert not locks.acquire("night", holder="dead", ttl_s=30)


def test_the_holder_renews_and_a_stranger_cannot_release() -> None:
    assert locks.acquire("night", holder="one", ttl_s=0.2)
    assert locks.acquire("night", holder="one", ttl_s=30)
    locks.release("night", holder="two")
    assert not locks.acquire("night", holder="two", ttl_s=30)


def test_of_many_threads_one_gets_it() -> None:
    won: list[bool] = []

    def run(holder: str) -> None:
        won.append(locks.acquire("night", holder=holder, ttl_s=30))
        connection.close()

    threads = [threading.Thread(target=run, args=(str(n),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(won) == [False] * 7 + [True]


def test_a_lease_names_itself() -> None:
    locks.acquire("night", holder="one", ttl_s=30)
    assert str(Lease.objects.get()).startswith("night until ")


class TestBeat:
    @pytest.fixture
    def app(self, tmp_path: Path) -> Iterator[Celery]:
        app = Celery("beaten", broker="memory://", set_as_current=False)
        app.conf.beat_schedule = {"tick": {"task": "nobody.listens", "schedule": 0.01}}
        app.conf.beat_schedule_filename = str(tmp_path / "schedule")
        yield app
        app.close()

    def _scheduler(self, app: Celery, path: Path, sent: list[str]) -> beat.LeasedScheduler:
        scheduler = beat.LeasedScheduler(app, schedule_filename=str(path))
        scheduler.apply_entry = lambda entry, **_: sent.append(entry.name)  # type: ignore[method-assign]
        return scheduler

    def test_two_beats_one_sends_and_the_other_takes_over(self, app: Celery, tmp_path: Path) -> None:
        first_sent: list[str] = []
        second_sent: list[str] = []
        first = self._scheduler(app, tmp_path / "first", first_sent)
        second = self._scheduler(app, tmp_path / "second", second_sent)
        for _ in range(5):
            time.sleep(0.02)
            assert first.tick() <= beat.RENEWED_EVERY_S
            assert second.tick() == beat.RENEWED_EVERY_S
        assert "tick" in first_sent
        assert second_sent == []
        first.close()
        for _ in range(5):
            time.sleep(0.02)
            second.tick()
        assert "tick" in second_sent
        second.close()
        assert not Lease.objects.exists()

    def test_a_beat_without_its_database_waits(
        self, app: Celery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def gone(*_: Any, **__: Any) -> bool:
            raise DatabaseError

        sent: list[str] = []
        scheduler = self._scheduler(app, tmp_path / "schedule", sent)
        with monkeypatch.context() as patched:
            patched.setattr(locks, "acquire", gone)
            assert scheduler.tick() == beat.RENEWED_EVERY_S
        assert sent == []
        assert "beat_lease_unreachable" in caplog.text
        scheduler.tick()
        monkeypatch.setattr(locks, "release", gone)
        scheduler.close()
        assert "beat_lease_not_released" in caplog.text
        self._scheduler(app, tmp_path / "never-led", []).close()
