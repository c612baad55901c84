"""The management API through its URLs: what each endpoint does, and what it refuses."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone

from accounts import keys, members, trail
from accounts.models import ApiKey, AuditEvent, Invitation, Membership, Organization, Role
from accounts.models.keys import KeyKind
from accounts.models.organizations import Standing
from plumbing import outbox
from plumbing.identifiers import new_id
from tests import factories

pytestmark = pytest.mark.django_db


def error(answer):
    return answer.json()["error"]


class TestMe:
    def test_a_person_sees_their_organizations_here_and_only_here(self, as_alice, alice, organization, other_shop):
        factories.make_organization(storefront=other_shop, owner=alice, name="Elsewhere")
        me = as_alice("GET", "/api/v1/me").json()
        assert me["kind"] == "person"
        assert me["user"]["email"] == "alice@example.com"
        assert [found["id"] for found in me["organizations"]] == [organization.public_id]
        assert "transfer_ownership" in me["organizations"][0]["permissions"]

    def test_a_management_key_sees_itself_and_no_secret(self, management, organization):
        answer = management("keys:read")("GET", "/api/v1/me")
        me = answer.json()
        assert me["kind"] == "key"
        assert me["user"] is None
        assert me["organizations"][0]["permissions"] == ["see_keys"]
        assert "secret" not in answer.content.decode()
        assert "hash" not in answer.content.decode()

    def test_an_inference_key_is_told_who_it_is_and_nothing_else(self, organization, caller, base):
        _, secret = factories.make_key(organization)
        ask = caller(secret=secret)
        me = ask("GET", "/api/v1/me").json()
        assert me["key"]["kind"] == "inference"
        assert me["organizations"] == [
            {"id": organization.public_id, "name": organization.name, "slug": organization.slug, "role": None,
             "permissions": []}
        ]  # fmt: skip
        for path in (base, f"{base}/keys", f"{base}/members", f"{base}/audit-events"):
            assert ask("GET", path).status_code == 403, path
        assert ask("POST", "/api/v1/organizations", {"name": "x"}).status_code == 403

    def test_an_operator_key_is_nobodys_member(self, shop, caller, base):
        staff = factories.make_staff()
        minted = keys.create(
            organization=None, storefront=None, made_by=staff, kind=KeyKind.OPERATOR, label="op", source=trail.SYSTEM
        )
        ask = caller(secret=minted.secret)
        assert ask("GET", "/api/v1/me").json()["organizations"] == []
        assert ask("GET", base).status_code == 403

    def test_nobody_is_401_with_a_hint(self, shop, caller):
        answer = caller()("GET", "/api/v1/me")
        assert answer.status_code == 401
        assert answer["WWW-Authenticate"] == 'Bearer realm="api"'
        assert answer["Cache-Control"] == "private, no-store"

    def test_x_api_key_works_as_well(self, organization, caller):
        _, secret = factories.make_key(organization)
        assert caller()("GET", "/api/v1/me", headers={"x-api-key": secret}).status_code == 200

    def test_a_use_is_noted_at_most_once_a_minute(self, organization, caller, time_machine):
        key, secret = factories.make_key(organization)
        ask = caller(secret=secret)
        for second, noted in ((0, 0), (30, 0), (61, 61)):
            moment = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(seconds=second)
            time_machine.move_to(moment, tick=False)
            ask("GET", "/api/v1/me")
            key.refresh_from_db()
            assert key.last_used_at == datetime(2026, 11, 1, tzinfo=UTC) + timedelta(seconds=noted)
        assert key.last_used_ip == "127.0.0.1"


class TestRefusals:
    @pytest.mark.parametrize("name", ["key", "api_key", "API_KEY", "access_token", "token"])
    def test_a_key_in_the_url_is_refused_even_with_a_good_one_in_the_header(self, organization, caller, name):
        _, secret = factories.make_key(organization)
        answer = caller(secret=secret)("GET", f"/api/v1/me?{name}={secret}")
        assert answer.status_code == 400
        assert error(answer)["code"] == "key_in_url"
        assert secret not in answer.content.decode()

    @pytest.mark.parametrize(
        "header",
        [
            "Bearer ' OR 1=1--",
            "Bearer sk-tg-x",
            "Bearer",
            "Basic YTpi",
            "Bearer \x7f\xff",
            "bearer  ",
            "Bearer " + "a" * 9000,
        ],
    )
    def test_a_bad_credential_is_401_in_one_body(self, shop, caller, header):
        answer = caller()("GET", "/api/v1/me", headers={"authorization": header})
        assert answer.status_code == 401
        assert set(error(answer)) == {"code", "message", "request_id"}

    def test_a_key_of_another_shop_is_not_known_here(self, other_shop, organization, caller):
        _, secret = factories.make_key(organization, kind=KeyKind.MANAGEMENT)
        assert caller(secret=secret)("GET", "/api/v1/me").status_code == 200
        assert caller(secret=secret, host="canary.test")("GET", "/api/v1/me").status_code == 401

    def test_a_suspended_organizations_key_is_403(self, organization, caller):
        _, secret = factories.make_key(organization, kind=KeyKind.MANAGEMENT)
        Organization.objects.update(standing=Standing.SUSPENDED)
        answer = caller(secret=secret)("GET", "/api/v1/me")
        assert answer.status_code == 403
        assert error(answer)["code"] == "organization_suspended"

    def test_a_session_write_needs_the_csrf_token(self, alice, base):
        from django.test import Client

        client = Client(enforce_csrf_checks=True)
        client.force_login(alice, backend="allauth.account.auth_backends.AuthenticationBackend")
        answer = client.patch(base, b'{"name": "x"}', content_type="application/json", headers={"host": "localhost"})
        assert answer.status_code == 403
        assert Organization.objects.get().name == "Alice & Co"

    @pytest.mark.parametrize(
        "query",
        [
            "x=1",
            "organization=org_x",
            "order_by=a.b",
            "_connector=OR",
            "password__startswith=a",
            "user__is_superuser=1",
        ],
    )
    def test_undeclared_query_parameters_are_400_by_name(self, as_alice, base, query):
        for path in (base, f"{base}/keys", f"{base}/members", "/api/v1/organizations", "/api/v1/me"):
            answer = as_alice("GET", f"{path}?{query}")
            assert answer.status_code == 400, path
            assert query.partition("=")[0] in error(answer)["message"]

    @pytest.mark.parametrize(
        "query",
        [
            "cursor=x", "cursor=%00", "cursor=cD1nYXJiYWdl", "cursor=%ff", "limit=0", "limit=-1", "limit=201",
            "limit=1e2", "limit=%D9%A1", "limit=", "kind=operator", "kind=%00",
        ],
    )  # fmt: skip
    def test_a_bad_cursor_limit_or_filter_is_400(self, as_alice, base, query):
        assert as_alice("GET", f"{base}/keys?{query}").status_code == 400

    def test_a_cursor_of_an_impossible_day_is_400(self, as_alice, base):
        from base64 import b64encode

        cursor = b64encode(b"p=2026-13-45T00:00:00Z").decode()
        assert as_alice("GET", f"{base}/keys?cursor={cursor}").status_code == 400

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"", 400),
            (b"[]", 400),
            (b'"x"', 400),
            (b"null", 400),
            (b"{", 400),
            (b'{"name": "a", "name": "b"}', 400),
            (b'{"name": NaN}', 400),
            (b'{"name": "\\u0000"}', 400),
            (b'{"name": "\\ud800"}', 400),
            (b'{"name": "a\\nb"}', 400),
            (b'{"name": "\xff"}', 400),
            (b'{"name": 5}', 400),
            (b'{"name": null}', 400),
            (b'{"name": ["a"]}', 400),
            (b'{"name": ""}', 400),
            (b'{"name": "' + b"x" * 200 + b'"}', 400),
            (b"[" * 100_000, 400),
            (b'{"name": ' + b"[" * 40 + b"]" * 40 + b"}", 400),
            (b'{"name": ' + b"9" * 5000 + b"}", 400),
            (b'{"name": "' + b"x" * 10_000_000 + b'"}', 413),
        ],
    )
    def test_a_hostile_body_is_4xx_and_nothing_is_written(self, as_alice, body, status):
        answer = as_alice("POST", "/api/v1/organizations", body)
        assert answer.status_code == status
        assert len(answer.content) < 2000
        assert Organization.objects.count() == 1

    @pytest.mark.parametrize(
        "kind", ["text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "\xff", ""]
    )
    def test_what_is_not_json_is_415(self, as_alice, kind):
        assert as_alice("POST", "/api/v1/organizations", {"name": "x"}, content_type=kind).status_code == 415

    def test_json_is_spoken_whatever_the_accept_header_hopes_for(self, as_alice):
        answer = as_alice("GET", "/api/v1/me", headers={"accept": "text/html;q=x, */garbage"})
        assert answer["Content-Type"] == "application/json"
        assert as_alice("OPTIONS", "/api/v1/me").status_code == 405

    @pytest.mark.parametrize(
        "path",
        [
            "/api/v1/organizations/1",
            "/api/v1/organizations/org_%00",
            "/api/v1/nothing",
            "/api/v1/organizations/org_" + "z" * 21,
        ],
    )
    def test_an_address_that_is_none_is_404_in_json(self, as_alice, path):
        answer = as_alice("GET", path)
        assert answer.status_code == 404
        assert error(answer)["code"] == "not_found"


class TestThrottles:
    @pytest.fixture
    def rates(self, settings):
        def set_to(**rates: str) -> None:
            known = {"management": "1000/min", "tenant": "1000/min", "address": "1000/min"}
            settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": known | rates}

        return set_to

    def test_a_sender_who_asks_too_often_waits_as_told(self, rates, organization, caller):
        rates(management="3/min")
        _, secret = factories.make_key(organization)
        answers = [caller(secret=secret)("GET", "/api/v1/me") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert 1 <= int(answers[3]["Retry-After"]) <= 60
        assert error(answers[3])["code"] == "throttled"

    def test_guessing_counts_by_address_and_no_header_moves_it(self, rates, shop, caller):
        rates(address="3/min")
        ask = caller(secret="wrong")
        statuses = [
            ask("GET", "/api/v1/me", headers={name: f"198.51.100.{number}"}).status_code
            for number, name in enumerate(
                ["x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip", "x-client-ip"]
            )
        ]
        assert statuses == [401, 401, 401, 429, 429]

    def test_a_hundred_addresses_of_one_ipv6_network_count_as_one(self, rates, shop, caller):
        rates(address="3/min")
        statuses = [
            caller()("GET", "/api/v1/me", REMOTE_ADDR=f"2001:db8::{number}").status_code for number in range(1, 5)
        ]
        assert statuses == [401, 401, 401, 429]

    def test_more_keys_of_one_organization_are_not_more_requests(self, rates, organization, caller):
        rates(tenant="3/min")
        statuses = [
            caller(secret=factories.make_key(organization)[1])("GET", "/api/v1/me").status_code for _ in range(4)
        ]
        assert statuses == [200, 200, 200, 429]


class TestOrganizations:
    def test_open_list_show_and_rename(self, as_alice, alice, organization):
        made = as_alice("POST", "/api/v1/organizations", {"name": "  Second   shop "})
        assert made.status_code == 201
        assert made.json()["name"] == "Second shop"
        assert made.json()["role"] == "owner"
        listed = as_alice("GET", "/api/v1/organizations").json()
        assert {found["name"] for found in listed["results"]} == {"Second shop", "Alice & Co"}
        path = f"/api/v1/organizations/{made.json()['id']}"
        renamed = as_alice("PATCH", path, {"name": "Third", "time_zone": "Europe/Paris"})
        assert (renamed.json()["name"], renamed.json()["time_zone"]) == ("Third", "Europe/Paris")
        assert as_alice("GET", path).json() == renamed.json()
        assert as_alice("PATCH", path, {}).json() == renamed.json()
        event = AuditEvent.objects.get(action="organization.changed")
        assert event.before == {"name": "Second shop", "time_zone": "UTC"}

    def test_a_list_is_read_by_cursor(self, as_alice, alice, shop):
        for number in range(4):
            factories.make_organization(storefront=shop, owner=alice, name=f"Number {number}")
        seen, path = [], "/api/v1/organizations?limit=2"
        while path:
            page = as_alice("GET", path).json()
            seen += [found["name"] for found in page["results"]]
            path = (page["next"] or "").removeprefix("http://localhost")
        assert len(seen) == len(set(seen)) == 5

    @pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "", "europe/paris\n"])
    def test_a_zone_that_is_none_is_400(self, as_alice, base, zone):
        assert as_alice("PATCH", base, {"time_zone": zone}).status_code == 400

    def test_a_key_sees_its_one_organization_and_opens_none(self, management, organization, alice, shop):
        factories.make_organization(storefront=shop, owner=alice, name="Not the key's")
        ask = management()
        assert [found["id"] for found in ask("GET", "/api/v1/organizations").json()["results"]] == [
            organization.public_id
        ]
        assert ask("POST", "/api/v1/organizations", {"name": "x"}).status_code == 403

    def test_one_person_owns_so_many_and_no_more(self, as_alice, monkeypatch):
        monkeypatch.setattr("accounts.organizations.MOST_OWNED", 1)
        answer = as_alice("POST", "/api/v1/organizations", {"name": "x"})
        assert (answer.status_code, error(answer)["code"]) == (409, "too_many_organizations")

    def test_no_field_of_the_row_can_be_smuggled_in(self, as_alice, base):
        written = {"name", "time_zone", "stores_content"}
        for field in Organization._meta.concrete_fields:
            for name in {field.name, field.attname} - written:
                answer = as_alice("PATCH", base, {name: 1})
                assert answer.status_code == 400, name
                assert name in error(answer)["fields"]


class TestMembers:
    def test_list_show_promote_cap_and_remove(self, as_alice, base, bob, organization):
        listed = as_alice("GET", f"{base}/members").json()["results"]
        assert {found["email"] for found in listed} == {"alice@example.com", "bob@example.com"}
        developers = as_alice("GET", f"{base}/members?role=developer").json()["results"]
        path = f"{base}/members/{developers[0]['id']}"
        changed = as_alice("PATCH", path, {"role": "viewer", "cap_day_usd": "1.5", "cap_total_usd": "0.000000001"})
        assert changed.status_code == 200
        assert changed.json()["cap_day_usd"] == "1.50"
        assert changed.json()["cap_total_usd"] == "0.000000001"
        assert as_alice("GET", path).json() == changed.json()
        assert Membership.objects.of(organization).get(user=bob).cap_day_nano == 1_500_000_000
        assert as_alice("DELETE", path).status_code == 204
        assert as_alice("GET", path).status_code == 404

    @pytest.mark.parametrize(
        "usd", ["-1", "1e3", "1.0000000001", 5, 1.5, "", " 1", "1,5", "9000000001", "٣", True, [], "NaN", "0x10"]
    )
    def test_money_that_is_not_exact_text_is_400(self, as_alice, base, bob, organization, usd):
        member = Membership.objects.of(organization).get(user=bob)
        answer = as_alice("PATCH", f"{base}/members/{member.public_id}", {"cap_day_usd": usd})
        assert answer.status_code == 400
        assert "cap_day_usd" in error(answer)["fields"]

    def test_bob_leaves_by_himself_and_changes_nobody(self, as_bob, as_alice, base, organization, bob, alice):
        own, owner = (Membership.objects.of(organization).get(user=user) for user in (bob, alice))
        assert as_bob("PATCH", f"{base}/members/{own.public_id}", {"role": "admin"}).status_code == 403
        assert as_bob("PATCH", f"{base}/members/{own.public_id}", {"cap_day_usd": None}).status_code == 403
        assert as_bob("DELETE", f"{base}/members/{owner.public_id}").status_code == 403
        assert as_bob("DELETE", f"{base}/members/{own.public_id}").status_code == 204
        assert as_bob("GET", base).status_code == 404

    def test_the_last_owner_stays(self, as_alice, base, alice, organization):
        own = Membership.objects.of(organization).get(user=alice)
        answer = as_alice("DELETE", f"{base}/members/{own.public_id}")
        assert (answer.status_code, error(answer)["code"]) == (409, "last_owner")

    def test_a_key_without_the_scope_does_not_even_demote_its_maker(self, management, base, organization, alice):
        factories.make_membership(organization, role="owner")
        own = Membership.objects.of(organization).get(user=alice)
        ask = management("keys:read")
        assert ask("PATCH", f"{base}/members/{own.public_id}", {"role": "viewer"}).status_code == 403
        assert ask("DELETE", f"{base}/members/{own.public_id}").status_code == 403

    def test_handing_over(self, as_alice, as_bob, base, bob, organization, management):
        member = Membership.objects.of(organization).get(user=bob)
        path = f"{base}/ownership-offers"
        assert as_bob("POST", path, {"member_id": member.public_id}).status_code == 403
        assert management()("POST", path, {"member_id": member.public_id}).status_code == 403
        assert as_alice("POST", path, {"member_id": new_id("mem")}).status_code == 400
        offered = as_alice("POST", path, {"member_id": member.public_id})
        outbox.drain()
        assert offered.status_code == 201
        assert offered.json()["transfers_ownership"] is True
        token = mail.outbox[-1].body.partition("/invitations/")[2].partition("/")[0]
        assert as_bob("POST", "/api/v1/invitations/accept", {"token": token}).json()["role"] == "owner"


class TestInvitations:
    def test_invite_show_resend_revoke(self, as_alice, base, organization):
        made = as_alice("POST", f"{base}/invitations", {"email": "Dora@Example.com", "role": "viewer"})
        assert made.status_code == 201
        assert made.json()["email"] == "dora@example.com"
        assert made.json()["status"] == "open"
        assert "token" not in made.content.decode()
        path = f"{base}/invitations/{made.json()['id']}"
        assert as_alice("GET", path).json() == made.json()
        assert as_alice("POST", f"{path}/resend").status_code == 429
        Invitation.unscoped.update(expires_at=timezone.now() - timedelta(days=1))
        assert as_alice("GET", path).json()["status"] == "expired"
        assert as_alice("POST", f"{path}/resend").json()["status"] == "open"
        assert as_alice("POST", f"{path}/revoke").json()["status"] == "revoked"
        assert as_alice("POST", f"{path}/revoke").json()["status"] == "revoked"
        assert as_alice("POST", f"{path}/resend").status_code == 409
        assert len(as_alice("GET", f"{base}/invitations").json()["results"]) == 1
        assert as_alice("GET", f"{base}/invitations/{new_id('inv')}").status_code == 404

    def test_accept_by_token(self, as_alice, base, caller, organization):
        as_alice("POST", f"{base}/invitations", {"email": "dora@example.com", "role": "admin"})
        outbox.drain()
        token = mail.outbox[-1].body.partition("/invitations/")[2].partition("/")[0]
        dora = caller(user=factories.make_user("dora@example.com"))
        joined = dora("POST", "/api/v1/invitations/accept", {"token": token})
        assert joined.json()["organization_id"] == organization.public_id
        assert dora("POST", "/api/v1/invitations/accept", {"token": token}).json() == joined.json()
        assert dora("GET", f"{base}/invitations").json()["results"][0]["status"] == "accepted"
        assert dora("POST", "/api/v1/invitations/accept", {"token": "x"}).status_code == 404

    def test_keys_accept_nothing(self, management):
        assert management()("POST", "/api/v1/invitations/accept", {"token": "x"}).status_code == 403


FULL = {
    "kind": "inference",
    "label": "production",
    "allowed_models": ["gpt-*"],
    "allowed_networks": ["203.0.113.0/24"],
    "cap_day_usd": "1.00",
    "cap_month_usd": "10.00",
    "cap_total_usd": "100.123456789",
    "requests_per_minute": 1,
    "requests_per_hour": 2,
    "requests_per_day": 3,
    "tokens_per_minute": 4,
    "tokens_per_hour": 5,
    "tokens_per_day": 6,
    "concurrent_requests": 7,
    "expires_at": "2099-01-01T00:00:00Z",
}


class TestKeys:
    def test_every_writable_field_comes_back_by_post_and_get(self, as_alice, base):
        made = as_alice("POST", f"{base}/keys", FULL)
        assert made.status_code == 201, made.content
        shown = as_alice("GET", f"{base}/keys/{made.json()['id']}").json()
        for name, value in FULL.items():
            assert made.json()[name] == value, name
            assert shown[name] == value, name

    def test_the_secret_is_in_one_answer_and_in_none_after_it(self, as_alice, base, caller):
        made = as_alice("POST", f"{base}/keys", {"label": "once"}).json()
        secret = made["secret"]
        assert caller(secret=secret)("GET", "/api/v1/me").status_code == 200
        later = [
            as_alice("GET", f"{base}/keys"),
            as_alice("GET", f"{base}/keys/{made['id']}"),
            as_alice("PATCH", f"{base}/keys/{made['id']}", {"label": "twice"}),
            as_alice("GET", f"{base}/audit-events"),
            as_alice("POST", f"{base}/keys/{made['id']}/disable"),
        ]
        for answer in later:
            assert answer.status_code == 200
            assert secret not in answer.content.decode()
            assert secret[-12:-4] not in answer.content.decode()

    def test_patch_changes_what_is_named_and_null_lifts(self, as_alice, base):
        made = as_alice("POST", f"{base}/keys", FULL).json()
        path = f"{base}/keys/{made['id']}"
        changed = as_alice("PATCH", path, {"cap_day_usd": None, "requests_per_day": 9, "allowed_models": []}).json()
        assert (changed["cap_day_usd"], changed["requests_per_day"], changed["allowed_models"]) == (None, 9, [])
        assert changed["cap_month_usd"] == "10.00"
        assert as_alice("PATCH", path, {}).json() == changed

    @pytest.mark.parametrize(
        "field", sorted({field.name for field in ApiKey._meta.concrete_fields} - {*FULL, "scopes"})
    )
    def test_no_other_field_of_the_row_can_be_written(self, as_alice, base, field):
        made = as_alice("POST", f"{base}/keys", {"label": "x"}).json()
        for method, path, body in (
            ("POST", f"{base}/keys", {"label": "y", field: "1"}),
            ("PATCH", f"{base}/keys/{made['id']}", {field: "1"}),
        ):
            answer = as_alice(method, path, body)
            assert answer.status_code == 400
            assert field in error(answer)["fields"]

    @pytest.mark.parametrize("name", ["budget", "bugdet", "kindd", "x" * 5000, "cap_day_nano"])
    def test_a_misspelt_field_is_named_and_not_dropped(self, as_alice, base, name):
        answer = as_alice("POST", f"{base}/keys", {"label": "x", name: 5})
        assert answer.status_code == 400
        assert name[:60] in error(answer)["fields"]
        assert len(answer.content) < 1000
        assert not ApiKey.unscoped.exists()

    @pytest.mark.parametrize(
        "change",
        [
            {"label": ""}, {"label": 5}, {"label": "a\u202eb"}, {"label": "x" * 81}, {"kind": "operator"},
            {"kind": None}, {"kind": []}, {"requests_per_minute": -1}, {"requests_per_minute": 2**63},
            {"requests_per_minute": "5"},
            {"requests_per_minute": 5.0}, {"requests_per_minute": True}, {"allowed_models": "gpt"},
            {"allowed_models": ["(a+)+$"]}, {"allowed_models": ["a"] * 51}, {"allowed_models": [None]},
            {"allowed_networks": ["10.0.0.1/8"]}, {"allowed_networks": [1]}, {"expires_at": "2020-01-01T00:00:00Z"},
            {"expires_at": "0001-01-01T00:00:00+14:00"}, {"expires_at": "9999-12-31T23:59:59-14:00"},
            {"expires_at": 5}, {"expires_at": "soon"}, {"scopes": ["keys:read"]}, {"scopes": {}},
            {"kind": "management", "scopes": []}, {"kind": "management", "scopes": ["operator:read"]},
            {"cap_day_usd": 7}, {"cap_day_usd": "-7.0"},
        ],
    )  # fmt: skip
    def test_a_bad_field_is_400_and_no_key_is_made(self, as_alice, base, change):
        answer = as_alice("POST", f"{base}/keys", {"label": "x"} | change)
        assert answer.status_code == 400, answer.content
        assert not ApiKey.unscoped.exists()

    def test_rotate_disable_enable_revoke(self, as_alice, base, caller):
        made = as_alice("POST", f"{base}/keys", FULL | {"allowed_networks": []}).json()
        path = f"{base}/keys/{made['id']}"
        works = lambda secret: caller(secret=secret)("GET", "/api/v1/me").status_code  # noqa: E731
        assert as_alice("POST", f"{path}/disable").json()["status"] == "disabled"
        assert works(made["secret"]) == 401
        assert as_alice("POST", f"{path}/disable").json()["status"] == "disabled"
        assert as_alice("POST", f"{path}/enable").json()["status"] == "active"
        assert works(made["secret"]) == 200
        rotated = as_alice("POST", f"{path}/rotate", {"overlap_s": 60})
        assert rotated.status_code == 201
        assert rotated.json()["replaces"] == made["id"]
        same = set(FULL) - {"label"}
        assert {name: rotated.json()[name] for name in same} == {name: made[name] for name in same}
        assert works(made["secret"]) == works(rotated.json()["secret"]) == 200
        assert as_alice("POST", f"{path}/rotate", {}).status_code == 409
        for _ in range(2):
            assert as_alice("POST", f"{path}/revoke").json()["status"] == "revoked"
        assert works(made["secret"]) == 401
        assert as_alice("POST", f"{path}/enable").status_code == 409
        assert as_alice("PATCH", path, {"label": "y"}).status_code == 409
        at_once = as_alice("POST", f"{base}/keys/{rotated.json()['id']}/rotate", {})
        assert works(rotated.json()["secret"]) == 401
        assert works(at_once.json()["secret"]) == 200
        assert as_alice("GET", f"{base}/keys/{rotated.json()['id']}").json()["status"] == "expired"

    @pytest.mark.parametrize("overlap", [-1, 30 * 86400 + 1, "60", None, 1.5])
    def test_an_overlap_out_of_range_is_400(self, as_alice, base, overlap):
        made = as_alice("POST", f"{base}/keys", {"label": "x"}).json()
        assert as_alice("POST", f"{base}/keys/{made['id']}/rotate", {"overlap_s": overlap}).status_code == 400

    def test_bob_manages_his_own_and_sees_all(self, as_alice, as_bob, base):
        hers = as_alice("POST", f"{base}/keys", {"label": "hers"}).json()
        his = as_bob("POST", f"{base}/keys", {"label": "his"}).json()
        assert len(as_bob("GET", f"{base}/keys").json()["results"]) == 2
        assert as_bob("GET", f"{base}/keys?kind=management").json()["results"] == []
        for act in ("rotate", "disable", "enable", "revoke"):
            assert as_bob("POST", f"{base}/keys/{hers['id']}/{act}").status_code == 403
        assert as_bob("PATCH", f"{base}/keys/{hers['id']}", {"label": "x"}).status_code == 403
        assert as_bob("POST", f"{base}/keys/{his['id']}/disable").status_code == 200
        assert as_alice("POST", f"{base}/keys/{his['id']}/revoke").status_code == 200

    def test_an_organization_has_so_many_keys_and_no_more(self, as_alice, base, monkeypatch):
        monkeypatch.setattr("accounts.keys.MOST_LIVING_KEYS", 1)
        assert as_alice("POST", f"{base}/keys", {"label": "a"}).status_code == 201
        assert as_alice("POST", f"{base}/keys", {"label": "b"}).status_code == 409


class TestChildrenOfKeys:
    NARROW: dict[str, Any] = {"allowed_models": ["gpt-*"], "cap_day_nano": 10**9, "requests_per_minute": 5}
    FITS: dict[str, Any] = {"allowed_models": ["gpt-5"], "cap_day_usd": "1.00", "requests_per_minute": 5}

    @pytest.mark.parametrize(
        "wider",
        [
            {"allowed_models": []}, {"allowed_models": ["*"]}, {"cap_day_usd": None}, {"cap_day_usd": "1.01"},
            {"requests_per_minute": 6}, {"requests_per_minute": None},
            {"kind": "management", "scopes": ["keys:write", "members:read"]}, {"kind": "management"},
        ],
    )  # fmt: skip
    def test_a_key_makes_none_that_is_wider(self, management, base, wider):
        ask = management("keys:write", **self.NARROW)
        assert ask("POST", f"{base}/keys", {"label": "child"} | self.FITS).status_code == 201
        answer = ask("POST", f"{base}/keys", {"label": "child"} | self.FITS | wider)
        assert (answer.status_code, error(answer)["code"]) == (403, "wider_than_maker")

    def test_a_key_neither_widens_itself_nor_takes_a_wider_one_by_rotation(self, as_alice, organization, base, caller):
        wide, _ = factories.make_key(organization, label="wide")
        narrow, secret = factories.make_key(organization, kind=KeyKind.MANAGEMENT, scopes=["keys:write"], **self.NARROW)
        ask = caller(secret=secret)
        assert ask("PATCH", f"{base}/keys/{narrow.public_id}", {"cap_day_usd": "2.00"}).status_code == 403
        assert (
            ask("PATCH", f"{base}/keys/{narrow.public_id}", {"scopes": ["keys:write", "keys:read"]}).status_code == 403
        )
        assert ask("PATCH", f"{base}/keys/{narrow.public_id}", {"cap_day_usd": "0.50"}).status_code == 200
        assert ask("POST", f"{base}/keys/{wide.public_id}/rotate", {}).status_code == 403
        assert ApiKey.unscoped.count() == 2

    def test_an_expiring_key_makes_none_that_outlives_it(self, management, base):
        ends_at = timezone.now() + timedelta(hours=1)
        ask = management("keys:write", expires_at=ends_at)
        assert ask("POST", f"{base}/keys", {"label": "x"}).status_code == 403
        later = (ends_at + timedelta(seconds=1)).isoformat()
        assert ask("POST", f"{base}/keys", {"label": "x", "expires_at": later}).status_code == 403
        earlier = (ends_at - timedelta(seconds=1)).isoformat()
        assert ask("POST", f"{base}/keys", {"label": "x", "expires_at": earlier}).status_code == 201

    def test_a_person_makes_none_beyond_their_role(self, as_bob, base):
        answer = as_bob("POST", f"{base}/keys", {"label": "x", "kind": "management", "scopes": ["members:write"]})
        assert answer.status_code == 403
        made = as_bob("POST", f"{base}/keys", {"label": "x", "kind": "management"}).json()
        assert made["scopes"] == ["organization:read", "members:read", "keys:read", "keys:write"]

    def test_a_key_shrinks_with_its_maker_and_ends_when_they_leave(self, caller, organization, bob, base):
        minted = keys.create(
            organization=organization, storefront=None, made_by=bob, kind=KeyKind.MANAGEMENT, label="b",
            scopes=["keys:read", "members:read"], source=trail.SYSTEM,
        )  # fmt: skip
        ask = caller(secret=minted.secret)
        assert ask("GET", f"{base}/keys").status_code == 200
        Membership.objects.of(organization).filter(user=bob).update(role=Role.BILLING)
        assert ask("GET", f"{base}/keys").status_code == 403
        assert ask("GET", f"{base}/members").status_code == 200
        Membership.objects.of(organization).filter(user=bob).delete()
        assert ask("GET", f"{base}/members").status_code == 401

    def test_a_key_does_not_reach_another_organization_of_its_maker(self, management, alice, shop):
        other = factories.make_organization(storefront=shop, owner=alice, name="Other")
        assert management()("GET", f"/api/v1/organizations/{other.public_id}").status_code == 404


class TestOperatorKeys:
    def test_only_staff_make_them_and_they_end_with_the_job(self, shop, other_shop, alice, caller):
        clerk = factories.make_staff(other_shop)
        looker = factories.make_staff(other_shop, can_change=False)

        def make(user: Any, storefront: Any) -> keys.MintedKey:
            return keys.create(
                organization=None, storefront=storefront, made_by=user, kind=KeyKind.OPERATOR, label="o",
                source=trail.SYSTEM,
            )  # fmt: skip

        for user, storefront in ((alice, None), (alice, shop), (looker, other_shop), (clerk, shop), (clerk, None)):
            with pytest.raises(keys.WiderThanMaker):
                make(user, storefront)
        secret = make(clerk, other_shop).secret
        assert secret.startswith("sk-tg-op-")
        ask = caller(secret=secret, host="canary.test")
        assert ask("GET", "/api/v1/me").status_code == 200
        assert caller(secret=secret)("GET", "/api/v1/me").status_code == 401
        clerk.storefront_jobs.update(can_change=False)
        assert ask("GET", "/api/v1/me").status_code == 401

    def test_an_inactive_operator_operates_nothing(self, shop):
        staff = factories.make_staff()
        staff.is_active = False
        assert not keys.operates(staff, None)


class TestTrail:
    def test_the_owner_reads_what_happened_and_filters_it(self, as_alice, base, organization):
        made = as_alice("POST", f"{base}/keys", {"label": "x"}).json()
        as_alice("POST", f"{base}/keys/{made['id']}/revoke")
        events = as_alice("GET", f"{base}/audit-events").json()["results"]
        assert [event["action"] for event in events][:2] == ["key.revoked", "key.created"]
        assert events[0]["actor"] == "alice@example.com"
        assert events[0]["ip_address"] == "127.0.0.1"
        assert events[0]["target_id"] == made["id"]
        found = as_alice("GET", f"{base}/audit-events?action=key.created&target_id={made['id']}").json()["results"]
        assert len(found) == 1
        assert as_alice("GET", f"{base}/audit-events?action=%00").status_code == 400

    def test_an_act_by_key_names_the_key(self, management, base, as_alice):
        management("keys:write")("POST", f"{base}/keys", {"label": "child"})
        event = as_alice("GET", f"{base}/audit-events").json()["results"][0]
        assert event["api_key_id"].startswith("key_")

    def test_acts_of_staff_show_as_staff(self, as_alice, base, organization):
        staff = factories.make_staff(email="secret-name@tollgate.example")
        clerk = factories.make_staff(organization.storefront, email="secret-clerk@tollgate.example")
        for user in (staff, clerk):
            trail.record(
                "organization.changed", source=trail.Source(user=user, ip_address="198.51.100.1"), target=organization
            )
        answer = as_alice("GET", f"{base}/audit-events")
        events = answer.json()["results"]
        assert [(event["actor"], event["ip_address"]) for event in events[:2]] == [("staff", None)] * 2
        assert events[2]["actor"] == "system"
        assert "secret-" not in answer.content.decode()

    def test_nothing_writes_it(self, as_alice, base):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert as_alice(method, f"{base}/audit-events", {}).status_code == 405


class TestVisits:
    @pytest.fixture
    def visitor(self, caller, organization, shop):
        from accounts import impersonation
        from accounts.models import Impersonation

        staff = factories.make_staff()
        factories.make_organization(storefront=shop, owner=staff, name="Staff's own")
        ask = caller(user=staff)
        visit = Impersonation.objects.create(
            staff=staff, organization=organization, reason="asked", started_at=timezone.now(),
            expires_at=timezone.now() + timedelta(minutes=5),
        )  # fmt: skip
        session = ask.client.session
        session[impersonation.SESSION_KEY] = visit.public_id
        session.save()
        return ask

    def test_a_visit_sees_one_organization_and_no_key(self, visitor, base, organization):
        assert [found["id"] for found in visitor("GET", "/api/v1/me").json()["organizations"]] == [
            organization.public_id
        ]
        listed = visitor("GET", "/api/v1/organizations").json()["results"]
        assert [found["id"] for found in listed] == [organization.public_id]
        assert visitor("GET", f"{base}/members").status_code == 200
        for method, path, body in (
            ("GET", f"{base}/keys", None),
            ("POST", f"{base}/keys", {"label": "x"}),
            ("PATCH", base, {"name": "x"}),
            ("POST", f"{base}/invitations", {"email": "x@example.com", "role": "viewer"}),
            ("POST", "/api/v1/organizations", {"name": "x"}),
            ("POST", "/api/v1/invitations/accept", {"token": "x"}),
        ):
            assert visitor(method, path, body).status_code == 403, path

    def test_the_room_refuses_a_visitor_too(self, organization, alice):
        from accounts.models import Impersonation

        visit = Impersonation(staff=alice, organization=organization)
        with pytest.raises(keys.WiderThanMaker):
            keys.create(
                organization=organization, storefront=None, made_by=alice, kind=KeyKind.INFERENCE, label="x",
                source=trail.Source(user=alice, impersonation=visit),
            )  # fmt: skip
        assert members.invite is not None


class TestPapers:
    def test_the_schema_names_every_route_of_the_api(self, shop, client):
        schema = client.get("/openapi.json", headers={"host": "localhost"}).json()
        from accounts.api import urls
        from billing.api import urls as money
        from gateway.api import urls as calls

        patterns = [*urls.urlpatterns, *money.urlpatterns, *calls.urlpatterns]
        routes = {pattern.name for pattern in patterns if str(pattern.pattern).startswith("api/")}
        assert len([path for path in schema["paths"] if path.startswith("/api/")]) == len(routes)
        for path, operations in schema["paths"].items():
            for method, operation in operations.items():
                always = {"400", "429"} if {} not in operation.get("security", []) else {"429"}
                assert always <= set(operation["responses"]), (path, method)

    @pytest.mark.parametrize("path", ["/docs", "/redoc"])
    def test_the_pages_name_no_other_host_and_run_only_what_carries_the_nonce(self, shop, client, path):
        answer = client.get(path, headers={"host": "localhost"})
        text = answer.content.decode()
        assert answer.status_code == 200
        assert "http://" not in text
        assert "https://" not in text
        assert "unsafe" not in answer["Content-Security-Policy"]
        nonce = answer["Content-Security-Policy"].partition("'nonce-")[2].partition("'")[0]
        assert nonce
        assert text.count("<script>") == 0
        assert f'nonce="{nonce}"' in text

    def test_redoc_comes_without_its_foreign_picture(self, shop, client):
        answer = client.get("/redoc.js", headers={"host": "localhost"})
        assert b"cdn.redoc.ly" not in answer.content
        assert len(answer.content) > 500_000


def test_errors_of_refusals_say_where_they_came_from(as_alice, base):
    answer = as_alice("GET", f"{base}/keys/{new_id('key')}", headers={"x-request-id": "my-own-id-123"})
    assert error(answer) == {
        "code": "not_found", "message": "There is nothing at this address.", "request_id": "my-own-id-123",
    }  # fmt: skip
    assert json.loads(answer.content)
