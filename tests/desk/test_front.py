"""The first page counts what is there, in scope, and nothing else."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import ApiKey, Organization, User
from accounts.operators import scope_of
from desk import front

Browse = Callable[..., Client]


def counts(client: Client) -> dict[str, int]:
    return {card["title"]: card["count"] for card in client.get("/admin/").context["cards"]}


def test_counts_are_those_of_the_scope(
    browse: Browse, operator: User, staff: User, shared: User, ours: Organization
) -> None:
    assert counts(browse(operator)) == {"Organizations": 1, "Members": 2, "Living keys": 2, "Sign-ups": 1}
    assert counts(browse(staff)) == {"Organizations": 2, "Members": 4, "Living keys": 4, "Sign-ups": 2}
    ApiKey.unscoped.filter(organization=ours).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert counts(browse(operator))["Living keys"] == 1


def test_sign_ups_stand_by_channel_and_grow_old(operator: User, staff: User, theirs: Organization) -> None:
    now = timezone.now()
    assert front.sign_ups_by_channel(scope_of(operator), now=now) == [("HOMEMARK-campaign", 1)]
    assert dict(front.sign_ups_by_channel(scope_of(staff), now=now)) == {"HOMEMARK-campaign": 1, "CANARY-campaign": 1}
    assert front.sign_ups_by_channel(scope_of(operator), now=now + timedelta(days=31)) == []


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
