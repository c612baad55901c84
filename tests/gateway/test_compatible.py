"""The compatible paths: the JSON, the units and the status codes that clients of older resellers expect."""

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts import keys, organizations, trail
from accounts.models import SignUpPolicy, User
from accounts.models.keys import KeyKind
from billing import pricebook, wallets
from billing.pricing.presets import SOURCES
from gateway import figures
from gateway.models import Call
from gateway.seed import stock
from plumbing import outbox
from tests import factories
from tests.gateway.house import House, opened

NOW = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
SIX = {f"{what}_per_{window}" for what in ("requests", "tokens") for window in ("minute", "hour", "day")}


def ask(method: str, path: str, body: Any = None, *, secret: str = "", **headers: str) -> Any:
    sent = {"host": "localhost", **({"authorization": f"Bearer {secret}"} if secret else {}), **headers}
    data = "" if body is None else json.dumps(body)
    return Client().generic(method, path, data, content_type="application/json", headers=sent)


def on_plan(shop: Any, organization: Any, name: str) -> None:
    """Put a customer on one of the presets."""
    body = {key: value for key, value in SOURCES[name].items() if key not in {"name", "version"}} | {"allow_loss": True}
    now = timezone.now()
    pricebook.publish_plan(storefront=shop, name=name, body=body, effective_from=now, note="", source=trail.SYSTEM)
    pricebook.set_terms(storefront=shop, organization=organization, plan_name=name, at=now, source=trail.SYSTEM)


def called(organization: Any, key: Any, number: int, *, tokens: int = 100, at: datetime | None = None) -> Call:
    at = at or timezone.now()
    row: Call = Call.objects.create(
        id=number, organization=organization, api_key_id=key.pk, user_id=key.created_by_id, created_at=at, ended_at=at,
        state="done", endpoint="chat", model_asked="m-1", model_served="m-1", plan_version_id=1,
        input_tokens=tokens - 40, output_tokens=40, price_nano=tokens * 20_000,
    )  # fmt: skip
    return row


@pytest.fixture
def stocked(shop: Any) -> Any:
    stock(shop, sandbox_url="http://127.0.0.1:1/sandbox/provider", now=timezone.now())
    return shop


@pytest.fixture
def operator(shop: Any) -> str:
    staff = factories.make_staff()
    minted = keys.create(
        organization=None, storefront=None, made_by=staff, kind=KeyKind.OPERATOR, label="op", source=trail.SYSTEM
    )
    return minted.secret


