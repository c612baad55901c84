import json
from datetime import date, timedelta
from decimal import Decimal
from itertools import count
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.migrations.state import ProjectState
from django.db.transaction import TransactionManagementError

from accounts import organizations, trail
from accounts.models.organizations import Standing
from billing import audit, ledger, wallets
from billing.ledger_book import Page
from billing.models import Account, Hold, HoldLine, ProcessLease, Transfer
from billing.models.guards import SQLITE, Guards
from billing.models.ledger import NANO_USD, Kind
from billing.operations import (
    BadOperation,
    CapExceeded,
    Credit,
    Credited,
    Ended,
    Extend,
    Granted,
    InDebt,
    Insufficient,
    Lapse,
    Post,
    Posted,
    Refused,
    Release,
    Released,
    Reserve,
    Rider,
    Settle,
    Settled,
    Stale,
    Suspended,
    Tokens,
    Why,
    Withdraw,
    Withdrawn,
)
from tests.billing.ledger_stage import TOKENS, Stage

pytestmark = pytest.mark.django_db


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_day_in_the_shop_adds_up(stage: Stage) -> None:
    stage.top_up(20_000)
    first, _ = stage.reserve(5_000)
    second, _ = stage.reserve(5_000)
    third, _ = stage.reserve(5_000)
    assert stage.money() == (20_000, 15_000)
    assert stage.settle(first, 3_200) == Settled(3_200, 0)
    assert stage.release(second) == Released()
    assert stage.settle(third, 0) == Settled(0, 0)
    withdraw = Withdraw(
        uid="refund-1", organization_id=stage.organization.pk, amount=6_800, code="refund", may_owe=False
    )
    assert stage.one(withdraw) == Withdrawn(6_800, 0)
    assert stage.money() == (10_000, 0)
    assert stage.story() == [
        ("top_up", "payments", "paid", 20_000),
        ("usage", "paid", "revenue", 3_200),
        ("refund", "paid", "payments", 6_800),
    ]
    stage.proven()


def test_a_reserve_gets_what_the_balance_affords_between_minimum_and_maximum(stage: Stage) -> None:
    stage.top_up(1_000)
    _, verdict = stage.reserve(600)
    assert verdict == Granted(600)
    _, verdict = stage.reserve(600)
    assert verdict == Insufficient(available_nano=400, affordable_nano=400)
    _, verdict = stage.reserve(600, minimum=400)
    assert verdict == Granted(400)
    _, verdict = stage.reserve(1)
    assert verdict == Insufficient(0, 0)
    assert stage.money() == (1_000, 1_000)
    stage.proven()


def test_a_free_call_still_has_its_hold(stage: Stage) -> None:
    hold_id, verdict = stage.reserve(0)
    assert verdict == Granted(0)
    assert stage.settle(hold_id, 0) == Settled(0, 0)
    assert stage.hold(hold_id).outcome == "settled"
    stage.proven()


def test_repeating_any_operation_changes_nothing_and_answers_the_same(stage: Stage) -> None:
    credit = Credit(uid="pay-1", organization_id=stage.organization.pk, amount=1_000)
    reserve = stage.reserving(500)
    extend = Extend(
        hold_id=reserve.hold_id, organization_id=stage.organization.pk, step=1, minimum_nano=100, maximum_nano=100
    )
    settle = Settle(hold_id=reserve.hold_id, organization_id=stage.organization.pk, charge_nano=450, exact=True)
    withdraw = Withdraw(uid="wd-1", organization_id=stage.organization.pk, amount=700, code="dispute", may_owe=True)
    other = stage.reserving(1, hold_id=reserve.hold_id + 1)
    release = Release(hold_id=other.hold_id, organization_id=stage.organization.pk)
    post = Post(uid="cost-1", debit="provider_cost", credit="providers", amount=9, code="cost")
    for operation in (credit, reserve, extend, settle, other, release, withdraw, post):
        verdict = stage.one(operation)
        before = (stage.story(), stage.money(), stage.money(Kind.DEBT))
        again = stage.one(operation)
        assert again == verdict
        assert (verdict.repeated, again.repeated) == (False, True)
        assert (stage.story(), stage.money(), stage.money(Kind.DEBT)) == before
    stage.proven()


