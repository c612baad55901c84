"""The companies' own clients talk to the sandbox and notice nothing."""

import json

import anthropic
import jsonschema
import openai
import pytest

WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 7},
    },
    "required": ["city", "unit", "days"],
    "additionalProperties": False,
}
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "born": {"type": "string", "format": "date"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "boss": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
    },
    "required": ["name", "born", "tags", "boss"],
    "additionalProperties": False,
}
HELLO = [{"role": "user", "content": "Say hello."}]


@pytest.fixture(scope="module")
def openai_client(provider):
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key=provider.key, max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def anthropic_client(provider):
    with anthropic.Anthropic(base_url=provider.url, api_key=provider.key, max_retries=0) as client:
        yield client


def openai_tool(name="get_weather"):
    return {"type": "function", "function": {"name": name, "parameters": WEATHER, "strict": True}}


# --- OpenAI ---


def test_openai_chat(openai_client):
    answer = openai_client.chat.completions.create(model="sandbox-standard", messages=HELLO)
    again = openai_client.chat.completions.create(model="sandbox-standard", messages=HELLO)
    assert answer.choices[0].message.content == again.choices[0].message.content != ""
    assert answer.choices[0].finish_reason == "stop"
    usage = answer.usage
    assert (usage.prompt_tokens, usage.total_tokens) == (3 + 4 + 3, usage.prompt_tokens + usage.completion_tokens)


