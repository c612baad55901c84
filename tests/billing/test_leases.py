import threading
from datetime import timedelta

import pytest
from django.db import DatabaseError, InterfaceError
from django.db.models.functions import Now

from billing import leases, tasks
from billing.leases import DEAD_AFTER, NUMBER_BITS, Lease
from billing.models import ProcessLease
from billing.operations import Settled
from tests.billing.ledger_stage import Stage

pytestmark = pytest.mark.django_db


@pytest.fixture
def stage() -> Stage:
    return Stage()


def age(process_id: int, by: timedelta) -> None:
    ProcessLease.objects.filter(pk=process_id).update(heartbeat_at=Now() - by)


def test_the_sweep_takes_the_holds_of_the_dead_and_no_others(stage: Stage) -> None:
    stage.top_up(1_000)
    dead, alive, ended = (ProcessLease.objects.create(name=n, started_at=Now(), heartbeat_at=Now()) for n in "abc")
    holds = {}
    for process in (dead, alive, ended):
        stage.process = process
        holds[process] = stage.reserve(100)[0]
    age(dead.pk, DEAD_AFTER + timedelta(seconds=1))
    age(alive.pk, DEAD_AFTER - timedelta(seconds=10))
    ProcessLease.objects.filter(pk=ended.pk).update(ended_at=Now())
    assert tasks.sweep_holds(something_new=1) == 2
    assert [stage.hold(holds[process]).outcome for process in (dead, alive, ended)] == ["expired", None, "expired"]
    dead.refresh_from_db()
    assert dead.ended_at is not None
    assert leases.sweep() == 0
    assert stage.money() == (1_000, 100)
    stage.proven()


def test_more_holds_than_a_slice_are_swept_and_a_late_settlement_still_counts(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "SLICE", 2)
    stage.top_up(1_000)
    holds = [stage.reserve(100)[0] for _ in range(5)]
    age(stage.process.pk, timedelta(days=1))
    assert leases.sweep() == 5
    assert stage.settle(holds[0], 70) == Settled(70, 0, late=True)
    assert stage.money() == (930, 0)
    stage.proven()


def test_numbers_are_never_given_twice_and_name_their_process() -> None:
    one, other = Lease("one"), Lease("other")
    one.take()
    other.take()
    numbers = [lease.next_hold() for lease in (one, other) for _ in range(3)]
    assert len({number for number, _ in numbers}) == 6
    assert all(number >> NUMBER_BITS == process_id for number, process_id in numbers)
    assert {process_id for _, process_id in numbers} == {one.process_id, other.process_id}
    before = one.process_id
    one.take()
    assert one.process_id != before


def test_a_lease_given_up_for_dead_is_replaced() -> None:
    lease = Lease("sleeper")
    lease.take()
    first = lease.process_id
    assert lease.beat()
    age(first, DEAD_AFTER * 2)
    leases.sweep()
    assert not lease.beat()
    assert lease.process_id != first
    assert lease.next_hold()[1] == lease.process_id


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("away", [DatabaseError("away"), InterfaceError("connection already closed")])
def test_a_lease_beats_through_an_outage_and_ends_when_it_is_stopped(
    monkeypatch: pytest.MonkeyPatch, away: Exception
) -> None:
    beats = threading.Semaphore(0)
    original = Lease.beat
    answers = iter([True, False])

    def beat(lease: Lease) -> bool:
        try:
            if not next(answers, True):
                raise away
            return original(lease)
        finally:
            beats.release()

    monkeypatch.setattr(Lease, "beat", beat)
    lease = Lease("server", heartbeat_s=0.01)
    lease.start()
    row = ProcessLease.objects.get(pk=lease.process_id)
    for _ in range(3):
        assert beats.acquire(timeout=20)
    lease.stop()
    first_beat = row.heartbeat_at
    row.refresh_from_db()
    assert row.heartbeat_at > first_beat
    assert row.ended_at is not None
    lease.stop()


@pytest.mark.django_db(transaction=True)
def test_leased_is_a_lease_for_a_block() -> None:
    with leases.leased("block") as lease:
        assert ProcessLease.objects.get(pk=lease.process_id).ended_at is None
    assert ProcessLease.objects.get(pk=lease.process_id).ended_at is not None


def test_the_databases_clock_is_a_moment_in_utc() -> None:
    lease = ProcessLease.objects.create(name="clock", started_at=Now(), heartbeat_at=Now())
    lease.refresh_from_db()
    assert abs(leases.database_now() - lease.started_at) < timedelta(seconds=30)


def test_a_process_knows_how_many_of_its_kind_live() -> None:
    first, second, other = Lease("gateway 1"), Lease("gateway 2"), Lease("gatewayish 3")
    for lease in (first, second, other):
        lease.take()
    assert (first.neighbours, second.neighbours, other.neighbours) == (1, 2, 1)
    assert first.beat()
    assert first.neighbours == 2
    age(second.process_id, DEAD_AFTER + timedelta(seconds=1))
    assert first.beat()
    assert first.neighbours == 1


def test_no_two_living_leases_are_alike_in_the_bits_that_ids_carry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "ALIKE", 4)
    living = [Lease(f"gateway {number}") for number in range(4)]
    for lease in living[:3]:
        lease.take()
    ProcessLease.objects.filter(pk=living[1].process_id).update(ended_at=Now())
    for lease in living[1:]:  # one wakes up and finds its lease gone, one comes anew; the third keeps its own
        lease.beat() if lease is not living[3] else lease.take()
    numbers = [lease.process_id % 4 for lease in living]
    assert len(set(numbers)) == 4