def test_an_extension_holds_more_and_both_pay(stage: Stage) -> None:
    stage.top_up(1_000)
    hold_id, _ = stage.reserve(300)
    assert stage.extend(hold_id, 500) == Granted(500)
    assert stage.extend(hold_id, 500, minimum=100, step=2) == Granted(200)
    assert stage.extend(hold_id, 1, step=3) == Insufficient(0, 0)
    assert stage.hold(hold_id).held_nano == 1_000
    assert stage.settle(hold_id, 999) == Settled(999, 0)
    assert stage.money() == (1, 0)
    assert stage.extend(hold_id, 1, step=4) == Ended("settled")
    stage.proven()


def test_tokens_too_few_to_be_worth_anything_are_not_held(stage: Stage) -> None:
    stage.top_up(2, kind=Kind.TRIAL, unit=TOKENS, value_nano=0)
    hold_id, verdict = stage.reserve(100, minimum=0, tokens=(Tokens(TOKENS, 1_000),))
    assert verdict == Granted(0)
    assert stage.extend(hold_id, 100, minimum=0, tokens=(Tokens(TOKENS, 1_000),)) == Granted(0)
    assert stage.extend(hold_id, 100, minimum=0, tokens=(Tokens(TOKENS, 1_000),)) == Granted(0)
    assert stage.money(Kind.TRIAL) == (2, 0)
    assert stage.extend(hold_id, 100, minimum=0, tokens=(Tokens(TOKENS, 2),)) == Granted(100)
    stage.proven()


def test_reported_usage_over_the_hold_takes_what_is_available_and_the_house_bears_the_rest(stage: Stage) -> None:
    stage.top_up(1_000)
    hold_id, _ = stage.reserve(300)
    other, _ = stage.reserve(200)
    assert stage.settle(hold_id, 1_500) == Settled(charged_nano=800, unrecovered_nano=700)
    assert stage.money() == (200, 200)
    assert stage.story()[1:] == [
        ("usage", "paid", "revenue", 800),
        ("unrecovered", "unrecovered_usage", "revenue", 700),
    ]
    assert stage.settle(other, 200) == Settled(200, 0)
    assert stage.money() == (0, 0)
    stage.proven()


def test_estimated_usage_never_costs_more_than_the_hold(stage: Stage) -> None:
    stage.top_up(1_000)
    hold_id, _ = stage.reserve(300)
    assert stage.settle(hold_id, 1_500, exact=False) == Settled(300, 0)
    assert stage.money() == (700, 0)
    stage.proven()


def test_over_the_hold_stops_at_the_caps(stage: Stage) -> None:
    stage.top_up(1_000)
    hold_id, _ = stage.reserve(300, caps=(stage.cap(450), stage.cap(2_000, window="month")))
    assert stage.settle(hold_id, 900) == Settled(charged_nano=450, unrecovered_nano=450)
    assert stage.counter(window="day").spent == stage.counter(window="month").spent == 450
    stage.proven()


def test_a_settlement_after_a_release_charges_what_is_available_once(stage: Stage) -> None:
    stage.top_up(1_000)
    hold_id, _ = stage.reserve(600, caps=(stage.cap(5_000),))
    assert stage.release(hold_id, outcome="expired") == Released()
    taker, _ = stage.reserve(900)
    assert stage.settle(hold_id, 500) == Settled(100, 400, late=True)
    assert stage.settle(hold_id, 500) == Settled(100, 400, late=True)
    assert stage.release(hold_id) == Released(repeated=True)
    assert stage.hold(hold_id).outcome == "expired"
    assert stage.counter().spent == 100
    assert stage.settle(taker, 900) == Settled(900, 0)
    assert stage.money() == (0, 0)
    stage.proven()


def test_a_late_estimate_is_bounded_by_the_hold_it_had(stage: Stage) -> None:
    stage.top_up(1_000)
    hold_id, _ = stage.reserve(200)
    stage.release(hold_id)
    assert stage.settle(hold_id, 900, exact=False) == Settled(200, 0, late=True)
    stage.proven()


