"""Writing requests to Responses: what another dialect's client asked, as OpenAI's flat list of items.

Nothing is stored on the provider's side: whoever asked did not ask for that, and the conversation comes whole each
time. So reasoning travels encrypted, and its ids, which only a store would know, are made from its contents.
"""

from hashlib import blake2b
from typing import Any

from gateway.dialects.expressing import inexpressible, refuse_unexpressed, set_members
from gateway.dialects.media import data_url, sound_format
from gateway.dialects.neutral import (
    Audio,
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
    marked,
)
from gateway.dialects.openai_chat.write_requests import CHOICE_WORDS, FORMATS
from gateway.dialects.reading import written

LABEL = "Responses"
UNEXPRESSED = ("top_k", "stop", "seed", "frequency_penalty", "presence_penalty", "logprobs", "top_logprobs")


def write_request(request: Request) -> bytes:
    """Write a provider's body."""
    refuse_unexpressed(request, UNEXPRESSED, to=LABEL)
    if marked(request):
        inexpressible("cache_control", to=LABEL)
    if request.n is not None and request.n > 1:
        inexpressible("n", to=LABEL)
    instructions, messages = _split(request.messages)
    return written(
        {
            "model": request.model,
            **set_members(instructions=instructions),
            "input": [
                item for index, message in enumerate(messages) for item in _write_message(message, f"messages[{index}]")
            ],
            **({"stream": True} if request.stream else {}),
            "store": False,
            "include": ["reasoning.encrypted_content"],
            **set_members(
                max_output_tokens=request.max_output_tokens,
                temperature=request.temperature,
                top_p=request.top_p,
                tools=[_write_tool(tool) for tool in request.tools] or None,
                tool_choice=_write_tool_choice(request.tool_choice),
                parallel_tool_calls=request.parallel_tool_calls,
                text=_write_format(request.format),
                reasoning=_write_reasoning(request.reasoning),
                service_tier=request.service_tier,
                user=request.user,
                metadata=request.metadata,
                prompt_cache_key=request.cache_key,
            ),
        }
    )


def _split(messages: tuple[Message, ...]) -> tuple[str | None, tuple[Message, ...]]:
    first = messages[0]
    text = joined_text(first.parts) if first.role == "system" and first.name is None and len(first.parts) == 1 else None
    return (text, messages[1:]) if text and len(messages) > 1 else (None, messages)


def _write_message(message: Message, where: str) -> list[Json]:
    if message.name is not None:
        inexpressible(where + ".name", to=LABEL)
    if message.role == "tool":
        return [_write_result(part, where) for part in message.parts if isinstance(part, ToolResult)]
    if message.role == "assistant":
        return _write_assistant(message.parts, where)
    text = joined_text(message.parts) if len(message.parts) == 1 else None
    content = [_write_part(part, where) for part in message.parts] if text is None else text
    return [{"role": message.role, "content": content}]


def _write_assistant(parts: tuple[Part, ...], where: str) -> list[Json]:
    items: list[Json] = []
    for part in parts:
        match part:
            case ToolCall():
                items.append(
                    {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": part.arguments}
                )
            case Thinking():
                items.append(_write_thinking(part, where))
            case Text():
                notes = [write_citation(citation) for citation in part.citations]
                items.append(_said({"type": "output_text", "text": part.text, "annotations": notes}))
            case Refusal():
                items.append(_said({"type": "refusal", "refusal": part.text}))
            case _:
                inexpressible(f"{where}.{type(part).__name__.lower()}", to=LABEL)
    return items


def _said(part: Json) -> Json:
    return {"type": "message", "role": "assistant", "content": [part]}


def _write_thinking(part: Thinking, where: str) -> Json:
    if part.redacted is not None:
        inexpressible(where + ".redacted_thinking", to=LABEL)
    mark = blake2b((part.signature or part.text).encode(errors="replace"), digest_size=16).hexdigest()
    summary = [{"type": "summary_text", "text": part.text}] if part.text else []
    return {
        "type": "reasoning",
        "id": f"rs_{mark}",
        "summary": summary,
        **set_members(encrypted_content=part.signature),
    }


def write_citation(citation: Citation) -> Json:
    """Write a note that names a page on the web."""
    if citation.source is not None and "type" in citation.source and "file_id" in citation.source:
        return citation.source
    if citation.url is None:
        inexpressible("citations", to=LABEL)
    said = set_members(title=citation.title, start_index=citation.start, end_index=citation.end)
    return {"type": "url_citation", "url": citation.url, **said}


def _write_result(part: ToolResult, where: str) -> Json:
    text = joined_text(part.content) if len(part.content) == 1 else None
    output: Any = [_write_part(inner, where) for inner in part.content] if text is None else text
    if part.is_error:
        output = "".join(inner.text for inner in part.content if isinstance(inner, Text))
        if len(part.content) > 1 or not part.content or not isinstance(part.content[0], Text):
            inexpressible("tool_result.is_error", to=LABEL)
        output = output if output.lower().startswith("error") else f"Error: {output}"  # no flag here, only words
    return {"type": "function_call_output", "call_id": part.call_id, "output": output}


def _write_part(part: Part, where: str) -> Json:
    match part:
        case Text():
            return {"type": "input_text", "text": part.text}
        case Image():
            url = part.url or data_url(part.media_type or "image/png", part.data or "")
            return {"type": "input_image", "image_url": url, **set_members(detail=part.detail)}
        case Audio():
            sound_type = sound_format(part.media_type) or inexpressible("input_audio.format", to=LABEL)
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": sound_type}}
        case File():
            data = data_url(part.media_type, part.data) if part.data is not None and part.media_type else part.data
            said = set_members(filename=part.name, file_id=part.file_id, file_url=part.url, file_data=data)
            return {"type": "input_file", **said}
    inexpressible(f"{where}.{type(part).__name__.lower()}", to=LABEL)


def _write_tool(tool: Tool) -> Json:
    said = set_members(description=tool.description, parameters=tool.parameters, strict=tool.strict)
    return {"type": "function", "name": tool.name, **said}


def _write_tool_choice(choice: ToolChoice | None) -> Any:
    if choice is None:
        return None
    return {"type": "function", "name": choice.name} if choice.mode == "one" else CHOICE_WORDS[choice.mode]


def _write_format(asked: Format | None) -> Json | None:
    if asked is None:
        return None
    if asked.kind != "schema":
        return {"format": {"type": FORMATS[asked.kind]}}
    said = set_members(description=asked.description, strict=asked.strict)
    return {"format": {"type": "json_schema", "name": asked.name or "answer", "schema": asked.schema or {}, **said}}


def _write_reasoning(reasoning: Reasoning | None) -> Json | None:
    if reasoning is None:
        return None
    if reasoning.budget_tokens is not None:
        inexpressible("thinking.budget_tokens", to=LABEL)
    summary = (
        None if reasoning.summary == "omitted" else reasoning.summary
    )  # left out is what this dialect does unasked
    return set_members(effort=reasoning.effort, summary=summary) or None
