"""Streams are written in each dialect's own frame, and failures inside them in its own words."""

import json

import pytest

from gateway.dialects import DIALECTS, gemini, sse
from gateway.dialects.heading import Heading
from gateway.dialects.neutral import (
    Broke,
    CallDelta,
    CallStarted,
    Citation,
    Cited,
    Ended,
    Finished,
    MediaMade,
    RefusalDelta,
    Reported,
    Started,
    Tally,
    TextDelta,
    ThinkingDelta,
    Untold,
)
from gateway.dialects.replies import collect
from gateway.errors import RateLimited, UpstreamMalformed

HEADING = Heading(model="shop", created=1_763_000_000)
TALLY = Tally(input=20, output=9, cache_read=5, reasoning=2)
EVENTS = [
    Started("id-1", "upstream-model"),
    ThinkingDelta("Let me ", 0),
    ThinkingDelta("see.", 0),
    ThinkingDelta("", 0, signature="c2ln"),
    TextDelta("Hello", 1),
    TextDelta(" there", 1),
    ThinkingDelta("", 2, signature="Y2FsbA=="),
    CallStarted("call_1", "weather", 3),
    CallDelta('{"city":', 3),
    CallDelta('"Paris"}', 3),
    CallStarted("call_2", "now", 4),
    Finished("tool_calls"),
    Reported(TALLY),
    Ended(),
]


def written(name, events, **heading) -> list[sse.ServerEvent]:
    writer = DIALECTS[name].EventWriter(Heading(model="shop", created=5, **heading))
    return sse.Decoder().feed(b"".join(writer.write(event) for event in events))


def data(received):
    return [json.loads(event.data) for event in received if event.data != sse.DONE]


def kinds(received):
    return [chunk["type"] for chunk in data(received)]


ALL = sorted(set(DIALECTS) - {"openai_completions"})


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("how", ["streamed", "whole"])
def test_words_thoughts_signatures_and_calls_come_through(name, how):
    dialect = DIALECTS[name]
    if how == "whole":
        events = dialect.read_reply(dialect.write_reply(EVENTS, HEADING))
    else:
        reader = dialect.EventReader()
        events = [event for received in written(name, EVENTS) for event in reader.read(received)] + reader.close()
    reply = collect(events)
    choice = reply.choices[0]
    assert choice.text("thinking") == "Let me see."
    assert choice.text("text") == "Hello there"
    assert [(call.id, call.name, json.loads(call.text or "{}")) for call in choice.of("call")] == [
        ("call_1", "weather", {"city": "Paris"}),
        ("call_2", "now", {}),
    ]
    assert [block.signature for block in choice.of("thinking") if block.signature] == ["c2ln", "Y2FsbA=="]
    kinds_in_order = [block.kind for block in choice.blocks]
    assert kinds_in_order[kinds_in_order.index("call") - 1] == "thinking"
    assert choice.stop == "tool_calls"
    assert (reply.tally.input, reply.tally.output, reply.tally.cache_read) == (20, 9, 5)
    assert isinstance(events[-1], Ended)


def test_chat_frame():
    received = written("openai_chat", EVENTS)
    chunks = data(received)
    assert {chunk["model"] for chunk in chunks} == {"shop"}
    assert {chunk["id"] for chunk in chunks} == {"id-1"}
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]][-1] == "tool_calls"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 29
    assert received[-1].is_done


def test_chat_leaves_usage_out_when_nobody_asked():
    assert not any("usage" in chunk for chunk in data(written("openai_chat", EVENTS, wants_usage=False)))


def test_messages_frame():
    received = written("anthropic_messages", EVENTS)
    said = kinds(received)
    assert said[0] == "message_start"
    assert said[-2:] == ["message_delta", "message_stop"]
    assert said.count("content_block_start") == said.count("content_block_stop") == 5
    assert [event.name for event in received] == said
    depth = 0
    for kind in said:
        depth += (kind == "content_block_start") - (kind == "content_block_stop")
        assert 0 <= depth <= 1
        assert depth == 1 or kind != "content_block_delta"
    delta = data(received)[-2]
    assert delta["delta"]["stop_reason"] == "tool_use"
    assert delta["usage"]["input_tokens"] == 15
    assert delta["usage"]["output_tokens"] == 9


