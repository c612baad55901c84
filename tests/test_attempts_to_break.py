"""Attempts of a stranger, a customer and a careless client to break the house; each one has to fail."""

import ipaddress
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.models import SocialAccount, SocialLogin
from django.apps import apps
from django.conf import settings
from django.contrib.sessions.models import Session
from django.core import mail
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import access, members, organizations, trail
from accounts.models import Membership, Role, SignUpPolicy, User
from accounts.models.keys import KeyKind
from accounts.models.organizations import Standing
from plumbing import outbox
from tests import factories
from tests.test_tenancy import url_table

HOST = "localhost"


def visitor(user: Any = None, host: str = HOST, **extra: Any) -> Client:
    client = Client(HTTP_HOST=host, raise_request_exception=False, **extra)
    if user is not None:
        client.force_login(user)
    return client


# --- Addresses and rates ---


def test_customers_behind_one_trusted_proxy_do_not_share_a_rate(shop: Any, settings: Any) -> None:
    settings.TRUSTED_PROXIES = [ipaddress.ip_network("10.0.0.0/8")]
    settings.ACCOUNT_RATE_LIMITS = {**settings.ACCOUNT_RATE_LIMITS, "login": "3/m/ip"}
    client = visitor(REMOTE_ADDR="10.0.0.1")
    statuses = [
        client.post(
            reverse("account_login"),
            {"login": f"nobody{number}@example.com", "password": "wrong"},
            headers={"X-Forwarded-For": f"198.51.100.{number}"},
        ).status_code
        for number in range(12)
    ]
    assert 429 not in statuses


def test_a_made_up_forwarded_address_buys_no_further_guess(shop: Any, settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = {**settings.ACCOUNT_RATE_LIMITS, "login": "3/m/ip"}
    client = visitor(REMOTE_ADDR="203.0.113.9")
    statuses = [
        client.post(
            reverse("account_login"),
            {"login": f"nobody{number}@example.com", "password": "wrong"},
            headers=dict.fromkeys(("X-Forwarded-For", "X-Real-IP", "CF-Connecting-IP"), f"198.51.100.{number}"),
        ).status_code
        for number in range(5)
    ]
    assert statuses == [200, 200, 200, 429, 429]


def test_guesses_at_one_account_are_counted_whatever_its_spelling(shop: Any, alice: Any) -> None:
    answers = []
    for number in range(8):
        name = "alice"[:number].upper() + "alice"[number:] + "@example.com"
        client = visitor(REMOTE_ADDR=f"203.0.113.{number}")
        answers.append(client.post(reverse("account_login"), {"login": name, "password": "wrong"}))
    assert b"Too many" in answers[-1].content


def test_sessions_remember_the_customers_address_and_not_the_proxys(shop: Any, alice: Any, settings: Any) -> None:
    settings.TRUSTED_PROXIES = [ipaddress.ip_network("10.0.0.0/8")]
    client = visitor(REMOTE_ADDR="10.0.0.1")
    client.post(
        reverse("account_login"),
        {"login": "alice@example.com", "password": factories.PASSWORD},
        headers={"X-Forwarded-For": "198.51.100.7"},
    )
    assert [session.ip for session in alice.usersession_set.all()] == ["198.51.100.7"]


# --- All or nothing ---


def test_a_refused_change_of_a_member_changes_nothing(organization: Any, bob: Any) -> None:
    admin = factories.make_user("admin@example.com")
    factories.make_membership(organization, admin, role="admin")
    member = Membership.objects.of(organization).get(user=bob)
    answer = visitor(admin).patch(
        f"/api/v1/organizations/{organization.public_id}/members/{member.public_id}",
        {"cap_day_usd": "5.00", "role": "admin"},
        content_type="application/json",
    )
    assert answer.status_code == 403, answer.content
    member.refresh_from_db()
    assert member.cap_day_nano is None


# --- Keys ---


def test_a_narrow_key_does_not_switch_a_wider_one_on_again(organization: Any) -> None:
    _, secret = factories.make_key(
        organization, kind=KeyKind.MANAGEMENT, scopes=["keys:read", "keys:write"], cap_total_nano=1
    )
    wide, _ = factories.make_key(organization)
    act = f"/api/v1/organizations/{organization.public_id}/keys/{wide.public_id}"
    client = visitor(headers={"Authorization": f"Bearer {secret}"})
    assert client.post(f"{act}/disable").status_code == 200
    assert client.post(f"{act}/enable").status_code == 403
    assert client.get(act).json()["status"] == "disabled"


# --- Letters ---


def test_nothing_in_a_letter_comes_from_the_host_header(shop: Any, alice: Any) -> None:
    for path, form in (
        (reverse("account_reset_password"), {"email": "alice@example.com"}),
        (reverse("account_signup"), {"email": "new@example.com", "password1": "a very long pass phrase"}),
        (reverse("account_signup"), {"email": "alice@example.com", "password1": "a very long pass phrase"}),
        (reverse("account_request_login_code"), {"email": "alice@example.com"}),
        (reverse("account_reset_password"), {"email": "stranger@example.com"}),
    ):
        visitor(host="localhost:6666").post(path, form)
    assert len(mail.outbox) >= 4
    for letter in mail.outbox:
        assert ":6666" not in letter.message().as_string()
        assert "localhost" not in letter.subject


# --- Redirects ---


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "http:///evil.example",
        "javascript:alert(1)",
        "https:evil.example",
        "\thttps://evil.example",
    ],
)
def test_signing_in_leads_nowhere_else(shop: Any, alice: Any, target: str) -> None:
    client = visitor()
    answer = client.post(
        reverse("account_login") + "?next=x",
        {"login": "alice@example.com", "password": factories.PASSWORD, "next": target},
    )
    assert answer.headers["Location"] == "/app/"
    page = visitor().get(reverse("account_login"), {"next": target})
    assert page.status_code == 200
    signed = visitor(alice)
    for name in ("account_login", "account_signup", "account_logout", "account_reauthenticate"):
        answer = signed.get(reverse(name), {"next": target})
        assert "evil" not in answer.headers.get("Location", "")
    answer = visitor(alice).post(reverse("account_logout"), {"next": target})
    assert "evil" not in answer.headers.get("Location", "")
    answer = visitor().get("/admin/login/", {"next": target})
    assert not answer.headers.get("Location", "").startswith(("http", "//"))


