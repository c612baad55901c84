"""Anthropic's messages, both versions of its API, field by field as recorded."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from sandbox.provider import reading
from sandbox.provider.faults import Knobs
from sandbox.provider.mind import Ask, Thought, Tool
from sandbox.provider.models import Model
from sandbox.provider.problems import Problem
from sandbox.provider.reading import Body, Content
from sandbox.provider.tokens import MESSAGE_TOKENS, Piece, Tokens, count_json
from sandbox.provider.wire import Event, Reply, named, pieces

ENDINGS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool": "tool_use",
    "refusal": "refusal",
    "stop_sequence": "stop_sequence",
}
NEW_VERSION = "2026-10-21"
GONE_IN_NEW = ("temperature", "top_p", "top_k")


def read(body: Body, model: Model, knobs: Knobs, headers: Mapping[str, str], *, counting: bool = False) -> Ask:
    """A messages request; ``counting`` needs no limit."""
    reading.must_do(model, "chat")
    version = headers.get("anthropic-version")
    if version is None:
        raise Problem("invalid", "anthropic-version: header is required")
    for name in GONE_IN_NEW if version >= NEW_VERSION else ():
        if name in body:
            raise Problem("invalid", f"{name}: Extra inputs are not permitted")
    ask = Ask(model=model, knobs=knobs, pieces=[])
    ask.max_tokens = reading.positive(body, "max_tokens")
    if ask.max_tokens is None and not counting:
        raise Problem("invalid", "max_tokens: Field required")
    ask.tools = _tools(body, ask)
    _read_system(ask, body.get("system"))
    for index, message in enumerate(reading.dictionaries(body, "messages", required=True)):
        _read_message(ask, message, index)
    ask.stops = reading.stops(reading.field(body, "stop_sequences", list))
    _read_choice(ask, reading.field(body, "tool_choice", dict, {}))
    thinking = reading.field(body, "thinking", dict, {}).get("type")
    ask.reasons = thinking in {"enabled", "adaptive"} or (model.reasons and thinking != "disabled")
    output = reading.field(body, "output_config", dict, {})
    wanted = output.get("format") or body.get("output_format")
    ask.schema = wanted.get("schema") if isinstance(wanted, dict) else None
    _fits(ask)
    return ask


def _fits(ask: Ask) -> None:
    most = ask.model.context_tokens
    if ask.input_tokens > most:
        raise Problem("context", f"prompt is too long: {ask.input_tokens} tokens > {most} maximum")


def _tools(body: Body, ask: Ask) -> list[Tool]:
    offered = reading.dictionaries(body, "tools")
    if offered:
        mark = next((_mark(tool) for tool in reversed(offered) if _mark(tool)), "")
        ask.pieces.append(Piece(_unmarked(offered), count_json(offered), mark))
    return [Tool(reading.needed(tool, "name", str), tool.get("input_schema")) for tool in offered]


def _read_choice(ask: Ask, wanted: Body) -> None:
    ask.parallel = not wanted.get("disable_parallel_tool_use", False)
    match wanted.get("type", "auto"):
        case "auto" | "none" as choice:
            ask.choice = choice
        case "any":
            ask.choice = "required"
        case "tool":
            ask.choice = f"={reading.needed(wanted, 'name', str)}"
        case _:
            raise Problem("invalid", "tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'")


def _read_system(ask: Ask, system: Any) -> None:
    for block in _blocks(system):
        content = _content([block], "system")
        ask.pieces.append(Piece(["system", _unmarked(block)], content.tokens, _mark(block)))


def _read_message(ask: Ask, message: Body, index: int) -> None:
    role = message.get("role")
    if role not in {"user", "assistant", "system"}:
        raise Problem("invalid", f"messages.{index}.role: Input should be 'user' or 'assistant'")
    blocks = _blocks(message.get("content"))
    if not blocks and role == "user":
        raise Problem("invalid", f"messages.{index}: user messages must have non-empty content")
    content = _content(blocks, f"messages.{index}.content")
    mark = next((_mark(block) for block in reversed(blocks) if _mark(block)), "")
    ask.pieces.append(Piece([role, _unmarked(blocks)], content.tokens + MESSAGE_TOKENS, mark))
    ask.images += content.images
    ask.last_is_user = role == "user" and not any(block.get("type") == "tool_result" for block in blocks)
    if role == "user":
        ask.last_words = content.words


def _blocks(value: Any) -> list[Body]:
    if value is None:
        return []
    blocks = [{"type": "text", "text": value}] if isinstance(value, str) else value
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise Problem("invalid", "content: Input should be a valid string or list of blocks")
    return blocks


def _content(blocks: list[Body], where: str) -> Content:
    content = Content()
    for block in blocks:
        match block.get("type"):
            case "text":
                content.text(block.get("text"))
            case "image":
                content.image()
            case "document":
                content.file((block.get("source") or {}).get("data", ""))
            case "tool_result":
                inner = _content(_blocks(block.get("content")), where)
                content.tokens += inner.tokens
            case "tool_use" | "thinking" | "redacted_thinking" | "server_tool_use" | "search_result":
                content.other(block)
            case other:
                raise Problem(
                    "invalid", f"{where}: Input tag '{str(other)[:40]}' found does not match any expected tag"
                )
    return content


def _mark(block: Body) -> str:
    control = block.get("cache_control")
    if not isinstance(control, dict):
        return ""
    return "1h" if control.get("ttl") == "1h" else "5m"


def _unmarked(value: Any) -> Any:
    if isinstance(value, list):
        return [_unmarked(item) for item in value]
    return {key: item for key, item in value.items() if key != "cache_control"} if isinstance(value, dict) else value


def usage(tokens: Tokens) -> dict[str, Any]:
    """Input here is what was neither read from nor written to the cache."""
    shown: dict[str, Any] = {
        "input_tokens": tokens.input - tokens.cached - tokens.written_5m - tokens.written_1h,
        "cache_creation_input_tokens": tokens.written_5m + tokens.written_1h,
        "cache_read_input_tokens": tokens.cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": tokens.written_5m,
            "ephemeral_1h_input_tokens": tokens.written_1h,
        },
        "output_tokens": tokens.output,
        "service_tier": "standard",
        "inference_geo": "global",
    }
    if tokens.reasoning:
        shown["output_tokens_details"] = {"thinking_tokens": tokens.reasoning}
    return shown


def whole(reply: Reply, _body: Body) -> dict[str, Any]:
    """A message."""
    thought = reply.thoughts[0]
    answer = {**_head(reply), "content": _written(thought), "stop_reason": ENDINGS[thought.ending]}
    answer |= {"stop_sequence": thought.stopped_by, "stop_details": _details(thought)}
    shown = reply.ask.knobs.usages(usage(reply.tokens))
    return {**answer, "usage": shown[-1]} if shown else answer


def _details(thought: Thought) -> dict[str, Any] | None:
    return {"type": "refusal", "category": None, "explanation": None} if thought.ending == "refusal" else None


def _head(reply: Reply) -> dict[str, Any]:
    return {"id": f"msg_{reply.id}", "type": "message", "role": "assistant", "model": reply.model}


def _written(thought: Thought) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if thought.reasoning:
        reasoning = "".join(thought.reasoning)
        blocks.append({"type": "thinking", "thinking": reasoning, "signature": _signature(reasoning)})
    if thought.words:
        blocks.append({"type": "text", "text": thought.text})
    for call in thought.calls:
        arguments = msgspec.json.decode(call.arguments)
        blocks.append({"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": arguments})
    return blocks


def _signature(reasoning: str) -> str:
    return f"sandbox{sum(reasoning.encode()):012d}=="


def events(reply: Reply, _body: Body) -> Iterator[Event]:
    """Named events; the input side of usage comes first, the output side, cumulative, at the end."""
    thought = reply.thoughts[0]
    yield Event(named("message_start", {"type": "message_start", "message": _started(reply)}))
    for index, (block, deltas) in enumerate(_streamed(thought)):
        start = {"type": "content_block_start", "index": index, "content_block": block}
        yield Event(named("content_block_start", start))
        if index == 0:
            yield Event(named("ping", {"type": "ping"}))
        for delta, tokens in deltas:
            piece = {"type": "content_block_delta", "index": index, "delta": delta}
            yield Event(named("content_block_delta", piece), tokens)
        yield Event(named("content_block_stop", {"type": "content_block_stop", "index": index}))
    reason = {"stop_reason": ENDINGS[thought.ending], "stop_sequence": thought.stopped_by}
    end: dict[str, Any] = {"type": "message_delta", "delta": {**reason, "stop_details": _details(thought)}}
    shown = reply.ask.knobs.usages(_cumulative(reply.tokens))
    for numbers in shown:
        yield Event(named("message_delta", {**end, "usage": numbers}))
    if not shown:
        yield Event(named("message_delta", end))
    yield Event(named("message_stop", {"type": "message_stop"}))


def _started(reply: Reply) -> dict[str, Any]:
    start = {**_head(reply), "content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}
    early = usage(reply.tokens)
    early.pop("output_tokens_details", None)
    shown = reply.ask.knobs.usages({**early, "output_tokens": min(reply.tokens.output, 2)})
    return {**start, "usage": shown[0]} if shown else start


def _cumulative(tokens: Tokens) -> dict[str, Any]:
    names = ("output_tokens", "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    shown = usage(tokens)
    details = {"output_tokens_details": shown["output_tokens_details"]} if tokens.reasoning else {}
    return {**{name: shown[name] for name in names}, **details}


Deltas = list[tuple[dict[str, Any], int]]


def _streamed(thought: Thought) -> Iterator[tuple[dict[str, Any], Deltas]]:
    if thought.reasoning:
        deltas: Deltas = [({"type": "thinking_delta", "thinking": word}, 1) for word in thought.reasoning]
        deltas.append(({"type": "signature_delta", "signature": _signature("".join(thought.reasoning))}, 0))
        yield {"type": "thinking", "thinking": "", "signature": ""}, deltas
    if thought.words or not (thought.calls or thought.reasoning):
        words: Deltas = [({"type": "text_delta", "text": word}, 1) for word in thought.words]
        yield {"type": "text", "text": ""}, words
    for call in thought.calls:
        parts: Deltas = [({"type": "input_json_delta", "partial_json": part}, 0) for part in pieces(call.arguments)]
        parts[-1] = (parts[-1][0], call.tokens)
        yield {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": {}}, parts
