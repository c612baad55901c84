"""What may not go to a provider: the pure rules as a table, and the whole way in each dialect of the client."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import policy, wares
from gateway.dialects.neutral import Message, Request, Text
from gateway.errors import ContentBlocked, NotAllowed, PromptTooLong
from gateway.models import AIModel, Attempt, Provider, Route
from gateway.policy import OPEN, BadRule, checked, found, plain, refusal, rules_of, texts_of
from tests.gateway.fake_provider import Heard, Told, chat, fake_provider
from tests.gateway.test_failover import ASK, ask, chat_elsewhere, shop

WORDS = {"refused_patterns": ["launch codes", "make*bomb"]}


def judged(rules: policy.Rules, text: str = "hello", country: str = "") -> Any:
    return type(refusal(rules, country=country, texts=[plain(text)])).__name__


@pytest.mark.parametrize(
    "text",
    [
        "the launch codes",
        "LAUNCH  CODES!",
        "launch\ncodes",
        "ｌａｕｎｃｈ codes",  # noqa: RUF001 - the wide letters are the point
        "lau\u200bnch codes",
        "how to make a little bomb",
        "make" + " x" * 5000 + " bomb",
    ],
)
def test_refused_words_are_found_however_they_are_written(text):
    assert judged(rules_of(WORDS), text) == "ContentBlocked"


@pytest.mark.parametrize("text", ["", "launchcodes", "bomb make", "launch the codes", "mak e bomb"])
def test_other_words_pass(text):
    assert judged(rules_of(WORDS), text) == "NoneType"


@pytest.mark.parametrize(
    ("rules", "country", "verdict"),
    [
        ({"allowed_countries": ["DE", "FR"]}, "DE", "NoneType"),
        ({"allowed_countries": ["DE", "FR"]}, "US", "NotAllowed"),
        ({"allowed_countries": ["DE", "FR"]}, "", "NotAllowed"),
        ({"refused_countries": ["US"]}, "US", "NotAllowed"),
        ({"refused_countries": ["US"]}, "DE", "NoneType"),
        ({"refused_countries": ["US"]}, "", "NoneType"),
        ({"may_be_resold": False}, "DE", "NotAllowed"),
        ({"allowed_countries": ["de"]}, "DE", "NotAllowed"),
        ({"allowed_countries": "DE"}, "DE", "NotAllowed"),
    ],
)
def test_countries_and_resale(rules, country, verdict):
    assert judged(rules_of({}, **rules), country=country) == verdict


def test_size_is_counted_in_bytes():
    rules = rules_of({"longest_prompt_bytes": 10})
    assert judged(rules, "a" * 10) == "NoneType"
    assert judged(rules, "ä" * 6) == "PromptTooLong"


def test_the_stricter_of_route_and_account_holds():
    rules = rules_of({"longest_prompt_bytes": 10, "refused_patterns": ["apples"]}, {"longest_prompt_bytes": 20})
    assert rules.longest_prompt_bytes == 10
    assert judged(rules_of({}, {"refused_patterns": ["apples"]}), "apples") == "ContentBlocked"


def test_nothing_configured_is_the_one_open_policy():
    assert rules_of({}, {}) is OPEN
    assert judged(OPEN, "launch codes") == "NoneType"


@pytest.mark.parametrize(
    "bad",
    [
        [],
        {"nonsense": 1},
        {"longest_prompt_bytes": 0},
        {"longest_prompt_bytes": True},
        {"longest_prompt_bytes": "10"},
        {"refused_patterns": "launch"},
        {"refused_patterns": ["*"]},
        {"refused_patterns": ["a*b"]},
        {"refused_patterns": ["x" * 201]},
        {"refused_patterns": ["abc"] * 101},
        {"refused_patterns": [1]},
        {"moderation_model": ""},
    ],
)
def test_a_policy_nobody_could_follow_is_refused_on_save_and_refuses_calls(bad):
    with pytest.raises(BadRule):
        checked(bad)
    assert judged(rules_of(bad)) == "NotAllowed"


def test_words_are_found_across_the_cuts_between_parts():
    request = Request(model="m", messages=(Message("user", (Text("the launch co"), Text("des"))),))
    assert isinstance(refusal(rules_of(WORDS), country="", texts=texts_of(request)), ContentBlocked)


def test_looking_for_words_takes_time_in_proportion():
    text, pattern = "a" * 2_000_000, plain("a*" * 90 + "b")
    started = time.perf_counter()
    assert not found(pattern, text)
    assert time.perf_counter() - started < 1


@given(st.lists(st.text("ab ", min_size=1, max_size=4), min_size=1, max_size=4), st.text("ab ", max_size=30))
def test_finding_agrees_with_the_definition(pieces, text):
    import re

    pattern, looked_in = plain("*".join(pieces)), plain(text)
    expected = re.search(".*".join(map(re.escape, pattern.split("*"))), looked_in, re.DOTALL) is not None
    assert found(pattern, looked_in) == expected


def test_refusals_say_what_and_carry_their_status():
    assert (NotAllowed.status, ContentBlocked.status, PromptTooLong.status) == (403, 403, 400)


# --- The whole way ----------------------------------------------------------------------------------------------------

whole_way = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
DOORS = {
    "/v1/chat/completions": ASK,
    "/v1/messages": ASK,
    "/v1/responses": {"model": "m", "input": "Hello", "max_output_tokens": 20},
    "/v1beta/models/m:generateContent": {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
}


def wait() -> None:
    time.sleep(1.3)  # the catalogue looks once a second


class TestTheWholeWay:
    pytestmark = whole_way

    def test_a_refusal_comes_before_the_money_in_the_clients_own_words(self):
        with shop(chat_elsewhere) as (house, [fake]):
            Route.objects.update(policy={"refused_patterns": ["hello"]})
            wait()
            for path, body in DOORS.items():
                answer = house.post(path, body)
                assert answer.status_code == 403, path
                assert "policy of this model" in answer.text, path
            Route.objects.update(policy={"longest_prompt_bytes": 3})
            wait()
            assert ask(house).status_code == 400
            assert not fake.heard
        assert not Attempt.unscoped.exists()

    def test_a_route_that_refuses_is_left_out_while_another_is_open(self):
        with shop(lambda heard: chat(), chat_elsewhere) as (house, [first, second]):
            Provider.objects.filter(slug="p0").update(resale_allowed=False)
            wait()
            assert ask(house).json()["choices"][0]["message"]["content"] == "from elsewhere"
            Provider.objects.filter(slug="p1").update(allowed_countries=["DE"])
            wait()
            answer = ask(house)
            assert answer.status_code == 403
            assert "resold" in answer.json()["error"]["message"]
            assert (len(first.heard), len(second.heard)) == (0, 1)

    def test_a_moderation_model_is_asked_first_and_no_answer_is_a_no(self):
        verdict: dict[str, Any] = {"flagged": False}

        def moderates(heard: Heard) -> Told:
            if verdict["flagged"] is None:
                return Told(500)
            return Told(200, json.dumps({"results": [verdict]}).encode())

        with shop(chat_elsewhere) as (house, [fake]), fake_provider(moderates) as guard:
            moderation(guard.url)
            Route.objects.filter(model__slug="m").update(policy={"moderation_model": "mod"})
            wait()
            assert ask(house).status_code == 200
            assert guard.heard[0].json()["input"] == "hello"
            for flagged, status in ((True, 403), (None, 503), ("no", 503)):
                verdict["flagged"] = flagged
                assert ask(house).status_code == status
            assert len(fake.heard) == 1
            Route.objects.filter(model__slug="m").update(policy={"moderation_model": "nobody"})
            wait()
            assert ask(house).status_code == 503
            assert len(fake.heard) == 1


def moderation(url: str) -> None:
    """A free model of a provider of its own, on the price list."""
    from django.utils import timezone

    from accounts import trail
    from gateway import suppliers

    provider = suppliers.add_provider(
        name="guard", kind="openai", base_url=url, key="guard-key-12345", from_command_line=True, source=trail.SYSTEM
    ).row
    wares.add_model(
        slug="mod",
        provider=provider,
        upstream="mod",
        prices=[],
        is_free=True,
        purpose="moderation",
        source=trail.SYSTEM,
        now=timezone.now(),
    )
    assert AIModel.objects.get(slug="mod").purpose == "moderation"