def test_a_settled_hold_cannot_be_released(stage: Stage) -> None:
    stage.top_up()
    hold_id, _ = stage.reserve(10)
    stage.settle(hold_id, 10)
    assert stage.release(hold_id) == Ended("settled")
    other, _ = stage.reserve(10)
    stage.release(other)
    assert stage.extend(other, 5) == Ended("released")


def test_grants_burn_in_one_order_and_the_boundary_splits_exactly(stage: Stage) -> None:
    stage.top_up(100)
    stage.top_up(30, kind=Kind.PROMO)
    stage.top_up(20, kind=Kind.TRIAL)
    stage.top_up(10, kind=Kind.PACKAGE, expires_at=stage.now + timedelta(days=9))
    stage.top_up(5, kind=Kind.PACKAGE, expires_at=stage.now + timedelta(days=3))
    stage.top_up(7, kind=Kind.SUBSCRIPTION)
    hold_id, verdict = stage.reserve(80)
    assert verdict == Granted(80)
    lines = HoldLine.objects.filter(hold_id=hold_id).order_by("position")
    assert [(line.account.kind, line.amount) for line in lines] == [
        ("package", 5),
        ("package", 10),
        ("subscription", 7),
        ("trial", 20),
        ("promo", 30),
        ("paid", 8),
    ]
    assert stage.settle(hold_id, 41) == Settled(41, 0)
    assert [amount for code, _, _, amount in stage.story() if code == "usage"] == [5, 10, 7, 19]
    stage.proven()


def test_tokens_pay_their_share_of_a_request_and_money_the_exact_rest(stage: Stage) -> None:
    stage.top_up(10_000)
    stage.top_up(700, kind=Kind.TRIAL, unit=TOKENS, value_nano=0)
    stage.top_up(200, kind=Kind.PACKAGE, unit="tokens:other", value_nano=0)
    hold_id, verdict = stage.reserve(3_001, tokens=(Tokens(TOKENS, 1_000),))
    assert verdict == Granted(3_001)
    lines = HoldLine.objects.filter(hold_id=hold_id).order_by("position")
    assert [(line.account.kind, line.amount, line.value_nano) for line in lines] == [
        ("trial", 700, 2_100),
        ("paid", 901, 901),  # 300 of 1,000 tokens at 3,001: 900.3, rounded up once
    ]
    assert stage.settle(hold_id, 2_401, tokens=(Tokens(TOKENS, 800),)) == Settled(2_401, 0)
    assert stage.story()[-2:] == [("usage", "trial", "revenue", 700), ("usage", "paid", "revenue", 301)]
    assert stage.money(Kind.TRIAL) == (0, 0)
    stage.proven()


def test_twenty_requests_over_the_last_thousand_tokens_end_at_exactly_zero(stage: Stage) -> None:
    stage.top_up(1_000_000)
    stage.top_up(600, kind=Kind.TRIAL, unit=TOKENS, value_nano=0)
    stage.top_up(400, kind=Kind.TRIAL, unit=TOKENS, value_nano=0)
    reserves = [stage.reserving(700, tokens=(Tokens(TOKENS, 70),)) for _ in range(20)]
    assert stage.apply(*reserves) == [Granted(700)] * 20
    settles = [
        Settle(
            hold_id=reserve.hold_id,
            organization_id=stage.organization.pk,
            charge_nano=700,
            exact=True,
            tokens=(Tokens(TOKENS, 70),),
        )
        for reserve in reserves
    ]
    stage.apply(*settles)
    trials = Account.objects.of(stage.organization).filter(kind=Kind.TRIAL)
    assert [(trial.posted, trial.held) for trial in trials] == [(0, 0), (0, 0)]
    assert stage.money() == (1_000_000 - 20 * 700 + 10_000, 0)
    stage.proven()


