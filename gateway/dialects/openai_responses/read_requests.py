"""Reading requests to Responses.

A conversation is a flat list of items here; items of the assistant that follow each other are one turn. What is kept
on OpenAI's side (stored answers, conversations, prompts) is foreign; `store: false` asks for nothing anybody else does.
"""

from typing import Any, cast

from gateway.dialects.media import media_type_of_format, read_data_url
from gateway.dialects.neutral import (
    Audio,
    Citation,
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
from gateway.dialects.openai_chat.read_requests import CHOICE_WORDS, EFFORTS, FORMATS, read_metadata
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
)

FIELDS = frozenset(
    "model input instructions stream max_output_tokens temperature top_p tools tool_choice parallel_tool_calls text "
    "reasoning metadata user service_tier store include prompt_cache_key".split()
)
SATISFIED = frozenset({"reasoning.encrypted_content"})
SUMMARIES = frozenset({"auto", "concise", "detailed"})
ROLES = frozenset({"system", "developer", "user", "assistant"})
PARAGRAPH = "\n\n"


def read_request(body: bytes) -> Request:
    """Read a client's body."""
    source = members(body)
    foreign = strangers(source, FIELDS)
    if maybe(source, "store", boolean):
        foreign.append("store")
    if not SATISFIED.issuperset(string(item, "include") for item in maybe(source, "include", array) or ()):
        foreign.append("include")
    tools, server_tools = _read_tools(source, foreign)
    limit = maybe(source, "max_output_tokens", whole)
    if limit == 0:
        refuse("max_output_tokens", "at least 1")
    instructions = maybe(source, "instructions", string)
    leading = (Message("system", (Text(instructions),)),) if instructions else ()
    return Request(
        model=need(source, "model", string),
        messages=leading + _read_input(need(source, "input", _any), foreign),
        stream=maybe(source, "stream", boolean) or False,
        max_output_tokens=limit,
        temperature=maybe(source, "temperature", number),
        top_p=maybe(source, "top_p", number),
        tools=tools,
        server_tools=server_tools,
        tool_choice=_read_tool_choice(source.get("tool_choice"), foreign),
        parallel_tool_calls=maybe(source, "parallel_tool_calls", boolean),
        format=_read_format(source, foreign),
        reasoning=_read_reasoning(source, foreign),
        service_tier=maybe(source, "service_tier", string),
        user=maybe(source, "user", string),
        metadata=read_metadata(source) or None,
        cache_key=maybe(source, "prompt_cache_key", string),
        foreign=tuple(foreign),
    )


def _any(value: Any, where: str) -> Any:
    return value


def _read_input(source: Any, foreign: list[str]) -> tuple[Message, ...]:
    if type(source) is str:
        return (Message("user", (Text(source),)),)
    messages: list[Message] = []
    if not array(source, "input"):
        refuse("input", "a string or a list of at least one item")
    for index, item in enumerate(source):
        where = f"input[{index}]."
        message = _read_item(mapping(item, where[:-1]), where, foreign)
        if message is None:
            continue
        last = messages[-1] if messages else None
        if last is not None and last.role == message.role and message.role in {"assistant", "tool"}:
            messages[-1] = Message(last.role, last.parts + message.parts)
        else:
            messages.append(message)
    return tuple(messages)


def _read_item(source: Json, where: str, foreign: list[str]) -> Message | None:
    match source.get("type") or "message":
        case "message":
            return _read_message(source, where, foreign)
        case "function_call":
            foreign += strangers(source, {"type", "id", "call_id", "name", "arguments", "status"}, where)
            name, arguments = need(source, "name", string, where), need(source, "arguments", string, where)
            return Message("assistant", (ToolCall(need(source, "call_id", string, where), name, arguments),))
        case "function_call_output":
            foreign += strangers(source, {"type", "id", "call_id", "output", "status"}, where)
            output = _read_content(need(source, "output", _any, where), where + "output", foreign)
            return Message("tool", (ToolResult(need(source, "call_id", string, where), output),))
        case "reasoning":
            foreign += strangers(source, {"type", "id", "summary", "content", "encrypted_content", "status"}, where)
            return Message("assistant", (_read_reasoning_item(source, where),))
    foreign.append(where + "type")
    return None


def _read_reasoning_item(source: Json, where: str) -> Thinking:
    pieces = maybe(source, "summary", array, where) or maybe(source, "content", array, where) or ()
    texts = [need(mapping(piece, where + "summary"), "text", string, where + "summary.") for piece in pieces]
    return Thinking(PARAGRAPH.join(texts), maybe(source, "encrypted_content", string, where))


