"""Field by field: Gemini, rerank and what no client library shows."""

import json

import jsonschema
import pytest

from sandbox.provider.examples import example

HELLO = {"contents": [{"role": "user", "parts": [{"text": "Say hello."}]}]}


def gemini(provider, verb, body=None, *, model="sandbox-standard", version="v1beta", query="", **headers):
    headers.setdefault("x_goog_api_key", provider.key)
    return provider.ask(f"/{version}/models/{model}:{verb}{query}", HELLO if body is None else body, key="", **headers)


def test_gemini_whole_and_streamed(provider):
    whole = gemini(provider, "generateContent").json
    candidate = whole["candidates"][0]
    assert candidate["finishReason"] == "STOP"
    usage = whole["usageMetadata"]
    assert usage["promptTokenCount"] == 10
    assert usage["totalTokenCount"] == usage["promptTokenCount"] + usage["candidatesTokenCount"]
    streamed = gemini(provider, "streamGenerateContent", query="?alt=sse")
    assert streamed.body.endswith(b"\r\n\r\n")
    events = streamed.events
    text = "".join(event["candidates"][0]["content"]["parts"][0]["text"] for event in events)
    assert text == candidate["content"]["parts"][0]["text"]
    assert events[-1]["usageMetadata"] == usage
    assert all("usageMetadata" in event for event in events)
    assert [event["candidates"][0].get("finishReason") for event in events[-2:]] == [None, "STOP"]


def test_gemini_without_sse_is_one_array_and_v1_is_spoken_too(provider):
    whole = gemini(provider, "generateContent", version="v1").json
    array = gemini(provider, "streamGenerateContent").json
    text = "".join(one["candidates"][0]["content"]["parts"][0]["text"] for one in array)
    assert text == whole["candidates"][0]["content"]["parts"][0]["text"]


def test_gemini_thoughts_are_counted_beside_the_answer(provider):
    body = {**HELLO, "generationConfig": {"thinkingConfig": {"includeThoughts": True}}}
    shown = gemini(provider, "generateContent", body).json
    parts = shown["candidates"][0]["content"]["parts"]
    assert parts[0]["thought"] is True
    usage = shown["usageMetadata"]
    parts_of_total = ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount")
    assert usage["totalTokenCount"] == sum(usage[name] for name in parts_of_total)
    hidden = gemini(provider, "generateContent", {**HELLO, "generationConfig": {"thinking_config": {"x": 1}}}).json
    assert len(hidden["candidates"][0]["content"]["parts"]) == 1
    assert hidden["usageMetadata"]["thoughtsTokenCount"] == usage["thoughtsTokenCount"]
    nothing_left = {**HELLO, "generationConfig": {"maxOutputTokens": 3, "thinkingConfig": {"thinkingBudget": 100}}}
    all_thoughts = gemini(provider, "generateContent", nothing_left).json
    assert "parts" not in all_thoughts["candidates"][0]["content"]
    assert all_thoughts["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert "candidatesTokenCount" not in all_thoughts["usageMetadata"]


def test_gemini_tools_and_schemas(provider):
    schema = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]}
    tools = [{"functionDeclarations": [{"name": "get_weather", "parameters": schema}]}]
    config = {"functionCallingConfig": {"mode": "ANY"}}
    called = gemini(provider, "generateContent", {**HELLO, "tools": tools, "toolConfig": config}).json
    (part,) = called["candidates"][0]["content"]["parts"]
    assert part["functionCall"]["name"] == "get_weather"
    assert isinstance(part["functionCall"]["args"]["city"], str)
    snake = {"type": "object", "properties": {"days": {"type": "integer"}}, "required": ["days"]}
    tools = [{"function_declarations": [{"name": "get_weather", "parameters_json_schema": snake}]}]
    called = gemini(provider, "generateContent", {**HELLO, "tools": tools, "toolConfig": config}).json
    assert set(called["candidates"][0]["content"]["parts"][0]["functionCall"]["args"]) == {"days"}
    wanted = {"responseMimeType": "application/json", "responseSchema": schema}
    text = gemini(provider, "generateContent", {**HELLO, "generationConfig": wanted}).json
    assert set(json.loads(text["candidates"][0]["content"]["parts"][0]["text"])) == {"city"}


def test_gemini_counts_and_embeds(provider):
    assert gemini(provider, "countTokens").json["totalTokens"] == 10
    assert gemini(provider, "countTokens", {"generateContentRequest": HELLO}).json["totalTokens"] == 10
    content = {"content": {"parts": [{"text": "north"}]}, "outputDimensionality": 5}
    embedded = gemini(provider, "embedContent", content, model="sandbox-embedding").json
    assert len(embedded["embedding"]["values"]) == 5
    assert embedded["usageMetadata"]["promptTokenCount"] == 2


