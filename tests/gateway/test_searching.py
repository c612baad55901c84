"""Searches a provider makes: priced by the piece, refused where they have no price, never at the rate of a token."""

import json

import pytest
from django.utils import timezone

from accounts import trail
from billing import pricebook
from billing.models import Hold
from gateway import alarms, searching
from gateway.dialects import openai_responses
from gateway.dialects.neutral import Reported, Request
from tests.gateway.fake_provider import chat
from tests.gateway.houses import DOLLAR, until_seen
from tests.gateway.test_failover import shop

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.filterwarnings("ignore::ResourceWarning")]
ASK = {"model": "m", "messages": [{"role": "user", "content": "What is new?"}], "max_tokens": 60}
SEARCHING = {**ASK, "web_search_options": {}}
FOUND = {"server_tool_use": {"web_search_requests": 3}}
PLAIN_NANO = (10 * 3 + 5 * 15) * 1_250  # of the counts that the fake provider reports


def price_searches(usd_for_a_thousand: str) -> None:
    rates = [
        {"direction": "input", "price": "3"},
        {"direction": "output", "price": "15"},
        {"direction": "output", "modality": "search", "unit": "search", "price": usd_for_a_thousand, "per": 1000},
    ]
    body = {"provider": "p0", "model": "m", "rates": rates}
    pricebook.publish_card(body=body, effective_from=timezone.now(), note="", source=trail.SYSTEM)
    until_seen(timezone.now())


@pytest.mark.parametrize(
    ("tool", "searches"),
    [
        ("web_search", True),
        ("web_search_preview_2025_03_11", True),
        ("web_search_20250305", True),
        ("web_search_options", True),
        ("search_parameters", True),
        ("googleSearch", True),
        ("google_search_retrieval", True),
        ("x_search", True),
        ("local_shell", False),
        ("cached web_search", False),
        ("bash_20250124", False),
        ("tool_search_tool_regex_20251119", False),
        ("code_execution", False),
    ],
)
def test_the_tools_that_search_are_known_by_their_names(tool, searches):
    request = Request(model="m", messages=(), server_tools=("code_execution", tool))
    assert bool(list(searching.asked_for(request))) is searches
    assert bool(searching.held(request)) is searches


def test_searches_of_responses_are_counted_where_they_are_listed():
    output = [{"type": "web_search_call", "status": "completed"}, {"type": "message"}, {"type": "web_search_call"}]
    response = {"status": "completed", "output": output, "usage": {"input_tokens": 10, "output_tokens": 5}}
    event = json.dumps({"type": "response.completed", "response": response}).encode()
    [read] = [one for one in openai_responses.read_reply(json.dumps(response).encode()) if isinstance(one, Reported)]
    seen = openai_responses.glimpse(event)
    assert read.tally.searches == openai_responses.read_usage(seen.usage).searches == 2


def test_what_coding_agents_always_offer_is_not_refused():
    tools = [{"type": "web_search", "external_web_access": False}, {"type": "function", "name": "f"}]
    request = openai_responses.read_request(json.dumps({"model": "m", "input": "hi", "tools": tools}).encode())
    assert not list(searching.asked_for(request))


def test_a_model_without_a_price_for_searches_refuses_them_by_name_and_asks_nobody():
    with shop(lambda _: chat(**FOUND)) as (house, [fake]):
        for path in ("/v1/chat/completions", "/v1/quote"):
            refused = house.post(path, SEARCHING)
            assert refused.status_code == 400
            assert "web_search_options" in refused.json()["error"]["message"]
        assert house.post("/v1/chat/completions", ASK).status_code == 200
    assert len(fake.heard) == 1
    assert Hold.unscoped.count() == 1


def test_searches_with_a_price_are_held_for_and_charged_one_by_one():
    with shop(lambda _: chat(**FOUND)) as (house, _):
        price_searches("10")
        plain = house.post("/v1/quote", ASK).json()
        quoted = house.post("/v1/quote", SEARCHING).json()
        assert house.post("/v1/chat/completions", SEARCHING).status_code == 200
        [call] = house.settled(1)
    hold = Hold.unscoped.get()
    assert hold.charged_nano == call.price_nano == PLAIN_NANO + 3 * 12_500_000
    assert call.usage_source == "reported"
    assert float(quoted["worst_case_usd"]) - float(plain["worst_case_usd"]) > 5 * 0.0125
    assert hold.held_nano == round(float(quoted["worst_case_usd"]) * DOLLAR)


def test_searches_that_nobody_asked_for_nor_priced_cost_what_the_dearest_known_do_within_the_hold():
    before = alarms.counted.labels("unpriced_usage")._value.get()
    large = {**ASK, "max_tokens": 20_000}
    with shop(lambda _: chat(**FOUND)) as (house, _):
        assert house.post("/v1/chat/completions", ASK).status_code == 200
        assert house.post("/v1/chat/completions", large).status_code == 200
        small, covered = house.settled(2)
    holds = {hold.pk: hold for hold in Hold.unscoped.all()}
    assert small.usage_source == covered.usage_source == "estimated"
    assert holds[small.pk].charged_nano == holds[small.pk].held_nano  # three searches are dearer than so short a hold
    assert covered.price_nano == PLAIN_NANO + 3 * 35_000_000 * 5 // 4
    assert holds[covered.pk].charged_nano == covered.price_nano
    assert (covered.input_tokens, covered.output_tokens) == (10, 5)
    assert alarms.counted.labels("unpriced_usage")._value.get() == before + 2


def test_more_searches_than_any_call_makes_are_not_believed():
    hostile = {"server_tool_use": {"web_search_requests": 10**6}}
    with shop(lambda _: chat(**hostile)) as (house, _):
        price_searches("10")
        assert house.post("/v1/chat/completions", SEARCHING).status_code == 200
        [call] = house.settled(1)
    assert call.usage_source == "estimated"
    hold = Hold.unscoped.get()
    assert hold.charged_nano == hold.held_nano
