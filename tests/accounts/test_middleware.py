"""What the middlewares ask on every page: little, and what they noted stays true."""

from datetime import timedelta

import pytest
from allauth.usersessions.models import UserSession
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import access
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(shop, organization, alice):
    client = Client(headers={"host": "localhost", "user-agent": "Browser/1"})
    client.force_login(alice, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


def test_a_page_asks_five_questions_before_its_own(browser, organization):
    address = f"/app/{organization.slug}/settings/"
    browser.get(address)
    with CaptureQueriesContext(connection) as asked:
        assert browser.get(address).status_code == 200
    questions = [query["sql"] for query in asked if query["sql"].startswith("SELECT")]
    assert len(questions) <= 5, questions  # the shop, the session, the person, where it is used, the seats
    assert not [query["sql"] for query in asked if query["sql"].startswith(("UPDATE", "INSERT"))]


def test_a_session_is_noted_again_after_a_minute_or_from_elsewhere(browser, organization):
    address = f"/app/{organization.slug}/settings/"
    browser.get(address)
    noted = UserSession.objects.get()
    browser.get(address)
    assert UserSession.objects.get().last_seen_at == noted.last_seen_at
    browser.get(address, headers={"user-agent": "Browser/2"})
    assert UserSession.objects.get().user_agent == "Browser/2"
    earlier = timezone.now() - timedelta(minutes=2)
    UserSession.objects.update(last_seen_at=earlier)
    browser.get(address, headers={"user-agent": "Browser/2"})
    assert UserSession.objects.get().last_seen_at > earlier


def test_a_shop_that_owns_the_installations_host_comes_before_the_default_one(shop, settings):
    other = factories.make_storefront(name="Other", host="own.test")
    settings.PLATFORM_HOSTS = ["own.test", "localhost"]
    assert access.storefront_for("own.test") == other
    assert access.storefront_for("localhost") == shop
    for stranger in ("", "nobody.test"):
        with pytest.raises(access.UnknownHost):
            access.storefront_for(stranger)
