"""Reading chat completion requests.

What OpenAI's hosts agree on is neutral; what only some know is foreign and travels untouched between two chat sides.
"""

from typing import Any, cast, get_args

from gateway.dialects.media import media_type_of_format, read_data_url
from gateway.dialects.neutral import (
    Audio,
    CacheMark,
    Effort,
    File,
    Format,
    Image,
    Json,
    Message,
    Part,
    Reasoning,
    Refusal,
    Request,
    Role,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from gateway.dialects.reading import (
    any_whole,
    array,
    boolean,
    mapping,
    maybe,
    members,
    need,
    number,
    one_of,
    refuse,
    strangers,
    string,
    whole,
)
from gateway.errors import InvalidRequest

MOST_CHOICES = 128
EFFORTS = frozenset(get_args(Effort))
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
CHOICE_WORDS = {"auto": "auto", "none": "none", "required": "any"}
FORMATS = {"text": "text", "json_object": "json", "json_schema": "schema"}

FIELDS = frozenset(
    "model messages stream stream_options max_tokens max_completion_tokens temperature top_p frequency_penalty "
    "presence_penalty seed stop n logprobs top_logprobs tools tool_choice parallel_tool_calls response_format "
    "reasoning_effort service_tier user metadata prompt_cache_key".split()
)
SEARCHING = ("web_search_options", "search_parameters", "plugins")  # foreign, and they cost: admission must know
MESSAGE_FIELDS = frozenset({"role", "content", "name"})
ASSISTANT_FIELDS = MESSAGE_FIELDS | {
    "tool_calls",
    "refusal",
    "reasoning_content",
    "reasoning",
    "reasoning_details",
    "annotations",
}
TOOL_FIELDS = MESSAGE_FIELDS | {"tool_call_id"}


def read_request(body: bytes) -> Request:
    """Read a client's body."""
    source = members(body)
    foreign = strangers(source, FIELDS)
    options = maybe(source, "stream_options", mapping) or {}
    foreign += strangers(options, {"include_usage"}, "stream_options.")
    tools, server_tools = _read_tools(source, foreign)
    return Request(
        model=need(source, "model", string),
        messages=read_messages(need(source, "messages", array), foreign),
        stream=maybe(source, "stream", boolean) or False,
        wants_usage=maybe(options, "include_usage", boolean, "stream_options.") or False,
        max_output_tokens=_read_limit(source),
        temperature=maybe(source, "temperature", number),
        top_p=maybe(source, "top_p", number),
        frequency_penalty=maybe(source, "frequency_penalty", number),
        presence_penalty=maybe(source, "presence_penalty", number),
        seed=maybe(source, "seed", any_whole),
        stop=read_stop(source),
        n=read_n(source),
        logprobs=maybe(source, "logprobs", boolean),
        top_logprobs=maybe(source, "top_logprobs", whole),
        tools=tools,
        server_tools=server_tools,
        tool_choice=_read_tool_choice(source.get("tool_choice"), foreign),
        parallel_tool_calls=maybe(source, "parallel_tool_calls", boolean),
        format=_read_format(source),
        reasoning=_read_reasoning(source),
        service_tier=maybe(source, "service_tier", string),
        user=maybe(source, "user", string),
        metadata=read_metadata(source),
        cache_key=maybe(source, "prompt_cache_key", string),
        foreign=tuple(foreign),
    )


def _read_limit(source: Json) -> int | None:
    old, new = maybe(source, "max_tokens", whole), maybe(source, "max_completion_tokens", whole)
    if old is not None and new is not None and old != new:
        raise InvalidRequest("Give 'max_completion_tokens' or 'max_tokens', not both.", param="max_tokens")
    limit = old if new is None else new
    if limit == 0:
        refuse("max_tokens" if new is None else "max_completion_tokens", "at least 1")
    return limit


def read_n(source: Json) -> int | None:
    """Read how many answers are wanted."""
    n = maybe(source, "n", whole)
    if n is not None and not 1 <= n <= MOST_CHOICES:
        refuse("n", f"from 1 to {MOST_CHOICES}")
    return n


def read_stop(source: Json) -> tuple[str, ...]:
    """Read one stop sequence or a list of them."""
    stop = source.get("stop")
    if stop is None:
        return ()
    if type(stop) is str:
        return (stop,)
    return tuple(string(item, f"stop[{i}]") for i, item in enumerate(array(stop, "stop")))


def read_metadata(source: Json) -> dict[str, str] | None:
    """Read the client's own notes."""
    metadata = maybe(source, "metadata", mapping)
    if metadata is None:
        return None
    return {name: string(value, f"metadata.{name[:64]}") for name, value in metadata.items()}


def read_messages(source: list[Any], foreign: list[str]) -> tuple[Message, ...]:
    """Read the conversation; results of tools that follow each other are one turn."""
    if not source:
        refuse("messages", "a list of at least one message")
    messages: list[Message] = []
    for index, item in enumerate(source):
        where = f"messages[{index}]."
        message = _read_message(mapping(item, where[:-1]), where, foreign)
        if message.role == "tool" and messages and messages[-1].role == "tool":
            messages[-1] = Message("tool", messages[-1].parts + message.parts)
        else:
            messages.append(message)
    return tuple(messages)


def _read_message(source: Json, where: str, foreign: list[str]) -> Message:
    role = source.get("role")
    content = source.get("content")
    if type(content) is str and type(role) is str and role in {"user", "system"} and source.keys() <= MESSAGE_FIELDS:
        return Message(cast("Role", role), (Text(content),), maybe(source, "name", string, where))
    one_of(role, ROLES, where + "role")
    if role == "assistant":
        return _read_assistant(source, where, foreign)
    if role in {"tool", "function"}:
        return _read_tool_result(source, where, foreign)
    foreign += strangers(source, MESSAGE_FIELDS, where)
    parts = _read_content(content, where + "content", foreign)
    return Message(cast("Role", role), parts, maybe(source, "name", string, where))


def _read_tool_result(source: Json, where: str, foreign: list[str]) -> Message:
    foreign += strangers(source, TOOL_FIELDS, where)
    if source["role"] == "function":
        foreign.append(where + "role")
        call_id = need(source, "name", string, where)
    else:
        call_id = need(source, "tool_call_id", string, where)
    return Message("tool", (ToolResult(call_id, _read_content(source.get("content"), where + "content", foreign)),))


def _read_assistant(source: Json, where: str, foreign: list[str]) -> Message:
    foreign += strangers(source, ASSISTANT_FIELDS, where)
    if source.get("annotations"):
        foreign.append(where + "annotations")
    parts = list(_read_thinking(source, where))
    content = source.get("content")
    if content is not None and content != "":
        parts += _read_content(content, where + "content", foreign)
    refusal = maybe(source, "refusal", string, where)
    if refusal:
        parts.append(Refusal(refusal))
    for index, call in enumerate(maybe(source, "tool_calls", array, where) or ()):
        place = f"{where}tool_calls[{index}]"
        read = _read_call(mapping(call, place), place + ".", foreign)
        parts += [*_signed_for(source, read.id), read]
    return Message("assistant", tuple(parts), maybe(source, "name", string, where))


def _read_call(source: Json, where: str, foreign: list[str]) -> ToolCall:
    foreign += strangers(source, {"id", "type", "function", "index"}, where)
    if source.get("type", "function") != "function":
        foreign.append(where + "type")
        return ToolCall(need(source, "id", string, where), "", "")
    function = need(source, "function", mapping, where)
    foreign += strangers(function, {"name", "arguments"}, where + "function.")
    return ToolCall(
        need(source, "id", string, where),
        need(function, "name", string, where + "function."),
        need(function, "arguments", string, where + "function."),
    )


def _read_thinking(source: Json, where: str) -> list[Part]:
    text = maybe(source, "reasoning_content", string, where) or maybe(source, "reasoning", string, where) or ""
    parts: list[Part] = []
    for detail in _details(source, where):
        if detail.get("type") == "reasoning.text":
            told = detail.get("text") if type(detail.get("text")) is str else ""
            parts.append(Thinking(told or "", _signature(detail)))
        elif detail.get("type") == "reasoning.encrypted" and not _is_for_a_call(source, detail):
            parts.append(Thinking(redacted=maybe(detail, "data", string, where)))
    return parts or ([Thinking(text)] if text else [])


def _details(source: Json, where: str) -> list[Json]:
    details = maybe(source, "reasoning_details", array, where) or []
    return [mapping(detail, f"{where}reasoning_details[{index}]") for index, detail in enumerate(details)]


def _signature(detail: Json) -> str | None:
    signature = detail.get("signature")
    return signature if type(signature) is str and signature else None


def _is_for_a_call(source: Json, detail: Json) -> bool:
    calls = source.get("tool_calls")
    return type(calls) is list and any(type(call) is dict and call.get("id") == detail.get("id") for call in calls)


def _signed_for(source: Json, call_id: str) -> list[Part]:
    return [
        Thinking(signature=detail["data"])
        for detail in _details(source, "")
        if detail.get("id") == call_id
        and detail.get("type") == "reasoning.encrypted"
        and type(detail.get("data")) is str
    ]


def _read_content(content: Any, where: str, foreign: list[str]) -> tuple[Part, ...]:
    if type(content) is str:
        return (Text(content),)
    if content is None:
        return ()
    parts = []
    for index, item in enumerate(array(content, where)):
        place = f"{where}[{index}]"
        part = _read_part(mapping(item, place), place + ".", foreign)
        if part is not None:
            parts.append(part)
    return tuple(parts)


def _read_part(source: Json, where: str, foreign: list[str]) -> Part | None:
    kind = need(source, "type", string, where)
    cache = read_cache_mark(source, where)
    match kind:
        case "text":
            foreign += strangers(source, {"type", "text", "cache_control"}, where)
            return Text(need(source, "text", string, where), cache)
        case "image_url":
            foreign += strangers(source, {"type", "image_url", "cache_control"}, where)
            return _read_image(source.get("image_url"), where + "image_url", cache)
        case "input_audio":
            sound = need(source, "input_audio", mapping, where)
            sound_type = media_type_of_format(need(sound, "format", string, where + "input_audio."))
            return Audio(need(sound, "data", string, where + "input_audio."), sound_type, cache)
        case "file":
            return _read_file(need(source, "file", mapping, where), where + "file.", cache)
        case "refusal":
            return Refusal(need(source, "refusal", string, where))
    foreign.append(where + "type")
    return None


def _read_image(source: Any, where: str, cache: CacheMark | None) -> Image:
    if type(source) is str:
        source = {"url": source}
    url = need(mapping(source, where), "url", string, where + ".")
    detail = maybe(source, "detail", string, where + ".")
    inline = read_data_url(url, where + ".url")
    if inline:
        return Image(data=inline[1], media_type=inline[0], detail=detail, cache=cache)
    return Image(url=url, detail=detail, cache=cache)


def _read_file(source: Json, where: str, cache: CacheMark | None) -> File:
    name, file_id = maybe(source, "filename", string, where), maybe(source, "file_id", string, where)
    data = maybe(source, "file_data", string, where)
    inline = read_data_url(data, where + "file_data") if data else None
    if inline:
        return File(data=inline[1], media_type=inline[0], name=name, cache=cache)
    if data and "://" in data:
        return File(url=data, name=name, cache=cache)
    return File(data=data, file_id=file_id, name=name, cache=cache)


def read_cache_mark(source: Json, where: str) -> CacheMark | None:
    """Read Anthropic's caching mark, which some chat hosts accept too."""
    mark = maybe(source, "cache_control", mapping, where)
    if mark is None:
        return None
    return cast("CacheMark", one_of(mark.get("ttl") or "5m", frozenset({"5m", "1h"}), where + "cache_control.ttl"))


def _read_tools(source: Json, foreign: list[str]) -> tuple[tuple[Tool, ...], tuple[str, ...]]:
    tools, server_tools = [], []
    for index, item in enumerate(maybe(source, "tools", array) or ()):
        where = f"tools[{index}]."
        tool = mapping(item, where[:-1])
        if tool.get("type", "function") != "function":
            server_tools.append(string(tool["type"], where + "type"))
            foreign.append(where + "type")
            continue
        foreign += strangers(tool, {"type", "function", "cache_control"}, where)
        tools.append(
            _read_function(need(tool, "function", mapping, where), where, read_cache_mark(tool, where), foreign)
        )
    server_tools += [name for name in SEARCHING if source.get(name) not in (None, [])]  # an empty object asks as well
    return tuple(tools), tuple(server_tools)


def _read_function(source: Json, where: str, cache: CacheMark | None, foreign: list[str]) -> Tool:
    where += "function."
    foreign += strangers(source, {"name", "description", "parameters", "strict"}, where)
    return Tool(
        need(source, "name", string, where),
        maybe(source, "description", string, where),
        maybe(source, "parameters", mapping, where),
        maybe(source, "strict", boolean, where),
        cache,
    )


def _read_tool_choice(choice: Any, foreign: list[str]) -> ToolChoice | None:
    if choice is None:
        return None
    if type(choice) is str:
        return ToolChoice(cast("Any", CHOICE_WORDS[one_of(choice, CHOICE_WORDS, "tool_choice")]))
    if mapping(choice, "tool_choice").get("type") != "function":
        foreign.append("tool_choice.type")
        return None
    function = need(choice, "function", mapping, "tool_choice.")
    return ToolChoice("one", need(function, "name", string, "tool_choice.function."))


def _read_format(source: Json) -> Format | None:
    asked = maybe(source, "response_format", mapping)
    if asked is None:
        return None
    kind = FORMATS[one_of(asked.get("type"), FORMATS, "response_format.type")]
    if kind != "schema":
        return Format(cast("Any", kind))
    where = "response_format.json_schema."
    schema = need(asked, "json_schema", mapping, "response_format.")
    return Format(
        "schema",
        maybe(schema, "schema", mapping, where),
        need(schema, "name", string, where),
        maybe(schema, "description", string, where),
        maybe(schema, "strict", boolean, where),
    )


def _read_reasoning(source: Json) -> Reasoning | None:
    effort = source.get("reasoning_effort")
    return None if effort is None else Reasoning(cast("Effort", one_of(effort, EFFORTS, "reasoning_effort")))