def test_a_grant_that_expires_while_held_burns_for_that_hold_only(stage: Stage) -> None:
    stage.top_up(100)
    stage.top_up(50, kind=Kind.PROMO, expires_at=stage.now + timedelta(hours=1))
    promo = stage.account(Kind.PROMO)
    hold_id, _ = stage.reserve(30)
    stage.now += timedelta(hours=1)
    lapse = Lapse(promo.pk, stage.organization.pk)
    assert stage.one(lapse) == Posted(20)
    assert stage.one(lapse) == Posted(0)
    _, verdict = stage.reserve(101)
    assert verdict == Insufficient(100, 100)
    assert stage.settle(hold_id, 10) == Settled(10, 0)
    assert stage.money(Kind.PROMO) == (20, 0)
    assert stage.one(lapse) == Posted(20)
    assert stage.money(Kind.PROMO) == (0, 0)
    stage.proven()


def test_a_grant_in_time_does_not_lapse(stage: Stage) -> None:
    stage.top_up(50, kind=Kind.PROMO, expires_at=stage.now + timedelta(hours=1))
    assert stage.one(Lapse(stage.account(Kind.PROMO).pk, stage.organization.pk)) == Posted(0)
    assert stage.one(Lapse(stage.account(Kind.DEBT).pk, stage.organization.pk)) == Refused(Why.NO_ACCOUNT)
    assert stage.one(Lapse(1, stage.organization.pk)) == Refused(Why.NO_ACCOUNT)


def test_a_cap_is_reserved_with_the_hold(stage: Stage) -> None:
    stage.top_up(1_000_000)
    whole = stage.cap(10_000, scope="organization", scope_id=stage.organization.pk)
    caps = (stage.cap(1_000, window="month"), whole)
    reserves = [stage.reserving(200, caps=caps) for _ in range(50)]
    verdicts = stage.apply(*reserves)
    assert verdicts.count(Granted(200)) == 5
    assert verdicts[5:] == [CapExceeded("key", 1, "month", 1_000, 0)] * 45
    for reserve in reserves[:5]:
        stage.settle(reserve.hold_id, 150)
    assert (stage.counter(window="month").spent, stage.counter(window="month").held) == (750, 0)
    _, verdict = stage.reserve(500, minimum=1, caps=caps)
    assert verdict == Granted(250)
    stage.proven()


def test_a_hold_counts_in_the_window_of_its_admission(stage: Stage) -> None:
    stage.top_up(10_000)
    stage.now = stage.now.replace(hour=23, minute=59, second=59)
    hold_id, _ = stage.reserve(100, caps=(stage.cap(100),))
    stage.now += timedelta(seconds=1)
    _, verdict = stage.reserve(100, caps=(stage.cap(100),))
    assert verdict == Granted(100)
    stage.settle(hold_id, 60)
    assert stage.counter(window_start="2026-11-21").spent == 60
    assert (stage.counter(window_start="2026-11-22").spent, stage.counter(window_start="2026-11-22").held) == (0, 100)
    stage.proven()


def test_an_extension_keeps_the_caps_of_its_hold(stage: Stage) -> None:
    stage.top_up(10_000)
    hold_id, _ = stage.reserve(100, caps=(stage.cap(150),))
    assert stage.extend(hold_id, 100) == CapExceeded("key", 1, "day", 150, 50)
    assert stage.extend(hold_id, 100, minimum=20) == Granted(50)
    stage.release(hold_id)
    assert (stage.counter().spent, stage.counter().held) == (0, 0)
    stage.proven()


def test_a_lowered_cap_leaves_no_room_but_breaks_nothing(stage: Stage) -> None:
    stage.top_up(10_000)
    hold_id, _ = stage.reserve(100, caps=(stage.cap(150),))
    _, verdict = stage.reserve(1, caps=(stage.cap(40),))
    assert verdict == CapExceeded("key", 1, "day", 40, 0)
    assert stage.settle(hold_id, 100) == Settled(100, 0)
    stage.proven()


def test_a_stale_view_is_sent_back(stage: Stage) -> None:
    stage.top_up()
    seen = stage.epoch
    wallets.bump(stage.organization)
    _, verdict = stage.reserve(1, epoch=seen)
    assert verdict == Stale(seen + 1)
    assert not Hold.objects.of(stage.organization).exists()


