"""The catalogue that is shipped: complete, priced as an independent oracle prices it, and loaded without harm."""

import io
import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone
from genai_prices import Usage as OracleUsage
from genai_prices import calc_price

from accounts import trail
from accounts.models import AuditEvent
from accounts.opening import default_storefront
from billing.models.plans import CostCardVersion
from billing.pricing import Bucket, Card, Circumstances, Line, Plan, Rates, Usage, charge
from gateway import shipped, suppliers
from gateway.catalog import take_picture
from gateway.kinds import KINDS
from gateway.models import AIModel, Provider, Route
from gateway.seed import stock

CATALOGUE = shipped.catalogue()
AS_OF = date.fromisoformat(CATALOGUE["as_of"])
AT_COST = Plan.from_json({"name": "at-cost", "version": 1, "method": "cost_plus", "percent": "0"})
NOON, NIGHT = datetime.combine(AS_OF, time(12), UTC), datetime.combine(AS_OF, time(2), UTC)
MODELS = {model["slug"]: model for model in CATALOGUE["models"]}
ON_SALE = [model for model in CATALOGUE["models"] if model.get("is_active", True)]
PRICED = [
    (route, model["slug"]) for model in CATALOGUE["models"] for route in model["routes"] if route.get("priced_by")
]
# What the sources name, as their customers would write it.
NAMED = (
    *("gpt-4", "gpt-3.5-turbo", "claude-3-sonnet", "claude-3-haiku", "llama-2-70b", "mixtral-8x7b"),
    *("azure/crowe-logic-assistant", "gpt-4o", "gpt-4o-mini", "gpt-4-turbo", "o1", "o3-mini"),
    *("claude-3.5-sonnet", "claude-3.5-haiku", "claude-3-opus", "grok-beta", "grok-2", "gemini-2.0-flash"),
    *("gemini-1.5-pro", "gemini-1.5-flash", "llama-3.3-70b", "llama-3.1-405b", "llama-3.1-70b"),
    *("llama-3.2-90b-vision", "mistral-large", "mistral-medium", "mistral-small", "command-r-plus"),
    *("command-r", "deepseek-v3", "deepseek-coder", "deepseek/deepseek-r1-0528", "gpt-4o-realtime"),
    *("gpt-4o-mini-realtime", "gpt-4o-realtime-preview"),
)


def test_it_is_large_and_every_name_of_the_sources_is_there():
    makers = {route["provider"] for model in ON_SALE for route in model["routes"]}
    assert len(ON_SALE) >= 45
    assert len(makers) >= 10
    names = {*MODELS, *(alias["slug"] for alias in CATALOGUE["aliases"])}
    assert set(NAMED) <= names
    assert {occasion for model in ON_SALE for occasion in model.get("recommended_for", [])} == {
        "everyday",
        "power",
        "speed",
    }


def test_every_row_says_what_customers_and_routing_need():
    kinds = {provider["slug"]: provider["kind"] for provider in CATALOGUE["providers"]}
    assert set(kinds.values()) <= set(KINDS)
    for model in CATALOGUE["models"]:
        assert model["context_tokens"] > 0, model["slug"]
        assert 0 < model["default_output_tokens"] <= model["max_output_tokens"], model["slug"]
        assert model["input_modalities"], model["slug"]
        assert model["name"], model["slug"]
        for route in model["routes"]:
            assert route["provider"] in kinds
            assert model["slug"].startswith("azure/") == (kinds[route["provider"]] == "azure")
            if model in ON_SALE:
                assert "card" in route, f"{model['slug']} would be listed without a price"
    for alias in CATALOGUE["aliases"]:
        assert alias["of"] in MODELS
        assert alias["slug"] not in MODELS


def test_the_file_is_what_the_command_makes():
    call_command("catalogue", "make", "--check")


# --- The oracle -------------------------------------------------------------------------------------------------------


def ours(card: dict[str, Any], lines: dict[Bucket, int], at: datetime) -> Fraction:
    rates = Rates.of(plan=AT_COST, card=Card.from_json({**card, "version": 1}))
    usage = Usage(tuple(Line(bucket, quantity) for bucket, quantity in lines.items() if quantity))
    made = charge(usage=usage, rates=rates, circumstances=Circumstances(at=at))
    assert made.cost is not None
    return Fraction(*made.cost) / 10**9


def oracle(reference: str, at: datetime, **counted: int) -> Fraction:
    provider, _, model = reference.partition("/")
    priced = calc_price(OracleUsage(**counted), model, provider_id=provider, genai_request_timestamp=at)
    return Fraction(Decimal(priced.total_price))


@pytest.mark.parametrize(("route", "slug"), PRICED, ids=[f"{slug} by {route['provider']}" for route, slug in PRICED])
def test_the_oracle_prices_the_same_use_the_same(route, slug):
    buckets = {Bucket(*(rate[name] for name in Bucket._fields)) for rate in route["card"]["rates"]}
    text, answer = Bucket("input"), Bucket("output")
    if text not in buckets or answer not in buckets:
        assert _by_the_piece(route, buckets)
        return
    for given in (1_000, 90_000, 150_000, 240_000, 300_000):
        for at in (NOON, NIGHT):
            read = given // 4 if Bucket("input", cache="read") in buckets else 0
            wrote = given // 8 if Bucket("input", cache="write_5m") in buckets else 0
            lines = {
                text: given - read - wrote,
                Bucket("input", cache="read"): read,
                Bucket("input", cache="write_5m"): wrote,
                answer: 777,
            }
            told = {"input_tokens": given, "output_tokens": 777}
            told |= {"cache_read_tokens": read} if read else {}
            told |= {"cache_write_tokens": wrote} if wrote else {}
            assert ours(route["card"], lines, at) == oracle(route["priced_by"], at, **told), (given, at)


