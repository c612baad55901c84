"""Writing chat completion requests: what another dialect's client asked, in the words most hosts speak."""

from typing import Any

from gateway.dialects.expressing import inexpressible, refuse_unexpressed, set_members
from gateway.dialects.media import data_url, sound_format
from gateway.dialects.neutral import (
    Audio,
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
    marked,
)
from gateway.dialects.reading import written

LABEL = "chat completions"
CHOICE_WORDS = {"auto": "auto", "none": "none", "any": "required"}
FORMATS = {"text": "text", "json": "json_object", "schema": "json_schema"}
UNEXPRESSED = ("top_k",)


def write_request(request: Request) -> bytes:
    """Write a provider's body; a stream always asks for usage."""
    refuse_unexpressed(request, UNEXPRESSED, to=LABEL)
    if marked(request):
        inexpressible("cache_control", to=LABEL)
    stream = {"stream": True, "stream_options": {"include_usage": True}} if request.stream else {}
    return written(
        {
            "model": request.model,
            "messages": [wire for message in request.messages for wire in _write_message(message)],
            **stream,
            **set_members(
                max_completion_tokens=request.max_output_tokens,
                temperature=request.temperature,
                top_p=request.top_p,
                frequency_penalty=request.frequency_penalty,
                presence_penalty=request.presence_penalty,
                seed=request.seed,
                stop=list(request.stop) or None,
                n=request.n,
                logprobs=request.logprobs,
                top_logprobs=request.top_logprobs,
                tools=[_write_tool(tool) for tool in request.tools] or None,
                tool_choice=_write_tool_choice(request.tool_choice),
                parallel_tool_calls=request.parallel_tool_calls,
                response_format=_write_format(request.format),
                reasoning_effort=_write_effort(request.reasoning),
                service_tier=request.service_tier,
                user=request.user,
                metadata=request.metadata,
                prompt_cache_key=request.cache_key,
            ),
        }
    )


def _write_message(message: Message) -> list[Json]:
    if message.role == "tool":
        return [_write_tool_result(part) for part in message.parts if isinstance(part, ToolResult)]
    wire: Json = {"role": message.role, **set_members(name=message.name)}
    if message.role == "assistant":
        return [wire | _write_assistant(message.parts)]
    text = joined_text(message.parts) if len(message.parts) == 1 else None
    return [wire | {"content": [_write_part(part) for part in message.parts] if text is None else text}]


def _write_tool_result(result: ToolResult) -> Json:
    for part in result.content:
        if not isinstance(part, Text):
            inexpressible("tool_result.content", to=LABEL)
    texts = [part.text for part in result.content if isinstance(part, Text)]
    if result.is_error and not "".join(texts).lower().startswith("error"):
        texts = ["Error: ", *texts]  # the dialect has no flag for a tool that failed, only words
    content: Any = texts[0] if len(texts) == 1 else [{"type": "text", "text": text} for text in texts]
    return {"role": "tool", "tool_call_id": result.call_id, "content": "".join(texts) if result.is_error else content}


def _write_assistant(parts: tuple[Part, ...]) -> Json:
    words = tuple(part for part in parts if isinstance(part, (Text, Image, Audio, File)))
    calls = [part for part in parts if isinstance(part, ToolCall)]
    refusal = "".join(part.text for part in parts if isinstance(part, Refusal))
    text = joined_text(words) if len(words) <= 1 else None
    wire: Json = {"content": (text or None) if text is not None else [_write_part(part) for part in words]}
    if refusal:
        wire["refusal"] = refusal
    if calls:
        wire["tool_calls"] = [_write_call(call) for call in calls]
    return wire | write_thinking(parts)


def _write_call(call: ToolCall) -> Json:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def write_thinking(parts: tuple[Part, ...]) -> Json:
    """Write reasoning where chat hosts keep it: words for all, details for what must come back signed."""
    details: list[Json] = []
    for part, following in zip(parts, (*parts, None)[1:], strict=True):
        if not isinstance(part, Thinking):
            continue
        if part.redacted is not None:
            details.append({"type": "reasoning.encrypted", "data": part.redacted})
        elif not part.text and isinstance(following, ToolCall):
            details.append({"type": "reasoning.encrypted", "data": part.signature, "id": following.id})
        else:
            details.append({"type": "reasoning.text", "text": part.text, **set_members(signature=part.signature)})
    text = "".join(part.text for part in parts if isinstance(part, Thinking))
    plain = len(details) == 1 and details[0].keys() == {"type", "text"}
    return {
        **({"reasoning_content": text} if text else {}),
        **({"reasoning_details": details} if details and not plain else {}),
    }


def _write_part(part: Part) -> Json:
    match part:
        case Text():
            if part.citations:
                inexpressible("citations", to=LABEL)
            return {"type": "text", "text": part.text}
        case Image():
            url = part.url or data_url(part.media_type or "image/png", part.data or "")
            return {"type": "image_url", "image_url": {"url": url, **set_members(detail=part.detail)}}
        case Audio():
            sound_type = sound_format(part.media_type) or inexpressible("input_audio.format", to=LABEL)
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": sound_type}}
        case File():
            return {"type": "file", "file": _write_file(part)}
    inexpressible(type(part).__name__.lower(), to=LABEL)


def _write_file(part: File) -> Json:
    if part.url is not None:
        inexpressible("file.url", to=LABEL)
    data = data_url(part.media_type, part.data) if part.data is not None and part.media_type else part.data
    return set_members(filename=part.name, file_id=part.file_id, file_data=data)


def _write_tool(tool: Tool) -> Json:
    function = set_members(description=tool.description, parameters=tool.parameters, strict=tool.strict)
    return {"type": "function", "function": {"name": tool.name, **function}}


def _write_tool_choice(choice: ToolChoice | None) -> Any:
    if choice is None:
        return None
    if choice.mode == "one":
        return {"type": "function", "function": {"name": choice.name}}
    return CHOICE_WORDS[choice.mode]


def _write_format(asked: Format | None) -> Json | None:
    if asked is None:
        return None
    if asked.kind != "schema":
        return {"type": FORMATS[asked.kind]}
    said = set_members(description=asked.description, schema=asked.schema, strict=asked.strict)
    return {"type": "json_schema", "json_schema": {"name": asked.name or "answer", **said}}


def _write_effort(reasoning: Reasoning | None) -> str | None:
    if reasoning is None:
        return None
    if reasoning.budget_tokens is not None:
        inexpressible("thinking.budget_tokens", to=LABEL)
    if reasoning.summary is not None:
        inexpressible("reasoning.summary", to=LABEL)
    return reasoning.effort
