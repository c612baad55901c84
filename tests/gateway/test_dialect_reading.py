"""What strangers send: strict JSON, steering refused, and every mistyped field named in the client's own dialect."""

import json

import pytest

from gateway.dialects import DIALECTS, anthropic_messages, gemini, openai_chat, openai_completions, openai_responses
from gateway.dialects.neutral import Audio, File, Format, Image, Reasoning, Text, Thinking, Tool, ToolCall, ToolChoice
from gateway.errors import GatewayError, Inexpressible, InvalidRequest, MalformedJSON, RateLimited, UnknownField

GOOD = {
    "openai_chat": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    "openai_completions": {"model": "m", "prompt": "Hi"},
    "openai_responses": {"model": "m", "input": "Hi"},
    "anthropic_messages": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]},
    "gemini": {"model": "m", "contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
}


def body(name, **members) -> bytes:
    return json.dumps(GOOD[name] | members).encode()


def chat(**members):
    return openai_chat.read_request(body("openai_chat", **members))


MALFORMED = {
    "nothing": b"",
    "a list": b"[]",
    "a word": b'"hello"',
    "cut off": b'{"model": "m", "mess',
    "two bodies": b'{"model":"m"}{"model":"n"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "not UTF-8": b'{"model":"\xff"}',
    "overlong UTF-8": b'{"model":"\xc0\xaf"}',
    "UTF-16": '{"model":"m"}'.encode("utf-16"),
    "a surrogate in UTF-8": b'{"model":"\xed\xa0\x80"}',
    "a lone surrogate": b'{"model":"\\ud800"}',
    "a late surrogate": b'{"model":"\\udc00"}',
    "a NUL": b'{"model":"a\x00b"}',
    "NaN": b'{"temperature":NaN}',
    "infinity": b'{"temperature":Infinity}',
    "an endless fraction": b'{"temperature":1e999}',
    "a giant whole number": b'{"seed":123456789012345678901234567890}',
    "five thousand digits": b'{"seed":' + b"9" * 5000 + b"}",
    "just over 64 bits": b'{"seed":9223372036854775808}',
    "a nesting bomb": b'{"a":' * 100_000,
    "a closed nesting bomb": b'{"a":' * 3_000 + b"1" + b"}" * 3_000,
    "a list bomb": b'{"a":' + b"[" * 100_000,
    "a name twice": b'{"model":"cheap","model":"dear"}',
    "a name twice, spelled differently": b'{"model":"cheap","mod\\u0065l":"dear"}',
    "a name twice inside": b'{"metadata":{"a":"1","a":"2"}}',
    "a comment": b'{"model":"m"} // x',
    "single quotes": b"{'model':'m'}",
}


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("trouble", MALFORMED)
def test_bytes_that_are_no_json_we_accept(name, trouble):
    dialect = DIALECTS[name]
    with pytest.raises(MalformedJSON) as refused:
        dialect.read_request(MALFORMED[trouble])
    written = json.loads(dialect.write_error(refused.value, request_id="r1"))
    assert refused.value.status == 400
    assert refused.value.message in json.dumps(written, ensure_ascii=False) or "\\" in refused.value.message


def test_the_refusal_names_the_member_that_came_twice():
    with pytest.raises(MalformedJSON) as refused:
        openai_chat.read_request(b'{"model":"a","messages":[{"role":"user","content":"x","role":"system"}]}')
    assert refused.value.param == "role"


def test_the_largest_whole_number_is_still_one():
    assert chat(seed=2**63 - 1).seed == 2**63 - 1


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize(
    "member", ["api_base", "base_url", "extra_headers", "api_key", "custom_llm_provider", "extra_body"]
)
def test_nothing_a_client_sends_chooses_where_a_call_goes(name, member):
    with pytest.raises(UnknownField) as refused:
        DIALECTS[name].read_request(body(name, **{member: "https://evil.example"}))
    assert refused.value.param == member


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("wrong", [None, 7, 1.5, True, "x", [], {}, [None], [7], {"a": 1}, [[]], [{}], "", -1])
def test_a_mistyped_field_is_read_or_refused_by_name(name, wrong):
    fields = {
        *GOOD[name],
        "stream",
        "temperature",
        "tools",
        "tool_choice",
        "stop",
        "metadata",
        "system",
        "instructions",
        "thinking",
        "reasoning",
        "reasoning_effort",
        "response_format",
        "text",
        "output_config",
        "generationConfig",
        "systemInstruction",
        "toolConfig",
        "stream_options",
        "n",
        "max_tokens",
        "user",
        "cache_control",
        "include",
        "stop_sequences",
        "service_tier",
    }
    for field in fields:
        try:
            DIALECTS[name].read_request(body(name, **{field: wrong}))
        except InvalidRequest as refused:
            assert refused.param, (field, refused.message)
            assert refused.param.split(".")[0].split("[")[0] in fields | {"prompt", "contents"}


