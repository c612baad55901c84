"""Writing requests to generateContent: what another dialect's client asked, in Gemini's words."""

from typing import Any

from gateway.dialects.expressing import described, inexpressible, refuse_cache_marks, refuse_unexpressed, set_members
from gateway.dialects.gemini.read_requests import MADE_UP
from gateway.dialects.media import picture_type
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
)
from gateway.dialects.reading import argument_members, call_arguments, written, written_text

LABEL = "Gemini"
UNEXPRESSED = ("logprobs", "top_logprobs", "service_tier", "user", "metadata")
LEVELS = frozenset({"minimal", "low", "medium", "high"})
MODES = {"auto": "AUTO", "any": "ANY", "none": "NONE", "one": "ANY"}


def write_request(request: Request) -> bytes:
    """Write a provider's body; the model and whether to stream go into the address."""
    refuse_unexpressed(request, UNEXPRESSED, to=LABEL)
    refuse_cache_marks(request, to=LABEL)
    if request.parallel_tool_calls is False:
        inexpressible("parallel_tool_calls", to=LABEL)
    leading = 0
    while leading < len(request.messages) and request.messages[leading].role in {"system", "developer"}:
        leading += 1
    system = [_write_part(part, "system") for message in request.messages[:leading] for part in message.parts]
    settings = _write_settings(request)
    return written(
        {
            "contents": _write_contents(request.messages[leading:], leading),
            **({"systemInstruction": {"parts": system}} if system else {}),
            **(
                {"tools": [{"functionDeclarations": [_write_tool(tool) for tool in request.tools]}]}
                if request.tools
                else {}
            ),
            **set_members(toolConfig=_write_tool_choice(request)),
            **({"generationConfig": settings} if settings else {}),
        }
    )


def _write_settings(request: Request) -> Json:
    return set_members(
        maxOutputTokens=request.max_output_tokens,
        temperature=request.temperature,
        topP=request.top_p,
        topK=request.top_k,
        frequencyPenalty=request.frequency_penalty,
        presencePenalty=request.presence_penalty,
        seed=request.seed,
        stopSequences=list(request.stop) or None,
        candidateCount=request.n,
        thinkingConfig=_write_reasoning(request.reasoning),
        **_write_format(request.format),
    )


def _write_contents(messages: tuple[Message, ...], skipped: int) -> list[Json]:
    names = {part.id: part.name for message in messages for part in message.parts if isinstance(part, ToolCall)}
    contents = []
    for index, message in enumerate(messages, skipped):
        where = f"messages[{index}]"
        if message.role in {"system", "developer"}:
            inexpressible(where + ".role", to=LABEL)
        if message.name is not None:
            inexpressible(where + ".name", to=LABEL)
        role = "model" if message.role == "assistant" else "user"
        contents.append({"role": role, "parts": _write_parts(message.parts, where, names)})
    return contents


def _write_parts(parts: tuple[Part, ...], where: str, names: dict[str, str]) -> list[Json]:
    wires: list[Json] = []
    signature: str | None = None
    for part in parts:
        if isinstance(part, Thinking) and not part.text and part.signature:
            signature = part.signature
            continue
        wire = _write_result(part, where, names) if isinstance(part, ToolResult) else _write_part(part, where)
        if signature is not None:
            wire["thoughtSignature"], signature = signature, None
        wires.append(wire)
    return [*wires, {"text": "", "thoughtSignature": signature}] if signature is not None else wires


def _write_part(part: Part, where: str) -> Json:
    match part:
        case Text():
            if part.citations:
                inexpressible("citations", to=LABEL)
            return {"text": part.text}
        case Refusal():
            return {"text": part.text}
        case Thinking():
            if part.redacted is not None:
                inexpressible(where + ".redacted_thinking", to=LABEL)
            return {"text": part.text, "thought": True, **set_members(thoughtSignature=part.signature)}
        case Image():
            return _write_image(part)
        case Audio():
            return _inline(part.media_type, part.data)
        case File():
            return _write_file(part)
        case ToolCall():
            call_id = None if part.id.startswith(MADE_UP) else part.id
            return {"functionCall": {**set_members(id=call_id), "name": part.name, "args": call_arguments(part)}}
    inexpressible(f"{where}.{type(part).__name__.lower()}", to=LABEL)


