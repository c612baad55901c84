"""Reading requests to generateContent.

Members may be spelled in camel or snake case, as Google's own servers allow. Calls and results of functions carry no
ids with older models: a call then gets one by its position, and a result belongs to the first call of its name that
still waits for one.
"""

from typing import Any, cast

from gateway.dialects.neutral import (
    Audio,
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
    written_text,
)

FIELDS = frozenset({"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "model"})
SETTINGS = frozenset(
    "temperature topP topK candidateCount maxOutputTokens stopSequences seed presencePenalty frequencyPenalty "
    "responseMimeType responseSchema responseJsonSchema responseModalities thinkingConfig".split()
)
PART_FIELDS = frozenset("text thought thoughtSignature inlineData fileData functionCall functionResponse".split())
LEVELS = frozenset({"minimal", "low", "medium", "high"})
MODES = {"AUTO": "auto", "ANY": "any", "NONE": "none", "VALIDATED": "auto"}
ROLES = frozenset({"user", "model", "function", "system"})
MADE_UP = "gemini_call_"


def camel(source: Json) -> Json:
    """Spell the members of an object in camel case."""
    if not any("_" in name for name in source):
        return source
    return {_camel_word(name): value for name, value in source.items()}


def _camel_word(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other[:1].upper() + other[1:] for other in others)


def count(value: Any, where: str) -> int:
    """Take a whole number that may be written as 10.0, as Google's clients do."""
    return whole(int(value) if type(value) is float and value.is_integer() else value, where)


def read_request(body: bytes, *, model: str = "", stream: bool = False) -> Request:
    """Read a client's body; model and stream stand in the address."""
    return _read(camel(members(body)), model=model, stream=stream)


def read_count_request(body: bytes, *, model: str = "") -> Request:
    """Read a body for counting tokens: the turns alone, or a whole request inside."""
    source = camel(members(body))
    return _read(camel(maybe(source, "generateContentRequest", mapping) or source), model=model, stream=False)


def _read(source: Json, *, model: str, stream: bool) -> Request:
    foreign = strangers(source, FIELDS)
    settings = camel(maybe(source, "generationConfig", mapping) or {})
    foreign += strangers(settings, SETTINGS, "generationConfig.")
    choice, is_strict = _read_tool_choice(source, foreign)
    tools, server_tools = _read_tools(source, foreign, is_strict=is_strict)
    where = "generationConfig."
    modalities = maybe(settings, "responseModalities", array, where)
    if modalities is not None and [str(modality).upper() for modality in modalities] != ["TEXT"]:
        foreign.append(where + "responseModalities")
    stops = maybe(settings, "stopSequences", array, where) or ()
    return Request(
        model=model or need(source, "model", string),
        messages=_read_system(source, foreign) + _read_contents(need(source, "contents", array), foreign),
        stream=stream,
        max_output_tokens=_read_limit(settings),
        temperature=maybe(settings, "temperature", number, where),
        top_p=maybe(settings, "topP", number, where),
        top_k=maybe(settings, "topK", count, where),
        frequency_penalty=maybe(settings, "frequencyPenalty", number, where),
        presence_penalty=maybe(settings, "presencePenalty", number, where),
        seed=maybe(settings, "seed", any_whole, where),
        stop=tuple(string(stop, f"{where}stopSequences[{i}]") for i, stop in enumerate(stops)),
        n=maybe(settings, "candidateCount", count, where),
        tools=tools,
        server_tools=server_tools,
        tool_choice=choice,
        format=_read_format(settings),
        reasoning=_read_reasoning(settings, foreign),
        foreign=tuple(foreign),
    )


def _read_limit(settings: Json) -> int | None:
    limit = maybe(settings, "maxOutputTokens", count, "generationConfig.")
    if limit == 0:
        refuse("generationConfig.maxOutputTokens", "at least 1")
    return limit


def _read_system(source: Json, foreign: list[str]) -> tuple[Message, ...]:
    system = source.get("systemInstruction")
    if system is None:
        return ()
    if type(system) is str:
        return (Message("system", (Text(system),)),)
    calls = _Calls()
    items = _items(mapping(system, "systemInstruction"), "parts", "systemInstruction.")
    parts = [
        part
        for i, item in enumerate(items)
        for part in _read_part(item, f"systemInstruction.parts[{i}].", calls, foreign)
    ]
    return (Message("system", tuple(parts)),) if parts else ()


def _items(source: Json, name: str, where: str) -> list[Json]:
    value = source.get(name)
    if type(value) is dict:
        value = [value]
    return [mapping(item, f"{where}{name}[{i}]") for i, item in enumerate(array(value or [], where + name))]


class _Calls:
    """Which function calls still wait for their result."""

    def __init__(self) -> None:
        self._waiting: list[tuple[str, str]] = []
        self._number = 0

    def began(self, name: str, call_id: str | None) -> str:
        self._number += 1
        call_id = call_id or f"{MADE_UP}{self._number}"
        self._waiting.append((name, call_id))
        return call_id

    def answered(self, name: str, call_id: str | None) -> str:
        for pair in self._waiting:
            if call_id == pair[1] or (call_id is None and pair[0] == name):
                self._waiting.remove(pair)
                return pair[1]
        self._number += 1
        return call_id or f"{MADE_UP}{self._number}"


def _read_contents(source: list[Any], foreign: list[str]) -> tuple[Message, ...]:
    if not source:
        refuse("contents", "a list of at least one turn")
    calls = _Calls()
    messages: list[Message] = []
    for index, item in enumerate(source):
        where = f"contents[{index}]."
        content = mapping(item, where[:-1])
        foreign += strangers(content, {"role", "parts"}, where)
        role = one_of(content.get("role") or "user", ROLES, where + "role")
        items = _items(content, "parts", where)
        parts = [
            part for i, item in enumerate(items) for part in _read_part(item, f"{where}parts[{i}].", calls, foreign)
        ]
        messages += _turns("assistant" if role == "model" else "system" if role == "system" else "user", parts)
    return tuple(messages)


def _turns(role: str, parts: list[Part]) -> list[Message]:
    if role == "assistant":
        return [Message("assistant", _joined_thoughts(parts))]
    results = tuple(part for part in parts if isinstance(part, ToolResult))
    others = tuple(part for part in parts if not isinstance(part, ToolResult))
    turns = [Message("tool", results)] if results else []
    return turns + ([Message(cast("Any", role), others)] if others or not results else [])


def _joined_thoughts(parts: list[Part]) -> tuple[Part, ...]:
    joined: list[Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if (
            isinstance(part, Thinking)
            and isinstance(last, Thinking)
            and last.text
            and not last.signature
            and not part.text
        ):
            joined[-1] = Thinking(last.text, part.signature)
        else:
            joined.append(part)
    return tuple(joined)


def _read_part(source: Json, where: str, calls: _Calls, foreign: list[str]) -> list[Part]:
    part = camel(source)
    foreign += strangers(part, PART_FIELDS, where)
    signature = maybe(part, "thoughtSignature", string, where)
    if maybe(part, "thought", boolean, where):
        return [Thinking(maybe(part, "text", string, where) or "", signature)]
    signed: list[Part] = [Thinking(signature=signature)] if signature else []
    if part.get("text") is not None:
        text = string(part["text"], where + "text")
        return [*signed, Text(text)] if text or not signed else signed
    if part.get("inlineData") is not None:
        return [*signed, _read_inline(camel(mapping(part["inlineData"], where + "inlineData")), where + "inlineData.")]
    if part.get("fileData") is not None:
        return [*signed, _read_file(camel(mapping(part["fileData"], where + "fileData")), where + "fileData.")]
    if part.get("functionCall") is not None:
        return [
            *signed,
            _read_call(mapping(part["functionCall"], where + "functionCall"), where + "functionCall.", calls),
        ]
    if part.get("functionResponse") is not None:
        return [_read_result(mapping(part["functionResponse"], where + "functionResponse"), where, calls, foreign)]
    return signed


def _read_inline(source: Json, where: str) -> Part:
    media_type, data = need(source, "mimeType", string, where), need(source, "data", string, where)
    if media_type.startswith("image/"):
        return Image(data=data, media_type=media_type)
    if media_type.startswith("audio/"):
        return Audio(data, media_type)
    return File(data=data, media_type=media_type, name=maybe(source, "displayName", string, where))


def _read_file(source: Json, where: str) -> Part:
    url, media_type = need(source, "fileUri", string, where), maybe(source, "mimeType", string, where)
    if media_type and media_type.startswith("image/"):
        return Image(url=url, media_type=media_type)
    return File(url=url, media_type=media_type, name=maybe(source, "displayName", string, where))


def _read_call(source: Json, where: str, calls: _Calls) -> ToolCall:
    name = need(source, "name", string, where)
    call_id = calls.began(name, maybe(source, "id", string, where))
    return ToolCall(call_id, name, written_text(maybe(source, "args", mapping, where) or {}))


def _read_result(source: Json, where: str, calls: _Calls, foreign: list[str]) -> ToolResult:
    where += "functionResponse."
    foreign += strangers(source, {"id", "name", "response", "parts"}, where)
    call_id = calls.answered(need(source, "name", string, where), maybe(source, "id", string, where))
    response = maybe(source, "response", mapping, where) or {}
    is_error = response.keys() == {"error"} and type(response["error"]) is str
    plain = response.get("error" if is_error else "output")
    text = plain if type(plain) is str and len(response) == 1 else written_text(response)
    items = _items(source, "parts", where)
    media = [part for i, item in enumerate(items) for part in _read_part(item, f"{where}parts[{i}].", calls, foreign)]
    return ToolResult(call_id, (Text(text), *media), is_error)


def _read_tools(source: Json, foreign: list[str], *, is_strict: bool) -> tuple[tuple[Tool, ...], tuple[str, ...]]:
    tools: list[Tool] = []
    server_tools: list[str] = []
    for index, item in enumerate(_items(source, "tools", "")):
        where = f"tools[{index}]."
        tool = camel(item)
        for name in tool:
            if name != "functionDeclarations" and tool[name] is not None:
                server_tools.append(name)
                foreign.append(where + name)
        for i, declared in enumerate(_items(tool, "functionDeclarations", where)):
            tools.append(
                _read_function(camel(declared), f"{where}functionDeclarations[{i}].", foreign, is_strict=is_strict)
            )
    return tuple(tools), tuple(server_tools)


def _read_function(source: Json, where: str, foreign: list[str], *, is_strict: bool) -> Tool:
    foreign += strangers(source, {"name", "description", "parameters", "parametersJsonSchema"}, where)
    schema = maybe(source, "parametersJsonSchema", mapping, where)
    if schema is None:
        googles = maybe(source, "parameters", mapping, where)
        schema = None if googles is None else json_schema(googles)
    strict = True if is_strict else None
    return Tool(need(source, "name", string, where), maybe(source, "description", string, where), schema, strict)


def json_schema(schema: Any) -> Any:
    """Turn Google's schema, with types in capitals and `nullable`, into the JSON Schema everyone else reads."""
    if type(schema) is list:
        return [json_schema(item) for item in schema]
    if type(schema) is not dict:
        return schema
    out = {name: json_schema(value) for name, value in schema.items()}
    if type(out.get("type")) is str:
        out["type"] = out["type"].lower()
        if out.get("nullable") is True:
            out["type"] = [out["type"], "null"]
    if type(out.get("nullable")) is bool:
        del out["nullable"]
    return out


def _read_tool_choice(source: Json, foreign: list[str]) -> tuple[ToolChoice | None, bool]:
    config = camel(maybe(source, "toolConfig", mapping) or {})
    foreign += strangers(config, {"functionCallingConfig"}, "toolConfig.")
    calling = camel(maybe(config, "functionCallingConfig", mapping, "toolConfig.") or {})
    if calling.get("mode") is None:
        return None, False
    where = "toolConfig.functionCallingConfig."
    mode = one_of(str(calling["mode"]).upper(), MODES, where + "mode")
    names = maybe(calling, "allowedFunctionNames", array, where) or []
    if len(names) == 1 and mode == "ANY":
        return ToolChoice("one", string(names[0], where + "allowedFunctionNames[0]")), False
    if names:
        foreign.append(where + "allowedFunctionNames")
    return ToolChoice(cast("Any", MODES[mode])), mode == "VALIDATED"


def _read_format(settings: Json) -> Format | None:
    where = "generationConfig."
    kind = maybe(settings, "responseMimeType", string, where)
    schema = maybe(settings, "responseJsonSchema", mapping, where)
    if schema is None:
        googles = maybe(settings, "responseSchema", mapping, where)
        schema = None if googles is None else json_schema(googles)
    if schema is not None:
        return Format("schema", schema)
    if kind is None or kind == "text/plain":
        return None
    if kind != "application/json":
        refuse(where + "responseMimeType", "application/json or text/plain")
    return Format("json")


def _read_reasoning(settings: Json, foreign: list[str]) -> Reasoning | None:
    where = "generationConfig.thinkingConfig."
    config = camel(maybe(settings, "thinkingConfig", mapping, "generationConfig.") or {})
    foreign += strangers(config, {"thinkingBudget", "thinkingLevel", "includeThoughts"}, where)
    budget = maybe(config, "thinkingBudget", any_whole, where)
    level = maybe(config, "thinkingLevel", string, where)
    shown = maybe(config, "includeThoughts", boolean, where)
    if level is not None:
        level = one_of(level.lower(), LEVELS, where + "thinkingLevel")
    if budget is None and level is None and not shown:
        return None
    if budget is not None and budget < -1:
        refuse(where + "thinkingBudget", "-1 or more")
    return Reasoning(
        "none" if budget == 0 else cast("Effort | None", level),
        budget if budget is not None and budget > 0 else None,
        adaptive=budget == -1,
        summary="auto" if shown else None,
    )
