"""Writing requests to messages: what another dialect's client asked, in Anthropic's words."""

from typing import Any

from gateway.dialects.expressing import described, inexpressible, refuse_unexpressed, set_members
from gateway.dialects.neutral import (
    CacheMark,
    Citation,
    File,
    Format,
    Image,
    Json,
    Message,
    Part,
    Reasoning,
    Refusal,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    joined_text,
)
from gateway.dialects.reading import call_arguments, written

LABEL = "Anthropic messages"
LIMIT_WHEN_NONE_WAS_SAID = 4096  # the dialect demands a limit; the gateway grants one long before this line is reached
HIGHEST_TEMPERATURE = 1
UNEXPRESSED = ("frequency_penalty", "presence_penalty", "seed", "logprobs", "top_logprobs", "metadata", "cache_key")
CHOICES = {"auto": "auto", "any": "any", "none": "none", "one": "tool"}
TIERS = {"auto": "auto", "default": "standard_only"}
EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})
NO_PARAMETERS: Json = {"type": "object", "properties": {}}


def write_request(request: Request) -> bytes:
    """Write a provider's body."""
    refuse_unexpressed(request, UNEXPRESSED, to=LABEL)
    _refuse_values(request)
    leading = _leading_system(request.messages)
    thinking, effort = _write_reasoning(request.reasoning)
    output = set_members(effort=effort, format=_write_format(request.format))
    return written(
        {
            "model": request.model,
            "max_tokens": request.max_output_tokens or LIMIT_WHEN_NONE_WAS_SAID,
            **set_members(system=_write_system(request.messages[:leading])),
            "messages": _write_messages(request.messages[leading:]),
            **({"stream": True} if request.stream else {}),
            **set_members(
                temperature=request.temperature,
                top_p=request.top_p,
                top_k=request.top_k,
                stop_sequences=list(request.stop) or None,
                tools=[_write_tool(tool) for tool in request.tools] or None,
                tool_choice=_write_tool_choice(request),
                thinking=thinking,
                output_config=output or None,
                service_tier=TIERS.get(request.service_tier or ""),
                metadata=None if request.user is None else {"user_id": request.user},
                cache_control=_write_cache(request.cache),
            ),
        }
    )


def _refuse_values(request: Request) -> None:
    if request.n is not None and request.n > 1:
        inexpressible("n", to=LABEL)
    if request.temperature is not None and request.temperature > HIGHEST_TEMPERATURE:
        inexpressible("temperature", to=LABEL)
    if request.service_tier is not None and request.service_tier not in TIERS:
        inexpressible("service_tier", to=LABEL)


def _leading_system(messages: tuple[Message, ...]) -> int:
    for index, message in enumerate(messages):
        if message.role not in {"system", "developer"}:
            return index
    return len(messages)


def _write_cache(mark: CacheMark | None) -> Json | None:
    if mark is None:
        return None
    return {"type": "ephemeral"} if mark == "5m" else {"type": "ephemeral", "ttl": mark}


def _write_system(messages: tuple[Message, ...]) -> Any:
    parts = tuple(part for message in messages for part in message.parts)
    if not parts:
        return None
    return _write_content(parts, "system")


def _write_messages(messages: tuple[Message, ...]) -> list[Json]:
    wires: list[Json] = []
    previous = None
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if message.name is not None:
            inexpressible(where + ".name", to=LABEL)
        role = {"tool": "user", "developer": "system"}.get(message.role, message.role)
        if message.role == "user" and previous == "tool":
            wires[-1]["content"] += [_write_part(part, where) for part in message.parts]
        else:
            wires.append({"role": role, "content": _write_content(message.parts, where)})
        previous = message.role
    return wires


def _write_content(parts: tuple[Part, ...], where: str) -> str | list[Json]:
    text = joined_text(parts) if len(parts) == 1 else None
    return text or [_write_part(part, where) for part in parts]


