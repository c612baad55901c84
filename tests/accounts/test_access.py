from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.test import Client

from accounts import access, keys, organizations, tenancy, trail
from accounts.models import ApiKey, AuditEvent, Membership, Organization, Role
from accounts.models.keys import KeyKind
from accounts.models.organizations import Standing
from accounts.roles import Permission
from accounts.scopes import Scope
from tests import factories

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def find(secret, storefront, *, platform=True, ip="203.0.113.5", now=NOW):
    return access.key_for(secret, storefront=storefront, on_platform_host=platform, ip_address=ip, now=now)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("Shop.Example.com:8000", "shop.example.com"),
        ("[::1]:8000", "[::1]"),
        ("a.test.", "a.test"),
        (" A ", "a"),
        ("", ""),
    ],
)
def test_a_host_is_told_by_its_name(host, name):
    assert access.host_name(host) == name


@pytest.mark.parametrize("host", ["", "unknown.test", "a\x00b", "ä.test", "canary.test.evil.example", "*"])
def test_a_host_nobody_owns_is_unknown(shop, other_shop, host):
    with pytest.raises(access.UnknownHost):
        access.storefront_for(host)


def test_each_host_leads_to_its_shop(shop, other_shop):
    assert access.storefront_for("canary.test:443") == other_shop
    assert access.storefront_for("localhost:8000") == shop
    assert access.is_platform_host("LOCALHOST:1")


def test_links_lead_to_the_primary_domain(other_shop, settings):
    other_shop.domains.create(host="also.test")
    settings.PUBLIC_PORT, settings.PUBLIC_SCHEME = 0, "https"
    assert access.canonical_base(other_shop) == "https://canary.test"
    settings.PUBLIC_PORT = 8443
    assert access.canonical_base(other_shop) == "https://canary.test:8443"


def test_a_seat_is_found_by_slug_and_by_public_id_and_nobody_elses_is(shop, other_shop, alice, charlie, organization):
    assert access.organization_for(alice, shop, organization.slug).role is Role.OWNER
    assert access.organization_named(alice, shop, organization.public_id).may(Permission.SPEND)
    for user, storefront in ((charlie, shop), (alice, other_shop)):
        with pytest.raises(access.NotThere):
            access.organization_for(user, storefront, organization.slug)
    organizations.set_standing(organization, Standing.CLOSED, reason="gone", source=trail.SYSTEM)
    with pytest.raises(access.NotThere):
        access.organization_named(alice, shop, organization.public_id)
    assert access.seats_of(alice, shop) == []


@pytest.mark.parametrize("end", ["expired", "disabled", "revoked", "maker inactive", "wrong address", "wrong shop"])
def test_a_key_ends_in_every_way_there_is(shop, other_shop, organization, alice, end):
    key, secret = factories.make_key(organization, allowed_networks=["203.0.113.0/24"])
    assert find(secret, shop) == key
    if end == "expired":
        keys.update(key, source=trail.SYSTEM, expires_at=NOW)
    elif end == "disabled":
        keys.set_enabled(key, enabled=False, now=NOW, source=trail.SYSTEM)
    elif end == "revoked":
        assert keys.revoke(key, now=NOW, source=trail.SYSTEM)
        assert not keys.revoke(key, now=NOW, source=trail.SYSTEM)
    elif end == "maker inactive":
        type(alice).objects.update(is_active=False)
    with pytest.raises(access.KeyNotAccepted):
        find(
            secret,
            other_shop if end == "wrong shop" else shop,
            ip="198.51.100.1" if end == "wrong address" else "203.0.113.5",
        )


def test_an_operator_key_of_the_platform_works_on_its_own_hosts_alone(shop):
    minted = keys.create(
        organization=None, storefront=None, made_by=factories.make_staff(), kind=KeyKind.OPERATOR, label="o",
        source=trail.SYSTEM,
    )  # fmt: skip
    assert find(minted.secret, shop) == minted.key
    with pytest.raises(access.KeyNotAccepted):
        find(minted.secret, shop, platform=False)
    with pytest.raises(access.KeyNotAccepted):
        access.seat_of_key(minted.key)


