"""Money that goes back, debts that follow, and what the books say about each: the corners where a refund could leak."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from billing import ledger
from billing.models import Account, Transfer
from billing.models.ledger import House, Kind
from billing.operations import (
    CapExceeded,
    Credited,
    Granted,
    InDebt,
    Insufficient,
    Lapse,
    Post,
    Posted,
    Refused,
    Release,
    Settle,
    Settled,
    Why,
    Withdraw,
    Withdrawn,
)
from tests.billing.ledger_stage import NOW, TOKENS, Stage

pytestmark = pytest.mark.django_db


@pytest.fixture
def stage() -> Stage:
    return Stage()


def back(stage: Stage, uid: str, amount: int, **fields: Any) -> Withdraw:
    fields.setdefault("code", "refund")
    fields.setdefault("may_owe", True)
    return Withdraw(uid=uid, organization_id=stage.organization.pk, amount=amount, **fields)


def words(stage: Stage, *fields: str) -> list[Sequence[Any]]:
    return list(Transfer.objects.of(stage.organization).order_by("id").values_list(*fields))


def test_refunds_of_one_payment_in_one_batch_are_added_up(stage: Stage) -> None:
    stage.top_up(100, uid="pay")
    stage.top_up(500)
    parts = [back(stage, f"r{place}", amount, reverses="pay") for place, amount in enumerate((40, 40, 21, 20, 1))]
    assert stage.apply(*parts) == [
        Withdrawn(40, 0),
        Withdrawn(40, 0),
        Refused(Why.MORE_THAN_ORIGINAL),
        Withdrawn(20, 0),
        Refused(Why.MORE_THAN_ORIGINAL),
    ]
    assert stage.one(back(stage, "r9", 1, reverses="pay")) == Refused(Why.MORE_THAN_ORIGINAL)
    assert stage.money() == (500, 0)
    stage.proven()


def test_debts_add_up_and_the_next_payment_repays_them(stage: Stage) -> None:
    stage.top_up(100, uid="pay")
    hold_id, _ = stage.reserve(90)
    stage.settle(hold_id, 90)
    assert stage.apply(back(stage, "d1", 40), back(stage, "d2", 25)) == [Withdrawn(10, 30), Withdrawn(0, 25)]
    assert stage.one(back(stage, "d3", 5)) == Withdrawn(0, 5)
    assert stage.money(Kind.DEBT) == (60, 0)
    assert stage.reserve(0)[1] == InDebt(60)
    stage.top_up(50, uid="more")
    assert (stage.money(), stage.money(Kind.DEBT)) == ((0, 0), (10, 0))
    stage.top_up(50, uid="again")
    assert (stage.money(), stage.money(Kind.DEBT)) == ((40, 0), (0, 0))
    assert [uid for (uid,) in words(stage, "uid") if uid and "repaid" in uid] == ["more.repaid", "again.repaid"]
    stage.proven()


@pytest.mark.parametrize("ends", ["release", "settle"])
def test_held_money_pays_the_debt_as_soon_as_it_is_free(stage: Stage, ends: str) -> None:
    stage.top_up(100)
    hold_id, _ = stage.reserve(70)
    assert stage.one(back(stage, "dispute", 80)) == Withdrawn(30, 50)
    assert (stage.money(), stage.money(Kind.DEBT)) == ((70, 70), (50, 0))
    if ends == "release":
        stage.release(hold_id)
        assert (stage.money(), stage.money(Kind.DEBT)) == ((20, 0), (0, 0))
    else:
        stage.settle(hold_id, 30)
        assert (stage.money(), stage.money(Kind.DEBT)) == ((0, 0), (10, 0))
    assert words(stage, "uid", "code", "amount", "value_nano")[-1] == (
        f"hold:{hold_id}.repaid",
        "debt_repaid",
        *((50, 50) if ends == "release" else (40, 40)),
    )
    stage.proven()


def test_a_refund_that_may_not_owe_says_what_there_was(stage: Stage) -> None:
    stage.top_up(100)
    stage.reserve(60)
    assert stage.one(back(stage, "r", 41, may_owe=False)) == Insufficient(40, 40)
    assert stage.one(back(stage, "r", 40, may_owe=False)) == Withdrawn(40, 0)
    assert stage.money() == (60, 60)


def test_the_same_refund_twice_in_a_batch_is_one_and_another_by_its_name_is_none(stage: Stage) -> None:
    stage.top_up(100, uid="pay")
    stage.top_up(100, uid="pay2")
    first = back(stage, "r", 150, reverses="")
    assert stage.apply(first, first) == [Withdrawn(150, 0), Withdrawn(150, 0)]
    assert stage.money() == (50, 0)
    second = back(stage, "s", 80, reverses="pay")
    assert stage.apply(second, second) == [Withdrawn(50, 30), Withdrawn(50, 30)]
    for other in (
        back(stage, "s", 80, reverses="pay2"),
        back(stage, "s", 80, reverses="never heard of"),
        back(stage, "s", 80),
        back(stage, "s", 81, reverses="pay"),
        back(stage, "s", 80, reverses="pay", to=House.BREAKAGE),
        back(stage, "r", 150, reverses="pay"),
        back(Stage(), "s", 80, reverses="pay"),
    ):
        assert stage.one(other) == Refused(Why.OTHER_CAUSE)
    assert stage.one(second) == Withdrawn(50, 30)
    stage.proven()


def test_what_was_said_about_a_movement_is_kept_with_it(stage: Stage) -> None:
    stage.top_up(100, uid="pay", reference="order 7", reason="because")
    hold_id, _ = stage.reserve(60)
    stage.settle(hold_id, 90, reference="call 8")
    over, _ = stage.reserve(10)
    stage.settle(over, 30, reference="call 9")
    stage.one(back(stage, "r", 20, reverses="pay", reference="case 10", reason="asked"))
    assert words(stage, "code", "reference", "reason", "amount") == [
        ("top_up", "order 7", "because", 100),
        ("usage", "call 8", "", 90),
        ("usage", "call 9", "", 10),
        ("unrecovered", "call 9", "", 20),
        ("refund", "case 10", "asked", 20),
    ]


def test_postings_of_the_house_are_known_by_their_name(stage: Stage) -> None:
    post = Post("p", "provider_cost", "providers", 70, "cost", reference="day 1", reason="bill")
    tokens = Post("t", "promotions", "expired_grants", 5, "moved", unit=TOKENS)
    assert stage.apply(post, post, tokens) == [Posted(70), Posted(70), Posted(5)]
    for other in (
        Post("p", "provider_cost", "providers", 71, "cost"),
        Post("p", "provider_cost", "revenue", 70, "cost"),
        Post("p", "revenue", "providers", 70, "cost"),
        Post("p", "provider_cost", "providers", 70, "cost", unit=TOKENS),
    ):
        assert stage.apply(post, other) == [Posted(70), Refused(Why.OTHER_CAUSE)]
    wrong = Post("n", "revenue", "providers", 70, "cost"), Post("n", "provider_cost", "providers", 70, "cost")
    assert stage.apply(*wrong) == [Posted(70), Refused(Why.OTHER_CAUSE)]
    rows = Transfer.unscoped.filter(organization=None).order_by("id")
    assert list(rows.values_list("uid", "amount", "value_nano", "code", "reference", "reason")) == [
        ("p", 70, 70, "cost", "day 1", "bill"),
        ("t", 5, 0, "moved", "", ""),
        ("n", 70, 70, "cost", "", ""),
    ]
    stage.proven()


def test_a_grant_lapses_in_its_own_unit_and_once(stage: Stage) -> None:
    money = stage.top_up(50, kind=Kind.PROMO, source="promotions", expires_at=NOW + timedelta(days=1))
    tokens = stage.top_up(
        30, kind=Kind.TRIAL, unit=TOKENS, value_nano=9, source="promotions", expires_at=NOW + timedelta(days=1)
    )
    assert isinstance(money, Credited)
    hold_id, _ = stage.reserve(20)
    lapses = [Lapse(credited.account_id, stage.organization.pk) for credited in (money, tokens)]
    assert stage.apply(*lapses) == [Posted(0), Posted(0)]
    stage.now += timedelta(days=1)
    assert stage.apply(*lapses, *lapses) == [Posted(30), Posted(30), Posted(0), Posted(0)]
    assert stage.one(Release(hold_id, stage.organization.pk))
    assert stage.apply(*lapses) == [Posted(20), Posted(0)]
    assert words(stage, "uid", "code", "amount", "value_nano")[2:] == [
        (f"lapse:{money.account_id}:50", "grant_expired", 30, 30),
        (f"lapse:{tokens.account_id}:30", "grant_expired", 30, 0),
        (f"lapse:{money.account_id}:20", "grant_expired", 20, 20),
    ]
    house = Account.unscoped.get(kind=House.BREAKAGE, unit=TOKENS)
    assert (house.label, house.priority, house.expires_at, house.posted, house.held) == ("", 0, None, 0, 0)
    assert stage.one(Lapse(stage.account().pk, stage.organization.pk)) == Posted(0)  # paid credit never lapses
    for nobodys in (Lapse(10**9, stage.organization.pk), Lapse(money.account_id, Stage().organization.pk)):
        assert stage.one(nobodys) == Refused(Why.NO_ACCOUNT)
    assert stage.one(Lapse(stage.account(Kind.DEBT).pk, stage.organization.pk)) == Refused(Why.NO_ACCOUNT)
    stage.proven()


def test_a_hold_that_ends_beside_one_that_begins_leaves_it_the_room_in_their_cap(stage: Stage) -> None:
    stage.top_up(1_000)
    cap = stage.cap(100)
    first, _ = stage.reserve(80, caps=(cap,))
    settle = Settle(first, stage.organization.pk, 30, exact=True)
    assert stage.apply(stage.reserving(71, caps=(cap,)), settle) == [
        CapExceeded("key", 1, "day", 100, 70),
        Settled(30, 0),
    ]
    assert stage.apply(stage.reserving(70, caps=(cap,))) == [Granted(70)]
    assert (stage.counter().spent, stage.counter().held) == (30, 70)
    stage.proven()


def test_what_was_held_is_charged_though_the_cap_was_raised_for_others_and_is_full(stage: Stage) -> None:
    stage.top_up(1_000)
    first, _ = stage.reserve(80, caps=(stage.cap(100),))
    second, _ = stage.reserve(120, caps=(stage.cap(200),))
    stage.settle(second, 120)
    assert stage.settle(first, 90) == Settled(
        80, 10
    )  # it was admitted under the lower limit: what is beyond finds none
    assert (stage.counter().spent, stage.counter().held) == (200, 0)
    stage.proven()


@pytest.mark.parametrize(("room", "charged"), [(0, 0), (15, 15), (100, 30)])
def test_a_late_settlement_finds_room_in_its_cap_or_is_the_houses(stage: Stage, room: int, charged: int) -> None:
    stage.top_up(1_000)
    caps = (stage.cap(100 + room),)
    late, _ = stage.reserve(40, caps=caps)
    stage.release(late, outcome="expired")
    stage.reserve(100, caps=caps)
    assert stage.settle(late, 30) == Settled(charged, 30 - charged, late=True)
    assert (stage.counter().spent, stage.counter().held) == (charged, 100)
    stage.proven()


def test_no_transfer_ever_leaves_its_transaction(stage: Stage) -> None:
    stage.top_up(100, uid="pay")
    with transaction.atomic():
        ledger.apply(connection, [back(stage, "r", 60, reverses="pay")], NOW)
        transaction.set_rollback(True)
    assert stage.money() == (100, 0)
    assert stage.one(back(stage, "r", 60, reverses="pay")) == Withdrawn(60, 0)


def test_of_two_gifts_the_one_that_ends_first_burns_first_and_the_endless_one_last(stage: Stage) -> None:
    soon, later = NOW + timedelta(days=1), NOW + timedelta(days=2)
    gifts = [
        stage.top_up(10, kind=Kind.PROMO, source="promotions", expires_at=ends).account_id
        for ends in (None, later, soon, later)
    ]
    hold_id, _ = stage.reserve(35)
    stage.settle(hold_id, 35)
    burned = [account for (account,) in words(stage, "debit_id")[4:]]
    assert burned == [gifts[place] for place in (2, 1, 3, 0)]
    assert stage.apply(*(Lapse(gift, stage.organization.pk) for gift in gifts)) == [Posted(0)] * 4