@pytest.mark.django_db
class TestLooks:
    def test_the_root_is_a_page_for_people_and_a_description_for_programs(self, stocked):
        assert ask("GET", "/", accept="text/html,*/*")["Content-Type"].startswith("text/html")
        for accept in ("application/json", "*/*"):
            answer = ask("GET", "/", accept=accept)
            assert answer.json()["endpoints"]["chat"] == "POST /v1/chat/completions"
        assert ask("HEAD", "/").status_code == 200
        assert ask("HEAD", "/", accept="*/*").status_code == 200

    def test_only_the_public_paths_answer_without_a_key(self, stocked):
        for path in ("/health", "/models/simple", "/ai-proxy/"):
            assert ask("GET", path).status_code == 200, path
        for path in ("/v1/models", "/v1/balance", "/user/balance", "/user/monitor", "/user/limit", "/ai-proxy/v1/auth"):
            assert ask("GET", path).status_code == 422, path
            assert ask("GET", path, secret="sk-arb-nonsense").status_code == 401, path

    def test_the_public_list_names_prices_and_no_cost(self, stocked):
        answer = ask("GET", "/models/simple").json()
        model = next(model for model in answer["models"] if model["id"] == "sandbox-standard")
        assert model["pricing"]["input_per_million_usd"] == "3.75"
        assert model["pricing"]["output_per_million_usd"] == "18.75"
        assert '"3"' not in json.dumps(answer)

    def test_the_list_of_models_in_three_dialects(self, stocked, organization):
        _, secret = factories.make_key(organization, allowed_models=["sandbox-s*"])
        ours = ask("GET", "/v1/models", secret=secret).json()
        assert [model["id"] for model in ours["data"]] == ["sandbox-standard"]
        theirs = ask("GET", "/v1/models", secret=secret, **{"anthropic-version": "2023-06-01"}).json()
        assert theirs["data"][0]["type"] == "model"
        assert (theirs["first_id"], theirs["has_more"]) == ("sandbox-standard", False)
        googles = ask("GET", "/v1beta/models", secret=secret).json()
        assert googles["models"][0]["name"] == "models/sandbox-standard"
        assert ask("GET", "/v1/models/sandbox-mini", secret=secret).status_code == 404
        assert ask("GET", "/v1/models/open/weights:free", secret=secret).json()["error"]["code"] == "model_not_found"

    def test_anthropics_pages_turn(self, stocked, organization):
        _, secret = factories.make_key(organization)
        seen, after = [], ""
        for _ in range(10):
            path = f"/v1/models?limit=1&after_id={after}"
            page = ask("GET", path, secret=secret, **{"anthropic-version": "2023-06-01"}).json()
            seen += [model["id"] for model in page["data"]]
            after = page["last_id"]
            if not page["has_more"]:
                break
        assert seen == ["sandbox-mini", "sandbox-reasoning", "sandbox-standard"]

    def test_a_balance_is_told_in_the_plans_unit(self, stocked, organization):
        _, secret = factories.make_key(organization)
        wallets.credit(organization, 20_000_000, "test", trail.SYSTEM)
        assert ask("GET", "/v1/balance", secret=secret).json()["balance_usd"] == "0.02"
        assert ask("GET", "/v1/balance", secret=secret).json()["credits"] == 0.02
        on_plan(stocked, organization, "s3")
        told = ask("GET", "/user/balance", secret=secret).json()
        assert (told["current_credits"], told["unit"]) == (1000, "token")
        assert ask("GET", "/ai-proxy/v1/auth", secret=secret).json()["balance"] == 1000

    def test_a_keys_own_allowance_bounds_the_balance(self, stocked, organization):
        _, secret = factories.make_key(organization, cap_day_nano=5_000_000)
        wallets.credit(organization, 20_000_000, "test", trail.SYSTEM)
        assert ask("GET", "/v1/balance", secret=secret).json()["balance_usd"] == "0.005"

    def test_a_key_in_the_address_is_refused(self, stocked, organization):
        _, secret = factories.make_key(organization)
        assert ask("GET", f"/v1/balance?api_key={secret}").status_code == 400

    def test_another_kind_of_key_opens_nothing_here(self, stocked, organization, operator):
        _, management = factories.make_key(organization, kind=KeyKind.MANAGEMENT)
        assert ask("GET", "/v1/balance", secret=management).status_code == 403
        assert ask("GET", "/v1/models", secret=operator).status_code in {401, 403}


@pytest.mark.django_db
class TestTheTestKey:
    """``curl /v1/balance -H "Authorization: Bearer TEST"`` on one's own machine, and nowhere else."""

    @pytest.fixture
    def tried(self, stocked: Any, organization: Any, alice: Any) -> Any:
        return keys.open_test_key(organization=organization, made_by=alice, source=trail.SYSTEM)

    def test_it_opens_the_sandbox_here(self, tried):
        assert ask("GET", "/v1/balance", secret="TEST").status_code == 200
        models = ask("GET", "/v1/models", secret="TEST").json()["data"]
        assert models
        assert all(model["id"].startswith("sandbox-") for model in models)

    def test_it_is_made_once(self, tried, organization, alice):
        assert keys.open_test_key(organization=organization, made_by=alice, source=trail.SYSTEM) is None

    def test_it_is_nothing_in_production(self, tried, organization, alice, settings):
        settings.SANDBOX = False
        assert ask("GET", "/v1/balance", secret="TEST").status_code == 401
        tried.delete()
        assert keys.open_test_key(organization=organization, made_by=alice, source=trail.SYSTEM) is None

    def test_it_is_nothing_from_elsewhere(self, tried):
        answer = Client(REMOTE_ADDR="203.0.113.9").get(
            "/v1/balance", headers={"host": "localhost", "authorization": "Bearer TEST"}
        )
        assert answer.status_code == 401


