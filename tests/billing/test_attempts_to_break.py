"""Attempts to break the money, made by somebody who wrote none of it: each story here once ended wrong."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, OperationalError, connection, connections, transaction

from accounts.models.organizations import Standing
from accounts.signals import access_changed
from billing import audit, commit, leases, ledger, wallets
from billing.commit import Busy, Committer
from billing.models import Account, CapCounter, ProcessLease, Transfer, Wallet
from billing.models.ledger import Kind
from billing.operations import (
    BadOperation,
    Credit,
    Ended,
    Extend,
    Granted,
    Insufficient,
    Post,
    Refused,
    Release,
    Released,
    Reserve,
    Rider,
    Settle,
    Settled,
    Tokens,
    Why,
    Withdraw,
    Withdrawn,
)
from tests.billing.ledger_stage import NOW, TOKENS, Stage

pytestmark = pytest.mark.django_db(transaction=True)
on_postgresql = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="PostgreSQL locks rows")


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
    return asyncio.run(asyncio.wait_for(story, 30))


def failure(cause: psycopg.Error) -> OperationalError:
    error = OperationalError("refused")
    error.__cause__ = cause
    return error


@contextmanager
def elsewhere(statement: str) -> Iterator[Callable[[], None]]:
    """Somebody else has executed ``statement`` and leaves the transaction open until told, or until the end."""
    done, over = threading.Event(), threading.Event()

    def work() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
            done.set()
            over.wait(20)
        connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    assert done.wait(20)
    try:
        yield over.set
    finally:
        over.set()
        thread.join()


def locked(stage: Stage) -> str:
    return f"SELECT 1 FROM billing_wallet WHERE organization_id = {stage.organization.pk} FOR UPDATE"  # noqa: S608


class Meddling:
    """Stands before or after each transaction of the committer's thread and may raise there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, before: list[Any] = (), after: list[Any] = ()) -> None:  # type: ignore[assignment]
        self.before, self.after = list(before), list(after)
        self.begun, self.enough, self.over = threading.Event(), threading.Event(), threading.Event()
        original = transaction.Atomic.__exit__

        def leave(atomic: Any, *arguments: Any) -> Any:
            ours = threading.current_thread().name == "committer" and arguments[0] is None
            if ours and self.before and not self.enough.is_set() and (error := self.before.pop(0)):
                self.begun.set()
                if not self.before:
                    self.over.set()
                original(atomic, type(error), error, None)
                raise error
            answer = original(atomic, *arguments)
            if ours and self.after and (error := self.after.pop(0)):
                raise error
            return answer

        monkeypatch.setattr(transaction.Atomic, "__exit__", leave)


# --- Group commit -----------------------------------------------------------------------------------------------------