def _write_part(part: Part, where: str) -> Json:
    match part:
        case Text():
            said = set_members(cache_control=_write_cache(part.cache))
            citations = [_write_citation(citation) for citation in part.citations]
            return {"type": "text", "text": part.text, **said, **({"citations": citations} if citations else {})}
        case Refusal():
            return {"type": "text", "text": part.text}
        case Thinking():
            if part.redacted is not None:
                return {"type": "redacted_thinking", "data": part.redacted}
            return {"type": "thinking", "thinking": part.text, "signature": part.signature or ""}
        case Image():
            return _write_image(part)
        case File():
            return _write_document(part)
        case ToolCall():
            said = set_members(cache_control=_write_cache(part.cache))
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": call_arguments(part), **said}
        case ToolResult():
            return _write_tool_result(part, where)
    inexpressible(f"{where}.{type(part).__name__.lower()}", to=LABEL)


def _write_citation(citation: Citation) -> Json:
    if citation.source is None:
        inexpressible("citations", to=LABEL)
    return citation.source


def _write_image(part: Image) -> Json:
    if part.detail not in {None, "auto"}:
        inexpressible("image_url.detail", to=LABEL)
    source = (
        {"type": "url", "url": part.url}
        if part.url is not None
        else {"type": "base64", "media_type": part.media_type or "image/png", "data": part.data}
    )
    return {"type": "image", "source": source, **set_members(cache_control=_write_cache(part.cache))}


def _write_document(part: File) -> Json:
    if part.file_id is not None:
        source: Json = {"type": "file", "file_id": part.file_id}
    elif part.url is not None:
        source = {"type": "url", "url": part.url}
    else:
        source = {"type": "base64", "media_type": part.media_type or "application/pdf", "data": part.data}
    return {
        "type": "document",
        "source": source,
        **set_members(title=part.name, cache_control=_write_cache(part.cache)),
    }


def _write_tool_result(part: ToolResult, where: str) -> Json:
    said: Json = {"is_error": True} if part.is_error else {}
    if part.content:
        said["content"] = _write_content(part.content, where)
    return {
        "type": "tool_result",
        "tool_use_id": part.call_id,
        **said,
        **set_members(cache_control=_write_cache(part.cache)),
    }


def _write_tool(tool: Tool) -> Json:
    schema = NO_PARAMETERS if tool.parameters is None else tool.parameters
    said = set_members(description=tool.description, strict=tool.strict, cache_control=_write_cache(tool.cache))
    return {"name": tool.name, "input_schema": schema, **said}


def _write_tool_choice(request: Request) -> Json | None:
    choice, parallel = request.tool_choice, request.parallel_tool_calls
    if choice is None:
        if parallel is None or not request.tools:
            return None
        choice = ToolChoice("auto")
    alone = None if parallel is None or choice.mode == "none" else not parallel
    return {"type": CHOICES[choice.mode], **set_members(name=choice.name, disable_parallel_tool_use=alone)}


def _write_format(asked: Format | None) -> Json | None:
    if asked is None or asked.kind == "text":
        return None
    if asked.kind == "json" or asked.schema is None:
        inexpressible("response_format.type", to=LABEL)
    return {"type": "json_schema", "schema": described(asked.schema, asked.description)}


def _write_reasoning(reasoning: Reasoning | None) -> tuple[Json | None, str | None]:
    if reasoning is None:
        return None, None
    if reasoning.effort == "none":
        return {"type": "disabled"}, None
    if reasoning.effort is not None and reasoning.effort not in EFFORTS:
        inexpressible("reasoning_effort", to=LABEL)
    display = {None: None, "omitted": "omitted"}.get(reasoning.summary, "summarized")
    if reasoning.budget_tokens is not None:
        budget = reasoning.budget_tokens
        return {"type": "enabled", "budget_tokens": budget, **set_members(display=display)}, reasoning.effort
    if reasoning.adaptive or display is not None:
        return {"type": "adaptive", **set_members(display=display)}, reasoning.effort
    return None, reasoning.effort