# --- Forged forms ---

# Where no session is looked at: one believes a signature alone, the other a mailbox.
WITHOUT_A_PERSON = {"/api/v1/leaked-keys", "/v1/register"}
NO_KEY = 422  # the gateway believes keys alone, and says that none was sent


def test_no_page_takes_a_form_without_its_token(organization: Any, alice: Any) -> None:
    boss = factories.make_staff(email="root@example.com")
    factories.make_membership(organization, boss, role="admin")
    key, _ = factories.make_key(organization)
    top_up, payment = factories.make_payment(organization)
    things = {
        "organization": organization,
        "membership": Membership.objects.of(organization).get(user=alice),
        "invitation": organization,  # a name that leads to nothing will do: the token is asked for first
        "key": key,
        "top_up": top_up,
        "payment": payment,
        "call": factories.make_call(organization),
        "alert": factories.make_alert(organization),
        "authenticator": boss,
    }
    client = Client(HTTP_HOST=HOST, enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(boss)
    taken = {}
    for page in url_table():
        path = page.alices(things)
        answer = client.post(path, {"reason": "x", "name": "forged"})
        signed = path.startswith("/webhooks/")  # believes signatures alone
        if answer.status_code not in {403, 404, 405, NO_KEY} and path not in WITHOUT_A_PERSON and not signed:
            taken[path] = answer.status_code
    assert taken == {}
    assert client.session["_auth_user_id"] == str(boss.pk)


# --- Secrets ---


def test_a_secret_is_in_its_one_answer_and_nowhere_after_it(organization: Any, alice: Any, caplog: Any) -> None:
    caplog.set_level("DEBUG")
    client = visitor()
    client.post(reverse("account_login"), {"login": "alice@example.com", "password": factories.PASSWORD})
    home = f"/app/{organization.slug}/"
    shown = client.post(f"{home}keys/new/", {"label": "backend", "kind": "inference"})
    api = f"/api/v1/organizations/{organization.public_id}/keys"
    made = client.post(api, {"label": "ci", "kind": "management"}, content_type="application/json").json()
    rotated = client.post(f"{api}/{made['id']}/rotate", {"overlap_s": 60}, content_type="application/json").json()
    secrets = {*re.findall(r"sk-tg-[0-9A-Za-z]{33}", shown.content.decode()), made["secret"], rotated["secret"]}
    assert len(secrets) == 3
    for secret in secrets:  # once right, once mistyped, once in a URL
        for path, header in (("/api/v1/me", secret), ("/api/v1/me", secret[:-1]), (f"/api/v1/me?key={secret}", "")):
            client.get(path, headers={"Authorization": f"Bearer {header}"})
    outbox.drain()
    pages = (f"{home}keys/", f"{home}members/", api, f"{api[:-4]}audit-events", f"{home}keys/{made['id']}/")
    desk = visitor(factories.make_staff(email="root@example.com"))
    everything = "".join(
        [
            *(client.get(path).content.decode() for path in pages),
            *(desk.get(f"/admin/accounts/{table}/").content.decode() for table in ("apikey", "auditevent")),
            *(str(record.getMessage()) + str(record.__dict__) for record in caplog.records),
            *(letter.message().as_string() for letter in mail.outbox),
            *(str(list(model._base_manager.values())) for model in apps.get_models() if model is not Session),
            *(str(session.get_decoded()) for session in Session.objects.all()),
        ]
    )
    assert "backend" in everything  # the net is not empty
    for secret in (*secrets, factories.PASSWORD, client.cookies["tollgate_session"].value):
        assert secret not in everything.replace(f"'session_key': '{client.cookies['tollgate_session'].value}'", "")


# --- Caches ---


def test_no_page_of_a_signed_in_person_may_be_kept_by_a_cache(organization: Any, alice: Any) -> None:
    key, _ = factories.make_key(organization)
    client = visitor(alice)
    home = f"/app/{organization.slug}/"
    kept = {}
    for path in (
        "/app/",
        home,
        f"{home}keys/",
        f"{home}keys/new/",
        f"{home}keys/{key.public_id}/",
        f"{home}members/",
        f"{home}settings/",
        "/app/account/",
        "/app/new/",
        "/app/nobodys/",
        reverse("account_email"),
        reverse("mfa_index"),
        reverse("usersessions_list"),
        reverse("account_change_password"),
        "/",
        "/terms",
        "/docs",
        "/api/v1/me",
    ):
        answer = client.get(path)
        policy = answer.headers.get("Cache-Control", "")
        if not ("no-store" in policy and "private" in policy):
            kept[path] = (answer.status_code, policy)
    assert kept == {}


@pytest.mark.parametrize("host", ["localhost:abc", "[::1", "localhost/evil", "localhost@evil.example", "", "a b"])
def test_a_host_that_is_none_is_nobodys_shop_and_no_error_of_ours(shop: Any, host: str, caplog: Any) -> None:
    assert visitor(host=host).get(reverse("account_login")).status_code == 421
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


# --- Who has an account ---


def test_signing_up_tells_nobody_who_has_an_account(shop: Any, alice: Any) -> None:
    assert steps_of_sign_up("alice@example.com") == steps_of_sign_up("bobby@example.com")


def steps_of_sign_up(email: str) -> list[tuple[int, str, str]]:
    """Every answer on the way, without the address itself and the forms' tokens."""
    client = visitor()
    page = reverse("account_email_verification_sent")
    answers = [
        client.post(reverse("account_signup"), {"email": email, "password1": "a very long pass phrase"}),
        client.get(page),
        client.post(page, {"code": "WRONG1"}),
        client.post(page, {"action": "change", "email": "other@example.com"}),
        client.post(page, {"action": "resend"}),
        client.get(page),
    ]
    return [
        (
            answer.status_code,
            answer.headers.get("Location", ""),
            re.sub(
                r'name="csrfmiddlewaretoken" value="\w+"|<code id="request-id">\w+', "", answer.content.decode()
            ).replace(email, ""),
        )
        for answer in answers
    ]


@pytest.mark.parametrize(("proven", "comes_in"), [("guest@example.com", True), ("stranger@example.com", False)])
def test_an_outside_identity_does_not_borrow_somebody_elses_invitation(
    organization: Any, alice: Any, rf: Any, proven: str, comes_in: Any
) -> None:
    shop = organization.storefront
    shop.sign_up_policy = SignUpPolicy.INVITED
    seat = access.organization_for(alice, shop, organization.slug)
    invitation = members.invite(
        seat, email="guest@example.com", role=Role.ADMIN, source=trail.Source(user=alice), now=timezone.now()
    )
    request = rf.get("/")
    request.storefront, request.session = shop, {"invitation": invitation.public_id}
    identity = SocialLogin(
        user=User(email=proven),
        account=SocialAccount(provider="github", uid="1"),
        email_addresses=[EmailAddress(email=proven, verified=True)],
    )
    assert get_adapter(request).is_open_for_signup(request, identity) is comes_in


# --- Visits by staff ---


@pytest.fixture
def visiting(shop: Any, organization: Any) -> Client:
    """Somebody who works at the shop, on a visit to alice's organization."""
    client = visitor(factories.make_staff(shop, "staff@example.com"))
    begun = client.post(f"/admin/accounts/organization/{organization.pk}/deed/visit/", {"reason": "was asked to"})
    assert begun.headers["Location"] == f"/app/{organization.slug}/"
    return client


def test_a_visit_ends_with_the_organization(visiting: Client, organization: Any) -> None:
    assert visiting.get(f"/app/{organization.slug}/").status_code == 200
    organizations.set_standing(organization, Standing.CLOSED, reason="they asked", source=trail.SYSTEM)
    assert visiting.get(f"/app/{organization.slug}/").status_code == 404


def test_a_visitor_joins_nobody_while_they_visit(visiting: Client, alice: Any, organization: Any) -> None:
    seat = access.organization_for(alice, organization.storefront, organization.slug)
    with patch("accounts.members.secrets.token_urlsafe", return_value="letter"):
        members.invite(
            seat, email="staff@example.com", role=Role.ADMIN, source=trail.Source(user=alice), now=timezone.now()
        )
    assert visiting.post("/invitations/letter/").status_code == 403
    assert not Membership.objects.of(organization).filter(user__email="staff@example.com").exists()


@pytest.mark.parametrize("sent", ["\x00", "abc", "9" * 5000, "9" * 30, "-1", "٣", "1.0"])
def test_a_choice_nobody_offered_is_said_at_its_field(shop: Any, sent: str) -> None:
    client = visitor(factories.make_staff(email="root@example.com"))
    url = reverse("admin:accounts_storefrontstaff_add")
    answer = client.post(url, {"storefront": sent, "user": sent, "reason": "why not"})
    assert answer.status_code == 200
    assert set(answer.context["adminform"].form.errors) == {"storefront", "user"}


@pytest.mark.parametrize(
    "moment", ["0001-01-01 00:00:00+14:00", "9999-12-31 23:59:59-12:00", "99999-01-01", "9" * 5000]
)
@pytest.mark.parametrize("suffix", ["exact", "gte", "lt"])
def test_a_filter_by_a_moment_nobody_lived_is_a_bad_question(shop: Any, suffix: str, moment: str) -> None:
    client = visitor(factories.make_staff(shop, "staff@example.com"))
    answer = client.get(reverse("admin:accounts_membership_changelist"), {f"created_at__{suffix}": moment})
    # SQLite cannot write such a moment, PostgreSQL can: a refusal or an empty list, never an error.
    assert answer.status_code in {302, 400} or (answer.status_code == 200 and connection.vendor == "postgresql")


# --- Names ---


def test_a_shops_name_cannot_break_into_the_headers_of_letters(shop: Any, alice: Any) -> None:
    client = visitor(factories.make_staff(shop, "staff@example.com"))
    url = reverse("admin:accounts_storefront_change", args=[shop.pk])
    form = client.get(url).context["adminform"].form
    unchanged = {name: form[name].value() for name in form.fields if form[name].value() not in {None, False}}
    for prefix in ("domains", "staff"):
        unchanged |= {f"{prefix}-TOTAL_FORMS": "0", f"{prefix}-INITIAL_FORMS": "0"}
    client.post(url, {**unchanged, "name": "Shop\r\nBcc: evil@example.com", "reason": "why not"})
    shop.refresh_from_db()
    assert shop.name == "Tollgate"
    sent = visitor().post(reverse("account_reset_password"), {"email": "alice@example.com"})
    assert sent.status_code == 302
    assert len(mail.outbox) == 1


# --- The one command ---


@contextmanager
def an_installation(folder: Path, *, host: str = "127.0.0.1") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``manage.py up`` in a folder of its own, from its greeting on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as free:
        free.bind((host, 0))
        port = free.getsockname()[1]
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(folder), "LOG_LEVEL": "WARNING"}
    with subprocess.Popen(
        [sys.executable, "manage.py", "up", "--host", host, "--port", str(port)],
        cwd=settings.BASE_DIR,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as up:
        assert up.stdout is not None
        try:
            address = next(line.split()[-1] for line in up.stdout if "is open" in line)
            yield up, address
        finally:
            up.terminate()


@pytest.mark.slow
def test_a_killed_installation_gives_its_port_back(tmp_path: Path) -> None:
    with an_installation(tmp_path) as (up, address):
        port = int(address.rpartition(":")[2])
        up.kill()
        deadline = time.monotonic() + 20
        while not _free(port):
            assert time.monotonic() < deadline, "the server outlived the command that started it"
            time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_an_installation_on_an_ipv6_address_greets_with_an_address_that_works(tmp_path: Path) -> None:
    with (
        an_installation(tmp_path, host="::1") as (_, address),
        urllib.request.urlopen(f"{address}/health", timeout=5) as answer,  # noqa: S310 - what our own command printed
    ):
        assert answer.status == 200


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