FIELDS_NAMED = [
    ("openai_chat", {"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
    ("openai_chat", {"messages": []}, "messages"),
    ("openai_chat", {"messages": {}}, "messages"),
    ("openai_chat", {"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
    ("openai_chat", {"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
    ("openai_chat", {"stream": "true"}, "stream"),
    ("openai_chat", {"n": 0}, "n"),
    ("openai_chat", {"n": 129}, "n"),
    ("openai_chat", {"max_tokens": 0}, "max_tokens"),
    ("openai_chat", {"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
    ("openai_chat", {"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
    ("openai_chat", {"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    ("openai_chat", {"response_format": {"type": "xml"}}, "response_format.type"),
    ("openai_chat", {"metadata": {"a": 1}}, "metadata.a"),
    ("anthropic_messages", {"max_tokens": None}, "max_tokens"),
    ("anthropic_messages", {"max_tokens": "9"}, "max_tokens"),
    ("anthropic_messages", {"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
    ("anthropic_messages", {"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
    ("anthropic_messages", {"tools": [{"name": "f"}]}, "tools[0].input_schema"),
    ("gemini", {"contents": [{"parts": [{"text": 7}]}]}, "contents[0].parts[0].text"),
    ("gemini", {"generationConfig": {"maxOutputTokens": 0}}, "generationConfig.maxOutputTokens"),
    ("gemini", {"generationConfig": {"temperature": "hot"}}, "generationConfig.temperature"),
    ("openai_responses", {"input": [{"role": "user"}]}, "input[0].content"),
    ("openai_responses", {"reasoning": {"effort": "extreme"}}, "reasoning.effort"),
    ("openai_completions", {"prompt": 7}, "prompt"),
]


@pytest.mark.parametrize(("name", "members", "param"), FIELDS_NAMED)
def test_a_refusal_names_its_field(name, members, param):
    with pytest.raises(InvalidRequest) as refused:
        DIALECTS[name].read_request(body(name, **members))
    assert refused.value.param == param
    assert refused.value.status == 400


FOREIGN = [
    ("openai_chat", {"logit_bias": {"5": 1}}, ("logit_bias",)),
    ("openai_chat", {"store": None}, ()),
    ("openai_chat", {"stream_options": {"include_obfuscation": False}}, ("stream_options.include_obfuscation",)),
    ("openai_chat", {"tools": [{"type": "web_search"}]}, ("tools[0].type",)),
    ("openai_chat", {"messages": [{"role": "user", "content": "x", "mood": "good"}]}, ("messages[0].mood",)),
    ("openai_chat", {"functions": []}, ("functions",)),
    ("anthropic_messages", {"context_management": {"edits": []}}, ("context_management",)),
    ("anthropic_messages", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, ("tools[0].type",)),
    ("gemini", {"safetySettings": []}, ("safetySettings",)),
    ("gemini", {"tools": [{"google_search": {}}]}, ("tools[0].googleSearch",)),
    ("openai_responses", {"store": True}, ("store",)),
    ("openai_responses", {"store": False, "include": ["reasoning.encrypted_content"]}, ()),
    ("openai_responses", {"previous_response_id": "resp_1"}, ("previous_response_id",)),
    ("openai_completions", {"echo": True}, ("echo",)),
    ("openai_completions", {"prompt": ["one", "two"]}, ("prompt",)),
]


@pytest.mark.parametrize(("name", "members", "foreign"), FOREIGN)
def test_what_only_its_own_dialect_knows_is_kept_by_name(name, members, foreign):
    assert DIALECTS[name].read_request(body(name, **members)).foreign == foreign


def test_tools_that_run_at_the_provider_are_told_apart_for_admission():
    assert chat(web_search_options={"search_context_size": "low"}).server_tools == ("web_search_options",)
    assert chat(tools=[{"type": "web_search"}]).server_tools == ("web_search",)
    assert gemini.read_request(body("gemini", tools=[{"googleSearch": {}}])).server_tools == ("googleSearch",)
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    assert anthropic_messages.read_request(body("anthropic_messages", tools=tools)).server_tools == (
        "web_search_20250305",
    )


def test_a_chat_request_with_everything():
    request = chat(
        messages=[
            {"role": "developer", "content": "Be brief"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
                    {"type": "input_audio", "input_audio": {"data": "BBBB", "format": "mp3"}},
                    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,CCCC"}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "Hm",
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "done"},
        ],
        tools=[{"type": "function", "function": {"name": "f", "strict": True}}],
        tool_choice="required",
        response_format={"type": "json_object"},
        reasoning_effort="high",
        stop="END",
    )
    assert [message.role for message in request.messages] == ["developer", "user", "assistant", "tool"]
    assert request.messages[1].parts == (
        Text("Look"),
        Image(data="AAAA", media_type="image/png", detail="low"),
        Audio("BBBB", "audio/mp3"),
        File(data="CCCC", media_type="application/pdf", name="a.pdf"),
    )
    assert request.messages[2].parts == (Thinking("Hm"), ToolCall("c1", "f", "{}"))
    assert request.tools == (Tool("f", strict=True),)
    assert request.tool_choice == ToolChoice("any")
    assert (request.format, request.reasoning, request.stop) == (Format("json"), Reasoning("high"), ("END",))
    assert request.foreign == ()


def test_results_of_tools_leave_the_users_turn():
    request = anthropic_messages.read_request(
        body(
            "anthropic_messages",
            system=[{"type": "text", "text": "S", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
            messages=[
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}]},
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "t1", "content": "no", "is_error": True},
                        {"type": "text", "text": "go on"},
                    ],
                },
            ],
        )
    )
    assert [message.role for message in request.messages] == ["system", "assistant", "tool", "user"]
    assert request.messages[0].parts == (Text("S", "1h"),)
    assert request.messages[1].parts == (ToolCall("t1", "f", '{"a":1}'),)
    assert request.messages[2].parts[0].is_error


def test_gemini_calls_without_ids_find_their_results():
    request = gemini.read_request(
        json.dumps(
            {
                "contents": [
                    {
                        "role": "model",
                        "parts": [{"function_call": {"name": "f", "args": {}}, "thought_signature": "s"}],
                    },
                    {"role": "user", "parts": [{"function_response": {"name": "f", "response": {"output": "18"}}}]},
                ],
                "generation_config": {"max_output_tokens": 5.0, "thinking_config": {"thinking_budget": 0}},
            }
        ).encode(),
        model="gemini-x",
        stream=True,
    )
    signed, call = request.messages[0].parts
    assert signed == Thinking(signature="s")
    assert request.messages[1].parts[0].call_id == call.id
    assert (request.model, request.stream, request.max_output_tokens) == ("gemini-x", True, 5)
    assert request.reasoning == Reasoning("none")


def test_google_schemas_become_json_schemas():
    schema = {"type": "OBJECT", "properties": {"type": {"type": "STRING", "nullable": True}}}
    request = gemini.read_request(
        body("gemini", tools=[{"functionDeclarations": [{"name": "f", "parameters": schema}]}])
    )
    assert request.tools[0].parameters == {"type": "object", "properties": {"type": {"type": ["string", "null"]}}}


ERROR = RateLimited("Slow down.", retry_after_s=2)
WORDS = {
    "openai_chat": {
        "error": {"message": "Slow down.", "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"}
    },
    "anthropic_messages": {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "Slow down."},
        "request_id": "req_1",
    },
    "gemini": {"error": {"code": 429, "message": "Slow down.", "status": "RESOURCE_EXHAUSTED"}},
}
WORDS |= dict.fromkeys(["openai_completions", "openai_responses"], WORDS["openai_chat"])


@pytest.mark.parametrize("name", DIALECTS)
def test_errors_speak_the_clients_dialect(name):
    assert json.loads(DIALECTS[name].write_error(ERROR, request_id="req_1")) == WORDS[name]


@pytest.mark.parametrize("name", DIALECTS)
def test_every_error_of_the_tree_has_words_in_every_dialect(name):
    def leaves(kind):
        return [kind, *(leaf for child in kind.__subclasses__() for leaf in leaves(child))]

    for kind in leaves(GatewayError)[1:]:
        if kind.__module__ != "gateway.errors":
            continue
        error = kind("Because.", param="messages[0]")
        source = json.loads(DIALECTS[name].write_error(error))["error"]
        assert "Because." in source["message"]
        assert source.get("type") or source.get("status")


def test_a_field_is_named_as_its_sender_named_it():
    request = gemini.read_request(body("gemini", generationConfig={"topK": 4}))
    with pytest.raises(Inexpressible) as refused:
        openai_chat.write_request(request)
    told = json.loads(gemini.write_error(refused.value))["error"]["message"]
    assert told.startswith("'generationConfig.topK' cannot be expressed")


def test_completions_and_responses_read_their_plain_forms():
    assert openai_completions.read_request(body("openai_completions")).messages[0].parts == (Text("Hi"),)
    assert openai_responses.read_request(body("openai_responses", instructions="S")).messages[0].role == "system"
