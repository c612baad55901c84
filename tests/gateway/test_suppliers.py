"""Whom we buy from and what: the two commands, said once and said again, and what they refuse."""

import io
import json
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts import trail
from accounts.models import AuditEvent
from accounts.opening import default_storefront
from billing.models.plans import CostCardVersion
from gateway import suppliers
from gateway.catalog import take_picture
from gateway.models import AIModel, Credential, Provider, Route
from gateway.seed import stock
from gateway.suppliers import SupplyRefused
from gateway.wares import Price
from tests.gateway.fake_provider import Told, fake_provider

pytestmark = pytest.mark.django_db
KEY = "sk-upstream-1234567890abcdef"
LOOPBACK = "http://127.0.0.1:9911/v1"


def run(*words: str) -> Any:
    out = io.StringIO()
    call_command(*words, "--json", stdout=out)
    return json.loads(out.getvalue())


def add(**more: str) -> Any:
    words = {"--name": "Mock", "--kind": "openai", "--base-url": LOOPBACK, "--key": KEY, **more}
    return run("provider", "add", *[word for pair in words.items() for word in pair])


def sell(*more: str) -> Any:
    words = ("mock-large", "--provider", "mock", "--upstream", "large-1", "--output", "15.00")
    price = () if "--input" in more else ("--input", "3.00")
    return run("model", "add", *words, *price, *more)


def test_both_commands_are_idempotent():
    assert add()["did"] == "added"
    assert sell("--cached-input", "0.30")["did"] == "added"
    rows = (Provider, Credential, AIModel, Route, CostCardVersion, AuditEvent)
    before = [table.objects.count() for table in rows]
    assert add()["did"] == "unchanged"
    assert sell("--cached-input", "0.30")["did"] == "unchanged"
    assert [table.objects.count() for table in rows] == before


def test_a_new_price_is_a_new_version_and_the_rest_stays():
    add()
    sell()
    assert sell("--context", "64000", "--max-output", "2000")["did"] == "changed"
    assert run(
        "model", "add", "mock-large", "--provider", "mock", "--upstream", "large-1", "--input", "4", "--output", "15"
    )
    versions = CostCardVersion.objects.filter(provider="mock", model="large-1").order_by("version")
    assert [version.version for version in versions] == [1, 2]
    model = AIModel.objects.get(slug="mock-large")
    assert (model.context_tokens, model.max_output_tokens, model.default_output_tokens) == (64_000, 2_000, 2_000)
    assert Route.objects.get(model=model).is_price_pinned


def test_what_was_added_is_sold_at_its_cost_and_the_plans_markup():
    shop = default_storefront()
    stock(shop, sandbox_url="http://127.0.0.1:1/sandbox/provider", now=timezone.now())
    add()
    assert sell("--cached-input", "0.30")["served"] is True
    picture = take_picture(timezone.now())
    offer = picture.offer("mock-large", storefront=shop.pk)
    [serving] = offer.servings
    assert (serving.base_url, serving.upstream_model, serving.is_private) == (LOOPBACK, "large-1", True)
    priced = picture.price(offer, serving, storefront=shop.pk, plan="standard")
    assert priced.rates.card is not None
    assert {(rate.bucket.direction, rate.bucket.cache): rate.price for rate in priced.rates.card.rates} == {
        ("input", "none"): 3,
        ("input", "read"): Decimal("0.3"),
        ("output", "none"): 15,
    }


def test_a_key_is_never_sent_to_another_address_than_it_was_given_for():
    add()
    add(**{"--base-url": "http://127.0.0.1:9912/v1", "--key": "sk-another-1234567890"})
    states = dict(Credential.objects.values_list("last_four", "is_active"))
    assert states == {"cdef": False, "7890": True}


def test_the_key_is_sealed_and_nowhere_to_be_read():
    add()
    with pytest.raises(CommandError):
        run("provider", "add", "--name", "Odd", "--kind", "openai", "--key", "two\nlines")
    told = json.dumps(list(AuditEvent.objects.values("before", "after", "target_name")))
    assert KEY not in told
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM gateway_credential")
        assert all(KEY not in row[0] for row in cursor.fetchall())