def test_openai_stream_says_the_same_as_the_whole_answer(openai_client):
    whole = openai_client.chat.completions.create(model="sandbox-standard", messages=HELLO)
    chunks = list(
        openai_client.chat.completions.create(
            model="sandbox-standard", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert chunks[-2].choices[0].finish_reason == "stop"
    bare = list(openai_client.chat.completions.create(model="sandbox-standard", messages=HELLO, stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in bare)


def test_openai_tools(openai_client):
    def call(**more):
        return openai_client.chat.completions.create(
            model="sandbox-standard", tools=[openai_tool(), openai_tool("other")], **{"messages": HELLO, **more}
        )

    assert call().choices[0].message.tool_calls is None  # nobody asked for a tool
    asked = call(messages=[{"role": "user", "content": "Please use get_weather for Oslo"}])
    forced = call(tool_choice={"type": "function", "function": {"name": "other"}})
    both = call(tool_choice="required", messages=[{"role": "user", "content": "both in parallel"}])
    alone = call(
        tool_choice="required", parallel_tool_calls=False, messages=[{"role": "user", "content": "both in parallel"}]
    )
    assert [c.function.name for c in asked.choices[0].message.tool_calls] == ["get_weather"]
    assert [c.function.name for c in forced.choices[0].message.tool_calls] == ["other"]
    assert [c.function.name for c in both.choices[0].message.tool_calls] == ["get_weather", "other"]
    assert len(alone.choices[0].message.tool_calls) == 1
    for answer in (asked, forced, both):
        assert answer.choices[0].finish_reason == "tool_calls"
        for made in answer.choices[0].message.tool_calls:
            jsonschema.validate(json.loads(made.function.arguments), WEATHER)
    result = [
        {"role": "user", "content": "Please use get_weather for Oslo"},
        asked.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": asked.choices[0].message.tool_calls[0].id, "content": "9 degrees"},
    ]
    assert call(messages=result).choices[0].message.content


def test_openai_streamed_tools_add_up(openai_client):
    arguments: dict[int, str] = {}
    names = {}
    for chunk in openai_client.chat.completions.create(
        model="sandbox-standard+parallel=2", messages=HELLO, tools=[openai_tool()], tool_choice="required", stream=True
    ):
        for part in chunk.choices[0].delta.tool_calls or []:
            arguments[part.index] = arguments.get(part.index, "") + (part.function.arguments or "")
            names[part.index] = part.function.name or names[part.index]
    assert list(names.values()) == ["get_weather"] * 2
    for text in arguments.values():
        jsonschema.validate(json.loads(text), WEATHER)


def test_openai_structured_output(openai_client):
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
    answer = openai_client.chat.completions.create(model="sandbox-standard", messages=HELLO, response_format=wanted)
    jsonschema.validate(
        json.loads(answer.choices[0].message.content), PERSON, format_checker=jsonschema.FormatChecker()
    )
    loose = openai_client.chat.completions.create(
        model="sandbox-standard", messages=HELLO, response_format={"type": "json_object"}
    )
    assert isinstance(json.loads(loose.choices[0].message.content), dict)


def test_openai_limits_stops_choices_and_logprobs(openai_client):
    def call(**more):
        return openai_client.chat.completions.create(model="sandbox-standard", messages=HELLO, **more)

    short = call(max_completion_tokens=5)
    assert (short.usage.completion_tokens, short.choices[0].finish_reason) == (5, "length")
    assert call(max_tokens=500, stop=["sandbox"]).choices[0].message.content == "This is the "
    full = openai_client.chat.completions.create(model="sandbox-standard+fill", messages=HELLO, max_tokens=300)
    assert (full.usage.completion_tokens, full.choices[0].finish_reason) == (300, "length")
    three = call(n=3)
    assert len({choice.message.content for choice in three.choices}) == 3
    assert [choice.index for choice in three.choices] == [0, 1, 2]
    sure = call(logprobs=True, top_logprobs=2, max_tokens=4).choices[0]
    assert "".join(one.token for one in sure.logprobs.content) == sure.message.content
    assert all(len(one.top_logprobs) == 2 for one in sure.logprobs.content)


def test_openai_refusal_and_reasoning(openai_client):
    refused = openai_client.chat.completions.create(model="sandbox-standard+refusal", messages=HELLO)
    assert refused.choices[0].message.content is None
    assert "cannot help" in refused.choices[0].message.refusal
    thought = openai_client.chat.completions.create(model="sandbox-reasoning", messages=HELLO)
    assert 0 < thought.usage.completion_tokens_details.reasoning_tokens < thought.usage.completion_tokens
    assert thought.choices[0].message.reasoning_content
    none = openai_client.chat.completions.create(model="sandbox-reasoning", messages=HELLO, reasoning_effort="none")
    assert none.usage.completion_tokens_details.reasoning_tokens == 0


def test_openai_takes_pictures_and_sounds(openai_client):
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "input_audio", "input_audio": {"data": "A" * 2_500, "format": "wav"}},
    ]
    answer = openai_client.chat.completions.create(
        model="sandbox-standard", messages=[{"role": "user", "content": content}]
    )
    assert answer.usage.prompt_tokens == 4 + 256 + 3 + 4 + 3
    details = answer.usage.prompt_tokens_details.model_dump()
    assert (details["audio_tokens"], details["image_tokens"], details["text_tokens"]) == (3, 256, 11)


def test_openai_caches_what_it_has_seen(openai_client):
    messages = [{"role": "system", "content": "A rule. " * 100}, {"role": "user", "content": "caching, please"}]

    def cached():
        usage = openai_client.chat.completions.create(model="sandbox-standard", messages=messages).usage
        return usage.prompt_tokens_details.cached_tokens

    assert cached() == 0
    assert cached() == 192  # 204 of the rule and 8 of the question, in steps of 32
    messages.append({"role": "assistant", "content": "fine"})
    assert cached() == 192


def test_openai_completions_and_their_stream(openai_client):
    whole = openai_client.completions.create(model="sandbox-standard", prompt="Once upon", max_tokens=9)
    assert (whole.usage.completion_tokens, whole.choices[0].finish_reason) == (9, "length")
    parts = openai_client.completions.create(model="sandbox-standard", prompt="Once upon", max_tokens=9, stream=True)
    assert "".join(part.choices[0].text for part in parts) == whole.choices[0].text


def test_openai_responses(openai_client):
    whole = openai_client.responses.create(model="sandbox-standard", input="Say hello.", instructions="Be brief.")
    assert whole.status == "completed"
    assert whole.output_text
    assert whole.usage.total_tokens == whole.usage.input_tokens + whole.usage.output_tokens
    events = list(
        openai_client.responses.create(
            model="sandbox-standard", input="Say hello.", instructions="Be brief.", stream=True
        )
    )
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == whole.output_text
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == whole.output_text
    cut = openai_client.responses.create(model="sandbox-standard", input="Say hello.", max_output_tokens=16)
    assert (cut.status, cut.incomplete_details.reason) == ("incomplete", "max_output_tokens")


def test_openai_responses_tools_schema_and_reasoning(openai_client):
    tool = {"type": "function", "name": "get_weather", "parameters": WEATHER, "strict": True}
    called = openai_client.responses.create(
        model="sandbox-standard", input="Weather?", tools=[tool], tool_choice="required"
    )
    (call,) = [item for item in called.output if item.type == "function_call"]
    jsonschema.validate(json.loads(call.arguments), WEATHER)
    streamed = openai_client.responses.create(
        model="sandbox-standard", input="Weather?", tools=[tool], tool_choice="required", stream=True
    )
    parts = "".join(e.delta for e in streamed if e.type == "response.function_call_arguments.delta")
    assert parts == call.arguments
    wanted = {"format": {"type": "json_schema", "name": "person", "schema": PERSON, "strict": True}}
    structured = openai_client.responses.create(model="sandbox-standard", input="A person", text=wanted)
    jsonschema.validate(json.loads(structured.output_text), PERSON)
    thought = openai_client.responses.create(
        model="sandbox-standard", input="Think", reasoning={"effort": "low", "summary": "auto"}
    )
    assert thought.usage.output_tokens_details.reasoning_tokens > 0
    assert thought.output[0].summary[0].text


def test_openai_embeddings_models_and_moderations(openai_client):
    one = openai_client.embeddings.create(model="sandbox-embedding", input=["north", "south", "north"])
    vectors = [item.embedding for item in one.data]
    assert vectors[0] == vectors[2] != vectors[1]
    assert len(vectors[0]) == 256
    assert one.usage.prompt_tokens == 6
    plain = openai_client.embeddings.create(
        model="sandbox-embedding", input="north", encoding_format="float", dimensions=8
    )
    assert len(plain.data[0].embedding) == 8
    assert "sandbox-standard" in [model.id for model in openai_client.models.list()]
    assert openai_client.models.retrieve("sandbox-mini").id == "sandbox-mini"
    verdict = openai_client.moderations.create(input=["kind words", "[flag:violence]"])
    assert [result.flagged for result in verdict.results] == [False, True]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (402, openai.APIStatusError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (529, openai.InternalServerError),
    ],
)
def test_openai_errors_are_their_own_kinds(openai_client, status, error):
    with pytest.raises(error) as caught:
        openai_client.chat.completions.create(model=f"sandbox-standard+status={status}", messages=HELLO)
    assert caught.value.status_code == status
    assert set(caught.value.response.json()["error"]) == {"message", "type", "param", "code"}
    assert (caught.value.response.headers.get("retry-after") == "2") is (status == 429)