def test_gemini_errors(provider):
    wrong = gemini(provider, "generateContent", x_goog_api_key="wrong")
    assert (wrong.status, wrong.json["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert wrong.json["error"]["details"][0]["reason"] == "API_KEY_INVALID"
    busy = gemini(provider, "generateContent", model="sandbox-standard+status=429+retry-after=7")
    assert (busy.status, busy.json["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert busy.json["error"]["details"][1]["retryDelay"] == "7s"
    assert "retry-after" not in busy.headers
    assert gemini(provider, "generateContent", model="gemini-9").status == 404
    assert gemini(provider, "generateContent", {"contents": []}).status == 400
    assert gemini(provider, "inventContent").status == 404
    by_query = provider.ask(f"/v1beta/models/sandbox-standard:generateContent?key={provider.key}", HELLO, key="")
    assert by_query.status == 200
    names = [model["name"] for model in provider.ask("/v1beta/models").json["models"]]
    assert "models/sandbox-standard" in names


def test_rerank_in_the_common_form(provider):
    body = {
        "model": "sandbox-rerank",
        "query": "old road",
        "documents": ["a small boat", {"text": "the old road home"}, "the road"],
        "top_n": 2,
        "return_documents": True,
    }
    answer = provider.ask("/v1/rerank", body).json
    assert [result["index"] for result in answer["results"]] == [1, 2]
    assert answer["results"][0]["document"]["text"] == "the old road home"
    assert answer["usage"]["total_tokens"] == 3 + 5 + 2 + 3 * 2
    assert answer["meta"]["billed_units"]["search_units"] == 1


def test_rate_limit_headers_and_request_ids(provider):
    first, second = provider.chat(), provider.chat()
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert first.headers["x-ratelimit-remaining-requests"] == "9999"
    assert first.headers["x-ratelimit-reset-tokens"].endswith("ms")


BAD = [
    (b"", "parse"),
    (b"{", "parse"),
    (b"[]", "parse"),
    (b'{"model":"sandbox-standard"}', "messages"),
    (b'{"messages":[]}', "model"),
    (b'{"model":"sandbox-standard","messages":[]}', "messages"),
    (b'{"model":"sandbox-standard","messages":"hello"}', "messages"),
    (b'{"model":"sandbox-standard","messages":[1]}', "messages"),
    (b'{"model":"sandbox-standard","messages":[{"role":"king","content":"x"}]}', "role"),
    (b'{"model":"sandbox-standard","messages":[{"role":"user","content":[{"type":"smell"}]}]}', "type"),
    (b'{"model":"sandbox-standard","messages":[{"role":"user","content":[7]}]}', "shape"),
    (b'{"model":"sandbox-standard","messages":[{"role":"user","content":"x"}],"max_tokens":0}', "max_tokens"),
    (b'{"model":"sandbox-standard","messages":[{"role":"user","content":"x"}],"max_tokens":"9"}', "max_tokens"),
    (b'{"model":"sandbox-standard","messages":[{"role":"user","content":"x"}],"temperature":3}', "temperature"),
    (b'{"model":"sandbox-standard","messages":[{"role":"user","content":"x"}],"n":0}', "n"),
    (b'{"model":"sandbox-embedding","messages":[{"role":"user","content":"x"}]}', "model"),
    (b'{"model":"sandbox-standard","messages":[{"role":"user","content":"x"}],"tool_choice":"always"}', "tool_choice"),
    (b'{"model":["a"],"messages":[{"role":"user","content":"x"}]}', "model"),
    (b"\xff\xfe", "parse"),
    (b'{"model":"sandbox-standard","messages":' + b"[" * 50_000 + b"]" * 50_000 + b"}", ""),
]


@pytest.mark.parametrize(("body", "word"), BAD)
def test_what_cannot_be_read_is_a_400_or_404_that_says_why(provider, body, word):
    answer = provider.ask("/v1/chat/completions", body)
    assert answer.status in {400, 404}
    assert word in f"{answer.json['error']['message']} {answer.json['error']['param']}"


def test_unknown_addresses_and_methods(provider):
    assert provider.ask("/v1/images/generations", {"model": "sandbox-standard"}).status == 404
    assert provider.ask("/v1/nothing").status == 404
    assert provider.ask("/v1/models", method="DELETE").status == 405
    assert provider.ask("/_control/summary").status == 401
    assert provider.ask("/_control/nothing", X_Sandbox_Control=provider.control_key).status == 404


SCHEMAS = [
    {"type": "object", "properties": {}},
    {"type": "integer", "minimum": 5, "maximum": 5},
    {"type": "integer", "exclusiveMinimum": 10, "multipleOf": 7},
    {"type": "number", "exclusiveMaximum": -3},
    {"type": "string", "minLength": 30, "maxLength": 31},
    {"type": "string", "pattern": "^[A-Z]{2}-\\d+$"},
    {"type": ["null", "boolean"]},
    {"const": {"a": [1]}},
    {"enum": ["x", "y"]},
    {"type": "array", "items": {"type": "string"}, "minItems": 3},
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False},
    {"type": "array", "maxItems": 0},
    {"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"required": ["b"]}], "type": "object"},
    {"oneOf": [{"type": "integer"}, {"type": "string"}]},
    {
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "value": {"type": "integer"},
                    "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                },
                "required": ["value", "next"],
            }
        },
        "$ref": "#/$defs/node",
    },
    {"type": "object", "properties": {"list": {"type": "array", "items": {"$ref": "#"}}}, "required": ["list"]},
    {},
    True,
]


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("seed", [0, 1, 77])
def test_examples_are_what_their_schema_accepts(schema, seed):
    value = example(schema, seed)
    jsonschema.validate(value, schema)
    assert example(schema, seed) == value


def test_a_schema_that_can_never_end_ends():
    example({"type": "object", "properties": {"me": {"$ref": "#"}}, "required": ["me"]}, 1)
    example({"$ref": "#"}, 1)