@pytest.mark.parametrize(
    ("kind", "address", "says"),
    [
        ("nonsense", "https://api.example.com/v1", "There is no kind"),
        ("azure", "", "needs its address"),
        ("openai", "http://169.254.169.254/v1", "reserved"),
        ("openai", "https://user:pw@api.example.com/v1", "user name"),
        ("openai", "ftp://api.example.com", "https"),
        ("openai", "https://0x7f000001/v1", "unusual spelling"),
    ],
)
def test_addresses_and_kinds_that_are_refused_even_on_the_command_line(kind, address, says):
    with pytest.raises(CommandError, match=says):
        run("provider", "add", "--name", "Odd", "--kind", kind, "--base-url", address, "--key", KEY)
    assert not Provider.objects.filter(slug="odd").exists()


def test_loopback_is_the_command_lines_alone():
    with pytest.raises(SupplyRefused):
        suppliers.add_provider(name="Odd", kind="openai", base_url=LOOPBACK, source=trail.SYSTEM)
    provider = add()["slug"]
    row = Provider.objects.get(slug=provider)
    assert row.may_be_private
    with pytest.raises(SupplyRefused):
        suppliers.change_provider(row, changes={"base_url": "http://10.0.0.8/v1"}, source=trail.SYSTEM)
    public = suppliers.change_provider(row, changes={"base_url": "https://api.example.com/v1"}, source=trail.SYSTEM)
    assert not public.may_be_private
    assert not public.credentials.filter(is_active=True).exists()


@pytest.mark.parametrize(
    "words",
    [
        ("m", "--provider", "mock", "--input", "-1", "--output", "2"),
        ("m", "--provider", "mock", "--input", "1e3", "--output", "2"),
        ("m", "--provider", "nobody", "--input", "1", "--output", "2"),
        ("m", "--provider", "mock", "--input", "0", "--output", "0"),
        ("azure/m", "--provider", "mock", "--input", "1", "--output", "2"),
        ("m" * 121, "--provider", "mock", "--upstream", "m", "--input", "1", "--output", "2"),
        ("m", "--provider", "mock", "--upstream", "m" * 161, "--input", "1", "--output", "2"),
        ("m", "--provider", "mock", "--upstream", "m" * 121, "--input", "1", "--output", "2"),
    ],
)
def test_models_that_are_refused_leave_nothing_behind(words):
    add()
    with pytest.raises(CommandError):
        run("model", "add", *words)
    assert not AIModel.objects.exists()
    assert not Route.objects.exists()


def test_a_model_that_really_is_free_says_so():
    add()
    run("model", "add", "gift", "--provider", "mock", "--input", "0", "--output", "0", "--free")
    assert CostCardVersion.objects.get(model="gift").body["free"] is True


def test_an_operator_may_sell_what_the_catalogue_calls_retired():
    add()
    successor = AIModel.objects.create(slug="newer", name="newer")
    AIModel.objects.create(slug="old", name="old", alias_of=successor, retired_on="2026-10-23")
    run("model", "add", "old", "--provider", "mock", "--input", "1", "--output", "2")
    old = AIModel.objects.get(slug="old")
    assert (old.alias_of, old.retired_on) == (None, None)


def check(name: str, url: str) -> Any:
    return run("provider", "add", "--name", name, "--kind", "openai", "--base-url", url, "--key", KEY, "--check")


def test_the_check_tries_address_and_key():
    with fake_provider(lambda heard: Told(200, b'{"data": []}')) as upstream:
        assert check("A", upstream.url)["check"]["key_works"] is True
        assert [(one.method, one.path, one.key) for one in upstream.heard] == [("GET", "/v1/models", KEY)]
    with fake_provider(lambda heard: Told(401)) as upstream, pytest.raises(CommandError, match="refuses the key"):
        check("B", upstream.url)
    with pytest.raises(CommandError, match="cannot be reached"):
        check("C", upstream.url)


def test_prices_are_written_as_cost_cards_do():
    assert Price("input", Decimal("0.30"), "read").to_json() == {"direction": "input", "cache": "read", "price": "0.30"}


def test_keys_of_the_environment_follow_it():
    suppliers.add_provider(name="OpenAI", kind="openai", source=trail.SYSTEM)
    for key in ("sk-first-123456789012", "sk-first-123456789012", "sk-second-123456789012"):
        suppliers.adopt_environment({"openai": key, "nobody": "sk-x"}, source=trail.SYSTEM)
    assert [row.secret for row in Credential.objects.filter(is_active=True)] == ["sk-second-123456789012"]
    assert Credential.objects.count() == 2
    assert suppliers.has_real_credential()
