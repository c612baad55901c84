"""Warnings: each found from rows, told once, over when it is over; a key unlike itself is paused, its owner asked."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts import leaks, trail
from accounts.models import Organization
from analytics.models import CustomerDay, CustomerQuarter
from analytics.models.rollups import Measures
from billing import pricebook
from billing.models import AutoRecharge, CapCounter
from billing.wallets import credit
from dashboard import alerts, tasks
from dashboard.models import Alert, AlertKind, OnUnusual
from gateway import service
from plumbing import notices
from plumbing.models import OutboxMessage
from tests import factories

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DOLLAR = 1_000_000_000
ZERO = {field.name: 0 for field in Measures._meta.get_fields()}


def spent(organization, key, nano, *, day=None, model="m"):
    """A rolled-up cell of one key: of a whole day, or of this quarter of an hour."""
    common = ZERO | {
        "storefront": organization.storefront, "organization": organization, "user_id": key.created_by_id,
        "api_key_id": key.pk, "model": model, "provider": "p", "country": "", "charge_nano": nano, "requests": 1,
    }  # fmt: skip
    if day is not None:
        return CustomerDay.objects.create(day=day, **common)
    return CustomerQuarter.objects.create(starts_at=NOW.replace(minute=0), **common)


def kinds(organization):
    return sorted(Alert.objects.of(organization).filter(ended_at__isnull=True).values_list("kind", flat=True))


def mails():
    return OutboxMessage.objects.filter(topic=notices.MAIL, payload__kind="customer_alert").count()


def page(name, organization, *rest):
    return reverse(f"dashboard:{name}", args=[organization.slug, *rest])


@pytest.fixture
def key(organization):
    return factories.make_key(organization, label="backend")[0]


def test_a_low_balance_is_told_once_and_again_after_it_was_enough(organization, key):
    assert alerts.look(organization, now=NOW) == []  # nothing ever spent
    spent(organization, key, 5)
    credit(organization, DOLLAR, "x", trail.SYSTEM)
    [alert] = alerts.look(organization, now=NOW)
    assert alert.kind == AlertKind.LOW_BALANCE
    assert "$1.00 are left" in alert.sentence
    assert alerts.look(organization, now=NOW) == []
    assert mails() == 1  # alice, the owner; bob is a developer
    credit(organization, 5 * DOLLAR, "x", trail.SYSTEM)
    alerts.look(organization, now=NOW)
    assert kinds(organization) == []
    alerts.save(organization, source=trail.SYSTEM, low_balance_nano=10 * DOLLAR)
    assert len(alerts.look(organization, now=NOW)) == 1


def test_a_cap_warns_at_eighty_and_at_a_hundred_per_cent_of_each_window(organization):
    key, _ = factories.make_key(organization, label="capped", cap_day_nano=10 * DOLLAR)
    counter = CapCounter.objects.create(
        organization=organization, scope_kind="key", scope_id=key.pk, window="day", window_start=NOW.date(),
        spent=7_999_999_999, held=DOLLAR,
    )  # fmt: skip
    assert alerts.look(organization, now=NOW) == []  # what is only held has not been spent
    CapCounter.objects.of(organization).filter(pk=counter.pk).update(spent=8 * DOLLAR)
    [near] = alerts.look(organization, now=NOW)
    assert near.sentence == "The key “capped” has used 80 % of $10.00 a day."
    CapCounter.objects.of(organization).filter(pk=counter.pk).update(spent=10 * DOLLAR)
    [full] = alerts.look(organization, now=NOW)
    assert full.kind == AlertKind.CAP_REACHED
    assert kinds(organization) == ["cap_reached"]
    alerts.look(organization, now=NOW + timedelta(days=1))
    assert kinds(organization) == []


def test_a_key_that_spends_ten_times_its_norm_is_paused_and_resumed(client, organization, alice, key):
    for back in range(1, 5):
        spent(organization, key, DOLLAR // 2, day=NOW.date() - timedelta(days=back))
    credit(organization, 50 * DOLLAR, "x", trail.SYSTEM)
    cell = spent(organization, key, 5 * DOLLAR - 1)
    assert alerts.look(organization, now=NOW) == []
    CustomerQuarter.objects.of(organization).filter(pk=cell.pk).update(charge_nano=5 * DOLLAR)
    [alert] = alerts.look(organization, now=NOW)
    assert alert.paused
    key.refresh_from_db()
    assert key.disabled_at == NOW
    client.force_login(alice)
    assert "It was us: resume" in client.get(page("alerts", organization)).content.decode()
    client.post(page("alert_answer", organization, alert.public_id), {"answer": "resume"})
    key.refresh_from_db()
    assert key.disabled_at is None
    assert alerts.look(organization, now=NOW) == []  # answered for today
    again = client.post(page("alert_answer", organization, alert.public_id), {"answer": "resume"}, follow=True)
    assert "answered already" in again.content.decode()


def test_a_young_key_a_small_sum_and_another_wish_pause_nothing(organization, key):
    spent(organization, key, 90 * DOLLAR)
    assert "unusual_spend" not in [alert.kind for alert in alerts.look(organization, now=NOW)]  # no norm yet
    for back in range(1, 4):
        spent(organization, key, DOLLAR, day=NOW.date() - timedelta(days=back))
    alerts.save(organization, source=trail.SYSTEM, on_unusual=OnUnusual.TELL)
    assert "unusual_spend" in [alert.kind for alert in alerts.look(organization, now=NOW)]
    key.refresh_from_db()
    assert key.disabled_at is None


def test_a_leak_stands_on_the_page_without_a_second_letter(organization):
    key, secret = factories.make_key(organization, label="lost")
    leaks.handle([leaks.Report(secret, "t", "https://example.com/x")], source=trail.SYSTEM, now=NOW)
    [alert] = alerts.look(organization, now=NOW)
    assert alert.sentence == "The key “lost” was found in public and has been revoked."
    assert alert.api_key == key
    assert mails() == 0


def test_a_recharge_that_failed_stands_on_the_page_until_it_runs_again(organization):
    wish = AutoRecharge.objects.of(organization).create(
        organization=organization, is_on=True, threshold_nano=1, amount_minor=500, month_cap_minor=500, changed_at=NOW,
        paused_at=NOW, paused_because="The card was declined.",
    )  # fmt: skip
    assert tasks._worth_a_look(NOW) == {organization.pk}
    [alert] = alerts.look(organization, now=NOW)
    assert alert.kind == AlertKind.RECHARGE
    assert "The card was declined." in alert.sentence
    assert mails() == 0  # its own letter went out already
    assert alerts.look(organization, now=NOW + timedelta(minutes=1)) == []
    AutoRecharge.objects.of(organization).filter(pk=wish.pk).update(paused_at=None, paused_because="")
    alerts.look(organization, now=NOW + timedelta(minutes=2))
    assert kinds(organization) == []
    AutoRecharge.objects.of(organization).filter(pk=wish.pk).update(paused_at=NOW + timedelta(hours=1))
    [again] = alerts.look(organization, now=NOW + timedelta(hours=1))
    assert again.pk != alert.pk


def told_as(moment):
    return f"{moment.day} {moment:%B %Y, %H:%M}"


def publish(shop, percent, begins_at):
    plan = {"method": "cost_plus", "percent": percent}
    return pricebook.publish_plan(
        storefront=shop, name="standard", body=plan, effective_from=begins_at, note="test", source=trail.SYSTEM
    )


def prices_told(organization, now):
    return [alert.sentence for alert in alerts.look(organization, now=now) if alert.kind == AlertKind.PRICES]


def joined(organization, since):
    Organization.objects.filter(pk=organization.pk).update(created_at=since)
    organization.refresh_from_db()


def test_new_prices_are_told_ahead_with_what_becomes_dearer(catalogue, organization, key):
    now = timezone.now()
    joined(organization, now - timedelta(days=40))
    other = factories.make_organization(storefront=organization.storefront)
    joined(other, now - timedelta(days=40))
    spent(organization, key, 5, day=now.date() - timedelta(days=2), model="sandbox-standard")
    before = pricebook.plan_in_force(organization.storefront, "standard", at=timezone.now())
    assert before.body["multiplier"] == "1.25"
    version = publish(organization.storefront, "30", now + timedelta(days=9))
    [sentence] = prices_told(organization, now)
    ahead = f"New prices begin on {told_as(now + timedelta(days=9))} UTC."
    assert sentence == f"{ahead} Of what you use, dearer become: sandbox-standard by up to 4 %."
    assert mails() >= 1
    assert prices_told(other, now) == [ahead]
    assert prices_told(organization, now) == []
    assert Alert.unscoped.filter(occasion=f"plan:{version.pk}").count() == 2
    new = factories.make_organization(storefront=organization.storefront)
    joined(new, now + timedelta(days=9))
    assert prices_told(new, now) == [], "who came later never knew other prices"


def test_prices_that_hold_at_once_are_told_at_once_and_falling_ones_are_not_called_dearer(catalogue, organization, key):
    now = timezone.now()
    joined(organization, now - timedelta(days=40))
    spent(organization, key, 5, day=now.date() - timedelta(days=2), model="sandbox-standard")
    publish(organization.storefront, "10", now - timedelta(minutes=1))
    assert prices_told(organization, now) == [f"New prices hold since {told_as(now - timedelta(minutes=1))} UTC."]


def test_a_cost_that_will_rise_is_told_to_those_who_use_the_model(catalogue, organization, key):
    now = timezone.now()
    other = factories.make_organization(storefront=organization.storefront)
    spent(organization, key, 5, day=now.date() - timedelta(days=2), model="sandbox-standard")
    serving = service.picture().offers["sandbox-standard"].servings[0]
    card = pricebook.card_in_force(serving.provider, serving.upstream_model, at=timezone.now())
    dearer = [{**rate, "price": str(2 * Decimal(rate["price"]))} for rate in card.body["rates"]]
    pricebook.publish_card(
        body={**card.body, "rates": dearer},
        effective_from=now + timedelta(days=3),
        note="test",
        source=trail.SYSTEM,
    )
    [sentence] = prices_told(organization, now)
    assert sentence.endswith("sandbox-standard by up to 100 %.")
    assert prices_told(other, now) == []


def test_the_task_finds_everybody_who_pays_by_the_new_plan_however_many_pay_by_others(
    catalogue, organization, monkeypatch
):
    now = timezone.now()
    monkeypatch.setattr(tasks, "MOST_OF_PRICES", 2)
    shop = organization.storefront
    pricebook.publish_plan(
        storefront=shop,
        name="other",
        body={"method": "cost_plus", "percent": "30"},
        effective_from=now - timedelta(days=1),
        note="",
        source=trail.SYSTEM,
    )
    for place in range(3):  # three who are never to be told
        one = factories.make_organization(storefront=shop)
        if place:
            pricebook.set_terms(storefront=shop, organization=one, plan_name="other", at=now, source=trail.SYSTEM)
        else:
            alerts.save(one, source=trail.SYSTEM, muted=[AlertKind.PRICES])
    last = [factories.make_organization(storefront=shop) for _ in range(3)]
    publish(shop, "30", now + timedelta(days=9))
    Organization.objects.update(created_at=now - timedelta(days=40))
    told = sum(tasks.look_for_alerts() for _ in range(3))
    assert told == 4
    assert Alert.unscoped.filter(kind=AlertKind.PRICES, organization__in=[organization, *last]).count() == 4


def test_what_is_muted_is_neither_told_nor_paused(organization, key):
    for back in range(1, 5):
        spent(organization, key, DOLLAR, day=NOW.date() - timedelta(days=back))
    spent(organization, key, 90 * DOLLAR)
    alerts.save(organization, source=trail.SYSTEM, muted=[AlertKind.UNUSUAL, AlertKind.LOW_BALANCE])
    assert alerts.look(organization, now=NOW) == []
    key.refresh_from_db()
    assert key.disabled_at is None


def test_the_task_looks_at_whoever_called_and_only_at_them(organization, key, monkeypatch):
    spent(organization, key, 5)
    monkeypatch.setattr(tasks.timezone, "now", lambda: NOW)
    assert tasks.look_for_alerts() == 1
    assert kinds(organization) == ["low_balance"]
    assert tasks.look_for_alerts() == 0


def test_settings_are_kept_and_the_secret_is_shown_once(client, organization, alice):
    client.force_login(alice)
    wishes = {
        "low_balance_nano": "7.50", "kinds": ["low_balance", "key_leaked"], "on_unusual": "tell",
        "mail_roles": ["owner"], "webhook_url": "https://hooks.example.com/x",
    }  # fmt: skip
    answer = client.post(page("alerts", organization), wishes)
    assert "whsec_" in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    assert "whsec_" not in client.get(page("alerts", organization)).content.decode()
    row = alerts.settings_of(organization)
    assert (row.low_balance_nano, row.on_unusual, row.mail_roles) == (7_500_000_000, "tell", ["owner"])
    assert "low_balance" not in row.muted
    assert "price_change" in row.muted
    before = row.webhook_secret
    assert "whsec_" in client.post(page("alert_secret", organization)).content.decode()
    assert alerts.settings_of(organization).webhook_secret != before


@pytest.mark.parametrize("url", ["http://example.com/", "https://127.0.0.1/", "ftp://x", "javascript:alert(1)"])
def test_a_webhook_must_be_a_public_https_address(client, organization, alice, url, settings):
    settings.WEBHOOKS_TO_PRIVATE_ADDRESSES = False
    client.force_login(alice)
    answer = client.post(page("alerts", organization), {"on_unusual": "pause", "webhook_url": url})
    assert answer.status_code == 400
    assert alerts.settings_of(organization).webhook_url == ""


def test_a_test_goes_to_whoever_asks_and_to_the_webhook(client, organization, alice):
    alerts.save(organization, source=trail.SYSTEM, webhook_url="https://hooks.example.com/x")
    client.force_login(alice)
    client.post(page("alert_test", organization))
    assert mails() == 1
    assert OutboxMessage.objects.filter(topic=notices.WEBHOOK, payload__kind="alert.test").count() == 1


def test_members_see_what_their_role_may_and_change_nothing(client, organization, bob, key):
    spent(organization, key, 5)
    [alert] = alerts.look(organization, now=NOW)
    client.force_login(bob)
    text = client.get(page("alerts", organization)).content.decode()
    assert "All quiet" in text  # a developer does not see money
    assert "Send a test" not in text
    assert client.post(page("alerts", organization), {"on_unusual": "tell"}).status_code == 404
    assert client.post(page("alert_answer", organization, alert.public_id)).status_code == 403