@pytest.mark.django_db
class TestMonitor:
    def test_the_figures_of_the_source(self, stocked, organization):
        key, secret = factories.make_key(organization, **dict.fromkeys(SIX, 1000))
        now = timezone.now()
        for number in range(1, 6):
            called(organization, key, number, at=now)
        called(organization, key, 6, tokens=500, at=now.replace(year=now.year - 1))
        other, _ = factories.make_key(organization)
        called(organization, other, 7)
        told = ask("GET", "/user/monitor", secret=secret).json()
        assert set(told) == {
            *("status", "timestamp", "user_id", "api_key", "current_credits", "usage_metrics", "rate_limits")
        }  # fmt: skip
        assert told["status"] == "success"
        assert secret not in json.dumps(told)
        used = told["usage_metrics"]
        assert (used["total_requests"], used["total_tokens"], used["total_cost"]) == (6, 1000, 0.02)
        assert (used["requests_today"], used["tokens_today"], used["cost_today"]) == (5, 500, 0.01)
        assert (used["requests_this_month"], used["tokens_this_month"], used["cost_this_month"]) == (5, 500, 0.01)
        assert used["average_tokens_per_request"] == round(1000 / 6, 2)
        assert used["most_used_model"] == "m-1"
        assert set(told["rate_limits"]) == SIX

    def test_a_new_key_has_used_nothing(self, stocked, organization):
        _, secret = factories.make_key(organization)
        used = ask("GET", "/user/monitor", secret=secret).json()["usage_metrics"]
        assert used["total_requests"] == used["total_cost"] == used["average_tokens_per_request"] == 0
        assert used["most_used_model"] is None
        assert used["last_request_time"] is None

    def test_windows_turn_with_the_calendar(self):
        assert figures.resets(NOW) == {
            "minute": "2026-11-20T10:31:00Z", "hour": "2026-11-20T11:00:00Z", "day": "2026-11-21T00:00:00Z",
        }  # fmt: skip

    def test_limits_are_the_tighter_ones_and_say_when_they_are_reached(self, stocked, organization):
        key, secret = factories.make_key(organization, requests_per_day=2, tokens_per_hour=10_000)
        organizations.update(organization, source=trail.SYSTEM, requests_per_day=60)
        told = ask("GET", "/user/limit", secret=secret).json()
        assert told["current_limits"]["requests_per_day"] == 2
        assert told["current_usage"] == {"allowed": True, "reason": "Within limits"}
        assert set(told["reset_times"]) == {"minute", "hour", "day"}
        called(organization, key, 1)
        called(organization, key, 2)
        assert not ask("GET", "/user/limit", secret=secret).json()["current_usage"]["allowed"]