@on_postgresql
def test_the_only_neighbour_of_a_locked_wallet_is_served(
    stage: Stage, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Stage()
    entered, together = threading.Event(), threading.Event()
    original = ledger.apply

    def apply(*arguments: Any) -> Any:
        if threading.current_thread().name == "committer":
            entered.set()
            assert together.wait(20)
        return original(*arguments)

    monkeypatch.setattr(ledger, "apply", apply)

    async def story(unlock: Callable[[], None]) -> None:
        first = asyncio.create_task(committer.submit(other.reserving(0)))
        await asyncio.to_thread(entered.wait, 20)
        stuck = asyncio.create_task(committer.submit(stage.reserving(0)))
        free = asyncio.create_task(committer.submit(other.reserving(0)))
        await asyncio.sleep(0)
        together.set()
        assert [await first, await free] == [Granted(0)] * 2
        assert not stuck.done()
        unlock()
        assert await stuck == Granted(0)

    with elsewhere(locked(stage)) as unlock:
        run(story(unlock))


def test_a_lock_that_is_gone_when_one_looks_for_it_fails_nobody(
    stage: Stage, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    Meddling(monkeypatch, before=[failure(psycopg.errors.LockNotAvailable("canceling statement due to lock timeout"))])
    assert run(committer.submit(stage.reserving(0))) == Granted(0)


@on_postgresql
def test_a_locked_table_makes_everybody_wait_and_ends_nothing(stage: Stage, committer: Committer) -> None:
    async def story(unlock: Callable[[], None]) -> None:
        waiting = [asyncio.create_task(committer.submit(stage.reserving(0))) for _ in range(3)]
        await asyncio.sleep(1)
        unlock()
        assert await asyncio.gather(*waiting) == [Granted(0)] * 3

    with elsewhere("LOCK TABLE billing_wallet IN ACCESS EXCLUSIVE MODE") as unlock:
        run(story(unlock))


@on_postgresql
def test_what_an_absent_caller_held_is_given_back_however_long_the_wallet_was_locked(
    stage: Stage, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "PATIENCE_S", 0.1)
    stage.top_up(100)
    hold_id, _ = stage.reserve(30)
    with elsewhere(locked(stage)) as unlock:
        with committer._wake:
            committer._give_back(stage.reserving(30, hold_id=hold_id))
        run(asyncio.sleep(1.5))
        unlock()
    run(committer.submit(stage.reserving(0)))
    committer.stop()
    assert stage.hold(hold_id).outcome == "released"


def test_a_reserve_that_was_committed_before_the_trouble_is_given_back_after_it(
    stage: Stage, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """COMMIT arrived, its answer did not, and every further try loses a race: nobody knows, so nobody may hold."""
    monkeypatch.setattr(commit, "PAUSE_S", 0.001)
    stage.top_up(100)
    reserve = stage.reserving(30)
    races = [failure(psycopg.errors.SerializationFailure("race")) for _ in range(commit.TRIES - 1)]
    Meddling(
        monkeypatch, before=[None, *races], after=[failure(psycopg.OperationalError("server closed the connection"))]
    )
    with pytest.raises(OperationalError):
        run(committer.submit(reserve))
    committer.stop()
    assert stage.hold(reserve.hold_id).outcome == "released"
    assert stage.money() == (100, 0)


def test_a_reserve_that_was_committed_and_waits_for_a_lock_is_given_back_when_its_caller_leaves(
    stage: Stage, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.top_up(100)
    reserve = stage.reserving(30)
    locks = [failure(psycopg.errors.LockNotAvailable("lock timeout"))] * 100_000
    meddling = Meddling(
        monkeypatch, before=[None, *locks], after=[failure(psycopg.OperationalError("server closed the connection"))]
    )

    async def story() -> None:
        task = asyncio.create_task(committer.submit(reserve))
        assert await asyncio.to_thread(meddling.begun.wait, 20)
        task.cancel()

    run(story())
    meddling.enough.set()
    committer.stop()
    assert stage.hold(reserve.hold_id).outcome == "released"
    assert stage.money() == (100, 0)


def test_what_was_granted_to_an_event_loop_that_ended_is_given_back(
    stage: Stage, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.top_up(100)
    reserve = stage.reserving(30)
    over = threading.Event()
    original = ledger.apply

    def apply(*arguments: Any) -> Any:
        if threading.current_thread().name == "committer":
            assert over.wait(20)
        return original(*arguments)

    monkeypatch.setattr(ledger, "apply", apply)
    loop = asyncio.new_event_loop()
    task = loop.create_task(committer.submit(reserve))
    loop.call_later(0.05, loop.stop)
    loop.run_forever()
    loop.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    over.set()
    committer.stop()
    assert stage.hold(reserve.hold_id).outcome == "released"


@pytest.mark.parametrize("settles", [True, False])
def test_the_end_of_a_hold_outlives_its_caller_and_the_outage(
    stage: Stage, committer: Committer, monkeypatch: pytest.MonkeyPatch, *, settles: bool
) -> None:
    monkeypatch.setattr(commit, "PAUSE_S", 0.001)
    stage.top_up(100)
    hold_id, _ = stage.reserve(30)
    end: Settle | Release = Release(hold_id, stage.organization.pk)
    if settles:
        end = Settle(hold_id=hold_id, organization_id=stage.organization.pk, charge_nano=20, exact=True)
    away = [failure(psycopg.OperationalError("the server is away")) for _ in range(2 * commit.TRIES)]
    meddling = Meddling(monkeypatch, before=away)

    async def story() -> None:
        task = asyncio.create_task(committer.submit(end))
        await asyncio.sleep(0)
        task.cancel()
        assert await asyncio.to_thread(meddling.over.wait, 20)
        await committer.submit(stage.reserving(0))

    run(story())
    committer.stop()
    assert stage.hold(hold_id).outcome == ("settled" if settles else "released")
    assert stage.money() == (80 if settles else 100, 0)
    stage.proven()


def test_a_full_queue_lets_in_what_ends_a_hold(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was admitted must be charged, however many others ask to be."""
    stage.top_up(100)
    (first, _), (second, _) = stage.reserve(30), stage.reserve(30)
    entered, together = threading.Event(), threading.Event()
    original = ledger.apply

    def apply(*arguments: Any) -> Any:
        if threading.current_thread().name == "committer":
            entered.set()
            assert together.wait(20)
        return original(*arguments)

    monkeypatch.setattr(ledger, "apply", apply)
    committer = Committer(capacity=1)
    committer.start()

    async def story() -> None:
        waiting = [asyncio.create_task(committer.submit(stage.reserving(0)))]
        await asyncio.to_thread(entered.wait, 20)
        waiting.append(asyncio.create_task(committer.submit(stage.reserving(0))))
        await asyncio.sleep(0)
        settle = Settle(hold_id=first, organization_id=stage.organization.pk, charge_nano=20, exact=True)
        ends = [committer.submit(settle), committer.submit(Release(second, stage.organization.pk))]
        tasks = [asyncio.create_task(end) for end in ends]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await committer.submit(stage.reserving(0))
        together.set()
        assert await asyncio.gather(*tasks) == [Settled(20, 0), Released()]
        await asyncio.gather(*waiting)

    try:
        run(story())
    finally:
        together.set()
        committer.stop()
    assert stage.money() == (80, 0)


@on_postgresql
def test_a_killed_connection_is_replaced_and_nothing_counts_twice(stage: Stage, committer: Committer) -> None:
    stage.top_up(1_000)

    def kill() -> None:
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    async def story() -> int:
        charged = 0
        for _ in range(5):
            reserves = [stage.reserving(10) for _ in range(20)]
            granting = [asyncio.create_task(committer.submit(reserve)) for reserve in reserves]
            await asyncio.to_thread(kill)
            assert await asyncio.gather(*granting) == [Granted(10)] * 20
            ends = [
                Settle(hold_id=reserve.hold_id, organization_id=stage.organization.pk, charge_nano=3, exact=True)
                for reserve in reserves
            ]
            settling = [asyncio.create_task(committer.submit(end)) for end in ends]
            await asyncio.to_thread(kill)
            assert await asyncio.gather(*settling) == [Settled(3, 0)] * 20
            charged += 60
        return charged

    assert run(story()) == 300
    connections.close_all()
    assert stage.money() == (700, 0)
    stage.proven()


# --- Holds ------------------------------------------------------------------------------------------------------------


def test_a_hold_that_has_ended_is_not_granted_again(stage: Stage) -> None:
    """A caller who asks again must not go upstream on money that was given back meanwhile."""
    stage.top_up(100)
    reserve = stage.reserving(60)
    assert stage.one(reserve) == Granted(60)
    extend = Extend(
        hold_id=reserve.hold_id, organization_id=stage.organization.pk, step=1, minimum_nano=1, maximum_nano=9
    )
    assert stage.one(extend) == Granted(9)
    stage.release(reserve.hold_id, outcome="expired")
    assert stage.apply(reserve, extend) == [Ended("expired")] * 2
    other, _ = stage.reserve(100)
    assert stage.settle(other, 100) == Settled(100, 0)
    assert stage.money() == (0, 0)
    stage.proven()


def test_a_cap_bounds_tokens_whose_price_turned_out_higher(stage: Stage) -> None:
    """As many tokens as were held, of a dearer kind: the cap is in money, and holds for money's worth of tokens too."""
    stage.top_up(1_000, kind=Kind.TRIAL, unit=TOKENS, value_nano=0, source="promotions")
    tokens = (Tokens(TOKENS, 1_000),)
    hold_id, _ = stage.reserve(10, tokens=tokens, caps=(stage.cap(10),))
    assert stage.settle(hold_id, 1_000, tokens=tokens) == Settled(10, 990)
    assert stage.counter().spent == 10
    assert stage.account(Kind.TRIAL).posted == 990
    hold_id, _ = stage.reserve(10, minimum=1, tokens=tokens)
    assert stage.settle(hold_id, 1_000, tokens=tokens) == Settled(990, 10)
    stage.proven()


def test_nothing_may_be_called_hold_zero() -> None:
    with pytest.raises(BadOperation):
        Reserve(hold_id=0, organization_id=1, process_id=1, epoch=1, minimum_nano=1, maximum_nano=1)


# --- Money in, money out ----------------------------------------------------------------------------------------------


def test_the_same_name_for_another_deed_is_refused_and_not_called_done(stage: Stage) -> None:
    """Each pair has one name, one owner and one amount; only the deed differs."""
    owner = stage.organization.pk

    def credit(uid: str, **fields: Any) -> Credit:
        return Credit(uid=uid, organization_id=owner, amount=50, **fields)

    def withdraw(uid: str, **fields: Any) -> Withdraw:
        return Withdraw(uid=uid, organization_id=owner, amount=50, code="refund", may_owe=False, **fields)

    def post(debit: str, credit: str) -> Post:
        return Post(uid="day", debit=debit, credit=credit, amount=50, code="cost")

    stage.apply(credit("first"), credit("second"))
    stage.top_up(1_000)
    pairs: list[tuple[Any, Any]] = [
        (credit("gift", kind=Kind.PROMO, source="promotions"), credit("gift")),
        (credit("trial", kind=Kind.TRIAL, unit=TOKENS, value_nano=0), credit("trial", kind=Kind.TRIAL)),
        (withdraw("back"), credit("back")),
        (credit("in"), withdraw("in")),
        (withdraw("refund", reverses="first"), withdraw("refund", reverses="second")),
        (withdraw("to", to="payments"), withdraw("to", to="revenue")),
        (post("provider_cost", "providers"), post("providers", "provider_cost")),
    ]
    for deed, other in pairs:
        assert not isinstance(stage.one(deed), Refused)
        assert stage.one(other) == Refused(Why.OTHER_CAUSE), other
        assert stage.one(deed).repeated
    stage.proven()


@pytest.mark.parametrize("text", ["a\x00b", "x" * 201, "\ud800"])
def test_a_text_that_cannot_be_kept_makes_no_operation(text: str) -> None:
    told: Any
    for told in ({"reference": text}, {"reason": text}, {"label": text}):
        with pytest.raises(BadOperation):
            Credit(uid="a", organization_id=1, amount=1, **told)
    for told in ({"reference": text}, {"reason": text}):
        with pytest.raises(BadOperation):
            Withdraw(uid="a", organization_id=1, amount=1, code="refund", may_owe=True, **told)
        with pytest.raises(BadOperation):
            Post(uid="a", debit="revenue", credit="providers", amount=1, code="cost", **told)
    with pytest.raises(BadOperation):
        Settle(hold_id=1, organization_id=1, charge_nano=1, exact=True, reference=text)
    with pytest.raises(BadOperation):
        Credit(uid=text, organization_id=1, amount=1)


def test_a_gift_is_not_refunded_out_of_paid_money(stage: Stage) -> None:
    stage.top_up(80)
    stage.top_up(50, uid="gift", kind=Kind.PROMO, source="promotions")
    for may_owe in (False, True):
        refund = Withdraw(
            uid="cash",
            organization_id=stage.organization.pk,
            amount=50,
            code="refund",
            may_owe=may_owe,
            reverses="gift",
        )
        assert stage.one(refund) == Refused(Why.NO_ORIGINAL)
    assert stage.money() == (80, 0)


def test_a_refund_of_money_that_paid_a_debt_becomes_a_debt_again(stage: Stage) -> None:
    stage.top_up(100, uid="pay")
    hold_id, _ = stage.reserve(100)
    owner = stage.organization.pk
    dispute = Withdraw(uid="d", organization_id=owner, amount=100, code="dispute", may_owe=True, reverses="pay")
    assert stage.one(dispute) == Withdrawn(0, 100)
    assert stage.settle(hold_id, 70) == Settled(70, 0)
    assert stage.account(Kind.DEBT).posted == 70
    stage.top_up(90, uid="again")
    assert (stage.money(), stage.account(Kind.DEBT).posted) == ((20, 0), 0)
    refund = Withdraw(uid="r", organization_id=owner, amount=90, code="refund", may_owe=False, reverses="again")
    assert stage.one(refund) == Insufficient(20, 20)
    stage.proven()


@on_postgresql
def test_two_processes_may_meet_a_new_unit_at_once(stage: Stage, committer: Committer) -> None:
    """The house's account in that unit is opened by whoever comes first; the other must not fail for it."""
    other = Stage()
    credit = Credit(
        uid="b", organization_id=other.organization.pk, amount=5, kind=Kind.TRIAL, unit=TOKENS, value_nano=0
    )
    opened, over = threading.Event(), threading.Event()

    def first() -> None:
        with transaction.atomic():
            mine = Credit(
                uid="a", organization_id=stage.organization.pk, amount=5, kind=Kind.TRIAL, unit=TOKENS, value_nano=0
            )
            ledger.apply(connection, [mine], NOW)
            opened.set()
            over.wait(20)
        connections.close_all()

    thread = threading.Thread(target=first)
    thread.start()
    assert opened.wait(20)

    async def story() -> Any:
        second = asyncio.create_task(committer.submit(credit))
        await asyncio.sleep(0.5)
        over.set()
        return await second

    try:
        assert run(story()).account_id == Account.unscoped.get(organization=other.organization, unit=TOKENS).pk
    finally:
        over.set()
        thread.join()
    stage.proven()


@on_postgresql
def test_a_rider_carries_bytes_as_they_are(stage: Stage) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE ride (body bytea)")
    stage.reserve(0, riders=(Rider("ride", ("body",), [(b"\x00a\xff",)]),))
    with connection.cursor() as cursor:
        cursor.execute("SELECT body FROM ride")
        assert bytes(cursor.fetchone()[0]) == b"\x00a\xff"


# --- Leases and wallets -----------------------------------------------------------------------------------------------


def test_who_may_go_on_is_told_the_truth_about_its_holds(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process wakes up and beats while the sweep is at its holds: either it lost the lease, or it kept the holds."""
    lease = leases.Lease("sleeper")
    lease.take()
    stage.top_up(100)
    hold_id, process_id = lease.next_hold()
    stage.process = ProcessLease.objects.get(pk=process_id)
    assert stage.reserve(60, hold_id=hold_id)[1] == Granted(60)
    ProcessLease.objects.filter(pk=process_id).update(heartbeat_at=NOW.replace(year=2020))
    answers = []
    found = leases._open_holds

    def waking(*arguments: Any) -> Any:
        answers.append(lease.beat())
        return found(*arguments)

    monkeypatch.setattr(leases, "_open_holds", waking)
    leases.sweep()
    assert stage.hold(hold_id).outcome == "expired"
    assert answers[0] is False
    assert lease.process_id != process_id


def test_one_hold_that_cannot_be_ended_keeps_no_others(stage: Stage) -> None:
    stage.top_up(100)
    broken = Stage()
    broken.top_up(100)
    bad, _ = broken.reserve(60)
    Account.unscoped.filter(organization=broken.organization, kind=Kind.PAID).update(held=0)
    stage.process, stage.numbers = broken.process, broken.numbers
    good, _ = stage.reserve(60)
    ProcessLease.objects.filter(pk=broken.process.pk).update(heartbeat_at=NOW.replace(year=2020))
    assert leases.sweep() == 1
    assert (broken.hold(bad).outcome, stage.hold(good).outcome) == (None, "expired")


@pytest.mark.parametrize("breaks", ["counter", "wallet", "line"])
def test_whatever_is_broken_about_a_hold_keeps_no_others(stage: Stage, breaks: str) -> None:
    stage.top_up(100)
    broken = Stage()
    broken.top_up(100)
    bad, _ = broken.reserve(60, caps=(broken.cap(100),))
    stage.process, stage.numbers = broken.process, broken.numbers
    good, _ = stage.reserve(60)
    if breaks == "counter":
        CapCounter.unscoped.all().delete()
    elif breaks == "wallet":
        Wallet.unscoped.filter(pk=broken.organization.pk).delete()
    else:  # an account with nothing in it is not read
        Account.unscoped.filter(organization=broken.organization).update(held=0, posted=0)
    ProcessLease.objects.filter(pk=broken.process.pk).update(heartbeat_at=NOW.replace(year=2020))
    assert leases.sweep() == 1
    assert (broken.hold(bad).outcome, stage.hold(good).outcome) == (None, "expired")
    assert audit.run().findings


def test_a_sweep_without_a_database_ends_and_says_so(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hold is not called broken because the database is away; the next sweep takes it."""
    hold_id, _ = stage.reserve(0)
    ProcessLease.objects.filter(pk=stage.process.pk).update(heartbeat_at=NOW.replace(year=2020))
    with monkeypatch.context() as patch:
        patch.setattr(leases.ledger, "apply", Away())
        with pytest.raises(OperationalError):
            leases.sweep()
    assert leases.sweep() == 1
    assert stage.hold(hold_id).outcome == "expired"


class Away:
    def __call__(self, *_: Any) -> Any:
        raise failure(psycopg.OperationalError("the server is away"))


def test_a_further_attempt_is_written_down_once_though_nobody_knows_whether_it_was(
    stage: Stage, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An extension by nothing carries a row; COMMIT arrives, its answer does not, and the same is done again."""
    hold_id, _ = stage.reserve(0)
    row = (ProcessLease.objects.latest("id").pk + 1_000, "departure", NOW, NOW)
    rider = Rider("billing_processlease", ("id", "name", "started_at", "heartbeat_at"), [row])
    Meddling(monkeypatch, after=[failure(psycopg.OperationalError("server closed the connection"))])
    extend = Extend(hold_id, stage.organization.pk, 1, 0, 0, riders=(rider,))
    assert run(committer.submit(extend)) == Granted(0)
    assert run(committer.submit(extend)) == Granted(0)
    assert ProcessLease.objects.filter(name="departure").count() == 1


def test_what_must_be_new_is_not_kept_quietly(stage: Stage) -> None:
    """Only that one case forgives a row that is there: elsewhere a clash fails the operation and leaves no hold."""
    stage.top_up(100)
    hold_id, _ = stage.reserve(10)
    rider = Rider(
        "billing_processlease", ("id", "name", "started_at", "heartbeat_at"), [(stage.process.pk, "x", NOW, NOW)]
    )
    with pytest.raises(IntegrityError):
        stage.reserve(10, riders=(rider,))
    with pytest.raises(IntegrityError):
        stage.extend(hold_id, 10, riders=(rider,))
    assert stage.money() == (100, 10)


def test_a_grant_that_cannot_lapse_does_not_lapse_for_ever(stage: Stage) -> None:
    stage.top_up(5, kind=Kind.PROMO, source="promotions", expires_at=NOW)
    orphan = Stage()
    orphan.top_up(5, kind=Kind.PROMO, source="promotions", expires_at=NOW)
    Wallet.unscoped.filter(pk=orphan.organization.pk).delete()
    assert wallets.lapse_expired(NOW) == 1
    assert stage.money(Kind.PROMO) == (0, 0)
    assert orphan.money(Kind.PROMO) == (5, 0)


@on_postgresql
def test_a_suspension_is_not_undone_by_whatever_else_changes_at_the_same_moment(stage: Stage) -> None:
    owner = stage.organization.pk
    suspend = (
        f"UPDATE accounts_organization SET standing = 'suspended' WHERE id = {owner};"  # noqa: S608
        f"UPDATE billing_wallet SET suspended = true, epoch = epoch + 1 WHERE organization_id = {owner}"
    )
    with elsewhere(suspend) as commit_it:
        timer = threading.Timer(0.5, commit_it)
        timer.start()
        access_changed.send(sender=Stage, organization=stage.organization)  # a key was made, say
        timer.join()
    stage.organization.refresh_from_db()
    assert stage.organization.standing == Standing.SUSPENDED
    assert Wallet.unscoped.get(pk=owner).suspended
    assert stage.epoch == 3
    stage.proven()


def test_an_amount_finer_than_a_nano_is_refused_however_fine(stage: Stage) -> None:
    with pytest.raises(CommandError):
        call_command("credit", stage.organization.public_id, "1.0000000000000000000000000001", "--reason", "fine")
    assert stage.money(Kind.PAID) == (0, 0)
    assert not stage.story()


# --- The audit --------------------------------------------------------------------------------------------------------


def test_the_audit_finds_a_charge_without_a_hold(stage: Stage) -> None:
    """A forger who keeps the balance in step with an invented charge."""
    stage.top_up(100)
    paid = stage.account()
    Transfer.unscoped.create(
        uid="invented", organization=stage.organization, debit=paid, credit_id=1, amount=5, value_nano=5, code="usage",
        created_at=NOW,
    )  # fmt: skip
    Account.unscoped.filter(pk=paid.pk).update(posted=95)
    [finding] = audit.run().findings
    assert (finding.invariant, finding.table, finding.account) == ("I5", "transfer", paid.pk)
