"""Settings and members' caps: who may change what, what is taken along, and how an organization or an account ends."""

import json
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent, Membership, Role, User
from accounts.models.organizations import Standing
from billing.models import CapCounter
from gateway.models import KeptAnswer
from plumbing.identifiers import new_id
from tests import factories
from tests.billing.payment_stage import configure
from tests.dashboard.rich import furnish
from tests.dashboard.test_pages import visit

pytestmark = pytest.mark.django_db
DOLLAR = 1_000_000_000
OPEN_TO = {
    "settings_export": {"owner", "admin"},
    "settings_close": {"owner"},
    "member_caps": {"owner", "admin"},
}


def page(name, organization, *rest):
    return reverse(f"dashboard:{name}", args=[organization.slug, *rest])


def address_of(name, organization, member):
    return page(name, organization, member.public_id) if name == "member_caps" else page(name, organization)


@pytest.fixture
def member(organization, bob):
    return Membership.objects.of(organization).get(user=bob)


@pytest.mark.parametrize("name", OPEN_TO)
@pytest.mark.parametrize("role", ["owner", "admin", "developer", "billing", "viewer"])
def test_each_role_sees_what_it_may(client, organization, member, role, name):
    user = organization.memberships.get(role="owner").user
    client.force_login(user if role == "owner" else factories.make_membership(organization, role=role).user)
    answer = client.get(address_of(name, organization, member))
    assert answer.status_code == (200 if role in OPEN_TO[name] else 403)


@pytest.mark.parametrize("name", OPEN_TO)
def test_outsiders_find_nothing(client, organization, member, charlie, name):
    address = address_of(name, organization, member)
    assert client.get(address)["Location"].startswith("/accounts/login/")
    client.force_login(charlie)
    assert client.get(address).status_code == 404
    assert client.post(address, {"confirmation": organization.name, "cap_day_nano": "1"}).status_code in {404, 405}


def test_a_visitor_from_the_shop_changes_and_takes_nothing(client, organization, member):
    visit(client, factories.make_staff(), organization)
    for name in OPEN_TO:
        assert client.get(address_of(name, organization, member)).status_code == 403
    for address in ("/app/account/export/", "/app/account/delete/"):
        assert client.get(address).status_code == 403


# --- Caps of members --------------------------------------------------------------------------------------------------


def test_caps_are_set_shown_with_what_is_spent_and_taken_off(client, organization, alice, member):
    client.force_login(alice)
    address = page("member_caps", organization, member.public_id)
    assert client.post(address, {"cap_day_nano": "5", "cap_month_nano": "50.000000001"}).status_code == 302
    member.refresh_from_db()
    assert (member.cap_day_nano, member.cap_month_nano, member.cap_total_nano) == (5 * DOLLAR, 50 * DOLLAR + 1, None)
    CapCounter.objects.of(organization).create(
        organization=organization,
        scope_kind="member",
        scope_id=member.pk,
        window="day",
        window_start=timezone.now().date(),
        spent=4 * DOLLAR,
        held=DOLLAR,
    )
    for told in (client.get(address), client.get(page("members", organization))):
        assert "$5.00 of $5.00 a day" in told.content.decode()
    assert client.post(address, {}).status_code == 302
    member.refresh_from_db()
    assert member.cap_day_nano is None
    assert AuditEvent.objects.filter(organization=organization, action="member.caps_changed").count() == 2


@pytest.mark.parametrize("wrong", ["-1", "0", "many", "1.0000000001", "9" * 15])
def test_strange_caps_are_refused_at_their_field(client, organization, alice, member, wrong):
    client.force_login(alice)
    answer = client.post(page("member_caps", organization, member.public_id), {"cap_day_nano": wrong})
    assert answer.status_code == 400
    assert 'class="errors"' in answer.content.decode()


def test_an_admin_does_not_cap_the_owner(client, organization, alice):
    admin = factories.make_membership(organization, role="admin")
    owner = Membership.objects.of(organization).get(user=alice)
    client.force_login(admin.user)
    address = page("member_caps", organization, owner.public_id)
    assert "Your role does not set the caps" in client.get(address).content.decode()
    client.post(address, {"cap_day_nano": "1"})
    owner.refresh_from_db()
    assert owner.cap_day_nano is None


def test_what_others_spend_is_for_those_who_see_bills(client, organization, member, alice):
    Membership.objects.of(organization).filter(user=alice).update(cap_day_nano=7 * DOLLAR)
    viewer = factories.make_membership(organization, role="viewer")
    client.force_login(viewer.user)
    assert "$7.00 a day" not in client.get(page("members", organization)).content.decode()
    client.force_login(factories.make_membership(organization, role="billing").user)
    assert "$7.00 a day" in client.get(page("members", organization)).content.decode()


# --- What is kept -----------------------------------------------------------------------------------------------------


