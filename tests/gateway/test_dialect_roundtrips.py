"""What one dialect says another either says too or refuses by name: a table of every feature against every dialect."""

import json

import pytest
from msgspec.structs import replace

from gateway.dialects import DIALECTS
from gateway.dialects.neutral import (
    Audio,
    Citation,
    File,
    Format,
    Image,
    Message,
    Reasoning,
    Refusal,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    without_hints,
)
from gateway.errors import Inexpressible, InvalidRequest
from tests.gateway.recordings import exchanges

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = Tool("weather", "Tells the weather", SCHEMA)
ASK = Message("user", (Text("What is the weather in Paris?"),))
CALLS = Message("assistant", (Text("Let me look."), ToolCall("call_1", "weather", '{"city":"Paris"}')))
ANSWERED = Message("tool", (ToolResult("call_1", (Text("18 degrees"),)),))


def asking(*messages, **settings) -> Request:
    return Request(
        model="m", messages=messages or (ASK,), max_output_tokens=settings.pop("max_output_tokens", 100), **settings
    )


def with_call(result: ToolResult) -> Request:
    return asking(ASK, CALLS, Message("tool", (result,)), tools=(WEATHER,))


FEATURES = {
    "text": asking(),
    "two texts": asking(Message("user", (Text("one"), Text("two")))),
    "stream": asking(stream=True),
    "system": asking(Message("system", (Text("Be brief."),)), ASK),
    "developer": asking(Message("developer", (Text("Be brief."),)), ASK),
    "system in the middle": asking(ASK, Message("system", (Text("Now in French."),)), ASK),
    "conversation": asking(ASK, Message("assistant", (Text("Sunny."),)), Message("user", (Text("And Rome?"),))),
    "name": asking(Message("user", (Text("Hi"),), "ada")),
    "temperature": asking(temperature=0.5),
    "high temperature": asking(temperature=1.5),
    "top_p": asking(top_p=0.9),
    "top_k": asking(top_k=40),
    "penalties": asking(frequency_penalty=0.5, presence_penalty=-0.5),
    "seed": asking(seed=7),
    "stop": asking(stop=("END", "STOP")),
    "n": asking(n=3),
    "logprobs": asking(logprobs=True, top_logprobs=2),
    "user": asking(user="customer-7"),
    "metadata": asking(metadata={"run": "a"}),
    "service_tier": asking(service_tier="auto"),
    "flex tier": asking(service_tier="flex"),
    "tools": asking(tools=(WEATHER,)),
    "tool without parameters": asking(tools=(Tool("now"),)),
    "strict tool": asking(tools=(replace(WEATHER, strict=True),)),
    "some strict tools": asking(tools=(replace(WEATHER, strict=True), Tool("now"))),
    "choice auto": asking(tools=(WEATHER,), tool_choice=ToolChoice("auto")),
    "choice none": asking(tools=(WEATHER,), tool_choice=ToolChoice("none")),
    "choice any": asking(tools=(WEATHER,), tool_choice=ToolChoice("any")),
    "choice one": asking(tools=(WEATHER,), tool_choice=ToolChoice("one", "weather")),
    "one call at a time": asking(tools=(WEATHER,), parallel_tool_calls=False),
    "parallel calls": asking(tools=(WEATHER,), parallel_tool_calls=True),
    "tool turn": asking(ASK, CALLS, ANSWERED, tools=(WEATHER,)),
    "tool turn and words": asking(ASK, CALLS, ANSWERED, Message("user", (Text("Well?"),)), tools=(WEATHER,)),
    "two calls": asking(
        ASK,
        Message("assistant", (ToolCall("call_1", "weather", '{"city":"Paris"}'), ToolCall("call_2", "now", "{}"))),
        Message("tool", (ToolResult("call_1", (Text("18"),)), ToolResult("call_2", (Text('{"hour":9}'),)))),
        tools=(WEATHER, Tool("now")),
    ),
    "failed tool": with_call(ToolResult("call_1", (Text("Error: no such city"),), is_error=True)),
    "picture from a tool": with_call(ToolResult("call_1", (Text("a map"), Image(data=PIXEL, media_type="image/png")))),
    "silent tool": with_call(ToolResult("call_1", (Text(""),))),
    "json": asking(format=Format("json")),
    "schema": asking(format=Format("schema", SCHEMA, "place", strict=True)),
    "described schema": asking(format=Format("schema", SCHEMA, "place", "Where it is", strict=True)),
    "picture by address": asking(Message("user", (Text("What is it?"), Image(url="https://example.org/a.png")))),
    "picture inside": asking(Message("user", (Image(data=PIXEL, media_type="image/png"), Text("What is it?")))),
    "picture in detail": asking(Message("user", (Image(url="https://example.org/a.png", detail="high"),))),
    "sound": asking(Message("user", (Audio("UklGRg==", "audio/wav"), Text("What is it?")))),
    "file inside": asking(Message("user", (File(data="JVBERi0=", media_type="application/pdf", name="a.pdf"),))),
    "file by address": asking(Message("user", (File(url="https://example.org/a.pdf"),))),
    "file by id": asking(Message("user", (File(file_id="file-1"),))),
    "effort": asking(reasoning=Reasoning("low")),
    "no thinking": asking(reasoning=Reasoning("none")),
    "most effort": asking(reasoning=Reasoning("max")),
    "thinking budget": asking(reasoning=Reasoning(budget_tokens=2048)),
    "thinking shown": asking(reasoning=Reasoning("high", summary="auto")),
    "adaptive thinking": asking(reasoning=Reasoning(adaptive=True)),
    "thought before": asking(ASK, Message("assistant", (Thinking("Hm."), Text("Sunny."))), ASK),
    "signed thought": asking(ASK, Message("assistant", (Thinking("Hm.", "c2ln"), Text("Sunny."))), ASK),
    "hidden thought": asking(ASK, Message("assistant", (Thinking(redacted="eHg="), Text("Sunny."))), ASK),
    "signed call": asking(
        ASK,
        Message("assistant", (Thinking(signature="c2ln"), ToolCall("call_1", "weather", '{"city":"Paris"}'))),
        ANSWERED,
        tools=(WEATHER,),
    ),
    "refused before": asking(ASK, Message("assistant", (Refusal("I will not."),)), ASK),
    "cited before": asking(
        ASK, Message("assistant", (Text("Sunny.", citations=(Citation("https://example.org", "Weather"),)),)), ASK
    ),
    "cache mark": asking(Message("user", (Text("long", cache="1h"), Text("short")))),
    "cache mark on a tool": asking(tools=(replace(WEATHER, cache="5m"),)),
    "cache for all": asking(cache="5m"),
    "cache key": asking(cache_key="conversation-1"),
    "foreign": asking(foreign=("logit_bias",)),
}

