"""Codes, trials and corrections: what operators hand out, and how often somebody can take it."""

import threading
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connections, transaction
from django.utils import timezone

from accounts import trail
from accounts.models import Organization
from accounts.signals import mailbox_proven
from billing import adjustments, codes, pricebook, statements, units
from billing.models import Account, Adjustment, CodeUse, RedemptionCode, TrialGrant
from billing.models.ledger import Kind
from tests import factories
from tests.billing.payment_stage import proven

pytestmark = pytest.mark.django_db
DOLLAR = 1_000_000_000


@pytest.fixture(autouse=True)
def _books():
    yield
    proven()


def batch(shop, *, count: int = 1, **wish):
    return codes.make_batch(
        storefront=shop,
        wish=codes.Batch(name="Launch", value_nano=5 * DOLLAR, count=count, **wish),
        source=trail.SYSTEM,
        now=timezone.now(),
    )


def redeem(text: str, organization: Organization, *, ip: str = "192.0.2.1"):
    source = trail.Source(ip_address=ip)
    return codes.redeem(text, organization=organization, user=None, source=source, now=timezone.now())


def promo(organization: Organization) -> int:
    return sum(Account.objects.of(organization).filter(kind=Kind.PROMO).values_list("posted", flat=True))


# --- Codes (F-092) ---


def test_a_code_is_a_gift_once(organization, shop) -> None:
    code = batch(shop).codes.get().code
    redeem(codes.written(code).lower().replace("-", " "), organization)
    assert promo(organization) == 5 * DOLLAR
    with pytest.raises(codes.CodeUsed):
        redeem(code, organization)
    assert statements.balance(organization, now=timezone.now()).paid_nano == 0


def test_a_code_for_several_is_used_once_by_each(organization, charlie, shop) -> None:
    code = batch(shop, uses_per_code=2).codes.get().code
    other = charlie.memberships.get().organization
    redeem(code, organization)
    with pytest.raises(codes.CodeUsed, match="already"):
        redeem(code, organization)
    redeem(code, other)
    assert RedemptionCode.objects.get(code=code).used == 2


def test_a_code_of_another_shop_is_unknown_here(organization, other_shop) -> None:
    with pytest.raises(codes.NoSuchCode):
        redeem(batch(other_shop).codes.get().code, organization)


def test_a_code_that_is_over_says_so(organization, shop) -> None:
    late = batch(shop, expires_at=timezone.now() - timedelta(seconds=1)).codes.get().code
    withdrawn = batch(shop)
    codes.revoke(withdrawn, source=trail.SYSTEM, reason="leaked", now=timezone.now())
    for code in (late, withdrawn.codes.get().code):
        with pytest.raises(codes.CodeOver):
            redeem(code, organization)
    assert promo(organization) == 0


def test_ten_wrong_codes_in_a_minute_shut_the_door(organization, shop) -> None:
    right = batch(shop).codes.get().code
    now = timezone.now().replace(second=1)
    source = trail.Source(ip_address="192.0.2.7")

    def guess(text: str):
        return codes.redeem(text, organization=organization, user=None, source=source, now=now)

    for number in range(codes.WRONG_PER_MINUTE):
        with pytest.raises(codes.NoSuchCode):
            guess(f"{number:016d}")
    with pytest.raises(codes.TooManyWrong):
        guess(right)
    later = now + timedelta(minutes=1)
    codes.redeem(right, organization=organization, user=None, source=source, now=later)
    assert promo(organization) == 5 * DOLLAR
    cache.clear()


def test_the_export_runs_nothing_in_a_spreadsheet(shop) -> None:
    made = codes.make_batch(
        storefront=shop,
        wish=codes.Batch(name="=cmd|' /C calc'!A0", value_nano=1, count=2),
        source=trail.SYSTEM,
        now=timezone.now(),
    )
    lines = "".join(codes.as_csv(made)).splitlines()
    assert len(lines) == 3
    assert all("'=cmd" in line for line in lines[1:])


@pytest.mark.parametrize("count", [0, 10_001])
def test_a_batch_has_a_sensible_size(shop, count) -> None:
    with pytest.raises(codes.BadBatch):
        batch(shop, count=count)