def test_nothing_is_lent_to_the_suspended_or_indebted(stage: Stage) -> None:
    stage.top_up(100)
    hold_id, _ = stage.reserve(60)
    owe = Withdraw(uid="dispute", organization_id=stage.organization.pk, amount=100, code="dispute", may_owe=True)
    assert stage.one(owe) == Withdrawn(taken_nano=40, owed_nano=60)
    _, verdict = stage.reserve(1)
    assert verdict == InDebt(60)
    assert stage.extend(hold_id, 1) == InDebt(60)
    assert stage.settle(hold_id, 20) == Settled(20, 0)  # the 40 that came free go to the debt at once
    assert stage.money(Kind.DEBT) == (20, 0)
    stage.top_up(5, kind=Kind.PROMO)
    assert stage.money(Kind.DEBT) == (20, 0)  # a gift never repays
    stage.top_up(50)
    assert (stage.money(Kind.DEBT), stage.money()) == ((0, 0), (30, 0))
    _, verdict = stage.reserve(35)
    assert verdict == Granted(35)
    organizations.set_standing(stage.organization, Standing.SUSPENDED, reason="late", source=trail.SYSTEM)
    _, verdict = stage.reserve(1, epoch=stage.epoch)
    assert verdict == Suspended()
    stage.proven()


def test_a_release_in_debt_repays_too(stage: Stage) -> None:
    stage.top_up(100)
    hold_id, _ = stage.reserve(60)
    stage.one(Withdraw(uid="d", organization_id=stage.organization.pk, amount=100, code="dispute", may_owe=True))
    stage.release(hold_id)
    assert (stage.money(), stage.money(Kind.DEBT)) == ((0, 0), (0, 0))
    stage.proven()


def test_a_refund_never_exceeds_what_is_unspent_nor_what_was_paid(stage: Stage) -> None:
    organization_id = stage.organization.pk
    stage.top_up(100, uid="pay")
    stage.top_up(50, kind=Kind.PROMO)
    hold_id, _ = stage.reserve(70)
    stage.settle(hold_id, 70)
    too_much = Withdraw(uid="r1", organization_id=organization_id, amount=81, code="refund", may_owe=False)
    assert stage.one(too_much) == Insufficient(80, 80)

    def refund(uid: str, amount: int, reverses: str = "pay", organization_id: int = organization_id) -> Withdraw:
        return Withdraw(
            uid=uid, organization_id=organization_id, amount=amount, code="refund", may_owe=True, reverses=reverses
        )

    assert stage.one(refund("r2", 60)) == Withdrawn(60, 0)
    assert stage.one(refund("r3", 41)) == Refused(Why.MORE_THAN_ORIGINAL)
    assert stage.one(refund("r4", 40)) == Withdrawn(20, 20)
    assert stage.one(refund("r5", 1)) == Refused(Why.MORE_THAN_ORIGINAL)
    assert stage.one(refund("r6", 1, reverses="unheard-of")) == Refused(Why.NO_ORIGINAL)
    assert stage.one(refund("r4", 39)) == Refused(Why.OTHER_CAUSE)
    stranger = Stage()
    assert stranger.one(refund("r7", 1, organization_id=stranger.organization.pk)) == Refused(Why.NO_ORIGINAL)
    stage.proven()


def test_a_payment_and_its_refund_may_share_a_batch(stage: Stage) -> None:
    pay = Credit(uid="pay", organization_id=stage.organization.pk, amount=100)
    back = Withdraw(
        uid="back", organization_id=stage.organization.pk, amount=30, code="refund", may_owe=False, reverses="pay"
    )
    more = Withdraw(
        uid="more", organization_id=stage.organization.pk, amount=71, code="refund", may_owe=False, reverses="pay"
    )
    assert stage.apply(pay, pay, back, back, more) == [
        Credited(stage.account().pk),
        Credited(stage.account().pk),
        Withdrawn(30, 0),
        Withdrawn(30, 0),
        Refused(Why.MORE_THAN_ORIGINAL),
    ]
    assert stage.money() == (70, 0)
    stage.proven()