ALL = frozenset(DIALECTS)
CHAT, COMPLETIONS, RESPONSES, ANTHROPIC, GEMINI = (
    "openai_chat",
    "openai_completions",
    "openai_responses",
    "anthropic_messages",
    "gemini",
)
OPENAI = {CHAT, RESPONSES}

# Which dialect has no word for what, and the name under which it is refused. Everything not here is carried over.
REFUSED = {
    "system in the middle": {GEMINI: "messages[1].role"},
    "name": {RESPONSES: "messages[0].name", ANTHROPIC: "messages[0].name", GEMINI: "messages[0].name"},
    "high temperature": {ANTHROPIC: "temperature"},
    "top_k": {CHAT: "top_k", COMPLETIONS: "top_k", RESPONSES: "top_k"},
    "penalties": {RESPONSES: "frequency_penalty", ANTHROPIC: "frequency_penalty"},
    "seed": {RESPONSES: "seed", ANTHROPIC: "seed"},
    "stop": {RESPONSES: "stop"},
    "n": {RESPONSES: "n", ANTHROPIC: "n"},
    "logprobs": {RESPONSES: "logprobs", ANTHROPIC: "logprobs", GEMINI: "logprobs"},
    "user": {GEMINI: "user"},
    "metadata": {ANTHROPIC: "metadata", GEMINI: "metadata"},
    "service_tier": {GEMINI: "service_tier"},
    "flex tier": {ANTHROPIC: "service_tier", GEMINI: "service_tier"},
    "some strict tools": {GEMINI: "tools.function.strict"},
    "one call at a time": {GEMINI: "parallel_tool_calls"},
    "picture from a tool": {CHAT: "tool_result.content"},
    "json": {ANTHROPIC: "response_format.type"},
    "picture in detail": {ANTHROPIC: "image_url.detail", GEMINI: "image_url.detail"},
    "sound": {ANTHROPIC: "messages[0].audio"},
    "file by address": {CHAT: "file.url"},
    "file by id": {GEMINI: "file.file_id"},
    "most effort": {GEMINI: "reasoning_effort"},
    "thinking budget": {CHAT: "thinking.budget_tokens", RESPONSES: "thinking.budget_tokens"},
    "thinking shown": {CHAT: "reasoning.summary"},
    "hidden thought": {RESPONSES: "messages[1].redacted_thinking", GEMINI: "messages[1].redacted_thinking"},
    "cited before": {CHAT: "citations", ANTHROPIC: "citations", GEMINI: "citations"},
    "cache mark": {CHAT: "cache_control", RESPONSES: "cache_control", GEMINI: "cache_control"},
    "cache mark on a tool": {CHAT: "cache_control", RESPONSES: "cache_control", GEMINI: "cache_control"},
    "cache for all": {CHAT: "cache_control", RESPONSES: "cache_control", GEMINI: "cache_control"},
    "cache key": {ANTHROPIC: "prompt_cache_key", GEMINI: "prompt_cache_key"},
    "foreign": dict.fromkeys(ALL, "logit_bias"),
}
# Legacy completions carry one text and the plain settings, nothing else.
PLAIN = {
    "text",
    "two texts",
    "stream",
    "temperature",
    "high temperature",
    "top_p",
    "penalties",
    "seed",
    "stop",
    "n",
    "user",
}