def test_a_seat_by_key_holds_what_scopes_and_role_share(organization, bob):
    minted = keys.create(
        organization=organization, storefront=None, made_by=bob, kind=KeyKind.MANAGEMENT, label="b",
        scopes=["keys:read"], source=trail.SYSTEM,
    )  # fmt: skip
    seat = access.seat_of_key(minted.key)
    assert seat.within(Scope.KEYS_READ)
    assert not seat.within(Scope.KEYS_WRITE)
    assert not seat.may(Permission.SEE)
    person = access.seated(Membership.objects.of(organization).get(user=bob))
    assert person.within(Scope.KEYS_WRITE)
    assert not person.within(Scope.AUDIT_READ)


def test_a_key_rotated_out_of_range_or_after_its_end_is_a_sentence(organization, alice):
    key, _ = factories.make_key(organization)
    for overlap in (timedelta(seconds=-1), timedelta(days=31)):
        with pytest.raises(keys.KeyRefused):
            keys.rotate(key, overlap=overlap, now=NOW, made_by=alice, source=trail.SYSTEM)
    keys.revoke(key, now=NOW, source=trail.SYSTEM)
    with pytest.raises(keys.KeyRefused):
        keys.rotate(key, overlap=timedelta(0), now=NOW, made_by=alice, source=trail.SYSTEM)


def test_nobody_without_the_role_makes_keys(organization, charlie):
    viewer = factories.make_membership(organization, role="viewer").user
    for user in (viewer, charlie):
        with pytest.raises(keys.WiderThanMaker):
            keys.create(
                organization=organization, storefront=None, made_by=user, kind=KeyKind.INFERENCE, label="x",
                source=trail.SYSTEM,
            )  # fmt: skip
    assert not ApiKey.unscoped.exists()


def test_a_query_without_a_tenant_does_not_run(organization):
    with pytest.raises(tenancy.TenantMissing):
        ApiKey.objects.all()
    with pytest.raises(tenancy.TenantMissing):
        Membership.objects.create(role="owner")
    assert str(Membership.objects.of(organization).get()).endswith("(owner)")


def test_a_taken_slug_gets_an_ending_and_a_name_of_marks_a_word(shop, alice):
    first, second, third = (
        organizations.create(storefront=shop, owner=alice, name=name, source=trail.SYSTEM)
        for name in ("A b", "A b", "李雷")
    )
    assert first.slug == "a-b"
    assert second.slug.startswith("a-b-")
    assert third.slug == "workspace"


def test_five_collisions_are_an_accident_worth_hearing_of(shop, alice, monkeypatch):
    organizations.create(storefront=shop, owner=alice, name="x", source=trail.SYSTEM)
    organizations.create(storefront=shop, owner=alice, name="x aaaaaa", source=trail.SYSTEM)
    monkeypatch.setattr(organizations, "new_id", lambda _: "x_aaaaaa")
    with pytest.raises(RuntimeError):
        organizations.create(storefront=shop, owner=alice, name="x", source=trail.SYSTEM)


@pytest.mark.parametrize("changes", [{"name": ""}, {"name": "a\nb"}, {"time_zone": "Nowhere"}, {"cap_day_nano": -1}])
def test_what_an_organization_cannot_be_is_refused(organization, changes):
    with pytest.raises(ValidationError):
        organizations.update(organization, source=trail.SYSTEM, **changes)
    assert Organization.objects.get().name == "Alice & Co"


def test_the_trail_never_carries_a_secret(organization):
    event = trail.record(
        "x", source=trail.SYSTEM, target=organization,
        after={"password": "a", "secret_hash": "b", "token": "c", "tokens_per_minute": 5, "owner": organization},
    )  # fmt: skip
    assert event.after == {"tokens_per_minute": 5, "owner": "Alice & Co"}
    assert str(event) == "x Alice & Co"


def test_the_trail_reads_the_storefront_off_its_target(other_shop):
    assert trail.record("x", source=trail.SYSTEM, target=other_shop).storefront == other_shop
    assert trail.record("y", source=trail.SYSTEM, target=other_shop.domains.get()).storefront == other_shop
    assert AuditEvent.objects.count() == 2


@pytest.mark.parametrize("cookie", ["a\\000bcdefgh", "x" * 5000, "'; drop table users--", "\\377\\376aaaaaaa"])
def test_a_hostile_session_cookie_is_no_session(shop, cookie):
    client = Client(headers={"host": "localhost", "cookie": f'tollgate_session="{cookie}"'})
    assert client.get("/api/v1/me").status_code == 401
    assert client.get("/app/").status_code == 302
