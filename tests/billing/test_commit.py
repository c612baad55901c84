import asyncio
import threading
from collections.abc import Coroutine, Iterator
from typing import Any

import psycopg
import pytest
from django.db import (
    DatabaseError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connection,
    connections,
    transaction,
)

from billing import commit, ledger
from billing.commit import Busy, Committer, OpenTransaction
from billing.models import Hold, ProcessLease, Wallet
from billing.operations import Extend, Granted, Insufficient, Post, Posted, Release, Rider, Settle, Settled
from tests.billing.ledger_stage import NOW, Stage

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def committer() -> Iterator[Committer]:
    committer = Committer(clock=lambda: NOW)
    committer.start()
    yield committer
    committer.stop()


def run(story: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(story)


def settling(stage: Stage, hold_id: int, charge: int) -> Settle:
    return Settle(hold_id=hold_id, organization_id=stage.organization.pk, charge_nano=charge, exact=True)


class Gate:
    """Stops the committer's thread before its next batch, so that a test decides what waits together."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.open = threading.Event(), threading.Event()
        self.batches: list[int] = []
        original = ledger.apply

        def apply(*arguments: Any) -> Any:
            if threading.current_thread().name == "committer":
                self.batches.append(len(arguments[1]))
                self.entered.set()
                assert self.open.wait(20)
            return original(*arguments)

        monkeypatch.setattr(commit.ledger, "apply", apply)

    async def closed(self) -> None:
        await asyncio.to_thread(self.entered.wait, 20)


def test_an_extension_whose_caller_left_stays_until_its_hold_ends(
    stage: Stage, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.top_up(100)
    hold_id, _ = stage.reserve(30)
    gate = Gate(monkeypatch)

    async def story() -> None:
        task = asyncio.create_task(committer.submit(Extend(hold_id, stage.organization.pk, 1, 20, 20)))
        await gate.closed()
        task.cancel()
        gate.open.set()
        assert await committer.submit(settling(stage, hold_id, 45)) == Settled(45, 0)

    run(story())
    assert stage.hold(hold_id).held_nano == 50
    assert stage.money() == (55, 0)
    stage.proven()


def test_many_callers_share_commits_and_each_gets_its_own_verdict(stage: Stage, committer: Committer) -> None:
    stage.top_up(1_000)
    reserves = [stage.reserving(100) for _ in range(50)]

    async def story() -> list[Any]:
        verdicts = await asyncio.gather(*map(committer.submit, reserves))
        granted = [reserve for reserve, verdict in zip(reserves, verdicts, strict=True) if verdict == Granted(100)]
        return [verdicts, await asyncio.gather(*(committer.submit(settling(stage, r.hold_id, 60)) for r in granted))]

    verdicts, settled = run(story())
    assert verdicts.count(Granted(100)) == 10
    assert verdicts.count(Insufficient(0, 0)) == 40
    assert settled == [Settled(60, 0)] * 10
    assert committer.batches < committer.operations == 60
    assert stage.money() == (400, 0)
    stage.proven()


def test_a_poisoned_operation_fails_alone(stage: Stage, committer: Committer, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.top_up(1_000)
    gate = Gate(monkeypatch)
    poison = Rider("billing_wallet", ("organization_id", "epoch"), [(stage.organization.pk, 1)])
    unknown = Rider("no_such_table", ("a",), [(1,)])
    operations = [stage.reserving(10) for _ in range(9)]
    operations.insert(3, stage.reserving(10, riders=(poison,)))
    operations.insert(7, stage.reserving(10, riders=(unknown,)))

    async def story() -> list[Any]:
        first = asyncio.create_task(committer.submit(stage.reserving(1)))
        await gate.closed()
        rest = [asyncio.create_task(committer.submit(operation)) for operation in operations]
        await asyncio.sleep(0)
        gate.open.set()
        await first
        return await asyncio.gather(*rest, return_exceptions=True)

    verdicts = run(story())
    assert isinstance(verdicts.pop(7), DatabaseError)
    assert isinstance(verdicts.pop(3), IntegrityError)
    assert verdicts == [Granted(10)] * 9
    assert gate.batches[1] == 11
    assert stage.money() == (1_000, 91)
    stage.proven()


def test_a_full_queue_says_so_at_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    committer = Committer(capacity=2)
    committer.start()

    async def story() -> None:
        tasks = [asyncio.create_task(committer.submit(stage.reserving(0)))]
        await gate.closed()
        tasks += [asyncio.create_task(committer.submit(stage.reserving(0))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="too many"):
            await committer.submit(stage.reserving(0))
        gate.open.set()
        assert await asyncio.gather(*tasks) == [Granted(0)] * 3

    run(story())
    committer.stop()
    with pytest.raises(Busy, match="stopping"):
        run(committer.submit(stage.reserving(0)))


def test_stopping_finishes_what_waits(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    committer = Committer()
    committer.start()

    async def story() -> Any:
        tasks = [asyncio.create_task(committer.submit(stage.reserving(0)))]
        await gate.closed()
        tasks += [asyncio.create_task(committer.submit(stage.reserving(0))) for _ in range(5)]
        await asyncio.sleep(0)
        stopping = asyncio.create_task(asyncio.to_thread(committer.stop))
        await asyncio.sleep(0.05)
        gate.open.set()
        await stopping
        return await asyncio.gather(*tasks)

    assert run(story()) == [Granted(0)] * 6
    committer.stop()


def test_a_cancelled_reserve_is_dropped_or_given_back(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.top_up(100)
    gate = Gate(monkeypatch)
    committer = Committer()
    committer.start()
    under_way, waiting, settled = stage.reserving(30), stage.reserving(40), stage.reserving(5)
    assert stage.apply(settled) == [Granted(5)]

    async def story() -> None:
        first = asyncio.create_task(committer.submit(under_way))
        await gate.closed()
        second = asyncio.create_task(committer.submit(waiting))
        third = asyncio.create_task(committer.submit(settling(stage, settled.hold_id, 5)))
        await asyncio.sleep(0)
        for task in (first, second, third):
            task.cancel()
        await asyncio.gather(first, second, third, return_exceptions=True)
        gate.open.set()

    run(story())
    committer.stop()
    assert stage.hold(under_way.hold_id).outcome == "released"
    assert not Hold.unscoped.filter(pk=waiting.hold_id).exists()
    assert stage.hold(settled.hold_id).outcome == "settled"
    assert stage.money() == (95, 0)
    stage.proven()


def test_a_queue_of_nothing_but_the_cancelled_is_no_batch(
    stage: Stage, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)

    async def story() -> None:
        first = asyncio.create_task(committer.submit(stage.reserving(0)))
        await gate.closed()
        second = asyncio.create_task(committer.submit(stage.reserving(0)))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        gate.open.set()
        assert await first == Granted(0)
        assert await committer.submit(stage.reserving(0)) == Granted(0)

    run(story())
    assert gate.batches == [1, 1]


def test_a_reserve_cancelled_after_it_was_granted_is_given_back(
    stage: Stage, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.top_up(100)
    reserve = stage.reserving(30)
    answered = threading.Event()
    answer = committer._answer

    def answering(batch: Any) -> None:
        answer(batch)
        answered.set()

    monkeypatch.setattr(committer, "_answer", answering)

    async def story() -> None:
        task = asyncio.create_task(committer.submit(reserve))
        await asyncio.sleep(0)
        answered.wait(20)  # blocks the loop on purpose: the answer is on its way and not yet seen
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(story())
    committer.stop()
    assert stage.hold(reserve.hold_id).outcome == "released"


def test_an_answer_for_a_loop_that_ended_is_not_a_disaster(
    stage: Stage, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    loop = asyncio.new_event_loop()
    task = loop.create_task(committer.submit(stage.reserving(0)))
    loop.call_later(0.05, loop.stop)
    loop.run_forever()
    loop.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    gate.open.set()
    assert run(committer.submit(stage.reserving(0))) == Granted(0)


def test_waiting_inside_a_transaction_is_refused(stage: Stage, committer: Committer) -> None:
    reserve = stage.reserving(0)
    with transaction.atomic(), pytest.raises(OpenTransaction):
        run(committer.submit(reserve))


class Failing:
    """Fails the first calls of the committer with a given error: before the work, or after it was committed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception, *, times: int, after: bool = False) -> None:
        self.left = times
        self.over = threading.Event()
        original = transaction.Atomic.__exit__

        def leave(atomic: Any, *arguments: Any) -> Any:
            ours = threading.current_thread().name == "committer" and self.left > 0 and arguments[0] is None
            if not ours:
                return original(atomic, *arguments)
            self.left -= 1
            if not self.left:
                self.over.set()
            if after:
                original(atomic, *arguments)
            else:
                original(atomic, type(error), error, None)
            raise error

        monkeypatch.setattr(transaction.Atomic, "__exit__", leave)


