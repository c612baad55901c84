"""The first page's menu and channels, in scope."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Organization, User
from accounts.operators import scope_of
from desk import front

Browse = Callable[..., Client]


def test_sign_ups_stand_by_channel_and_grow_old(operator: User, staff: User, theirs: Organization) -> None:
    now = timezone.now()
    days = {"since": now - timedelta(days=30), "until": now + timedelta(minutes=1)}
    assert front.sign_ups_by_channel(scope_of(operator), **days) == [("HOMEMARK-campaign", 1)]
    assert dict(front.sign_ups_by_channel(scope_of(staff), **days)) == {"HOMEMARK-campaign": 1, "CANARY-campaign": 1}
    assert front.sign_ups_by_channel(scope_of(operator), since=days["until"], until=now + timedelta(days=1)) == []


@pytest.mark.parametrize(
    ("marks", "name"),
    [
        ({}, "direct"),
        ({"utm_source": "news", "referrer": "https://google.com/"}, "news"),
        ({"ref": "anna"}, "referral anna"),
        ({"referrer": "https://www.google.com/search"}, "search"),
        ({"referrer": "https://www.example.org/post"}, "example.org"),
        ({"referrer": "nonsense"}, "direct"),
    ],
)
def test_a_channel_is_one_word(marks: dict[str, str], name: str) -> None:
    assert front.channel(marks) == name


def test_an_empty_shop_says_so(browse: Browse, db: None) -> None:
    from tests import factories

    shown = browse(factories.make_staff(factories.make_storefront(is_default=True))).get("/admin/").content.decode()
    assert "Nothing has happened yet" in shown
    assert "Nobody signed up" in shown


def test_the_menu_leaves_out_what_may_not_be_seen(browse: Browse, operator: User, staff: User) -> None:
    shops = browse(operator).get("/admin/").context["sidebar_navigation"]
    titles = [item["title"] for group in shops for item in group["items"]]
    assert "Organizations" in titles
    assert "Shop staff" not in titles
    everything = browse(staff).get("/admin/").context["sidebar_navigation"]
    assert "Shop staff" in [item["title"] for group in everything for item in group["items"]]
