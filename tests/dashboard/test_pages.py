import pytest
from django.urls import reverse
from django.utils import timezone

from accounts import impersonation
from accounts.models import ApiKey, AuditEvent, Organization
from tests import factories

pytestmark = pytest.mark.django_db

PAGES = ("overview", "keys", "key_new", "members", "settings")
OPEN_TO = {
    "owner": set(PAGES),
    "admin": set(PAGES),
    "developer": {"overview", "keys", "key_new", "members"},
    "billing": {"overview", "members"},
    "viewer": {"overview", "members"},
}


def page(name, organization, *rest):
    return reverse(f"dashboard:{name}", args=[organization.slug, *rest])


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("role", OPEN_TO)
def test_each_role_sees_its_pages_and_no_others(client, organization, role, name):
    member = factories.make_membership(organization, role=role) if role != "owner" else None
    client.force_login(member.user if member else organization.memberships.get().user)
    expected = 200 if name in OPEN_TO[role] else 403
    response = client.get(page(name, organization))
    assert response.status_code == expected
    if expected == 403:
        assert "Not allowed" in response.content.decode()


@pytest.mark.parametrize("name", PAGES)
def test_outsiders_find_nothing_and_strangers_are_asked_in(client, organization, charlie, name):
    asked_in = client.get(page(name, organization))
    assert asked_in.status_code == 302
    assert asked_in["Location"].startswith("/accounts/login/")
    client.force_login(charlie)
    assert client.get(page(name, organization)).status_code == 404


@pytest.mark.parametrize("action", ["key_edit", "key_switch", "key_rotate", "key_revoke"])
def test_a_key_of_another_organization_does_not_exist(client, organization, charlie, action):
    key, _ = factories.make_key(organization)
    own = charlie.memberships.get().organization
    client.force_login(charlie)
    assert client.post(page(action, own, key.public_id), {"confirmation": key.label}).status_code == 404
    key.refresh_from_db()
    assert key.revoked_at is None
    assert key.disabled_at is None


@pytest.mark.parametrize("action", ["key_edit", "key_switch", "key_rotate", "key_revoke"])
def test_a_developer_touches_only_keys_of_their_own(client, organization, bob, action):
    key, _ = factories.make_key(organization)
    client.force_login(bob)
    assert client.post(page(action, organization, key.public_id), {"to": "off"}).status_code == 403


@pytest.mark.parametrize("action", ["key_switch", "key_rotate"])
def test_nothing_changes_by_looking(client, organization, alice, action):
    key, _ = factories.make_key(organization)
    client.force_login(alice)
    assert client.get(page(action, organization, key.public_id)).status_code == 405


def test_a_secret_is_in_one_answer_and_nowhere_else(client, organization, alice):
    client.force_login(alice)
    response = client.post(page("key_new", organization), {"label": "backend", "kind": "inference"})
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    key = ApiKey.objects.of(organization).get()
    text = response.content.decode()
    start = text.index('id="secret"')
    secret = text[text.index(">", start) + 1 : text.index("<", start)]
    assert secret.startswith("sk-tg-")
    assert secret.endswith(key.last_four)
    assert secret not in str(dict(client.session))
    for name in ("keys", "overview"):
        assert secret not in client.get(page(name, organization)).content.decode()
    assert secret not in client.get(page("key_edit", organization, key.public_id)).content.decode()


def test_a_key_is_made_with_every_bound(client, organization, alice):
    client.force_login(alice)
    client.post(
        page("key_new", organization),
        {
            "label": "backend",
            "kind": "inference",
            "expires_on": "2099-12-31",
            "cap_day_nano": "0.00116",
            "cap_month_nano": "25",
            "cap_total_nano": "1000.50",
            "allowed_models": "gpt-4o\nclaude-*",
            "allowed_networks": "203.0.113.0/24",
            "requests_per_minute": "60",
            "tokens_per_day": "1000000",
        },
    )
    key = ApiKey.objects.of(organization).get()
    assert key.created_by == alice
    assert (key.cap_day_nano, key.cap_month_nano, key.cap_total_nano) == (1_160_000, 25 * 10**9, 1_000_500_000_000)
    assert key.allowed_models == ["gpt-4o", "claude-*"]
    assert key.allowed_networks == ["203.0.113.0/24"]
    assert (key.requests_per_minute, key.requests_per_hour, key.tokens_per_day) == (60, None, 1_000_000)
    assert key.expires_at.isoformat() == "2100-01-01T00:00:00+00:00"


