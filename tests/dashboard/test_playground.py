"""The playground's key: short, the member's own, out of every list, never more than a few."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts import access, trail
from accounts.models import ApiKey, Membership, Role
from accounts.models.keys import KeyKind
from dashboard import playground
from tests import factories

pytestmark = pytest.mark.django_db


def page(name, organization):
    return reverse(f"dashboard:{name}", args=[organization.slug])


def test_the_key_ends_within_the_hour_and_calls_only(client, organization, bob):
    client.force_login(bob)
    answer = client.post(page("playground_key", organization))
    assert "no-store" in answer["Cache-Control"]
    secret = answer.json()["key"]
    key = access.key_for(
        secret, storefront=organization.storefront, on_platform_host=False, ip_address="1.2.3.4", now=timezone.now()
    )
    assert (key.kind, key.created_by, key.organization) == (KeyKind.INFERENCE, bob, organization)
    assert timedelta(minutes=50) < key.expires_at - timezone.now() < timedelta(hours=1)
    assert "Playground of" in key.label


def test_it_is_in_no_list_and_has_no_page(client, organization, alice):
    client.force_login(alice)
    client.post(page("playground_key", organization))
    key = ApiKey.objects.of(organization).get()
    for query in ("", "?show=ended"):
        assert key.masked not in client.get(page("keys", organization) + query).content.decode()
    assert client.get(reverse("dashboard:key_edit", args=[organization.slug, key.public_id])).status_code == 404


def test_a_member_has_a_few_at_most_and_ended_ones_are_cleared(organization, alice):
    now = timezone.now()
    seat = access.Seat(organization, alice, Role.OWNER, Membership.objects.of(organization).get(user=alice))
    for _ in range(playground.MOST_AT_ONCE + 2):
        playground.mint(seat, now=now, source=trail.SYSTEM)
    living = ApiKey.objects.of(organization).filter(revoked_at__isnull=True)
    assert living.count() == playground.MOST_AT_ONCE
    playground.mint(seat, now=now + timedelta(hours=2), source=trail.SYSTEM)
    assert living.count() == 1


def test_nothing_is_minted_by_looking_or_by_those_who_make_no_keys(client, organization, alice):
    client.force_login(alice)
    assert client.get(page("playground_key", organization)).status_code == 405
    client.get(page("playground", organization))
    assert not ApiKey.objects.of(organization).exists()
    client.force_login(factories.make_membership(organization, role="billing").user)
    assert client.get(page("playground", organization)).status_code == 403
    assert client.post(page("playground_key", organization)).status_code == 403


@pytest.mark.parametrize("call", ["", "x", "-1", "9" * 40, "12"])
def test_a_charge_is_told_of_own_calls_only(client, organization, alice, call):
    client.force_login(alice)
    assert client.get(page("playground_charge", organization), {"call": call}).status_code == 404


def test_without_models_the_page_says_so(client, organization, alice):
    client.force_login(alice)
    assert "No model can be called yet" in client.get(page("playground", organization)).content.decode()
