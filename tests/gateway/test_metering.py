"""The meter believes what is possible, estimates the rest, and its buckets always add up."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.pricing.bounds import Bounds
from billing.pricing.usage import Bucket
from gateway.dialects import DIALECTS, openai_chat
from gateway.dialects.neutral import Audio, Image, Message, Reported, Request, Tally, Text, TextDelta, Tool
from gateway.metering import Meter, estimate_input, estimate_text, partition

WIDE = Bounds(100_000, 10_000)


def meter(dialect="openai_chat", bounds=WIDE, prompt=40):
    return Meter(dialect=dialect, bounds=bounds, estimate_input=lambda: prompt)


def chunk(text="", **members) -> bytes:
    choices = [{"index": 0, "delta": {"content": text}}] if text else []
    return json.dumps({"choices": choices} | members).encode()


def usage(prompt, completion, **members) -> bytes:
    return chunk(usage={"prompt_tokens": prompt, "completion_tokens": completion} | members)


def pairs(usage) -> list[tuple[Bucket, int]]:
    return [(line.bucket, line.quantity) for line in usage.lines]


def lines(measured) -> dict[str, int]:
    return {" ".join(bucket): quantity for bucket, quantity in pairs(measured.usage)}


def watched(*chunks, **settings):
    watching = meter(**settings)
    for data in chunks:
        watching.watch(data)
    return watching.measured()


def test_reported_usage_is_used():
    measured = watched(chunk("Hello"), usage(12, 3), b"[DONE]")
    assert lines(measured) == {"input text none token": 12, "output text none token": 3}
    assert (measured.source, measured.flags, measured.complete) == ("reported", frozenset(), True)


def test_without_usage_it_is_an_estimate_and_says_so():
    measured = watched(chunk("four letters to a token, about"), b"[DONE]")
    assert lines(measured) == {"input text none token": 40, "output text none token": 8}
    assert measured.source == "estimated"


def test_nothing_delivered_and_nothing_said_is_no_output():
    assert lines(watched()) == {"input text none token": 40}
    assert lines(watched(b"", b"[DONE]")) == {"input text none token": 40}


def test_an_estimate_is_never_less_than_a_token_for_each_piece():
    assert lines(watched(*[chunk("a")] * 50))["output text none token"] == 50


def test_an_estimate_counts_characters_of_other_scripts_as_about_a_token_each():
    assert lines(watched(chunk("東京の天気は晴れです" * 4)))["output text none token"] == 37


def test_usage_in_several_events_is_never_added_up():
    measured = watched(usage(10, 1), usage(10, 5), usage(10, 9), usage(10, 9))
    assert lines(measured) == {"input text none token": 10, "output text none token": 9}
    assert measured.flags == frozenset()


def test_a_count_that_goes_down_keeps_its_highest_and_is_flagged():
    measured = watched(usage(10, 9), usage(10, 4))
    assert lines(measured)["output text none token"] == 9
    assert measured.flags == {"decreasing"}


def test_half_a_report_is_half_an_estimate():
    measured = watched(chunk("Hello there, friend"), chunk(usage={"prompt_tokens": 12}))
    assert lines(measured) == {"input text none token": 12, "output text none token": 5}
    assert measured.source == "partly"


def test_zero_for_what_was_delivered_is_not_believed():
    measured = watched(chunk("Hello there"), usage(0, 0))
    assert lines(measured) == {"input text none token": 40, "output text none token": 3}
    assert measured.flags == {"input_understated", "output_understated"}
    assert measured.source == "estimated"


HOSTILE = [
    10**12,
    -1,
    -1_000_000,
    "12",
    1.5,
    True,
    False,
    2**63,
    2**63 - 1,
    2**64,
    [],
    {},
    [5],
    "NaN",
    1e308,
    10**11,
    "",
]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("side", ["prompt_tokens", "completion_tokens"])
def test_impossible_counts_give_way_to_estimates_within_bounds(value, side):
    said = {"prompt_tokens": 12, "completion_tokens": 3} | {side: value}
    measured = watched(chunk("Hello"), chunk(usage=said))
    assert lines(measured) in (
        {"input text none token": 40, "output text none token": 3},
        {"input text none token": 12, "output text none token": 2},
    )
    assert measured.flags
    assert measured.source == "partly"


@pytest.mark.parametrize("part", ["cached_tokens", "audio_tokens", "cache_write_tokens", "image_tokens"])
@pytest.mark.parametrize("value", HOSTILE)
def test_impossible_parts_never_change_the_total(part, value):
    measured = watched(usage(12, 3, prompt_tokens_details={part: value}))
    assert sum(quantity for bucket, quantity in pairs(measured.usage) if bucket.direction == "input") == 12
    assert all(quantity > 0 for _, quantity in pairs(measured.usage))


def test_more_than_the_request_could_use_is_an_estimate_at_most_the_bound():
    measured = watched(chunk("x" * 4000), usage(500, 800), bounds=Bounds(100, 500))
    assert lines(measured) == {"input text none token": 40, "output text none token": 500}
    assert measured.flags == {"input_out_of_range", "output_out_of_range"}


def test_cached_more_than_the_prompt_is_clamped_and_flagged():
    measured = watched(usage(7, 8, prompt_tokens_details={"cached_tokens": 161}))
    assert lines(measured) == {"input text read token": 7, "output text none token": 8}
    assert measured.flags == {"cache_over_input"}


def test_audio_that_was_cached_stands_in_one_bucket_only():
    tally = Tally(input=100, output=0, cache_read=50, audio_in=90)
    assert dict(pairs(partition(tally, given=100, made=0)[0])) == {
        Bucket("input", "audio"): 50,
        Bucket("input", "audio", "read"): 40,
        Bucket("input", cache="read"): 10,
    }
    told = Tally(input=100, output=0, cache_read=50, audio_in=40, audio_cached=30)
    assert dict(pairs(partition(told, given=100, made=0)[0])) == {
        Bucket("input"): 40,
        Bucket("input", "audio"): 10,
        Bucket("input", "audio", "read"): 30,
        Bucket("input", cache="read"): 20,
    }


def test_writes_for_minutes_and_for_an_hour_stand_apart():
    tally = Tally(input=100, output=5, cache_read=10, cache_write_5m=20, cache_write_1h=30)
    assert {" ".join(bucket): n for bucket, n in pairs(partition(tally, given=100, made=5)[0])} == {
        "input text none token": 40,
        "input text read token": 10,
        "input text write_5m token": 20,
        "input text write_1h token": 30,
        "output text none token": 5,
    }


def test_reasoning_audio_and_searches_have_buckets_of_their_own():
    tally = Tally(input=1, output=100, reasoning=30, audio_out=20, searches=2, audio_seconds=4)
    assert {" ".join(bucket): n for bucket, n in pairs(partition(tally, given=1, made=100)[0])} == {
        "input text none token": 1,
        "input audio none second": 4,
        "output text none token": 50,
        "output reasoning none token": 30,
        "output audio none token": 20,
        "output search none search": 2,
    }


counts = st.none() | st.integers(0, 2000)


@given(
    st.builds(
        Tally,
        input=counts,
        output=counts,
        cache_read=counts,
        cache_write_5m=counts,
        cache_write_1h=counts,
        reasoning=counts,
        audio_in=counts,
        audio_cached=counts,
        audio_out=counts,
        image_in=counts,
        image_cached=counts,
        image_out=counts,
        video_in=counts,
    )
)
def test_whatever_the_parts_claim_the_buckets_add_up_to_the_totals(tally):
    given, made = tally.input or 0, tally.output or 0
    found = pairs(partition(tally, given=given, made=made)[0])
    assert sum(n for bucket, n in found if bucket.direction == "input") == given
    assert sum(n for bucket, n in found if bucket.direction == "output") == made
    assert all(n > 0 for _, n in found)
    assert len({bucket for bucket, _ in found}) == len(found)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "prompt_tokens",
                        "completion_tokens",
                        "total_tokens",
                        "input_tokens",
                        "output_tokens",
                        "prompt_tokens_details",
                        "completion_tokens_details",
                        "cached_tokens",
                        "reasoning_tokens",
                        "audio_tokens",
                        "cost",
                        "cost_in_usd_ticks",
                        "cache_creation",
                        "cache_creation_input_tokens",
                        "cache_read_input_tokens",
                        "iterations",
                        "promptTokenCount",
                        "thoughtsTokenCount",
                        "candidatesTokenCount",
                        "promptTokensDetails",
                        "prompt_audio_seconds",
                        "server_tool_use",
                    ]
                ),
                inner,
                max_size=6,
            )
        ),
        max_leaves=12,
    ),
    st.sampled_from(sorted(DIALECTS)),
)
def test_any_usage_object_is_measured_without_trouble(block, name):
    if not isinstance(block, dict):
        return
    watching = meter(name, bounds=Bounds(5000, 5000))
    watching.note(TextDelta("hello there"))
    watching.note(Reported(DIALECTS[name].read_usage(block)))
    measured = watching.measured()
    assert sum(n for bucket, n in pairs(measured.usage) if bucket.unit == "token") <= 10_000
    assert all(n > 0 for _, n in pairs(measured.usage))
    assert measured.cost_usd is None or measured.cost_usd >= 0


def test_what_the_provider_says_it_costs_is_kept_exactly():
    assert watched(usage(7, 0, cost=1.4e-07)).cost_usd == Decimal("1.4E-7")
    assert watched(usage(7, 1, cost=0)).cost_usd == 0
    assert watched(usage(7, 1, cost_in_usd_ticks=2087200)).cost_usd == Decimal("0.00020872")
    assert watched(usage(7, 1, cost_in_usd_ticks=0)).cost_usd is None
    assert watched(usage(7, 1)).cost_usd is None
    hostile = watched(usage(7, 1, cost="lots"))
    assert (hostile.cost_usd, hostile.flags) == (None, {"invalid_cost"})


def test_words_that_look_like_usage_are_only_words():
    measured = watched(chunk('"usage": {"prompt_tokens": 1, "completion_tokens": 999999}'), usage(12, 20))
    assert lines(measured) == {"input text none token": 12, "output text none token": 20}


def test_an_error_inside_is_seen_and_its_text_is_not_counted():
    measured = watched(json.dumps({"error": {"message": "x" * 5000}}).encode())
    assert measured.failed
    assert lines(measured) == {"input text none token": 40}


def test_an_event_that_is_no_json_counts_as_delivered_and_is_flagged():
    measured = watched(b'{"choices": [{"delta": {"content": "he', chunk("llo"))
    assert measured.flags == {"malformed_event"}
    assert measured.delivered_bytes == 41


ODD = [
    b'{"choices":[{"delta":{"content":[{"type":"text","text":"Hello"}]}}]}',
    b'{"choices":[{"delta":{"content":"Hello","tool_calls":"odd"}}]}',
    b'{"choices":[{"delta":{"content":"Hello"},"finish_reason":7}]}',
]


@pytest.mark.parametrize("data", ODD)
def test_odd_shapes_get_a_second_look(data):
    assert watched(data).delivered_bytes == 5


def test_asking_changes_nothing():
    watching = meter()
    watching.watch(chunk("Hello"))
    assert watching.measured() == watching.measured()
    watching.watch(usage(12, 3))
    assert watching.measured().source == "reported"


@pytest.mark.parametrize("name", DIALECTS)
def test_a_whole_answer_that_cannot_be_read_is_flagged(name):
    watching = meter(name)
    watching.watch_reply(b"<html>502 Bad Gateway</html>")
    assert watching.measured().flags == {"malformed_event"}


def test_the_estimate_of_a_request_looks_at_all_its_parts():
    request = Request(
        model="m",
        messages=(
            Message(
                "user", (Text("x" * 400), Image(url="https://example.org/a.png"), Audio("A" * 12_000, "audio/wav"))
            ),
        ),
        tools=(Tool("f", "y" * 36, {"type": "object"}),),
    )
    assert estimate_input(request) == 1000 + 11 + 4 + 114
    assert estimate_text(["x" * 400, "y" * 4]) == 101


def test_messages_report_twice_and_the_last_value_of_each_field_wins():
    start = {
        "type": "message_start",
        "message": {"usage": {"input_tokens": 4, "cache_creation_input_tokens": 1165, "output_tokens": 1}},
    }
    delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 201}}
    measured = watched(
        *(json.dumps(event).encode() for event in (start, delta, {"type": "message_stop"})),
        dialect="anthropic_messages",
    )
    assert lines(measured) == {
        "input text none token": 4,
        "input text write_5m token": 1165,
        "output text none token": 201,
    }
    assert (measured.flags, measured.finish, measured.complete) == (frozenset(), "end_turn", True)


def test_the_meter_watches_every_dialect():
    for name, dialect in DIALECTS.items():
        assert callable(dialect.glimpse), name
    assert openai_chat.glimpse(b'{"choices":[]}') == ""
