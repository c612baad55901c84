"""Reading requests to messages.

The system prompt becomes the first message; results of tools, which stand in user turns here, become turns of their
own. Fields of API versions and betas that only Anthropic knows are foreign and travel untouched between two such sides.
"""

from typing import Any, cast

from gateway.dialects.neutral import (
    CacheMark,
    Citation,
    Effort,
    File,
    Format,
    Image,
    Json,
    Message,
    Part,
    Reasoning,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from gateway.dialects.reading import (
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
    written_text,
)

FIELDS = frozenset(
    "model messages max_tokens system stream temperature top_p top_k stop_sequences tools tool_choice thinking "
    "output_config metadata service_tier cache_control".split()
)
EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})
THINKING = frozenset({"enabled", "adaptive", "disabled", "between_tools"})
SUMMARIES = {"summarized": "auto", "omitted": "omitted"}
CHOICES = {"auto": "auto", "any": "any", "none": "none", "tool": "one"}
TIERS = {"auto": "auto", "standard_only": "default"}
ROLES = frozenset({"user", "assistant", "system"})


def read_request(body: bytes) -> Request:
    """Read a client's body."""
    source = members(body)
    need(source, "max_tokens", whole)
    return _read(source)


def read_count_request(body: bytes) -> Request:
    """Read a body for counting tokens, which needs no limit."""
    return _read(members(body))


def _read(source: Json) -> Request:
    foreign = strangers(source, FIELDS)
    limit = maybe(source, "max_tokens", whole)
    if limit == 0:
        refuse("max_tokens", "at least 1")
    tools, server_tools = _read_tools(source, foreign)
    choice, parallel = _read_tool_choice(source, foreign)
    output = maybe(source, "output_config", mapping) or {}
    foreign += strangers(output, {"effort", "format"}, "output_config.")
    tier = maybe(source, "service_tier", string)
    return Request(
        model=need(source, "model", string),
        messages=_read_system(source, foreign) + _read_messages(need(source, "messages", array), foreign),
        stream=maybe(source, "stream", boolean) or False,
        max_output_tokens=limit,
        temperature=maybe(source, "temperature", number),
        top_p=maybe(source, "top_p", number),
        top_k=maybe(source, "top_k", whole),
        stop=tuple(
            string(s, f"stop_sequences[{i}]") for i, s in enumerate(maybe(source, "stop_sequences", array) or ())
        ),
        tools=tools,
        server_tools=server_tools,
        tool_choice=choice,
        parallel_tool_calls=parallel,
        format=_read_format(output, foreign),
        reasoning=_read_reasoning(source, output, foreign),
        service_tier=None if tier is None else TIERS[one_of(tier, TIERS, "service_tier")],
        user=_read_user(source, foreign),
        cache=_read_cache(source, ""),
        foreign=tuple(foreign),
    )


def _read_user(source: Json, foreign: list[str]) -> str | None:
    metadata = maybe(source, "metadata", mapping) or {}
    foreign += strangers(metadata, {"user_id"}, "metadata.")
    return maybe(metadata, "user_id", string, "metadata.")


def _read_cache(source: Json, where: str) -> CacheMark | None:
    mark = maybe(source, "cache_control", mapping, where)
    if mark is None:
        return None
    return cast("CacheMark", one_of(mark.get("ttl") or "5m", frozenset({"5m", "1h"}), where + "cache_control.ttl"))


def _read_system(source: Json, foreign: list[str]) -> tuple[Message, ...]:
    system = source.get("system")
    if not system and type(system) in {type(None), str, list}:
        return ()
    return (Message("system", _read_content(system, "system", foreign)),)


def _read_messages(source: list[Any], foreign: list[str]) -> tuple[Message, ...]:
    if not source:
        refuse("messages", "a list of at least one message")
    messages: list[Message] = []
    for index, item in enumerate(source):
        where = f"messages[{index}]"
        messages += _read_message(mapping(item, where), where + ".", foreign)
    return tuple(messages)


def _read_message(source: Json, where: str, foreign: list[str]) -> list[Message]:
    role = one_of(source.get("role"), ROLES, where + "role")
    foreign += strangers(source, {"role", "content"}, where)
    parts = _read_content(need(source, "content", _any, where), where + "content", foreign)
    if role != "user" or not any(isinstance(part, ToolResult) for part in parts):
        return [Message(cast("Any", role), parts)]
    results = tuple(part for part in parts if isinstance(part, ToolResult))
    others = tuple(part for part in parts if not isinstance(part, ToolResult))
    return [Message("tool", results), *([Message("user", others)] if others else [])]


def _any(value: Any, where: str) -> Any:
    return value


def _read_content(content: Any, where: str, foreign: list[str]) -> tuple[Part, ...]:
    if type(content) is str:
        return (Text(content),)
    parts = []
    for index, item in enumerate(array(content, where)):
        place = f"{where}[{index}]"
        part = _read_part(mapping(item, place), place + ".", foreign)
        if part is not None:
            parts.append(part)
    return tuple(parts)


def _read_part(source: Json, where: str, foreign: list[str]) -> Part | None:
    kind = need(source, "type", string, where)
    cache = _read_cache(source, where)
    match kind:
        case "text":
            foreign += strangers(source, {"type", "text", "cache_control", "citations"}, where)
            return Text(need(source, "text", string, where), cache, _read_citations(source, where))
        case "image":
            foreign += strangers(source, {"type", "source", "cache_control"}, where)
            return _read_image(need(source, "source", mapping, where), where + "source.", cache, foreign)
        case "document":
            foreign += strangers(source, {"type", "source", "cache_control", "title"}, where)
            name = maybe(source, "title", string, where)
            return _read_document(need(source, "source", mapping, where), where + "source.", name, cache, foreign)
        case "thinking" | "redacted_thinking":
            return _read_thinking(source, where, foreign)
        case "tool_use":
            foreign += strangers(source, {"type", "id", "name", "input", "cache_control"}, where)
            arguments = written_text(need(source, "input", mapping, where))
            return ToolCall(need(source, "id", string, where), need(source, "name", string, where), arguments, cache)
        case "tool_result":
            return _read_tool_result(source, where, cache, foreign)
    foreign.append(where + "type")
    return None


