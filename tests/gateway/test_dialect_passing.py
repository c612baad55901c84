"""Between two sides of one dialect bytes stay as they are, but for what is ours to say."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import DIALECTS, passing, sse
from gateway.errors import InvalidRequest, MalformedJSON, UpstreamBusy, UpstreamFailed, UpstreamMalformed
from tests.gateway.recordings import exchanges

STRANGE = (
    b'{ "model" : "shop" ,"messages":[ {"role":"user","content":"\\u0041 \xc3\xa9"} ],'
    b'"x":1.50e3,"big":[ ],"stream":true}'
)


def passed(body: bytes, name="openai_chat", **settings) -> bytes:
    request = DIALECTS[name].read_request(body, **({"model": "m", "stream": True} if name == "gemini" else {}))
    return passing.pass_request(body, dialect=name, request=request, model="upstream", **settings)


def test_every_other_value_keeps_its_bytes():
    out = passed(STRANGE)
    assert b'[ {"role":"user","content":"\\u0041 \xc3\xa9"} ]' in out
    assert b"1.50e3" in out
    assert json.loads(out) == json.loads(STRANGE) | {"model": "upstream", "stream_options": {"include_usage": True}}


@pytest.mark.parametrize(
    "said", ["missing", None, {}, {"include_usage": False}, {"include_usage": None}, {"include_usage": True}]
)
def test_a_stream_always_reports_its_usage(said):
    members = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True}
    if said != "missing":
        members["stream_options"] = said
    assert json.loads(passed(json.dumps(members).encode()))["stream_options"] == {"include_usage": True}


def test_a_mistyped_usage_switch_is_refused_before_it_gets_here():
    with pytest.raises(InvalidRequest):
        passed(
            b'{"model":"m","messages":[{"role":"user","content":"x"}],"stream":true,"stream_options":{"include_usage":"no"}}'
        )


def test_other_options_of_the_stream_stay():
    source = BODIES["openai_chat"] | {"model": "m", "stream": True, "stream_options": {"include_obfuscation": False}}
    body = json.dumps(source).encode()
    assert json.loads(passed(body))["stream_options"] == {"include_obfuscation": False, "include_usage": True}


LIMITS = [
    ("openai_chat", {"max_tokens": 900}, {"max_tokens": 50}),
    ("openai_chat", {"max_completion_tokens": 900}, {"max_completion_tokens": 50}),
    ("openai_chat", {}, {"max_completion_tokens": 50}),
    ("openai_chat", {"max_tokens": None}, {"max_completion_tokens": 50}),
    ("anthropic_messages", {"max_tokens": 900}, {"max_tokens": 50}),
    ("openai_responses", {}, {"max_output_tokens": 50}),
    ("gemini", {}, {"generationConfig": {"maxOutputTokens": 50}}),
    ("gemini", {"generationConfig": {"topP": 0.5}}, {"generationConfig": {"topP": 0.5, "maxOutputTokens": 50}}),
    ("gemini", {"generation_config": {"max_output_tokens": 9}}, {"generation_config": {"maxOutputTokens": 50}}),
]
BODIES = {
    "openai_chat": {"messages": [{"role": "user", "content": "x"}]},
    "anthropic_messages": {"messages": [{"role": "user", "content": "x"}], "max_tokens": 900},
    "openai_responses": {"input": "x"},
    "gemini": {"contents": [{"parts": [{"text": "x"}]}]},
}


@pytest.mark.parametrize(("name", "members", "wanted"), LIMITS)
def test_the_granted_limit_goes_where_the_client_spoke_of_it(name, members, wanted):
    out = json.loads(passed(json.dumps({"model": "m"} | BODIES[name] | members).encode(), name, limit=50))
    assert {member: out[member] for member in wanted} == wanted


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.recursive(st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(), st.lists, max_leaves=5),
        max_size=6,
    )
)
def test_rewriting_changes_one_member_and_no_other(members):
    body = json.dumps(members, ensure_ascii=False).encode("utf-8", "surrogatepass")
    try:
        out = json.loads(passing.rewritten(body, {"model": "new"}))
    except MalformedJSON:
        assert any("\ud800" <= letter <= "\udfff" for letter in str(members))
        return
    assert out == members | {"model": "new"}
    assert "model" not in json.loads(passing.rewritten(body, {"model": None}))


REPLIES = [
    exchange
    for exchange in exchanges("openai_chat", "openai_responses", "anthropic_messages", "gemini", "openai_completions")
    if exchange.status == 200 and "ount" not in exchange.name and "cachedContents" not in exchange.url
]
WHOLE = [exchange for exchange in REPLIES if not exchange.is_stream]
STREAMS = [
    exchange
    for exchange in REPLIES
    if exchange.is_stream and "error" not in exchange.name and "tool_use_failed[0]" not in exchange.name
]
COSTS = ("cost", "cost_details", "cost_in_usd_ticks", "is_byok")


def without_costs(value):
    if isinstance(value, dict):
        return {
            name: {k: v for k, v in inner.items() if k not in COSTS}
            if name == "usage" and inner
            else without_costs(inner)
            for name, inner in value.items()
        }
    return [without_costs(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("exchange", WHOLE, ids=[exchange.name for exchange in WHOLE])
def test_a_whole_answer_bears_the_public_name_and_no_cost(exchange):
    out = passing.pass_reply(exchange.body, model="shop/model", members={"gateway_usage": {"tokens_charged": 5}})
    assert not any(f'"{name}"'.encode() in out for name in COSTS)
    wanted = without_costs(json.loads(exchange.body)) | {"gateway_usage": {"tokens_charged": 5}}
    for name in ("model", "modelVersion"):
        if name in wanted:
            wanted[name] = "shop/model"
    assert json.loads(out) == wanted


@pytest.mark.parametrize("exchange", STREAMS, ids=[exchange.name for exchange in STREAMS])
def test_a_stream_bears_the_public_name_and_no_cost_and_keeps_all_else(exchange):
    passer = passing.Passer(dialect=exchange.dialect, model="shop/model")
    received = sse.Decoder().feed(exchange.body)
    out = [passer.pass_on(event) for event in received]
    assert not any(f'"{name}"'.encode() in b"".join(out) for name in COSTS)
    for event, given_out in zip(received, out, strict=True):
        [again] = sse.Decoder().feed(given_out)
        if not event.data or event.data == sse.DONE:
            assert given_out == event.raw
            continue
        before, after = without_costs(json.loads(event.data)), json.loads(again.data)
        named = [
            source for source in (before, before.get("message"), before.get("response")) if isinstance(source, dict)
        ]
        for source in named:
            for name in ("model", "modelVersion"):
                if source.get(name):
                    source[name] = "shop/model"
        assert after == before
        if b'"usage"' not in event.data:
            assert len(given_out) - len(event.raw) in {0, len("shop/model") - _old_length(event.data)}


def _old_length(data: bytes) -> int:
    found = passing.MODEL.search(data) or passing.MODEL_VERSION.search(data)
    return len(found[1]) if found else 0


def test_the_usage_chunk_is_dropped_when_nobody_asked_for_it():
    [exchange] = [e for e in exchanges("openai_chat") if e.name == "openai__chat_stream_include_usage_tools[0]"]

    def given_out(**settings):
        passer = passing.Passer(dialect="openai_chat", model="m", **settings)
        return b"".join(passer.pass_on(event) for event in sse.Decoder().feed(exchange.body))

    assert given_out(wants_usage=True).count(b'"choices":[]') == 1
    assert given_out(wants_usage=False).count(b'"choices":[]') == 0
    assert given_out(wants_usage=False).endswith(b"data: [DONE]\n\n")


def test_azures_first_chunk_is_no_usage_chunk():
    [exchange] = [e for e in exchanges("openai_chat") if e.name == "azure__chat_stream_content_filter[0]"]
    passer = passing.Passer(dialect="openai_chat", model="m", wants_usage=False)
    first = sse.Decoder().feed(exchange.body)[0]
    assert b"prompt_filter_results" in passer.pass_on(first)


FAILURES = [
    (
        b'data: {"error":{"message":"Your credit balance is too low. Go to Plans & Billing","code":402}}\n\n',
        UpstreamBusy,
    ),
    (
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n',
        UpstreamBusy,
    ),
    (b'data: {"error": "boom at https://x/?key=sk-canary"}\n\n', UpstreamFailed),
    (
        b'data: {"type":"response.failed","response":{"error":{"code":"server_error","message":"org-canary"}}}\n\n',
        UpstreamFailed,
    ),
]


@pytest.mark.parametrize(("raw", "kind"), FAILURES)
def test_a_failure_inside_is_raised_in_our_own_words(raw, kind):
    passer = passing.Passer(dialect="openai_chat", model="m")
    [event] = sse.Decoder().feed(raw)
    with pytest.raises(kind) as failed:
        passer.pass_on(event)
    for secret in ("balance", "canary", "Billing", "https"):
        assert secret not in failed.value.message


def test_words_about_errors_pass():
    delta = {"content": '{"error":{}} and "model":"up"'}
    raw = sse.event(json.dumps({"model": "up", "choices": [{"delta": delta}], "error": None}).encode())
    [event] = sse.Decoder().feed(raw)
    assert passing.Passer(dialect="openai_chat", model="up").pass_on(event) == raw


def test_an_answer_that_is_no_object_is_the_providers_fault():
    with pytest.raises(UpstreamMalformed):
        passing.pass_reply(b"<html>", model="m")


def test_a_tools_own_word_model_is_not_the_models_name():
    raw = (
        b'data: {"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"model":"T"}}}]}}],'
        b'"modelVersion":"gemini-x"}\n\n'
    )
    [event] = sse.Decoder().feed(raw)
    out = passing.Passer(dialect="gemini", model="shop").pass_on(event)
    assert out == raw.replace(b'"gemini-x"', b'"shop"')
    start = (
        b'event: content_block_start\ndata: {"type":"content_block_start","content_block":{"input":{"model":"T"}}}\n\n'
    )
    [event] = sse.Decoder().feed(start)
    assert passing.Passer(dialect="anthropic_messages", model="shop").pass_on(event) == start


def test_a_provider_that_changes_its_mind_about_the_name_never_shows_one():
    passer = passing.Passer(dialect="openai_chat", model="shop")
    for name in (b"up-1", b"up-2", b"up-1"):
        [event] = sse.Decoder().feed(b'data: {"model":"%b","choices":[]}\n\n' % name)
        assert b"up-" not in passer.pass_on(event)