def lost() -> OperationalError:
    error = OperationalError("server closed the connection unexpectedly")
    error.__cause__ = psycopg.OperationalError("server closed the connection unexpectedly")
    return error


def state(cause: type[psycopg.Error]) -> OperationalError:
    error = OperationalError("refused")
    error.__cause__ = cause("refused")
    return error


PASSING = [
    lost(),
    InterfaceError("connection already closed"),
    state(psycopg.errors.SerializationFailure),
    state(psycopg.errors.DeadlockDetected),
    ledger.Raced("moved"),
]


@pytest.mark.parametrize("after", [False, True], ids=["before COMMIT", "COMMIT sent, answer lost"])
def test_what_may_be_tried_again_is_and_counts_once(
    stage: Stage, committer: Committer, monkeypatch: pytest.MonkeyPatch, *, after: bool
) -> None:
    stage.top_up(500)
    for error in PASSING:
        with monkeypatch.context() as patch:
            Failing(patch, error, times=2, after=after)
            ride = Rider("billing_processlease", ("name", "started_at", "heartbeat_at"), [("ride", NOW, NOW)])
            reserve = stage.reserving(30, riders=(ride,))
            assert run(committer.submit(reserve)) == Granted(30)
            assert run(committer.submit(settling(stage, reserve.hold_id, 20))) == Settled(20, 0)
    assert ProcessLease.objects.filter(name="ride").count() == len(PASSING)
    assert stage.money() == (400, 0)
    stage.proven()