def read(name: str, body: bytes, request: Request) -> Request:
    dialect = DIALECTS[name]
    return (
        dialect.read_request(body, model=request.model, stream=request.stream)
        if name == GEMINI
        else dialect.read_request(body)
    )


def meaning(request: Request) -> Request:
    """The request without what dialects may spell differently while meaning the same."""
    return replace(
        request,
        wants_usage=True,
        messages=_turns(request),
        tools=tuple(_tool(tool, request.tool_choice) for tool in request.tools),
        tool_choice=None if request.tool_choice == ToolChoice("auto") else request.tool_choice,
        parallel_tool_calls=False if request.parallel_tool_calls is False else None,
        format=_format(request.format),
        reasoning=_reasoning(request.reasoning),
        n=None if request.n == 1 else request.n,
    )


def _turns(request):
    """A developer is a system under a newer name; turns of the system that follow each other are one."""
    turns = []
    for message in request.messages:
        role = "system" if message.role == "developer" else message.role
        if turns and role == "system" == turns[-1].role:
            turns[-1] = Message(role, turns[-1].parts + message.parts)
        else:
            turns.append(Message(role, tuple(_part(part) for part in message.parts), message.name))
    return tuple(turns)


def _part(part):
    if isinstance(part, Refusal):  # a refusal is words
        return Text(part.text)
    if isinstance(part, ToolResult):  # where there is no flag, "Error" says it
        return replace(part, is_error=False)
    if isinstance(part, Image) and part.url:  # an address is enough; its type is a guess where it must be told
        return replace(part, media_type=None)
    return part