@pytest.mark.django_db
class TestOperators:
    def test_without_credentials_nothing_answers(self, stocked, organization):
        _, secret = factories.make_key(organization)
        for method, path in (
            ("POST", "/admin/create_user"), ("POST", "/admin/add_credits"), ("GET", "/admin/balance"),
            ("GET", "/admin/monitor"), ("POST", "/admin/limit"),
        ):  # fmt: skip
            assert ask(method, path, {} if method == "POST" else None).status_code == 422, path
            assert ask(method, path, {} if method == "POST" else None, secret="sk-no").status_code == 401, path
            assert ask(method, path, {} if method == "POST" else None, secret=secret).status_code == 403, path

    def test_a_scope_opens_only_what_it_names(self, stocked):
        minted = keys.create(
            organization=None, storefront=None, made_by=factories.make_staff(), kind=KeyKind.OPERATOR, label="reads",
            source=trail.SYSTEM, scopes=["operator:read"],
        )  # fmt: skip
        assert ask("GET", "/admin/balance", secret=minted.secret).status_code == 200
        assert ask("POST", "/admin/create_user", {"email": "a@b.example"}, secret=minted.secret).status_code == 403

    def test_a_customer_from_first_to_last(self, stocked, operator):
        made = ask(
            "POST", "/admin/create_user", {"email": "New@Example.com", "name": "New", "credits": 2.5}, secret=operator
        )
        assert made.status_code == 200, made.content
        body = made.json()
        assert keys.well_formed(body["api_key"])
        assert body["credits"] == 2.5
        again = ask("POST", "/admin/create_user", {"email": "new@example.com"}, secret=operator)
        assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
        given = ask("POST", "/admin/add_credits", {"api_key": body["api_key"], "credits": "0.5"}, secret=operator)
        assert given.json()["current_credits"] == 3.0
        limits = {"requests_per_minute": 60, "tokens_per_day": 1_000_000}
        limited = ask("POST", "/admin/limit", {"api_key": body["api_key"], "rate_limits": limits}, secret=operator)
        assert limited.json()["rate_limits"]["requests_per_minute"] == 60
        shown = ask("GET", "/user/limit", secret=body["api_key"]).json()["current_limits"]
        assert shown["tokens_per_day"] == 1_000_000
        listed = ask("GET", "/admin/balance", secret=operator).json()
        assert listed["users"][0]["credits"] == 3.0
        assert body["api_key"] not in json.dumps(listed)
        by_id = ask(
            "POST", "/admin/add_credits", {"api_key": listed["users"][0]["key_id"], "credits": 1}, secret=operator
        )
        assert by_id.json()["current_credits"] == 4.0

    def test_the_day_of_the_shop(self, stocked, organization, operator):
        key, _ = factories.make_key(organization)
        called(organization, key, 1)
        called(organization, key, 2, tokens=300)
        told = ask("GET", "/admin/monitor", secret=operator).json()
        data = told["data"]
        assert (data["total_users"], data["active_users_today"]) == (1, 1)
        assert (data["total_requests_today"], data["total_tokens_today"]) == (2, 400)
        assert data["total_cost_today"] == 0.008
        assert data["top_users_by_usage"] == [
            {"api_key": key.masked, "tokens_used": 400, "cost": 0.008, "requests": 2}
        ]  # fmt: skip
        assert [row["tokens_used"] for row in data["recent_activity"]] == [300, 100]

    def test_the_operator_of_one_shop_never_reaches_anothers_customers(self, stocked, organization, other_shop):
        key, secret = factories.make_key(organization)
        staff = factories.make_staff(other_shop)
        minted = keys.create(
            organization=None, storefront=other_shop, made_by=staff, kind=KeyKind.OPERATOR, label="op",
            source=trail.SYSTEM,
        )  # fmt: skip
        for name in (secret, key.public_id):
            for path, body in (("add_credits", {"credits": 1}), ("limit", {"rate_limits": {}})):
                answer = ask(
                    "POST", f"/admin/{path}", {"api_key": name, **body}, secret=minted.secret, host="canary.test"
                )
                assert answer.status_code == 404, answer.content
        assert ask("GET", "/admin/balance", secret=minted.secret, host="canary.test").json()["users"] == []
        assert ask("GET", "/admin/balance", secret=minted.secret).status_code == 401

    @pytest.mark.parametrize(
        "body",
        [
            {"api_key": "key_x", "credits": 0},
            {"api_key": "key_x", "credits": -1},
            {"api_key": "key_x", "credits": True},
            {"api_key": "key_x", "credits": "1e9"},
            {"api_key": "key_x", "credits": 1, "more": 1},
            {"credits": 1},
            [],
        ],
    )
    def test_odd_bodies_are_refused(self, stocked, operator, body):
        answer = ask("POST", "/admin/add_credits", body, secret=operator)
        assert answer.status_code == 400, answer.content
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}

    def test_staff_may_use_their_session_and_customers_not(self, stocked, organization, alice):
        client = Client(headers={"host": "localhost"})
        client.force_login(alice, backend="allauth.account.auth_backends.AuthenticationBackend")
        assert client.get("/admin/balance").status_code == 403
        client.force_login(factories.make_staff(), backend="allauth.account.auth_backends.AuthenticationBackend")
        assert client.get("/admin/balance").status_code == 200
        assert client.get("/admin/").status_code in {200, 302}