def test_openai_refuses_wrong_keys_models_and_fields(provider, openai_client):
    with (
        openai.OpenAI(base_url=f"{provider.url}/v1", api_key="sk-wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        stranger.models.list()
    assert caught.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError) as unknown:
        openai_client.chat.completions.create(model="gpt-4o", messages=HELLO)
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as elsewhere:
        openai_client.responses.create(model="gpt-4o", input="hello")
    assert elsewhere.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as long:
        openai_client.chat.completions.create(
            model="sandbox-mini", messages=[{"role": "user", "content": "x" * 20_000}]
        )
    assert long.value.code == "context_length_exceeded"


# --- Anthropic ---


def ask_anthropic(client, **more):
    return client.messages.create(**{"model": "sandbox-standard", "max_tokens": 1_000, "messages": HELLO, **more})


def test_anthropic_messages_and_their_stream(anthropic_client):
    whole = ask_anthropic(anthropic_client)
    assert whole.stop_reason == "end_turn"
    assert whole.usage.input_tokens == 10
    with anthropic_client.messages.stream(model="sandbox-standard", max_tokens=1_000, messages=HELLO) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == whole.content[0].text == final.content[0].text
    assert final.usage.output_tokens == whole.usage.output_tokens
    count = anthropic_client.messages.count_tokens(model="sandbox-standard", messages=HELLO)
    assert count.input_tokens == 10
    short = ask_anthropic(anthropic_client, max_tokens=4)
    assert (short.stop_reason, short.usage.output_tokens) == ("max_tokens", 4)
    stopped = ask_anthropic(anthropic_client, stop_sequences=["sandbox"])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "sandbox")