def _inline(media_type: str, data: str) -> Json:
    return {"inlineData": {"mimeType": media_type, "data": data}}


def _write_image(part: Image) -> Json:
    if part.detail not in {None, "auto"}:
        inexpressible("image_url.detail", to=LABEL)
    if part.url is not None:
        media_type = part.media_type or picture_type(part.url)  # a picture is known by its type here, not by its place
        return {"fileData": {"fileUri": part.url, "mimeType": media_type}}
    return _inline(part.media_type or "image/png", part.data or "")


def _write_file(part: File) -> Json:
    if part.file_id is not None:
        inexpressible("file.file_id", to=LABEL)
    if part.url is not None:
        return {"fileData": {"fileUri": part.url, **set_members(mimeType=part.media_type, displayName=part.name)}}
    inline = _inline(part.media_type or "application/pdf", part.data or "")
    return {"inlineData": inline["inlineData"] | set_members(displayName=part.name)}


def _write_result(part: ToolResult, where: str, names: dict[str, str]) -> Json:
    if part.call_id not in names:
        inexpressible(where + ".tool_call_id", to=LABEL)
    text = "".join(inner.text for inner in part.content if isinstance(inner, Text))
    media = [_write_part(inner, where) for inner in part.content if not isinstance(inner, Text)]
    call_id = None if part.call_id.startswith(MADE_UP) else part.call_id
    response = {"error": text} if part.is_error else _write_response(text)
    said = {"parts": media} if media else {}
    return {"functionResponse": {**set_members(id=call_id), "name": names[part.call_id], "response": response, **said}}


def _write_response(text: str) -> Json:
    response = argument_members(text) if text else None
    is_its_own_text = response is not None and written_text(response) == text
    return response if response is not None and is_its_own_text else {"output": text}


def _write_tool(tool: Tool) -> Json:
    return {"name": tool.name, **set_members(description=tool.description, parametersJsonSchema=tool.parameters)}


def _write_tool_choice(request: Request) -> Json | None:
    choice = request.tool_choice or ToolChoice("auto")
    strict = [tool.strict is True for tool in request.tools]
    if any(strict) and not all(strict):
        inexpressible("tools.function.strict", to=LABEL)
    validated = any(strict) and choice.mode == "auto"
    if request.tool_choice is None and not validated:
        return None
    names = {"allowedFunctionNames": [choice.name]} if choice.mode == "one" else {}
    return {"functionCallingConfig": {"mode": "VALIDATED" if validated else MODES[choice.mode], **names}}


def _write_format(asked: Format | None) -> dict[str, Any]:
    if asked is None or asked.kind == "text":
        return {}
    if asked.kind == "json" or asked.schema is None:
        return {"responseMimeType": "application/json"}
    return {"responseMimeType": "application/json", "responseJsonSchema": described(asked.schema, asked.description)}


def _write_reasoning(reasoning: Reasoning | None) -> Json | None:
    if reasoning is None:
        return None
    shown = None if reasoning.summary is None else reasoning.summary != "omitted"
    if reasoning.effort == "none":
        return {"thinkingBudget": 0, **set_members(includeThoughts=shown)}
    if reasoning.effort is not None and (reasoning.effort not in LEVELS or reasoning.budget_tokens is not None):
        inexpressible("reasoning_effort", to=LABEL)
    budget = -1 if reasoning.adaptive and reasoning.effort is None else reasoning.budget_tokens
    return set_members(thinkingBudget=budget, thinkingLevel=reasoning.effort, includeThoughts=shown)