def test_a_reserve_nobody_can_vouch_for_is_given_back_when_the_database_returns(
    stage: Stage, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "PAUSE_S", 0.001)
    stage.top_up(100)
    failing = Failing(monkeypatch, lost(), times=3 * commit.TRIES, after=True)
    reserve = stage.reserving(30)
    with pytest.raises(OperationalError):
        run(committer.submit(reserve))
    assert failing.over.wait(20)  # the release was refused, too, and waited for its turn again
    assert run(
        committer.submit(Post(uid="p", debit="provider_cost", credit="providers", amount=1, code="c"))
    ) == Posted(1)
    committer.stop()
    assert stage.hold(reserve.hold_id).outcome == "released"


def test_a_database_that_stays_away_is_an_error_for_all(
    stage: Stage, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "PAUSE_S", 0.001)
    failing = Failing(monkeypatch, state(psycopg.errors.ReadOnlySqlTransaction), times=10**9)

    async def story() -> list[Any]:
        return await asyncio.gather(*(committer.submit(stage.reserving(0)) for _ in range(3)), return_exceptions=True)

    assert [type(answer) for answer in run(story())] == [OperationalError] * 3
    failing.left = 0


def test_a_busy_file_is_tried_again(stage: Stage, committer: Committer, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlite3

    error = OperationalError("database is locked")
    error.__cause__ = sqlite3.OperationalError("database is locked")
    error.__cause__.sqlite_errorname = "SQLITE_BUSY"
    Failing(monkeypatch, error, times=1)
    assert run(committer.submit(stage.reserving(0))) == Granted(0)


def test_a_wallet_locked_elsewhere_keeps_only_its_own_waiting(
    stage: Stage, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer")
    other = Stage()
    locked, unlock = threading.Event(), threading.Event()

    def keep() -> None:
        with transaction.atomic():
            Wallet.unscoped.select_for_update().get(pk=stage.organization.pk)
            locked.set()
            unlock.wait(20)
        connections.close_all()

    keeper = threading.Thread(target=keep)
    keeper.start()
    locked.wait(20)

    async def story() -> None:
        stuck = [asyncio.create_task(committer.submit(stage.reserving(0))) for _ in range(2)]
        free = [asyncio.create_task(committer.submit(other.reserving(0))) for _ in range(2)]
        assert await asyncio.gather(*free) == [Granted(0)] * 2
        assert not any(task.done() for task in stuck)
        unlock.set()
        assert await asyncio.gather(*stuck) == [Granted(0)] * 2

    run(story())
    keeper.join()

    monkeypatch.setattr(commit, "PATIENCE_S", -1.0)
    locked.clear()
    unlock.clear()
    keeper = threading.Thread(target=keep)
    keeper.start()
    locked.wait(20)
    with pytest.raises(OperationalError):
        run(committer.submit(stage.reserving(0)))
    unlock.set()
    keeper.join()


def test_the_thread_keeps_its_plans_unless_a_pooler_stands_in_between(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("PostgreSQL only")
    for pooled, threshold in ((False, 3), (True, None)):
        monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", pooled)
        committer = Committer()
        assert committer._connection().connection.prepare_threshold == threshold
        connection.close()


def test_a_release_outlives_its_caller(stage: Stage, committer: Committer) -> None:
    stage.top_up(10)
    hold_id, _ = stage.reserve(10)

    async def story() -> None:
        task = asyncio.create_task(committer.submit(Release(hold_id, stage.organization.pk)))
        await asyncio.sleep(0)
        task.cancel()

    run(story())
    committer.stop()
    assert stage.hold(hold_id).outcome == "released"