def test_an_empty_answer_is_still_a_whole_frame():
    assert kinds(written("anthropic_messages", [Started("i", "m"), Finished("end"), Ended()])) == [
        "message_start",
        "message_delta",
        "message_stop",
    ]


def test_responses_frame():
    received = written("openai_responses", EVENTS)
    chunks = data(received)
    said = kinds(received)
    assert said[:2] == ["response.created", "response.in_progress"]
    assert said[-1] == "response.completed"
    assert [chunk["sequence_number"] for chunk in chunks] == list(range(len(chunks)))
    assert said.count("response.output_item.added") == said.count("response.output_item.done") == 5
    for chunk in chunks:
        if "item_id" in chunk:
            assert chunk["item_id"] == chunks[-1]["response"]["output"][chunk["output_index"]]["id"]
    assert [chunk["text"] for chunk in chunks if chunk["type"] == "response.output_text.done"] == ["Hello there"]
    arguments = [chunk["arguments"] for chunk in chunks if chunk["type"] == "response.function_call_arguments.done"]
    assert arguments == ['{"city":"Paris"}', ""]
    done = chunks[-1]["response"]
    assert done["status"] == "completed"
    assert [item["type"] for item in done["output"]] == [
        "reasoning",
        "message",
        "reasoning",
        "function_call",
        "function_call",
    ]
    assert done["usage"]["total_tokens"] == 29


def test_gemini_frame():
    chunks = data(written("gemini", EVENTS))
    parts = [part for chunk in chunks for part in chunk["candidates"][0].get("content", {}).get("parts", [])]
    calls = [part for part in parts if "functionCall" in part]
    assert [call["functionCall"]["args"] for call in calls] == [{"city": "Paris"}, {}]
    assert calls[0]["thoughtSignature"] == "Y2FsbA=="
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"
    assert chunks[-1]["usageMetadata"] == {
        "promptTokenCount": 20,
        "candidatesTokenCount": 7,
        "totalTokenCount": 29,
        "thoughtsTokenCount": 2,
        "cachedContentTokenCount": 5,
    }


def test_gemini_without_sse_is_one_array():
    writer, array, out = DIALECTS["gemini"].EventWriter(HEADING), gemini.ArrayOfChunks(), b""
    for event in EVENTS:
        out += array.turn(writer.write(event))
    assert json.loads(out + array.close()) == data(written("gemini", EVENTS))
    assert gemini.ArrayOfChunks().close() == b"[]"


STOPS = {
    "end": ("stop", "end_turn", "STOP", "completed"),
    "length": ("length", "max_tokens", "MAX_TOKENS", "incomplete"),
    "stop_sequence": ("stop", "stop_sequence", "STOP", "completed"),
    "tool_calls": ("tool_calls", "tool_use", "STOP", "completed"),
    "blocked": ("content_filter", "refusal", "SAFETY", "incomplete"),
    "refusal": ("content_filter", "refusal", "SAFETY", "incomplete"),
    "pause": ("stop", "pause_turn", "STOP", "completed"),
    "context_window": ("length", "model_context_window_exceeded", "MAX_TOKENS", "incomplete"),
    "error": ("stop", "end_turn", "OTHER", "completed"),
}


@pytest.mark.parametrize("stop", STOPS)
def test_every_reason_to_stop_has_a_word(stop):
    events = [Started("i", "m"), TextDelta("x"), Finished(stop), Ended()]
    chat, messages, gemini, responses = STOPS[stop]
    whole = {name: json.loads(DIALECTS[name].write_reply(events, HEADING)) for name in DIALECTS}
    assert whole["openai_chat"]["choices"][0]["finish_reason"] == chat
    assert whole["openai_completions"]["choices"][0]["finish_reason"] == chat
    assert whole["anthropic_messages"]["stop_reason"] == messages
    assert whole["gemini"]["candidates"][0]["finishReason"] == gemini
    assert whole["openai_responses"]["status"] == responses