def _tool(tool, choice):
    """No parameters are an empty object; where a call is forced, Gemini holds it to its schema without being asked."""
    nothing = tool.parameters in (None, {"type": "object", "properties": {}})
    forced = choice is not None and choice.mode in {"any", "one"}
    return replace(
        tool, parameters=None if nothing else tool.parameters, strict=None if forced else tool.strict or None
    )


def _format(asked):
    """The label of a schema is no part of what it asks; its description may stand inside; others are always strict."""
    if asked is None or asked.kind == "text":
        return None
    schema = asked.schema
    if asked.description is not None:
        schema = {**schema, "description": asked.description}
    return Format(asked.kind, schema)


def _reasoning(reasoning):
    """Left to the model is what saying nothing means; how a summary is worded is a matter of taste."""
    if reasoning is None:
        return None
    plain = replace(reasoning, adaptive=False, summary="auto" if reasoning.summary else None)
    return None if plain == Reasoning() else plain


@pytest.mark.parametrize("name", sorted(ALL))
@pytest.mark.parametrize("feature", FEATURES)
def test_a_dialect_says_it_or_refuses_it_by_name(feature, name):
    request = FEATURES[feature]
    if name == COMPLETIONS and feature not in PLAIN and feature not in {"foreign", "top_k"}:
        with pytest.raises(Inexpressible):
            DIALECTS[name].write_request(request)
        return
    refused = REFUSED.get(feature, {}).get(name)
    if refused is not None:
        with pytest.raises(Inexpressible) as trouble:
            DIALECTS[name].write_request(request)
        assert trouble.value.param == refused
        assert repr(refused) in trouble.value.message
        return
    body = DIALECTS[name].write_request(request)
    back = read(name, body, request)
    assert back.foreign == ()
    if name == COMPLETIONS:
        back = replace(back, messages=request.messages)
    assert meaning(back) == meaning(request)


@pytest.mark.parametrize("second", sorted(ALL - {COMPLETIONS}))
@pytest.mark.parametrize("first", sorted(ALL - {COMPLETIONS}))
@pytest.mark.parametrize("feature", FEATURES)
def test_over_two_dialects_nothing_is_lost_on_the_way(feature, first, second):
    request = FEATURES[feature]
    if {first, second} & set(REFUSED.get(feature, ())):
        return
    once = read(first, DIALECTS[first].write_request(request), request)
    try:
        twice = read(second, DIALECTS[second].write_request(once), request)
    except Inexpressible as refused:
        pytest.fail(f"{second} carries {feature!r} but refuses it from {first}: {refused.param}")
    assert meaning(twice) == meaning(once)


RECORDED = [
    exchange
    for exchange in exchanges(*sorted(ALL))
    if exchange.request is not None and "ount_tokens" not in exchange.name and "cachedContents" not in exchange.url
]


@pytest.mark.parametrize("second", sorted(ALL))
@pytest.mark.parametrize("exchange", RECORDED, ids=[exchange.name for exchange in RECORDED])
def test_recorded_requests_cross_over_or_are_refused_by_name(exchange, second):
    body = json.dumps(exchange.request).encode()
    request, _ = without_hints(read(exchange.dialect, body, asking()))
    try:
        crossed = DIALECTS[second].write_request(request)
    except InvalidRequest as refused:
        assert refused.param
        return
    back = read(second, crossed, request)
    free = {"max_output_tokens": None, "temperature": None} if second == ANTHROPIC else {}
    if second == COMPLETIONS:
        free = {"messages": ()}
    assert meaning(replace(back, **free)) == meaning(replace(request, **free))


def test_hints_can_be_left_out_on_purpose_and_are_named():
    marked = replace(FEATURES["cache mark"], cache_key="c", foreign=("safety_identifier", "logit_bias"))
    plain, names = without_hints(marked)
    assert names == ("safety_identifier", "cache_control", "prompt_cache_key")
    assert plain.foreign == ("logit_bias",)
    assert without_hints(plain) == (plain, ())
    with pytest.raises(Inexpressible) as trouble:
        DIALECTS[GEMINI].write_request(plain)
    assert trouble.value.param == "logit_bias"
