"""Every recorded conversation is read: requests, answers cut anywhere, errors, and usage to the token."""

import json
from decimal import Decimal

import pytest
from msgspec.structs import replace

from billing.pricing.bounds import Bounds
from gateway.dialects import DIALECTS, sse
from gateway.dialects.anthropic_messages.usage import read_usage
from gateway.dialects.heading import Heading
from gateway.dialects.neutral import Broke, Ended, Reported, Tally, Untold
from gateway.dialects.oneshot import read_tally
from gateway.dialects.replies import collect, later
from gateway.errors import Inexpressible, UpstreamMalformed
from gateway.metering import Meter
from tests.gateway.recordings import exchanges

SPOKEN = [exchange for exchange in exchanges() if exchange.dialect in DIALECTS]
ANSWERS = [exchange for exchange in SPOKEN if exchange.status == 200 and "ount_tokens" not in exchange.name]
STREAMS = [exchange for exchange in ANSWERS if exchange.is_stream]
REFUSALS = [exchange for exchange in SPOKEN if exchange.status >= 400]
REQUESTS = [exchange for exchange in SPOKEN if exchange.request is not None and "cachedContents" not in exchange.url]
HEADING = Heading(model="shop-model", created=1_763_000_000)

# A gateway's own cost estimate under a name of its own is nobody's bill.
NOT_OURS = {("gateway_example__pydantic_gateway_openai_cost[0]", "reported_cost_usd")}


def named(items):
    return pytest.mark.parametrize("exchange", items, ids=[item.name for item in items])


def events_of(exchange, *, slices=None):
    dialect = DIALECTS[exchange.dialect]
    if not exchange.is_stream:
        return dialect.read_reply(exchange.body)
    reader, decoder = dialect.EventReader(), sse.Decoder()
    events = []
    for piece in slices or [exchange.body]:
        for received in decoder.feed(piece):
            events += reader.read(received)
    return events + reader.close()


def tally_of(events) -> Tally | None:
    tally = None
    for event in events:
        if isinstance(event, Reported):
            tally = event.tally if tally is None else later(tally, event.tally)
    return tally


def as_expected(tally: Tally) -> dict:
    return {
        "input": tally.input or 0,
        "output": tally.output or 0,
        "cached": tally.cache_read or 0,
        "cache_write": (tally.cache_write_5m or 0) + (tally.cache_write_1h or 0),
        "cache_write_1h": tally.cache_write_1h or 0,
        "reasoning": tally.reasoning or 0,
        "audio_in": tally.audio_in or 0,
        "audio_seconds": tally.audio_seconds or 0,
        "image_in": tally.image_in or 0,
        "web_searches": tally.searches or 0,
        "reported_cost_usd": tally.cost_usd,
        "iterations": [{"model": model, "input": other.input, "output": other.output} for model, other in tally.others],
    }


def expectation(exchange) -> dict:
    wanted = {name: value for name, value in exchange.expected.items() if (exchange.name, name) not in NOT_OURS}
    wanted.pop("note", None)
    if "reported_cost_usd" in wanted:
        wanted["reported_cost_usd"] = Decimal(str(wanted["reported_cost_usd"]))
    if "iterations" in wanted:
        others = [part for part in wanted["iterations"] if part["model"]]
        wanted["iterations"] = [{name: part[name] for name in ("model", "input", "output")} for part in others]
    return wanted


def test_nothing_recorded_is_left_out():
    assert len(SPOKEN) >= 120
    assert len(STREAMS) >= 35
    assert len(REFUSALS) >= 20
    assert {exchange.dialect for exchange in ANSWERS} == set(DIALECTS)


@named(ANSWERS)
def test_usage_is_exactly_what_was_written_down(exchange):
    tally = tally_of(events_of(exchange))
    if exchange.expected is None:
        assert tally is None or "cometapi" in exchange.name or "cachedContents" in exchange.url
        return
    if "cachedContents" in exchange.url:
        assert tally.output is None
        return
    got, wanted = as_expected(tally), expectation(exchange)
    assert {name: got[name] for name in wanted} == wanted