@pytest.mark.parametrize(("role", "made"), [("developer", 0), ("admin", 1)])
def test_management_keys_are_made_by_those_who_manage(client, organization, role, made):
    client.force_login(factories.make_membership(organization, role=role).user)
    client.post(page("key_new", organization), {"label": "terraform", "kind": "management"})
    assert ApiKey.objects.of(organization).filter(kind="management").count() == made


def test_operator_keys_are_not_made_here(client, organization, alice):
    client.force_login(alice)
    response = client.post(page("key_new", organization), {"label": "root", "kind": "operator"})
    assert response.status_code == 200
    assert not ApiKey.unscoped.exists()


def test_changing_a_label_leaves_the_exact_expiry(client, organization, alice):
    expires_at = timezone.now() + timezone.timedelta(days=3)
    key, _ = factories.make_key(organization, expires_at=expires_at, cap_day_nano=5)
    client.force_login(alice)
    form = client.get(page("key_edit", organization, key.public_id)).context["form"]
    values = {name: form[name].value() or "" for name in form.fields} | {"label": "renamed", "cap_day_nano": "0.01"}
    assert client.post(page("key_edit", organization, key.public_id), values).status_code == 302
    key.refresh_from_db()
    assert (key.label, key.cap_day_nano, key.expires_at) == ("renamed", 10**7, expires_at)
    assert AuditEvent.objects.filter(action="key.changed", actor=alice).count() == 1


def test_switching_rotating_and_revoking(client, organization, alice):
    key, secret = factories.make_key(organization, label="backend", cap_day_nano=7)
    client.force_login(alice)
    client.post(page("key_switch", organization, key.public_id), {"to": "off"})
    key.refresh_from_db()
    assert key.disabled_at
    client.post(page("key_switch", organization, key.public_id), {"to": "on"})
    key.refresh_from_db()
    assert key.disabled_at is None
    rotated = client.post(page("key_rotate", organization, key.public_id), {"overlap_s": "3600"})
    assert "no-store" in rotated["Cache-Control"]
    assert secret not in rotated.content.decode()
    successor = ApiKey.objects.of(organization).get(replaces=key)
    assert successor.cap_day_nano == 7
    wrong = client.post(page("key_revoke", organization, successor.public_id), {"confirmation": "yes"})
    assert wrong.status_code == 400
    successor.refresh_from_db()
    assert successor.revoked_at is None
    client.post(page("key_revoke", organization, successor.public_id), {"confirmation": "backend"})
    successor.refresh_from_db()
    assert successor.revoked_at
    assert "backend" in client.get(page("keys", organization) + "?show=ended").content.decode()
    refused = client.post(page("key_switch", organization, successor.public_id), {"to": "on"}, follow=True)
    assert "that is for good" in refused.content.decode()


@pytest.mark.parametrize("overlap", ["", "-1", "99999999", "1\x00"])
def test_a_strange_overlap_changes_nothing(client, organization, alice, overlap):
    key, _ = factories.make_key(organization)
    client.force_login(alice)
    assert client.post(page("key_rotate", organization, key.public_id), {"overlap_s": overlap}).status_code == 302
    assert ApiKey.objects.of(organization).count() == 1


@pytest.mark.parametrize(("count", "lands_on"), [(0, "Welcome"), (1, "First steps"), (2, "Where to?")])
def test_the_start_leads_to_where_one_belongs(client, shop, count, lands_on):
    user = factories.make_user()
    for number in range(count):
        factories.make_organization(storefront=shop, owner=user, name=f"Org {number}")
    client.force_login(user)
    assert lands_on in client.get("/app/", follow=True).content.decode()