def test_one_name_is_one_cause(stage: Stage) -> None:
    stage.top_up(100, uid="pay")
    other = Stage()
    assert other.top_up(100, uid="pay") == Refused(Why.OTHER_CAUSE)
    assert stage.top_up(101, uid="pay") == Refused(Why.OTHER_CAUSE)
    post = Post(uid="post", debit="provider_cost", credit="providers", amount=9, code="cost")
    assert stage.one(post) == Posted(9)
    again = Post(uid="post", debit="provider_cost", credit="providers", amount=8, code="cost")
    assert stage.one(again) == Refused(Why.OTHER_CAUSE)
    stage.proven()


def test_a_number_belongs_to_one_piece_of_work(stage: Stage) -> None:
    stage.top_up()
    other = Stage()
    other.top_up()
    hold_id, _ = stage.reserve(10)
    _, verdict = other.reserve(10, hold_id=hold_id)
    assert verdict == Refused(Why.OTHER_HOLD)
    for refused in (other.settle(hold_id, 10), other.release(hold_id), other.extend(hold_id, 1)):
        assert refused == Refused(Why.NO_HOLD)
    assert stage.settle(1, 1) == stage.release(1) == stage.extend(1, 1) == Refused(Why.NO_HOLD)


def test_without_a_wallet_nothing_moves(stage: Stage) -> None:
    nobody = 10**9
    reserve = Reserve(
        hold_id=5,
        organization_id=nobody,
        process_id=stage.process.pk,
        epoch=1,
        minimum_nano=1,
        maximum_nano=1,
        caps=(stage.cap(5),),
    )
    credit = Credit(uid="x", organization_id=nobody, amount=1)
    withdraw = Withdraw(uid="y", organization_id=nobody, amount=1, code="refund", may_owe=True)
    assert stage.apply(reserve, credit, withdraw) == [Refused(Why.NO_WALLET)] * 3


def test_a_total_that_would_not_fit_is_refused(stage: Stage) -> None:
    largest = 9_000_000_000_000_000_000
    stage.top_up(largest)
    assert stage.top_up(1) == Refused(Why.TOO_LARGE)
    poor = Stage()
    owe = Withdraw(uid="a", organization_id=poor.organization.pk, amount=largest, code="dispute", may_owe=True)
    assert poor.one(owe) == Withdrawn(0, largest)
    more = Withdraw(uid="b", organization_id=poor.organization.pk, amount=1, code="dispute", may_owe=True)
    assert poor.one(more) == Refused(Why.TOO_LARGE)
    assert poor.one(owe) == Withdrawn(0, largest)


def test_settlements_go_before_reserves_and_reserves_in_order(stage: Stage) -> None:
    stage.top_up(100)
    held, _ = stage.reserve(100)
    first, second = stage.reserving(60), stage.reserving(60)
    settle = Settle(hold_id=held, organization_id=stage.organization.pk, charge_nano=0, exact=True)
    assert stage.apply(first, second, settle) == [Granted(60), Insufficient(40, 40), Settled(0, 0)]
    stage.proven()


def test_a_hold_may_begin_grow_and_end_in_one_batch(stage: Stage) -> None:
    stage.top_up(1_000)
    reserve = stage.reserving(100, caps=(stage.cap(400),))
    extend = Extend(
        hold_id=reserve.hold_id, organization_id=stage.organization.pk, step=1, minimum_nano=50, maximum_nano=50
    )
    settle = Settle(hold_id=reserve.hold_id, organization_id=stage.organization.pk, charge_nano=140, exact=True)
    assert stage.apply(reserve, extend, settle, settle) == [Granted(100), Granted(50), Settled(140, 0), Settled(140, 0)]
    other = stage.reserving(100)
    release = Release(hold_id=other.hold_id, organization_id=stage.organization.pk)
    late = Settle(hold_id=other.hold_id, organization_id=stage.organization.pk, charge_nano=10, exact=True)
    assert stage.apply(other, other, release, late) == [
        Granted(100),
        Granted(100),
        Released(),
        Settled(10, 0, late=True),
    ]
    assert stage.money() == (850, 0)
    stage.proven()