@pytest.mark.django_db(transaction=True)
def test_a_crowd_uses_a_code_as_often_as_it_may_and_no_more() -> None:
    shop = factories.make_storefront(is_default=True)
    owner = factories.make_user()
    crowd = [factories.make_organization(storefront=shop, owner=owner, name=f"Org {n}") for n in range(8)]
    code = batch(shop, uses_per_code=3).codes.get().code
    outcomes: list[str] = []

    def use(organization: Organization, number: int) -> None:
        try:
            redeem(code, organization, ip=f"192.0.2.{number}")
            outcomes.append("used")
        except codes.CodeUsed:
            outcomes.append("late")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=use, args=(organization, n)) for n, organization in enumerate(crowd * 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (outcomes.count("used"), len(outcomes)) == (3, 16)
    assert sum(promo(organization) for organization in crowd) == 15 * DOLLAR
    assert CodeUse.objects.of(crowd[0]).count() <= 1


# --- Trials (F-093) ---

SAME = (
    *("jane.doe@gmail.com", "janedoe@gmail.com", "JaneDoe@Gmail.com", "j.a.n.e.d.o.e@gmail.com", "janedoe+1@gmail.com"),
    *("janedoe+shop@gmail.com", "jane.doe+x+y@gmail.com", "janedoe@googlemail.com", "jane.doe@googlemail.com"),
    *("JANEDOE+TRIAL@GOOGLEMAIL.COM", " janedoe@gmail.com ", "janedoe@gmail.com.", "jane.doe+@gmail.com"),
    *(f"jane.doe+{n}@gmail.com" for n in range(17)),
)
DISTINCT = ("jane.doe@example.com", "janedoe@example.com", "jane@example.org", "janed.oe@example.com")


@pytest.fixture
def trial_plan(shop):
    now = timezone.now()
    pricebook.publish_plan(
        storefront=shop,
        name="trial-plan",
        body={"method": "cost_plus", "multiplier": "1.25", "trial_tokens": 100_000},
        effective_from=now - timedelta(seconds=1),
        source=trail.SYSTEM,
        note="for the trial",
    )
    pricebook.set_terms(storefront=shop, organization=None, plan_name="trial-plan", at=now, source=trail.SYSTEM)


def newcomer(shop, email: str) -> Organization:
    user = factories.make_user()
    organization = factories.make_organization(storefront=shop, owner=user, name="New")
    mailbox_proven.send(sender=type(user), user=user, email=email, storefront=shop)
    return organization


@pytest.mark.usefixtures("trial_plan")
def test_thirty_spellings_of_one_mailbox_have_one_trial(shop) -> None:
    assert len(SAME) == 30
    for email in SAME:
        newcomer(shop, email)
    grant = TrialGrant.objects.get()
    account = Account.objects.of(grant.organization).get(kind=Kind.TRIAL)
    assert (account.unit, account.posted) == (units.ANY_MODEL, 100_000)


@pytest.mark.usefixtures("trial_plan")
def test_other_mailboxes_have_their_own(shop) -> None:
    for email in DISTINCT:
        newcomer(shop, email)
    assert TrialGrant.objects.count() == len(DISTINCT)


@pytest.mark.usefixtures("trial_plan")
def test_a_mailbox_for_ten_minutes_has_none(shop) -> None:
    for email in ("a@mailinator.com", "b@sub.mailinator.com", "c@YOPMAIL.com"):
        newcomer(shop, email)
    assert not TrialGrant.objects.exists()


@pytest.mark.usefixtures("trial_plan")
def test_a_second_mailbox_of_the_same_workspace_brings_nothing(shop) -> None:
    organization = newcomer(shop, "one@example.com")
    user = organization.memberships.get().user
    mailbox_proven.send(sender=type(user), user=user, email="two@example.com", storefront=shop)
    assert TrialGrant.objects.count() == 1


def test_a_shop_without_a_plan_gives_none(shop) -> None:
    newcomer(shop, "one@example.com")
    assert not TrialGrant.objects.exists()


# --- Corrections by two people (F-141) ---


def ask(organization, amount: int, *, by=None, paid: bool = False) -> Adjustment:
    return adjustments.ask(
        organization,
        amount_nano=amount,
        is_paid=paid,
        reason="goodwill",
        source=trail.Source(user=by),
        now=timezone.now(),
    )


def decide(row: Adjustment, by, *, yes: bool = True) -> None:
    act = adjustments.approve if yes else adjustments.decline
    act(row, source=trail.Source(user=by), reason="looked at it", now=timezone.now())


@pytest.fixture
def boss():
    return factories.make_staff()


@pytest.fixture
def colleague():
    return factories.make_staff()


def test_below_the_limit_one_person_is_enough(organization, boss) -> None:
    assert ask(organization, 5 * DOLLAR, by=boss).posted_at
    assert promo(organization) == 5 * DOLLAR


def test_above_it_nothing_moves_until_somebody_else_agrees(organization, boss, colleague, settings) -> None:
    settings.CREDIT_LIMIT_ALONE_NANO = DOLLAR
    row = ask(organization, 5 * DOLLAR, by=boss)
    assert (row.posted_at, promo(organization)) == (None, 0)
    with pytest.raises(adjustments.AdjustmentRefused, match="other than"):
        decide(row, boss)
    with pytest.raises(IntegrityError), transaction.atomic():
        Adjustment.unscoped.filter(pk=row.pk).update(approved_by=boss)
    decide(row, colleague)
    assert promo(organization) == 5 * DOLLAR
    with pytest.raises(adjustments.AdjustmentRefused, match="already"):
        decide(row, colleague)


def test_what_was_declined_stays_declined(organization, boss, colleague, settings) -> None:
    settings.CREDIT_LIMIT_ALONE_NANO = DOLLAR
    row = ask(organization, 5 * DOLLAR, by=boss)
    decide(row, colleague, yes=False)
    with pytest.raises(adjustments.AdjustmentRefused):
        decide(row, colleague)
    assert promo(organization) == 0


def test_taking_never_makes_a_debt(organization, boss) -> None:
    ask(organization, 5 * DOLLAR, by=boss, paid=True)
    ask(organization, -2 * DOLLAR, by=boss)
    with pytest.raises(adjustments.AdjustmentRefused, match=r"\$3.00"):
        ask(organization, -4 * DOLLAR, by=boss)
    assert statements.balance(organization, now=timezone.now()).paid_nano == 3 * DOLLAR


def test_the_command_wants_a_second_name_above_the_limit(organization, boss, settings) -> None:
    settings.CREDIT_LIMIT_ALONE_NANO = DOLLAR
    call_command("credit", organization.public_id, "1", "--reason", "small")
    with pytest.raises(CommandError, match="second operator"):
        call_command("credit", organization.public_id, "2", "--reason", "large")
    with pytest.raises(CommandError, match="second operator"):
        call_command("credit", organization.public_id, "2", "--reason", "large", "--second", "stranger@example.com")
    call_command("credit", organization.public_id, "2", "--reason", "large", "--second", boss.email)
    assert promo(organization) == 3 * DOLLAR
