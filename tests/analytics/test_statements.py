"""Statements: consecutive months chain, and every one of them is what the ledger says, to the nano-dollar."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics import statements
from analytics.models import StatementMonth
from billing import audit
from billing.models import Account, Transfer
from billing.models.ledger import House, Kind
from billing.operations import Lapse, Settle, Tokens, Withdraw
from tests import factories
from tests.billing.ledger_stage import TOKENS, Stage

pytestmark = pytest.mark.django_db
START = datetime(2026, 7, 30, 12, tzinfo=UTC)
NOW = datetime(2027, 6, 1, tzinfo=UTC)


def by_hand(organization):
    """What each month changed in money, from the rows of the ledger one by one."""
    found = defaultdict(int)
    rows = Transfer.objects.of(organization).filter(debit__unit="nano_usd").select_related("debit", "credit")
    for row in rows:
        month = row.created_at.astimezone(UTC).date().replace(day=1)
        found[month] += row.amount * (row.credit.organization_id is not None)
        found[month] -= row.amount * (row.debit.organization_id is not None)
    return found


def balance(organization):
    rows = Account.objects.of(organization).filter(unit="nano_usd")
    return sum(-row.posted if row.kind == Kind.DEBT else row.posted for row in rows)


def charge(stage, amount, model="m-1", tokens=()):
    hold, _ = stage.reserve(amount, 0, tokens=tuple(Tokens(TOKENS, one) for one in tokens))
    factories.make_call(stage.organization, id=hold, model_served=model, created_at=stage.now, ended_at=stage.now)
    return stage.one(
        Settle(hold, stage.organization.pk, amount, exact=True, tokens=tuple(Tokens(TOKENS, one) for one in tokens))
    )


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["top_up", "gift", "charge", "charge", "refund", "lapse", "fold", "tokens"]),
        st.integers(1, 5_000),
        st.sampled_from(["m-1", "m-2"]),
        st.integers(0, 25),
    ),
    max_size=25,
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=STEPS)
def test_months_chain_and_are_what_the_ledger_says(shop, steps):
    stage = Stage()
    stage.now = START
    for what, amount, model, days in steps:
        stage.now += timedelta(days=days, microseconds=1)
        step(stage, what, amount, model)
    assert statements.fold(stage.organization)
    told = statements.months(stage.organization, now=NOW)[::-1]
    wanted = by_hand(stage.organization)
    assert told[0].opening_nano == 0
    for earlier, later in pairwise(told):
        assert later.opening_nano == earlier.closing_nano
        assert later.month == statements.following(earlier.month)
    for one in told:
        assert one.agrees
        assert one.closing_nano - one.opening_nano == wanted[one.month]
    assert told[-1].closing_nano == balance(stage.organization)
    heaps = {heap.unit: heap.closing for heap in told[-1].tokens}
    grants = Account.objects.of(stage.organization).filter(unit=TOKENS)
    assert heaps.get(TOKENS, 0) == sum(grants.values_list("posted", flat=True))
    assert not list(statements.differences(0))


def step(stage, what, amount, model):
    organization = stage.organization
    if what == "top_up":
        stage.top_up(amount)
    elif what == "gift":
        stage.top_up(amount, kind=Kind.PROMO, source=House.PROMOTIONS, code="promotion", expires_at=stage.now)
    elif what == "tokens":
        stage.top_up(
            amount, kind=Kind.TRIAL, unit=TOKENS, value_nano=amount // 2, source=House.PROMOTIONS, code="trial"
        )
    elif what == "charge":
        charge(stage, amount, model, tokens=(amount,))
    elif what == "refund":
        uid = f"refund-{stage.now.timestamp()}-{organization.pk}"
        stage.one(Withdraw(uid, organization.pk, amount, "refund", may_owe=True))
    elif what == "lapse":
        for grant in Account.objects.of(organization).filter(expires_at__isnull=False):
            stage.one(Lapse(grant.pk, organization.pk))
    else:
        statements.fold(organization)


@pytest.fixture
def stage(shop):
    made = Stage()
    made.now = START
    return made


def test_charges_are_told_by_model_and_each_call_counts_once(stage, monkeypatch):
    monkeypatch.setattr(statements, "SLICE", 3)  # a call paid from two accounts is never cut in two
    stage.top_up(10_000)
    stage.top_up(500, kind=Kind.PROMO, source=House.PROMOTIONS, code="promotion")
    for model in ("m-1", "m-2", "m-1"):
        charge(stage, 300, model)
    assert statements.fold(stage.organization)
    [july] = [one for one in statements.months(stage.organization, now=START) if one.month == date(2026, 7, 1)]
    charges = {line.name: (line.amount, line.count) for line in july.lines("charges")}
    assert charges == {"m-1": (-600, 2), "m-2": (-300, 1)}
    assert (july.total_nano("top_ups"), july.total_nano("gifts"), july.closing_nano) == (10_000, 500, 9_600)


def test_a_debt_is_below_zero_and_its_repayment_changes_nothing(stage):
    stage.top_up(1_000)
    charge(stage, 800)
    stage.now = datetime(2026, 8, 2, tzinfo=UTC)
    stage.one(Withdraw("dispute", stage.organization.pk, 1_000, "dispute", may_owe=True))
    stage.now = datetime(2026, 9, 2, tzinfo=UTC)
    stage.top_up(5_000)
    statements.fold(stage.organization)
    september, august, july = statements.months(stage.organization, now=stage.now)
    assert (july.closing_nano, august.closing_nano, september.closing_nano) == (200, -800, 4_200)
    assert august.total_nano("returns") == -1_000
    assert september.total_nano("top_ups") == 5_000


def test_a_month_without_movements_carries_its_balance_on(stage):
    stage.top_up(7)
    statements.fold(stage.organization)
    told = statements.months(stage.organization, now=datetime(2026, 10, 5, tzinfo=UTC))
    assert [(one.month.month, one.opening_nano, one.closing_nano) for one in told] == [
        (10, 7, 7),
        (9, 7, 7),
        (8, 7, 7),
        (7, 0, 7),
    ]
    assert statements.statement(stage.organization, date(2026, 6, 1), now=stage.now) is None


def test_folding_stops_where_it_is_told_and_goes_on(stage, monkeypatch):
    monkeypatch.setattr(statements, "SLICE", 2)
    for _ in range(5):
        stage.top_up(1)
    assert not statements.fold(stage.organization, most_slices=1)
    assert statements.fold(stage.organization)
    assert statements.months(stage.organization, now=START)[-1].closing_nano == 5


def test_a_second_folder_adds_nothing_twice(stage):
    stage.top_up(5)
    top = Transfer.objects.of(stage.organization).get().pk
    sums = statements._sums(stage.organization, 0, top)
    assert statements.fold(stage.organization)
    assert not statements._take_in(stage.organization, 0, top, sums)
    assert StatementMonth.objects.of(stage.organization).get().net_nano == 5


def test_the_audit_names_months_that_were_tampered_with(stage):
    stage.top_up(5)
    statements.fold(stage.organization)
    assert not [found for found in audit.run().findings if found.invariant == "statements"]
    StatementMonth.objects.of(stage.organization).update(net_nano=6)
    [found] = [found for found in audit.run().findings if found.invariant == "statements"]
    assert found.row == stage.organization.pk