@pytest.mark.django_db
class TestRegister:
    def letter(self) -> str:
        outbox.drain()
        [token] = re.findall(r"^([\w-]{20,}:[\w:-]+)$", str(mail.outbox[-1].body), re.MULTILINE)
        return str(token)

    def test_a_key_comes_only_after_the_letter(self, stocked):
        asked = ask("POST", "/v1/register", {"email": "Me@Example.com"})
        assert asked.status_code == 200
        assert "api_key" not in asked.json()
        assert not User.objects.filter(email__iexact="me@example.com").exists()
        token = self.letter()
        made = ask("POST", "/v1/register", {"token": token})
        assert made.status_code == 200, made.content
        assert ask("GET", "/v1/balance", secret=made.json()["api_key"]).status_code == 200
        again = ask("POST", "/v1/register", {"token": token})
        assert again.status_code == 409

    def test_a_known_mailbox_is_answered_like_a_new_one(self, stocked, alice):
        known = ask("POST", "/v1/register", {"email": "alice@example.com"})
        unknown = ask("POST", "/v1/register", {"email": "nobody@example.com"})
        assert (known.status_code, known.json()) == (unknown.status_code, unknown.json())

    @pytest.mark.parametrize("token", ["", "x", "a:b:c", "eyJ4IjoxfQ:1abc:zzz"])
    def test_a_made_up_code_is_refused(self, stocked, token):
        assert ask("POST", "/v1/register", {"token": token}).status_code in {400, 409}

    @pytest.mark.parametrize("policy", [SignUpPolicy.INVITED, SignUpPolicy.CLOSED])
    def test_a_shop_that_is_not_open_gives_no_keys(self, stocked, policy):
        stocked.sign_up_policy = policy
        stocked.save()
        assert ask("POST", "/v1/register", {"email": "me@example.com"}).status_code == 403

    @pytest.mark.parametrize("body", [{}, {"email": "x"}, {"email": "a@b.example", "token": "x"}, {"email": 1}, []])
    def test_odd_bodies_are_refused(self, stocked, body):
        assert ask("POST", "/v1/register", body).status_code == 400


# --- Plans that count in tokens, through a running house ---


@pytest.fixture
def house() -> Iterator[House]:
    with opened() as opened_house:
        yield opened_house


CHAT = {"model": "sandbox-standard", "messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 20}


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
class TestTokenPlans:
    def test_a_flat_plan_tells_what_it_took_and_what_is_left(self, house):
        on_plan(house.organization.storefront, house.organization, "s3")
        time.sleep(1.5)  # the catalogue looks once a second
        before = house.ask("GET", "/user/balance").json()["current_credits"]
        answer = house.post("/v1/chat/completions", CHAT).json()
        told = answer["gateway_usage"]
        assert told["tokens_charged"] == answer["usage"]["total_tokens"] == 30
        assert told["user_balance_after"] == before - 30
        assert house.secret not in json.dumps(told)
        assert "gateway_usage" not in house.post("/v1/messages", CHAT).json()

    def test_other_plans_keep_the_providers_bytes(self, house):
        assert "gateway_usage" not in house.post("/v1/chat/completions", CHAT).json()

    def test_an_adjusting_plan_logs_how_tokens_were_adjusted(self, house, caplog):
        on_plan(house.organization.storefront, house.organization, "s4")
        time.sleep(1.5)
        answer = house.post("/v1/chat/completions", CHAT).json()
        [call] = house.settled(1)
        lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
        [line] = [line for line in lines if str(line.get("event", "")).startswith("[Proxy] Token adjustment")]
        assert (line["rawInput"], line["rawOutput"]) == (10, 20)
        assert (line["inputRatio"], line["outputRatio"]) == ("0.400", "1.800")  # 3 and 15 dollars at 10, times 1.2
        assert line["totalAdjusted"] == line["adjustedInput"] + line["adjustedOutput"] == 40
        assert answer["gateway_usage"]["tokens_charged"] == 40
        assert call.price_nano == 40 * 10_000