def test_organizations_of_another_shop_stay_there(client, shop, other_shop):
    user = factories.make_user()
    factories.make_organization(storefront=other_shop, owner=user, name="Elsewhere")
    client.force_login(user)
    response = client.get("/app/", follow=True)
    assert "Welcome" in response.content.decode()
    assert "Elsewhere" not in response.content.decode()


def test_a_new_organization_is_owned_by_its_maker(client, shop):
    user = factories.make_user()
    client.force_login(user)
    response = client.post("/app/new/", {"name": "Blue Whale"})
    assert response["Location"] == "/app/blue-whale/first-steps/"
    made = Organization.objects.get(slug="blue-whale")
    assert made.storefront == shop
    assert made.memberships.get().role == "owner"


@pytest.mark.parametrize("name", ["", "a\x00b", "a\u202eb", "x" * 81])
def test_a_strange_name_makes_nothing(client, shop, name):
    client.force_login(factories.make_user())
    response = client.post("/app/new/", {"name": name})
    assert response.status_code == 200
    assert 'class="errors"' in response.content.decode()
    assert not Organization.objects.exists()


def test_settings_keep_name_and_zone(client, organization, alice):
    client.force_login(alice)
    client.post(page("settings", organization), {"name": "Alice Ltd", "time_zone": "Europe/Berlin"})
    organization.refresh_from_db()
    assert (organization.name, organization.time_zone) == ("Alice Ltd", "Europe/Berlin")
    client.post(page("settings", organization), {"name": "Alice Ltd", "time_zone": "Mars/Olympus"})
    organization.refresh_from_db()
    assert organization.time_zone == "Europe/Berlin"


def test_a_persons_times_are_shown_in_their_zone(client, organization, alice):
    factories.make_key(organization)
    key = ApiKey.objects.of(organization).get()
    key.last_used_at = timezone.datetime(2026, 1, 15, 23, 30, tzinfo=timezone.get_fixed_timezone(0))
    key.save()
    client.force_login(alice)
    client.post("/app/account/", {"name": "Alice", "time_zone": "Asia/Tokyo"})
    text = client.get(page("keys", organization)).content.decode()
    assert 'title="15 Jan 2026, 23:30:00 UTC"' in text
    assert "16 Jan 2026, 08:30" in text


def test_a_label_is_text_and_never_markup(client, organization, alice):
    payload = "<img src=x onerror=alert(1)>"
    key, _ = factories.make_key(organization, label=payload)
    client.force_login(alice)
    for address in (page("keys", organization), page("key_edit", organization, key.public_id)):
        text = client.get(address).content.decode()
        assert payload not in text
        assert "&lt;img src=x" in text


def visit(client, staff, organization):
    client.force_login(staff)
    client.get("/")
    request = type("Asked", (), {"session": client.session, "user": staff, "headers": {}})()
    started = impersonation.start(
        request, staff=staff, organization=organization, reason="Ticket 12", now=timezone.now()
    )
    request.session.save()
    return started


def test_a_visit_shows_on_every_page_and_opens_no_keys(client, organization):
    visit(client, factories.make_staff(), organization)
    response = client.get(page("overview", organization))
    assert response.status_code == 200
    assert "You are visiting" in response.content.decode()
    assert "Ticket 12" in response.content.decode()
    assert client.get("/app/")["Location"] == page("overview", organization)
    assert client.get("/app/new/").status_code == 403
    for name in ("keys", "key_new", "settings"):
        closed = client.get(page(name, organization))
        assert closed.status_code == 403
    client.post("/desk/visit/end/")
    assert client.get(page("overview", organization)).status_code == 404
    assert AuditEvent.objects.filter(action="impersonation.ended").exists()


def test_every_post_needs_its_token(organization, alice):
    from django.test import Client

    key, _ = factories.make_key(organization)
    strict = Client(enforce_csrf_checks=True, headers={"host": "localhost"})
    strict.force_login(alice)
    for address in (
        "/app/new/",
        "/app/account/",
        "/desk/visit/end/",
        page("key_new", organization),
        page("settings", organization),
        page("key_revoke", organization, key.public_id),
        page("key_rotate", organization, key.public_id),
    ):
        assert strict.post(address, {"confirmation": key.label}).status_code == 403
    key.refresh_from_db()
    assert key.revoked_at is None
