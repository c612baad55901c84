"""Sign up, verify, make a key, see it once, end it."""

import re

import pytest
from django.core import mail
from playwright.sync_api import Error as PlaywrightError

from accounts import access
from accounts.models import ApiKey, AuditEvent, Organization, User
from tests.journeys.conftest import code_from_mail

PASSWORD = "a gate of nine bars and a bell"


@pytest.mark.django_db(transaction=True)
def test_from_the_front_page_to_a_key_and_its_end(visitor, shop):
    page = visitor.page
    visitor.go("/?utm_source=friend")
    page.get_by_role("link", name="Get a key").click()
    page.get_by_label("Email").fill("nora@example.com")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    assert page.get_by_text("Strong").is_visible()
    page.get_by_role("button", name="Sign up").click()

    page.get_by_role("heading", name="Check your mailbox").wait_for()
    assert page.get_by_role("button", name=re.compile("Send a new code")).is_disabled()
    assert [letter.to for letter in mail.outbox] == [["nora@example.com"]]
    page.get_by_label("Code").fill(code_from_mail())
    page.get_by_role("button", name="Continue").click()

    page.get_by_role("heading", name="First steps").wait_for()
    assert "1 of 4" in page.inner_text("main")
    nora = User.objects.get(email="nora@example.com")
    assert nora.acquisition["utm_source"] == "friend"
    visitor.go(f"/app/{Organization.objects.get(memberships__user=nora).slug}/keys/new/")
    page.get_by_label("Name").fill("laptop")
    page.get_by_label("Most per month (USD)").fill("12.50")
    page.get_by_role("button", name="Make the key").click()

    secret = page.locator("#secret").inner_text()
    key = ApiKey.unscoped.get(created_by=nora)
    assert access.keys.well_formed(secret)
    assert access.keys.hashes(secret)[0] == key.secret_hash
    assert key.cap_month_nano == 12_500_000_000
    assert secret in page.locator("pre:visible").inner_text()
    page.get_by_role("link", name="I saved it").click()
    page.get_by_role("heading", name="API keys").wait_for()
    assert secret not in page.content()
    assert key.masked in page.content()
    with pytest.raises(PlaywrightError, match="ERR_CACHE_MISS"):  # the browser kept nothing of that answer
        page.go_back()
    page.wait_for_url("chrome-error://**")

    visitor.go(f"/app/{key.organization.slug}/keys/")
    page.get_by_role("link", name="Edit laptop").click()
    page.get_by_role("link", name="Revoke…").click()
    button = page.get_by_role("button", name="Revoke the key")
    assert button.is_disabled()
    page.get_by_label("Type laptop to confirm").fill("laptop")
    button.click()
    page.get_by_text("“laptop” is revoked").wait_for()
    key.refresh_from_db()
    assert key.revoked_at is not None
    acts = AuditEvent.objects.filter(actor=nora).values_list("action", flat=True)
    assert {"key.created", "key.revoked"} <= set(acts)


@pytest.mark.django_db(transaction=True)
def test_signing_up_again_says_nothing_about_the_mailbox(visitor, alice):
    page = visitor.page
    visitor.go("/accounts/signup/")
    page.get_by_label("Email").fill(alice.email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()
    page.get_by_role("heading", name="Check your mailbox").wait_for()
    assert "already" not in page.inner_text("main").lower()
    assert User.objects.filter(email=alice.email).count() == 1