def test_a_refusal_is_told_in_each_way():
    events = [Started("i", "m"), RefusalDelta("I will not."), Finished("end"), Ended()]
    whole = {name: json.loads(DIALECTS[name].write_reply(events, HEADING)) for name in DIALECTS}
    assert whole["openai_chat"]["choices"][0]["message"]["refusal"] == "I will not."
    assert whole["anthropic_messages"]["stop_reason"] == "refusal"
    assert whole["openai_responses"]["output"][0]["content"][0] == {"type": "refusal", "refusal": "I will not."}


@pytest.mark.parametrize("name", ALL)
def test_pages_cited_come_through(name):
    citation = Citation("https://example.org", "Weather", "sunny", 0, 5)
    events = [Started("i", "m"), TextDelta("Sunny."), Cited(citation), Finished("end"), Ended()]
    dialect = DIALECTS[name]
    reader = dialect.EventReader()
    streamed = [event for received in written(name, events) for event in reader.read(received)]
    for back in (streamed, dialect.read_reply(dialect.write_reply(events, HEADING))):
        [cited] = [event.citation for event in back if isinstance(event, Cited)]
        assert (cited.url, cited.title) == ("https://example.org", "Weather")


@pytest.mark.parametrize("name", ["openai_chat", "gemini"])
def test_pictures_come_through_where_there_is_a_place(name):
    events = [Started("i", "m"), MediaMade("image/png", "AAAA"), Finished("end"), Ended()]
    dialect = DIALECTS[name]
    [made] = [
        event for event in dialect.read_reply(dialect.write_reply(events, HEADING)) if isinstance(event, MediaMade)
    ]
    assert (made.media_type, made.data) == ("image/png", "AAAA")


INEXPRESSIBLE = [
    ("anthropic_messages", MediaMade("image/png", "AAAA")),
    ("openai_responses", MediaMade("image/png", "AAAA")),
    ("gemini", ThinkingDelta("", redacted="x")),
    ("anthropic_messages", TextDelta("second answer", choice=1)),
    ("openai_responses", TextDelta("second answer", choice=1)),
    *((name, Untold("server_tool_use")) for name in ALL),
]


@pytest.mark.parametrize(("name", "event"), INEXPRESSIBLE)
def test_what_has_no_words_ends_the_answer_and_is_never_dropped(name, event):
    with pytest.raises(UpstreamMalformed) as failed:
        written(name, [Started("i", "m"), event, Ended()])
    assert "no words for" in failed.value.message


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_a_failure_inside_ends_in_the_clients_dialect_without_the_providers_secrets(name):
    broke = Broke(402, "Your credit balance is too low, org-canary", "billing_error")
    for received in (
        written(name, [Started("i", "m"), broke]),
        sse.Decoder().feed(DIALECTS[name].EventWriter(HEADING).fail(RateLimited("Your key was revoked."))),
    ):
        text = b"".join(event.raw for event in received)
        assert b"canary" not in text
        assert b"balance" not in text
        reader = DIALECTS[name].EventReader()
        told = [event for event in (reader.read(event) for event in received) for event in event]
        assert isinstance(told[-1], Broke)
        assert not any(isinstance(event, Ended) for event in told)


def test_two_calls_at_the_same_time_reach_chat_clients_and_are_refused_where_frames_cannot_hold_them():
    mixed = [
        Started("i", "m"),
        CallStarted("a", "f", 0),
        CallStarted("b", "g", 1),
        CallDelta("{}", 0),
        CallDelta("{}", 1),
        Finished("tool_calls"),
        Ended(),
    ]
    reader = DIALECTS["openai_chat"].EventReader()
    reply = collect(event for received in written("openai_chat", mixed) for event in reader.read(received))
    assert [(call.name, call.text) for call in reply.choices[0].of("call")] == [("f", "{}"), ("g", "{}")]
    for name in ("anthropic_messages", "openai_responses", "gemini"):
        with pytest.raises(UpstreamMalformed):
            written(name, mixed)