def test_riders_travel_with_success_alone(stage: Stage) -> None:
    numbers = count(1)

    def rider() -> Rider:
        number = next(numbers)
        return Rider(
            "billing_processlease", ("name", "started_at", "heartbeat_at"), [(f"ride {number}", stage.now, stage.now)]
        )

    stage.top_up(100)
    reserve = stage.reserving(60, riders=(rider(),))
    refused = stage.reserving(60, riders=(rider(),))
    stage.apply(reserve, refused, stage.reserving(40, riders=(rider(),)))
    stage.apply(reserve)
    stage.settle(reserve.hold_id, 1, riders=(rider(),))
    found = ProcessLease.objects.filter(name__startswith="ride").order_by("id")
    assert [(row.name, row.started_at) for row in found] == [
        ("ride 1", stage.now),
        ("ride 3", stage.now),
        ("ride 4", stage.now),
    ]


def test_riders_may_carry_whatever_a_column_holds(stage: Stage) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE ride (a date, b text, c numeric(9, 2), d text, e integer, f timestamp)")
    what = (date(2026, 1, 2), UUID(int=7), Decimal("1.50"), {"k": [1, None]}, None, stage.now)
    stage.one(stage.reserving(0, riders=(Rider("ride", ("a", "b", "c", "d", "e", "f"), [what]),)))
    with connection.cursor() as cursor:
        cursor.execute("SELECT CAST(a AS text), b, c, d, e, CAST(f AS text) FROM ride")
        [(day, uuid, price, words, nothing, at)] = cursor.fetchall()
    assert (day, uuid.replace("-", ""), Decimal(str(price)), nothing) == (
        "2026-01-02",
        UUID(int=7).hex,
        Decimal("1.5"),
        None,
    )
    assert json.loads(words) == {"k": [1, None]}
    assert at.startswith("2026-11-21 12:00:00")


@pytest.mark.django_db(transaction=True)
def test_the_guards_can_be_taken_down_and_put_up_again() -> None:
    with connection.schema_editor() as editor:
        Guards().database_backwards("billing", editor, ProjectState(), ProjectState())
        truncates = 2 if connection.vendor == "postgresql" else 0
        assert len(audit.run().findings) == len(SQLITE) + truncates
        Guards().database_forwards("billing", editor, ProjectState(), ProjectState())
    assert audit.run().findings == []
    assert Guards().describe().startswith("Guard")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Credit(uid="", organization_id=1, amount=1),
        lambda: Credit(uid="a\x00", organization_id=1, amount=1),
        lambda: Credit(uid="a", organization_id=1, amount=0),
        lambda: Credit(uid="a", organization_id=1, amount=-5),
        lambda: Credit(uid="a", organization_id=1, amount=True),
        lambda: Credit(uid="a", organization_id=1, amount=1.0),  # type: ignore[arg-type]
        lambda: Credit(uid="a", organization_id=1, amount=2**63),
        lambda: Credit(uid="a", organization_id=1, amount=1, value_nano=2),
        lambda: Credit(uid="a", organization_id=1, amount=1, kind=Kind.TRIAL, unit=TOKENS),
        lambda: Credit(uid="a", organization_id=1, amount=1, kind=Kind.DEBT),
        lambda: Credit(uid="a", organization_id=1, amount=1, unit=TOKENS, value_nano=1),
        lambda: Reserve(hold_id=1, organization_id=1, process_id=1, epoch=1, minimum_nano=2, maximum_nano=1),
        lambda: Reserve(hold_id=-1, organization_id=1, process_id=1, epoch=1, minimum_nano=1, maximum_nano=1),
        lambda: Settle(hold_id=1, organization_id=1, charge_nano=-1, exact=True),
        lambda: Settle(hold_id=1, organization_id=1, charge_nano=1, exact=True, tokens=(Tokens(NANO_USD, 1),)),
        lambda: Settle(hold_id=1, organization_id=1, charge_nano=1, exact=True, tokens=(Tokens(TOKENS, 0),)),
        lambda: Settle(hold_id=1, organization_id=1, charge_nano=1, exact=True, reference="x" * 121),
        lambda: Release(hold_id=1, organization_id=1, outcome="settled"),  # type: ignore[arg-type]
        lambda: Post(uid="a", debit="paid", credit="revenue", amount=1, code="x"),
        lambda: Post(uid="a", debit="revenue", credit="revenue", amount=1, code="x"),
        lambda: Withdraw(uid="a", organization_id=1, amount=1, code="", may_owe=True),
        lambda: Extend(hold_id=1, organization_id=1, step=0, minimum_nano=1, maximum_nano=1),
    ],
)
def test_a_malformed_operation_cannot_even_be_made(make: object) -> None:
    with pytest.raises(BadOperation):
        make()  # type: ignore[operator]