def test_keeping_answers_is_switched_on_and_off_forgets_them(client, organization, alice):
    client.force_login(alice)
    address = page("settings_content", organization)
    client.post(address, {"stores_content": "on"})
    organization.refresh_from_db()
    assert organization.stores_content
    other = factories.make_organization(storefront=organization.storefront)
    for place, owner in enumerate((organization, other)):
        KeptAnswer.objects.of(owner).create(
            organization=owner, call_id=place + 1, status=200, body=b"{}", kept_at=timezone.now() - timedelta(hours=1)
        )
    told = client.post(address, {}, follow=True).content.decode()
    organization.refresh_from_db()
    assert not organization.stores_content
    assert "1 kept answer forgotten" in told
    assert not KeptAnswer.objects.of(organization).exists()
    assert KeptAnswer.objects.of(other).exists()


@pytest.mark.parametrize("role", ["developer", "billing", "viewer"])
def test_only_those_who_manage_switch_it(client, organization, role):
    client.force_login(factories.make_membership(organization, role=role).user)
    assert client.post(page("settings_content", organization), {"stores_content": "on"}).status_code == 403
    organization.refresh_from_db()
    assert not organization.stores_content


# --- Taking along -----------------------------------------------------------------------------------------------------


def test_an_organization_takes_everything_of_its_own_and_no_secret(client, organization, alice, charlie, settings):
    configure(settings)
    furnish(organization)
    _, secret = factories.make_key(organization, label="backend")
    client.force_login(alice)
    answer = client.get(page("settings_export", organization))
    text = b"".join(answer.streaming_content).decode()
    told = json.loads(text)
    assert told["organization"][0]["name"] == organization.name
    assert {row["email"] for row in told["members"]} == {"alice@example.com"}
    assert told["api_keys"][0]["label"] == "backend"
    assert told["billing_details"][0]["tax_id"] == "DE123456789"
    assert len(told["top_ups"]) == 6
    assert told["payments"][0]["taken_back_usd"] == "15"
    assert told["movements"]
    assert told["events"]
    assert secret not in text
    assert "charlie" not in text
    for hidden in ("secret", "hash", "cost", "password"):
        assert hidden not in text, hidden


def test_a_person_takes_their_own(client, organization, alice, bob):
    client.force_login(alice)
    told = json.loads(b"".join(client.get("/app/account/export/").streaming_content))
    assert told["person"][0]["email"] == "alice@example.com"
    assert told["memberships"] == [
        {"organization": "Alice & Co", "role": "owner", "since": told["memberships"][0]["since"]}
    ]
    assert "bob@example.com" not in json.dumps(told)


# --- Ends -------------------------------------------------------------------------------------------------------------


def test_closing_wants_the_name_and_ends_access(client, organization, alice, bob):
    factories.make_payment(organization)
    client.force_login(alice)
    address = page("settings_close", organization)
    assert "$20.00 of credit is left." in client.get(address).content.decode()
    wrong = client.post(address, {"confirmation": "Alice"})
    assert wrong.status_code == 400
    assert "These are not the words. Nothing was changed." in wrong.content.decode()
    assert client.post(address, {"confirmation": "alice & co"})["Location"] == "/app/"
    organization.refresh_from_db()
    assert organization.standing == Standing.CLOSED
    assert client.get(page("overview", organization)).status_code == 404


def confirmed(client, user):
    """Signed in, and shown a moment ago that it is them."""
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    client.post("/accounts/reauthenticate/", {"password": factories.PASSWORD})


def test_deleting_wants_a_fresh_proof_and_the_address(client, shop):
    user = factories.make_user("leaving@example.com")
    own = factories.make_organization(storefront=shop, owner=user, name="Alone")
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    asked = client.post("/app/account/delete/", {"confirmation": user.email})
    assert asked["Location"].startswith("/accounts/reauthenticate/")
    confirmed(client, user)
    assert "has no other member and is closed" in client.get("/app/account/delete/").content.decode()
    assert client.post("/app/account/delete/", {"confirmation": "yes"}).status_code == 400
    assert User.objects.filter(email="leaving@example.com").exists()
    gone = client.post("/app/account/delete/", {"confirmation": "Leaving@example.com"})
    assert "Your account is deleted" in gone.content.decode()
    own.refresh_from_db()
    assert own.standing == Standing.CLOSED
    assert not User.objects.filter(email="leaving@example.com").exists()
    assert client.get("/app/account/")["Location"].startswith("/accounts/login/")


def test_an_owner_of_shared_work_is_told_to_hand_over(client, organization, alice, bob):
    confirmed(client, alice)
    answer = client.post("/app/account/delete/", {"confirmation": alice.email})
    assert answer.status_code == 400
    assert "hand it over or close it first" in answer.content.decode()
    assert Membership.objects.of(organization).filter(role=Role.OWNER).count() == 1


def test_every_new_post_needs_its_token(organization, alice, member):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True, headers={"host": "localhost"})
    strict.force_login(alice)
    for address in (
        page("settings_content", organization),
        page("settings_close", organization),
        page("member_caps", organization, member.public_id),
        page("credits_details", organization),
        "/app/account/delete/",
    ):
        assert strict.post(address, {"confirmation": new_id("x")}).status_code == 403, address
