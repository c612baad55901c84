from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from accounts import keys, organizations, trail
from accounts.models import AuditEvent
from accounts.models.organizations import Standing
from billing import tasks, wallets
from billing.models import Account, Wallet
from billing.models.ledger import Kind
from billing.operations import Granted
from tests import factories
from tests.billing.ledger_stage import Stage

pytestmark = pytest.mark.django_db


def test_an_organization_is_born_with_a_wallet(organization) -> None:
    wallet = Wallet.objects.of(organization).get()
    assert (wallet.epoch, wallet.suspended) == (1, False)
    kinds = Account.objects.of(organization).values_list("kind", "posted", "held")
    assert sorted(kinds) == [("debt", 0, 0), ("paid", 0, 0)]
    wallets.open_for(organization)
    assert Account.objects.of(organization).count() == 2


def test_a_change_of_keys_or_standing_makes_cached_views_old(organization) -> None:
    stage = Stage(organization)
    stage.top_up(10)
    seen = stage.epoch
    key, _ = factories.make_key(organization)
    after_key = stage.epoch
    assert after_key > seen
    keys.revoke(key, source=trail.SYSTEM, now=stage.now)
    assert stage.epoch > after_key
    organizations.set_standing(organization, Standing.SUSPENDED, reason="unpaid", source=trail.SYSTEM)
    assert Wallet.objects.of(organization).get().suspended
    organizations.set_standing(organization, Standing.ACTIVE, reason="", source=trail.SYSTEM)
    assert stage.reserve(10, epoch=stage.epoch)[1] == Granted(10)
    wallets.on_access_changed(organization=None)
    stage.proven()


def test_an_operator_gives_credit_with_a_reason_and_leaves_a_trace(organization, alice) -> None:
    source = trail.Source(user=alice)
    wallets.credit(organization, 5_000, "for the trouble", source)
    wallets.credit(organization, 7_000, "paid by bank", source, kind=Kind.PAID, uid="bank-1")
    again = wallets.credit(organization, 7_000, "paid by bank", source, kind=Kind.PAID, uid="bank-1")
    assert again.repeated
    stage = Stage(organization)
    assert stage.money(Kind.PROMO) == (5_000, 0)
    assert stage.money() == (7_000, 0)
    assert stage.story() == [
        ("operator_credit", "promotions", "promo", 5_000),
        ("operator_credit", "payments", "paid", 7_000),
    ]
    events = AuditEvent.objects.filter(action="credit.added").order_by("id")
    assert [(event.actor, event.reason, event.after["amount_nano"]) for event in events] == [
        (alice, "for the trouble", 5_000),
        (alice, "paid by bank", 7_000),
    ]
    stage.proven()


@pytest.mark.parametrize(("amount", "reason"), [(0, "r"), (-5, "r"), (2**63, "r"), (5, " ")])
def test_a_senseless_credit_is_refused(organization, amount, reason) -> None:
    with pytest.raises(wallets.CreditRefused):
        wallets.credit(organization, amount, reason, trail.SYSTEM)
    assert not AuditEvent.objects.filter(action="credit.added").exists()


def test_the_ledgers_refusal_is_passed_on(organization, charlie) -> None:
    other = charlie.memberships.get().organization
    wallets.credit(other, 5, "r", trail.SYSTEM, uid="same")
    with pytest.raises(wallets.CreditRefused, match="another transfer"):
        wallets.credit(organization, 5, "r", trail.SYSTEM, uid="same")


def test_the_command_credits_by_id_or_slug(organization, capsys) -> None:
    call_command("credit", organization.public_id, "12.50", "--reason", "welcome")
    call_command("credit", organization.slug, "0.000000001", "--reason", "paid", "--paid", "--uid", "x")
    call_command("credit", organization.slug, "0.000000001", "--reason", "paid", "--paid", "--uid", "x")
    assert "credited before" in capsys.readouterr().out
    stage = Stage(organization)
    assert stage.money(Kind.PROMO) == (12_500_000_000, 0)
    assert stage.money() == (1, 0)


@pytest.mark.parametrize("amount", ["abc", "0.0000000001", "nan", "inf", "0", "-1", "1e30"])
def test_the_command_refuses_with_a_sentence(organization, amount) -> None:
    with pytest.raises(CommandError):
        call_command("credit", organization.slug, "--reason=r", "--", amount)


def test_the_command_wants_one_organization(organization, other_shop, alice) -> None:
    with pytest.raises(CommandError, match="no organization"):
        call_command("credit", "nobody", "1", "--reason", "r")
    twin = factories.make_organization(storefront=other_shop, owner=alice, name="Alice & Co")
    assert twin.slug == organization.slug
    with pytest.raises(CommandError, match="Several storefronts"):
        call_command("credit", organization.slug, "1", "--reason", "r")


def test_expired_grants_lapse_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wallets, "SLICE", 2)
    stage = Stage()
    past = stage.now - timedelta(days=4_000)
    for _ in range(5):
        stage.top_up(10, kind=Kind.PROMO, expires_at=past)
    stage.top_up(10, kind=Kind.PROMO, expires_at=stage.now + timedelta(days=40_000))
    assert tasks.lapse_grants() == 5
    assert tasks.lapse_grants() == 0
    left = Account.objects.of(stage.organization).filter(kind=Kind.PROMO, posted__gt=0)
    assert left.count() == 1
    stage.proven()