def _read_citations(source: Json, where: str) -> tuple[Citation, ...]:
    citations = maybe(source, "citations", array, where) or ()
    return tuple(read_citation(mapping(cited, where + "citations")) for cited in citations)


def read_citation(source: Json) -> Citation:
    """Read where words come from; the place itself stays as Anthropic named it."""
    url, title, quoted = (source.get(name) for name in ("url", "title", "cited_text"))
    return Citation(
        url if type(url) is str else None,
        title if type(title) is str else None,
        quoted if type(quoted) is str else None,
        source=source,
    )


def _read_image(source: Json, where: str, cache: CacheMark | None, foreign: list[str]) -> Image | None:
    match need(source, "type", string, where):
        case "base64":
            media_type = need(source, "media_type", string, where)
            return Image(data=need(source, "data", string, where), media_type=media_type, cache=cache)
        case "url":
            return Image(url=need(source, "url", string, where), cache=cache)
    foreign.append(where + "type")
    return None


def _read_document(
    source: Json, where: str, name: str | None, cache: CacheMark | None, foreign: list[str]
) -> File | None:
    match need(source, "type", string, where):
        case "base64":
            media_type = need(source, "media_type", string, where)
            return File(data=need(source, "data", string, where), media_type=media_type, name=name, cache=cache)
        case "url":
            return File(url=need(source, "url", string, where), name=name, cache=cache)
        case "file":
            return File(file_id=need(source, "file_id", string, where), name=name, cache=cache)
    foreign.append(where + "type")
    return None


def _read_thinking(source: Json, where: str, foreign: list[str]) -> Thinking:
    if source["type"] == "redacted_thinking":
        foreign += strangers(source, {"type", "data"}, where)
        return Thinking(redacted=need(source, "data", string, where))
    foreign += strangers(source, {"type", "thinking", "signature"}, where)
    return Thinking(need(source, "thinking", string, where), maybe(source, "signature", string, where) or None)


def _read_tool_result(source: Json, where: str, cache: CacheMark | None, foreign: list[str]) -> ToolResult:
    foreign += strangers(source, {"type", "tool_use_id", "content", "is_error", "cache_control"}, where)
    content = source.get("content")
    parts = () if content is None else _read_content(content, where + "content", foreign)
    is_error = maybe(source, "is_error", boolean, where) or False
    return ToolResult(need(source, "tool_use_id", string, where), parts, is_error, cache)


def _read_tools(source: Json, foreign: list[str]) -> tuple[tuple[Tool, ...], tuple[str, ...]]:
    tools, server_tools = [], []
    for index, item in enumerate(maybe(source, "tools", array) or ()):
        where = f"tools[{index}]."
        tool = mapping(item, where[:-1])
        if (tool.get("type") or "custom") != "custom":
            server_tools.append(string(tool["type"], where + "type"))
            foreign.append(where + "type")
            continue
        foreign += strangers(tool, {"type", "name", "description", "input_schema", "strict", "cache_control"}, where)
        tools.append(
            Tool(
                need(tool, "name", string, where),
                maybe(tool, "description", string, where),
                need(tool, "input_schema", mapping, where),
                maybe(tool, "strict", boolean, where),
                _read_cache(tool, where),
            )
        )
    return tuple(tools), tuple(server_tools)


def _read_tool_choice(source: Json, foreign: list[str]) -> tuple[ToolChoice | None, bool | None]:
    choice = maybe(source, "tool_choice", mapping)
    if choice is None:
        return None, None
    where = "tool_choice."
    foreign += strangers(choice, {"type", "name", "disable_parallel_tool_use"}, where)
    mode = CHOICES[one_of(choice.get("type"), CHOICES, where + "type")]
    name = need(choice, "name", string, where) if mode == "one" else None
    alone = maybe(choice, "disable_parallel_tool_use", boolean, where)
    return ToolChoice(cast("Any", mode), name), None if alone is None else not alone


def _read_format(output: Json, foreign: list[str]) -> Format | None:
    asked = maybe(output, "format", mapping, "output_config.")
    if asked is None:
        return None
    if asked.get("type") != "json_schema":
        foreign.append("output_config.format.type")
        return None
    return Format("schema", need(asked, "schema", mapping, "output_config.format."))


def _read_reasoning(source: Json, output: Json, foreign: list[str]) -> Reasoning | None:
    effort = maybe(output, "effort", string, "output_config.")
    if effort is not None:
        one_of(effort, EFFORTS, "output_config.effort")
    thinking = maybe(source, "thinking", mapping)
    if thinking is None:
        return None if effort is None else Reasoning(cast("Effort", effort))
    foreign += strangers(thinking, {"type", "budget_tokens", "display"}, "thinking.")
    kind = one_of(thinking.get("type"), THINKING, "thinking.type")
    if kind == "between_tools" or (kind == "disabled" and effort is not None):
        foreign.append("thinking.type")
    if kind == "disabled":
        return Reasoning("none")
    display = maybe(thinking, "display", string, "thinking.")
    return Reasoning(
        cast("Effort | None", effort),
        need(thinking, "budget_tokens", whole, "thinking.") if kind == "enabled" else None,
        adaptive=kind == "adaptive",
        summary=None if display is None else SUMMARIES[one_of(display, SUMMARIES, "thinking.display")],
    )