def _read_message(source: Json, where: str, foreign: list[str]) -> Message:
    foreign += strangers(source, {"type", "id", "role", "content", "status"}, where)
    role = one_of(source.get("role"), ROLES, where + "role")
    return Message(cast("Role", role), _read_content(need(source, "content", _any, where), where + "content", foreign))


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
    match need(source, "type", string, where):
        case "input_text" | "output_text" | "text":
            foreign += strangers(source, {"type", "text", "annotations", "logprobs"}, where)
            notes = maybe(source, "annotations", array, where) or ()
            citations = tuple(read_citation(mapping(note, where + "annotations")) for note in notes)
            return Text(need(source, "text", string, where), citations=citations)
        case "input_image":
            foreign += strangers(source, {"type", "image_url", "detail"}, where)
            return _read_image(need(source, "image_url", string, where), where, maybe(source, "detail", string, where))
        case "input_file":
            foreign += strangers(source, {"type", "file_id", "file_data", "file_url", "filename"}, where)
            return _read_file(source, where)
        case "input_audio":
            sound = need(source, "input_audio", mapping, where)
            sound_type = media_type_of_format(need(sound, "format", string, where + "input_audio."))
            return Audio(need(sound, "data", string, where + "input_audio."), sound_type)
        case "refusal":
            return Refusal(need(source, "refusal", string, where))
    foreign.append(where + "type")
    return None


def read_citation(source: Json) -> Citation:
    """Read a note that names a page on the web; any other place stays as OpenAI named it."""
    url, title, start, end = (source.get(name) for name in ("url", "title", "start_index", "end_index"))
    return Citation(
        url if type(url) is str else None,
        title if type(title) is str else None,
        start=start if type(start) is int else None,
        end=end if type(end) is int else None,
        source=None if source.get("type") == "url_citation" else source,
    )


def _read_image(url: str, where: str, detail: str | None) -> Image:
    inline = read_data_url(url, where + "image_url")
    return Image(data=inline[1], media_type=inline[0], detail=detail) if inline else Image(url=url, detail=detail)


def _read_file(source: Json, where: str) -> File:
    name, data = maybe(source, "filename", string, where), maybe(source, "file_data", string, where)
    inline = read_data_url(data, where + "file_data") if data else None
    if inline:
        return File(data=inline[1], media_type=inline[0], name=name)
    url, file_id = maybe(source, "file_url", string, where), maybe(source, "file_id", string, where)
    return File(url=url, data=data, file_id=file_id, name=name)


def _read_tools(source: Json, foreign: list[str]) -> tuple[tuple[Tool, ...], tuple[str, ...]]:
    tools, server_tools = [], []
    for index, item in enumerate(maybe(source, "tools", array) or ()):
        where = f"tools[{index}]."
        tool = mapping(item, where[:-1])
        kind = need(tool, "type", string, where)
        if kind != "function":
            is_cached = tool.get("external_web_access") is False  # of what the provider keeps, as coding agents ask
            server_tools.append(f"cached {kind}" if is_cached else kind)
            foreign.append(where + "type")
            continue
        foreign += strangers(tool, {"type", "name", "description", "parameters", "strict"}, where)
        tools.append(
            Tool(
                need(tool, "name", string, where),
                maybe(tool, "description", string, where),
                maybe(tool, "parameters", mapping, where),
                maybe(tool, "strict", boolean, where),
            )
        )
    return tuple(tools), tuple(server_tools)


def _read_tool_choice(choice: Any, foreign: list[str]) -> ToolChoice | None:
    if choice is None:
        return None
    if type(choice) is str:
        return ToolChoice(cast("Any", CHOICE_WORDS[one_of(choice, CHOICE_WORDS, "tool_choice")]))
    if mapping(choice, "tool_choice").get("type") != "function":
        foreign.append("tool_choice.type")
        return None
    return ToolChoice("one", need(choice, "name", string, "tool_choice."))


def _read_format(source: Json, foreign: list[str]) -> Format | None:
    text = maybe(source, "text", mapping) or {}
    foreign += strangers(text, {"format"}, "text.")
    asked = maybe(text, "format", mapping, "text.")
    if asked is None:
        return None
    where = "text.format."
    kind = FORMATS[one_of(asked.get("type"), FORMATS, where + "type")]
    if kind != "schema":
        return Format(cast("Any", kind))
    return Format(
        "schema",
        need(asked, "schema", mapping, where),
        need(asked, "name", string, where),
        maybe(asked, "description", string, where),
        maybe(asked, "strict", boolean, where),
    )


def _read_reasoning(source: Json, foreign: list[str]) -> Reasoning | None:
    asked = maybe(source, "reasoning", mapping) or {}
    foreign += strangers(asked, {"effort", "summary"}, "reasoning.")
    effort, summary = asked.get("effort"), asked.get("summary")
    if effort is None and summary is None:
        return None
    if effort is not None:
        one_of(effort, EFFORTS, "reasoning.effort")
    if summary is not None:
        one_of(summary, SUMMARIES, "reasoning.summary")
    return Reasoning(cast("Effort | None", effort), summary=summary)