@named(ANSWERS)
def test_the_meter_counts_the_same_from_bytes_as_from_events(exchange):
    def meter():
        return Meter(dialect=exchange.dialect, bounds=Bounds(10**6, 10**6), estimate_input=lambda: 7)

    raw, neutral = meter(), meter()
    if exchange.is_stream:
        for received in sse.Decoder().feed(exchange.body):
            raw.watch(received.data)
    else:
        raw.watch_reply(exchange.body)
    for event in events_of(exchange):
        neutral.note(event)
    one, other = raw.measured(), neutral.measured()
    assert one.usage == other.usage
    assert (one.source, one.flags, one.cost_usd, one.others) == (
        other.source,
        other.flags,
        other.cost_usd,
        other.others,
    )
    assert (one.delivered_bytes, one.complete, one.failed) == (other.delivered_bytes, other.complete, other.failed)
    if exchange.expected and exchange.expected.get("input"):
        assert one.source == "reported"
        assert one.usage.input_tokens == exchange.expected["input"]
        assert one.usage.tokens == exchange.expected["input"] + exchange.expected["output"]


@named(STREAMS)
def test_streams_cut_at_every_byte_say_the_same(exchange):
    whole = events_of(exchange)
    assert events_of(exchange, slices=[exchange.body[i : i + 1] for i in range(len(exchange.body))]) == whole
    for cut in range(0, len(exchange.body), max(1, len(exchange.body) // 60)):
        assert events_of(exchange, slices=[exchange.body[:cut], exchange.body[cut:]]) == whole


@named(STREAMS)
def test_a_stream_that_breaks_off_never_looks_finished(exchange):
    body = exchange.body
    last = body.rstrip().rfind(b"\n\n")
    for cut in range(0, last, max(1, last // 60)):
        meter = Meter(dialect=exchange.dialect, bounds=Bounds(10**6, 10**6), estimate_input=lambda: 7)
        decoder = sse.Decoder()
        for received in decoder.feed(body[:cut]):
            meter.watch(received.data)
        measured = meter.measured()
        if not exchange.dialect.startswith("openai") or b"[DONE]" in body:
            assert not measured.complete or b"finishReason" in body[:cut]
        if measured.delivered_bytes:
            assert measured.usage.tokens > measured.usage.input_tokens > 0


@named(ANSWERS)
def test_each_answer_ends_in_its_own_way(exchange):
    events = events_of(exchange)
    failed = any(isinstance(event, Broke) for event in events)
    ended = any(isinstance(event, Ended) for event in events)
    if "cachedContents" in exchange.url:
        return
    assert failed == ("error" in exchange.name.split("__")[1] or exchange.name.endswith("tool_use_failed[0]"))
    assert ended or exchange.name.endswith("tool_use_failed[0]")


@named(REFUSALS)
def test_refusals_are_understood(exchange):
    answer = DIALECTS[exchange.dialect].read_error(exchange.status, exchange.headers, exchange.body)
    assert answer.status == exchange.status
    assert answer.message
    assert answer.meaning == MEANINGS[exchange.name.split("[")[0]]


MEANINGS = {
    "anthropic__error_400_effort": "invalid",
    "anthropic__error_400_too_long": "too_long",
    "anthropic__error_401": "credential",
    "azure__chat_reasoning_and_404_deployment": "not_found",
    "azure__error_401": "credential",
    "azure__error_429": "rate",
    "cohere__error_400_too_many_tokens": "too_long",
    "cohere__error_401": "credential",
    "deepseek__error_400_context": "too_long",
    "deepseek__error_401": "credential",
    "gemini__error_400_bad_key": "credential",
    "gemini__error_429_quota": "rate",
    "groq__chat_error_404": "not_found",
    "mistral__error_401": "credential",
    "openai__chat_error_400_unsupported_role": "invalid",
    "openai__chat_vision_and_400_image_with_ratelimit_headers": "invalid",
    "openai__responses_error_400_context_length": "too_long",
    "openai__responses_error_400_model": "not_found",
    "openrouter__error_401": "credential",
    "openrouter__error_429": "rate",
    "synthetic__cometapi_chat": "not_found",
    "xai__error_400_bad_key": "credential",
}


def read_request(exchange, body):
    dialect = DIALECTS[exchange.dialect]
    if "ount_tokens" in exchange.name:
        return dialect.read_count_request(body, **({"model": "m"} if exchange.dialect == "gemini" else {}))
    return dialect.read_request(body, model="m") if exchange.dialect == "gemini" else dialect.read_request(body)


@named(REQUESTS)
def test_requests_are_read_and_written_back_equal_in_meaning(exchange):
    request = read_request(exchange, json.dumps(exchange.request).encode())
    assert request.model
    try:
        back = DIALECTS[exchange.dialect].write_request(request)
    except Inexpressible as refused:
        assert refused.param in (*request.foreign, "cache_control")
        return
    # whether the stream reports usage is ours to say, and Anthropic wants a limit even where none was given
    free = {"wants_usage": True, "stream": False, "max_output_tokens": request.max_output_tokens}
    assert replace(read_request(exchange, back), **free) == replace(request, **free)


@named(ANSWERS)
@pytest.mark.parametrize("client", sorted(DIALECTS))
def test_answers_reach_every_client_with_the_same_words_and_counts(exchange, client):
    events = events_of(exchange)
    if "cachedContents" in exchange.url or any(isinstance(event, Broke) for event in events):
        return
    dialect = DIALECTS[client]
    try:
        whole = dialect.read_reply(dialect.write_reply(events, HEADING))
        writer, reader, streamed = dialect.EventWriter(HEADING), dialect.EventReader(), []
        for received in sse.Decoder().feed(b"".join(writer.write(event) for event in events)):
            streamed += reader.read(received)
        streamed += reader.close()
    except UpstreamMalformed as refused:
        assert "no words for" in refused.message
        assert any(isinstance(event, Untold) for event in events) or client == "openai_completions"
        return
    wanted = meaning(collect(events), client)
    assert meaning(collect(whole), client) == wanted
    assert meaning(collect(streamed), client) == wanted


def meaning(reply, client):
    choices = []
    for _, choice in sorted(reply.choices.items()):
        calls = [(block.name, json.loads(block.text or "{}")) for block in choice.of("call")]
        stop = {"stop_sequence": "end", "context_window": "length"}.get(choice.stop, choice.stop)
        if calls and stop == "end":
            stop = "tool_calls"
        refused = choice.text("refusal") or stop in {"refusal", "blocked"}
        told = {"text": choice.text("text") + choice.text("refusal"), "calls": calls}
        if client != "openai_completions":
            told["thinking"] = choice.text("thinking")
        choices.append(told | {"stop": "refusal" if refused else stop})
    tally = reply.tally
    counts = tally and (tally.input or 0, tally.output or 0, min(tally.cache_read or 0, tally.input or 0))
    return choices, counts if counts != (0, 0, 0) else None


@named(exchanges("embeddings"))
def test_embeddings_report_their_usage(exchange):
    tally = read_tally(exchange.body)
    wanted = exchange.expected.get("input", exchange.expected.get("billed_input"))
    assert tally.input == wanted
    assert tally.output is None


def test_a_model_inside_the_bill_stands_apart():
    tally = read_usage(
        {
            "input_tokens": 10,
            "output_tokens": 5,
            "iterations": [
                {"type": "message", "input_tokens": 10, "output_tokens": 5},
                {
                    "type": "advisor_message",
                    "model": "other",
                    "input_tokens": 7,
                    "cache_read_input_tokens": 2,
                    "output_tokens": 1,
                },
            ],
        }
    )
    assert (tally.input, tally.output) == (10, 5)
    assert [(name, other.input, other.output) for name, other in tally.others] == [("other", 9, 1)]