def _by_the_piece(route: dict[str, Any], buckets: set[Bucket]) -> bool:
    """One unit of whatever the card counts costs what the oracle says."""
    counts = {
        Bucket("input"): {"input_tokens": 1_000_000},
        Bucket("input", "audio", unit="second"): {"input_audio_seconds": 3_600, "audio_seconds": 3_600},
        Bucket("input", unit="character"): {"input_characters": 1_000_000},
    }
    for bucket, told in counts.items():
        if bucket in buckets:
            [quantity] = set(told.values())
            assert ours(route["card"], {bucket: quantity}, NOON) == oracle(route["priced_by"], NOON, **told)
            return True
    return False


def test_audio_costs_what_the_sources_say_it_does():
    card = MODELS["gpt-realtime-2"]["routes"][0]["card"]
    assert ours(card, {Bucket("input", "audio"): 1_000_000}, NOON) == oracle(
        "openai/gpt-realtime-2", NOON, input_tokens=1_000_000, input_audio_tokens=1_000_000
    )
    assert ours(card, {Bucket("output", "audio"): 1_000_000}, NOON) == 64


def test_peak_hours_cost_twice_as_much():
    card = MODELS["deepseek-flash"]["routes"][0]["card"]
    lines = {Bucket("input"): 1_000_000}
    assert ours(card, lines, NIGHT) == 2 * ours(card, lines, NOON)


# --- Loading ----------------------------------------------------------------------------------------------------------


def load() -> shipped.Loaded:
    return shipped.load(now=timezone.now(), source=trail.SYSTEM)


@pytest.mark.django_db
def test_loading_twice_does_nothing_more():
    first = load()
    assert (first.models, first.providers) == (
        len(CATALOGUE["models"]) + len(CATALOGUE["aliases"]),
        len(CATALOGUE["providers"]),
    )
    events = AuditEvent.objects.count()
    assert load().is_nothing
    assert AuditEvent.objects.count() == events
    for model in AIModel.objects.all():
        model.full_clean()
    for route in Route.objects.all():
        route.full_clean()


@pytest.mark.django_db
def test_nothing_is_sold_before_somebody_has_a_key_and_then_what_that_key_buys():
    shop = default_storefront()
    stock(shop, sandbox_url="http://127.0.0.1:1/sandbox/provider", now=timezone.now())
    load()
    assert all(offer.is_sandbox for offer in take_picture(timezone.now()).offers.values())
    suppliers.adopt_environment({"openrouter": "sk-or-1234567890abcdef"}, source=trail.SYSTEM)
    picture = take_picture(timezone.now())
    listed = {offer.slug: offer for offer in picture.listed(storefront=shop.pk, plan="standard")}
    assert {"claude-opus-5-5", "claude-3-opus", "gpt-4", "deepseek/deepseek-r1-0528"} <= set(listed)
    assert listed["gpt-4"].served_as == "gpt-6.1-sol"
    assert "text-embedding-3-small" not in listed
    assert not any(slug.startswith("azure/") for slug in listed)
    assert "gpt-4o-realtime" not in listed, "its door is not open yet, and a name must not promise it"


@pytest.mark.django_db
def test_azure_names_go_to_azure_whatever_the_routes_say():
    load()
    suppliers.adopt_environment({"openai": "sk-1234567890abcdef"}, source=trail.SYSTEM)
    openai, model = Provider.objects.get(slug="openai"), AIModel.objects.get(slug="azure/gpt-4o")
    Route.objects.create(model=model, provider=openai, upstream_model="gpt-4o")
    assert "azure/gpt-4o" not in take_picture(timezone.now()).offers
    suppliers.add_provider(
        name="azure",
        kind="azure",
        base_url="https://shop.openai.azure.com/openai/v1",
        key="azure-key-1234567890",
        source=trail.SYSTEM,
    )
    [serving] = take_picture(timezone.now()).offers["azure/gpt-4o"].servings
    assert (serving.kind, serving.provider) == ("azure", "azure")
    assert "gpt-4o" in take_picture(timezone.now()).offers


@pytest.mark.django_db
def test_an_operators_changes_survive_and_what_nobody_touched_follows(monkeypatch):
    load()
    AIModel.objects.filter(slug="gpt-6-luna").update(name="Luna, our favourite", is_active=False)
    newer = json.loads(json.dumps(CATALOGUE))
    luna = next(model for model in newer["models"] if model["slug"] == "gpt-6-luna")
    luna |= {"name": "GPT-6 Luna (newer)", "context_tokens": 2_000_000}
    next(alias for alias in newer["aliases"] if alias["slug"] == "gpt-4")["of"] = "gpt-6-luna"
    monkeypatch.setattr(shipped, "catalogue", lambda: newer)
    assert load().changed == 2
    model = AIModel.objects.get(slug="gpt-6-luna")
    assert (model.name, model.is_active, model.context_tokens) == ("Luna, our favourite", False, 2_000_000)
    assert AIModel.objects.get(slug="gpt-4").alias_of == model
    assert load().is_nothing


@pytest.mark.django_db
def test_a_model_an_operator_sells_already_is_left_alone():
    suppliers.add_provider(name="Mine", kind="openai", key="sk-1234567890abcdef", source=trail.SYSTEM)
    call_command(
        *("model", "add", "gpt-4", "--provider", "mine", "--input", "1", "--output", "2"), stdout=io.StringIO()
    )
    load()
    mine = AIModel.objects.get(slug="gpt-4")
    assert (mine.alias_of, mine.name) == (None, "gpt-4")
    assert CostCardVersion.objects.filter(provider="mine", model="gpt-4").count() == 1