def test_anthropic_tools_and_thinking(anthropic_client):
    tool = {"name": "get_weather", "input_schema": WEATHER}
    called = ask_anthropic(anthropic_client, tools=[tool], tool_choice={"type": "any"})
    assert called.stop_reason == "tool_use"
    jsonschema.validate(called.content[0].input, WEATHER)
    with anthropic_client.messages.stream(
        model="sandbox-standard", max_tokens=1_000, messages=HELLO, tools=[tool], tool_choice={"type": "any"}
    ) as stream:
        assert stream.get_final_message().content[0].input == called.content[0].input
    thought = ask_anthropic(anthropic_client, thinking={"type": "adaptive"})
    assert [block.type for block in thought.content] == ["thinking", "text"]
    assert thought.content[0].signature
    assert thought.usage.output_tokens_details.thinking_tokens > 0
    refused = ask_anthropic(anthropic_client, model="sandbox-standard+refusal")
    assert refused.stop_reason == "refusal"


def test_anthropic_structured_output(anthropic_client):
    answer = ask_anthropic(anthropic_client, output_config={"format": {"type": "json_schema", "schema": PERSON}})
    jsonschema.validate(json.loads(answer.content[0].text), PERSON)


def test_anthropic_writes_and_reads_its_cache(anthropic_client):
    system = [{"type": "text", "text": "A law. " * 100, "cache_control": {"type": "ephemeral"}}]
    first = ask_anthropic(anthropic_client, system=system).usage
    second = ask_anthropic(anthropic_client, system=system).usage
    assert (first.cache_creation_input_tokens, first.cache_read_input_tokens, first.input_tokens) == (175, 0, 10)
    assert (second.cache_creation_input_tokens, second.cache_read_input_tokens, second.input_tokens) == (0, 175, 10)
    hour = [{"type": "text", "text": "A rite. " * 100, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    third = ask_anthropic(anthropic_client, system=hour).usage
    assert third.cache_creation.ephemeral_1h_input_tokens == 200
    assert third.cache_creation.ephemeral_5m_input_tokens == 0


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (402, anthropic.APIStatusError, "billing_error"),
        (413, anthropic.RequestTooLargeError, "request_too_large"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (529, anthropic.OverloadedError, "overloaded_error"),
    ],
)
def test_anthropic_errors_are_their_own_kinds(anthropic_client, status, error, kind):
    with pytest.raises(error) as caught:
        ask_anthropic(anthropic_client, model=f"sandbox-standard+status={status}")
    body = caught.value.response.json()
    assert (caught.value.status_code, body["type"], body["error"]["type"]) == (status, "error", kind)
    assert body["request_id"] == caught.value.response.headers["request-id"]


def test_anthropic_error_inside_a_stream_is_raised(anthropic_client):
    with pytest.raises(anthropic.APIStatusError) as caught:
        for _ in ask_anthropic(anthropic_client, model="sandbox-standard+error-later=6", stream=True):
            pass
    assert caught.value.body["error"]["type"] == "overloaded_error"


def test_anthropic_lists_its_models(anthropic_client):
    assert "sandbox-standard" in [model.id for model in anthropic_client.models.list()]


def test_both_versions_of_anthropics_api_are_spoken(provider):
    body = {"model": "sandbox-standard", "max_tokens": 5, "messages": HELLO, "temperature": 0.5}
    old = provider.ask("/v1/messages?beta=true", body, anthropic_version="2023-06-01", x_api_key=provider.key)
    new = provider.ask("/v1/messages", body, anthropic_version="2026-10-21")
    none = provider.ask("/v1/messages", body)
    assert [old.status, new.status, none.status] == [200, 400, 400]
    assert provider.ask("/", method="HEAD").status == 200