@pytest.mark.django_db(transaction=True)
def test_the_ledger_insists_on_a_transaction(stage: Stage) -> None:
    with pytest.raises(TransactionManagementError, match="inside its caller's transaction"):
        ledger.apply(connection, [], stage.now)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE billing_transfer SET amount = amount + 1",
        "DELETE FROM billing_transfer",
        "UPDATE billing_holdline SET amount = amount + 1",
        "DELETE FROM billing_hold",
        "DELETE FROM billing_account WHERE organization_id IS NOT NULL",
        "UPDATE billing_account SET held = posted + 1 WHERE kind = 'paid'",
        "UPDATE billing_account SET posted = -1 WHERE kind = 'paid'",
        "UPDATE billing_account SET unit = 'tokens' WHERE kind = 'paid'",
        "UPDATE billing_account SET posted = 1 WHERE kind = 'revenue'",
        "UPDATE billing_hold SET outcome = 'released' WHERE outcome = 'settled'",
        "UPDATE billing_hold SET outcome = NULL, charged_nano = 0, resolved_at = NULL WHERE outcome = 'settled'",
        "UPDATE billing_hold SET charged_nano = 1 WHERE outcome = 'settled'",
        "UPDATE billing_hold SET held_nano = held_nano + 1 WHERE outcome IS NULL",
        "UPDATE billing_hold SET charged_nano = 1 WHERE outcome IS NULL",
        "UPDATE billing_capcounter SET held = -1",
        "UPDATE billing_capcounter SET spent = -1",
    ],
)
def test_the_database_itself_refuses(stage: Stage, statement: str) -> None:
    stage.top_up(100)
    settled, _ = stage.reserve(10, caps=(stage.cap(50),))
    stage.settle(settled, 5)
    stage.reserve(10)
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    stage.proven()


@pytest.mark.django_db(transaction=True)
def test_postgresql_refuses_to_truncate() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL can TRUNCATE")
    for table in ("billing_transfer", "billing_holdline", "billing_hold", "billing_account"):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {table} CASCADE")


def test_a_transfer_across_units_or_owners_is_refused(stage: Stage) -> None:
    stage.top_up(10)
    stage.top_up(5, kind=Kind.TRIAL, unit=TOKENS, value_nano=0)
    other = Stage()
    for debit, credit, value in (
        (stage.account(), stage.account(Kind.TRIAL), 1),
        (stage.account(), other.account(), 1),
        (stage.account(), stage.account(Kind.DEBT), 2),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            Transfer.unscoped.create(
                uid="sneaky",
                organization=stage.organization,
                debit=debit,
                credit=credit,
                amount=1,
                value_nano=value,
                code="sneaky",
                created_at=stage.now,
            )


def test_a_row_written_behind_the_lock_is_not_overwritten(stage: Stage) -> None:
    stage.top_up(100)

    class Meddled(Page):
        def write(self) -> None:
            Account.unscoped.filter(pk=stage.account().pk).update(posted=99)
            super().write()

    original, ledger.Page = ledger.Page, Meddled  # type: ignore[misc]
    try:
        with pytest.raises(ledger.Raced):
            stage.reserve(10)
    finally:
        ledger.Page = original  # type: ignore[misc]
    assert stage.money() == (100, 0)
