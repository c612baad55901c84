"""OpenAI's chat completions and legacy completions, field by field as recorded."""

from collections.abc import Iterator
from typing import Any

from sandbox.provider import reading
from sandbox.provider.faults import Knobs
from sandbox.provider.mind import Ask, Thought, Tool
from sandbox.provider.models import Model
from sandbox.provider.problems import Problem
from sandbox.provider.reading import Body, Content
from sandbox.provider.tokens import MESSAGE_TOKENS, Piece, Tokens, count_json
from sandbox.provider.wire import Event, Reply, data, pieces

ROLES = {"system", "developer", "user", "assistant", "tool", "function"}
ENDINGS = {"stop": "stop", "length": "length", "tool": "tool_calls", "refusal": "stop", "stop_sequence": "stop"}
DONE = b"data: [DONE]\n\n"


def read(body: Body, model: Model, knobs: Knobs) -> Ask:
    """A chat completion request."""
    reading.must_do(model, "chat")
    _check_numbers(body)
    messages = reading.dictionaries(body, "messages", required=True)
    if not messages:
        empty = "Invalid 'messages': empty array. Expected an array with minimum length 1."
        raise Problem("invalid", empty, param="messages", code="empty_array")
    ask = Ask(model=model, knobs=knobs, pieces=[])
    ask.tools = _tools(body, ask)
    for index, message in enumerate(messages):
        _read_message(ask, message, index)
    ask.choice = choice(body.get("tool_choice"), ask.tools)
    ask.parallel = reading.field(body, "parallel_tool_calls", bool, default=True)
    ask.max_tokens = reading.positive(body, "max_completion_tokens", "max_tokens")
    ask.stops = reading.stops(reading.field(body, "stop", (str, list)))
    ask.schema = _schema(reading.field(body, "response_format", dict, {}))
    effort = reading.field(body, "reasoning_effort", str)
    ask.reasons = effort not in {"none", "minimal"} and (model.reasons or effort is not None)
    ask.answers = reading.field(body, "n", int, 1)
    reading.fits(model, ask.input_tokens)
    return ask


def _check_numbers(body: Body) -> None:
    reading.within(body, "n", 1, 128)
    reading.within(body, "temperature", 0, 2)
    reading.within(body, "top_p", 0, 1)
    reading.within(body, "top_logprobs", 0, 20)
    reading.within(body, "presence_penalty", -2, 2)
    reading.within(body, "frequency_penalty", -2, 2)


def _tools(body: Body, ask: Ask) -> list[Tool]:
    offered = reading.dictionaries(body, "tools")
    if offered:
        ask.pieces.append(Piece(offered, count_json(offered)))
    functions = [tool["function"] for tool in offered if isinstance(tool.get("function"), dict)]
    functions += reading.dictionaries(body, "functions")
    return [Tool(reading.needed(function, "name", str), function.get("parameters")) for function in functions]


def choice(value: Any, tools: list[Tool]) -> str:
    """``auto``, ``none``, ``required``, or ``=name`` of a tool that was offered."""
    if isinstance(value, dict):
        function = value.get("function")
        name = str((function if isinstance(function, dict) else value).get("name"))
        if name not in {tool.name for tool in tools}:
            message = f"Tool choice '{name[:60]}' not found in 'tools' parameter."
            raise Problem("invalid", message, param="tool_choice")
        return "=" + name
    if value not in {None, "auto", "none", "required"}:
        raise Problem("invalid", "Invalid value for 'tool_choice'.", param="tool_choice", code="invalid_value")
    return value or "auto"


def _schema(wanted: Body) -> Any:
    if wanted.get("type") == "json_schema":
        named = reading.needed(wanted, "json_schema", dict)
        return named.get("schema", {"type": "object"})
    return {"type": "object", "properties": {"answer": {}}} if wanted.get("type") == "json_object" else None


def _read_message(ask: Ask, message: Body, index: int) -> None:
    role = message.get("role")
    if role not in ROLES:
        text = f"Invalid value: '{str(role)[:40]}'. Supported values are: 'system', 'assistant', 'user', 'tool'."
        raise Problem("invalid", text, param=f"messages[{index}].role", code="invalid_value")
    content = _content(message.get("content"))
    if calls := reading.dictionaries(message, "tool_calls"):
        content.other(calls)
    ask.images += content.images
    ask.audio += content.audio
    ask.pieces.append(Piece(message, content.tokens + MESSAGE_TOKENS))
    ask.last_is_user = role == "user"
    if role == "user":
        ask.last_words = content.words


def _content(value: Any) -> Content:
    content = Content()
    if value is None:
        return content
    parts: list[Any] = [{"type": "text", "text": value}] if isinstance(value, str) else value
    for part in parts:
        match part.get("type"):
            case "text" | "input_text" | "output_text":
                content.text(part.get("text"))
            case "refusal":
                content.text(part.get("refusal"))
            case "image_url" | "input_image":
                content.image()
            case "input_audio":
                content.sound(part.get("input_audio", {}).get("data", ""))
            case "file" | "input_file":
                content.file(part.get("file", part).get("file_data", ""))
            case other:
                message = (
                    f"Invalid value: '{str(other)[:40]}'. Supported values are: 'text', 'image_url', 'input_audio'."
                )
                raise Problem("invalid", message, param="messages.content.type", code="invalid_value")
    return content


def usage(tokens: Tokens) -> dict[str, Any]:
    """Totals that hold their details; what the prompt was made of is told when it was more than text."""
    details = {"cached_tokens": tokens.cached, "cache_write_tokens": 0, "audio_tokens": tokens.audio}
    if tokens.images or tokens.audio:
        details |= {"image_tokens": tokens.images, "text_tokens": tokens.input - tokens.images - tokens.audio}
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": details,
        "completion_tokens_details": {
            "reasoning_tokens": tokens.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def whole(reply: Reply, body: Body) -> dict[str, Any]:
    """``chat.completion``."""
    answer = {
        "id": f"chatcmpl-{reply.id}",
        "object": "chat.completion",
        "created": reply.created_at,
        "model": reply.model,
        "choices": [_choice(thought, index, body) for index, thought in enumerate(reply.thoughts)],
        "service_tier": "default",
        "system_fingerprint": "fp_sandbox",
    }
    shown = reply.ask.knobs.usages(usage(reply.tokens))
    return {**answer, "usage": shown[-1]} if shown else answer


def _choice(thought: Thought, index: int, body: Body) -> dict[str, Any]:
    refused = thought.ending == "refusal"
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if refused or thought.calls else thought.text,
        "refusal": thought.text if refused else None,
        "annotations": [],
    }
    if thought.reasoning:
        message["reasoning_content"] = "".join(thought.reasoning)
    if thought.calls:
        message["tool_calls"] = [
            {"id": f"call_{c.id}", "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
            for c in thought.calls
        ]
    logprobs = {"content": [logprob(word, body) for word in thought.words], "refusal": None}
    return {
        "index": index,
        "message": message,
        "logprobs": logprobs if body.get("logprobs") and not thought.calls else None,
        "finish_reason": ENDINGS[thought.ending],
    }


def logprob(word: str, body: Body) -> dict[str, Any]:
    """How sure it was; made up, and always the same for the same word."""
    sure = -(sum(word.encode()) % 100) / 100
    others = [
        {"token": word + "~" * rank, "logprob": sure - rank, "bytes": list((word + "~" * rank).encode())}
        for rank in range(body.get("top_logprobs") or 0)
    ]
    return {"token": word, "logprob": sure, "bytes": list(word.encode()), "top_logprobs": others}


def events(reply: Reply, body: Body) -> Iterator[Event]:
    """``chat.completion.chunk``, one token each, usage last if it was asked for, and ``[DONE]``."""
    head = {
        "id": f"chatcmpl-{reply.id}",
        "object": "chat.completion.chunk",
        "created": reply.created_at,
        "model": reply.model,
        "service_tier": "default",
        "system_fingerprint": "fp_sandbox",
    }
    tail = {"usage": None} if reply.with_usage else {}
    for index, thought in enumerate(reply.thoughts):
        for delta, tokens, word in _deltas(thought):
            logprobs = {"content": [logprob(word, body)], "refusal": None} if word and body.get("logprobs") else None
            part = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": None}
            yield Event(data({**head, "choices": [part], **tail}), tokens)
        last = {"index": index, "delta": {}, "logprobs": None, "finish_reason": ENDINGS[thought.ending]}
        yield Event(data({**head, "choices": [last], **tail}))
    if reply.with_usage:
        for shown in reply.ask.knobs.usages(usage(reply.tokens)):
            yield Event(data({**head, "choices": [], "usage": shown}))
    yield Event(DONE)


def _deltas(thought: Thought) -> Iterator[tuple[dict[str, Any], int, str]]:
    yield {"role": "assistant", "content": "", "refusal": None}, 0, ""
    for word in thought.reasoning:
        yield {"reasoning_content": word}, 1, ""
    for word in thought.words:
        yield ({"refusal": word} if thought.ending == "refusal" else {"content": word}), 1, word
    for at, call in enumerate(thought.calls):
        function = {"name": call.name, "arguments": ""}
        yield {"tool_calls": [{"index": at, "id": f"call_{call.id}", "type": "function", "function": function}]}, 0, ""
        parts = list(pieces(call.arguments))
        for number, part in enumerate(parts):
            tokens = call.tokens if number == len(parts) - 1 else 0
            yield {"tool_calls": [{"index": at, "function": {"arguments": part}}]}, tokens, ""


# --- legacy completions ---


def read_completion(body: Body, model: Model, knobs: Knobs) -> Ask:
    """A prompt to go on from."""
    reading.must_do(model, "chat")
    _check_numbers(body)
    prompt = reading.needed(body, "prompt", (str, list))
    content = Content()
    content.text(prompt if isinstance(prompt, str) else "".join(part for part in prompt if isinstance(part, str)))
    ask = Ask(model=model, knobs=knobs, pieces=[Piece(prompt, content.tokens)], last_words=content.words)
    ask.max_tokens = reading.positive(body, "max_tokens") or 16
    ask.stops = reading.stops(reading.field(body, "stop", (str, list)))
    ask.answers = reading.field(body, "n", int, 1)
    reading.fits(model, ask.input_tokens)
    return ask


def whole_completion(reply: Reply, _body: Body) -> dict[str, Any]:
    """``text_completion``."""
    answer = {
        "id": f"cmpl-{reply.id}",
        "object": "text_completion",
        "created": reply.created_at,
        "model": reply.model,
        "choices": [
            {"text": thought.text, "index": index, "logprobs": None, "finish_reason": ENDINGS[thought.ending]}
            for index, thought in enumerate(reply.thoughts)
        ],
    }
    shown = reply.ask.knobs.usages(usage(reply.tokens))
    return {**answer, "usage": shown[-1]} if shown else answer


def completion_events(reply: Reply, _body: Body) -> Iterator[Event]:
    """The same in pieces; the last one carries the reason."""
    head = {"id": f"cmpl-{reply.id}", "object": "text_completion", "created": reply.created_at, "model": reply.model}
    tail = {"usage": None} if reply.with_usage else {}
    for index, thought in enumerate(reply.thoughts):
        for word in thought.words:
            part = {"text": word, "index": index, "logprobs": None, "finish_reason": None}
            yield Event(data({**head, "choices": [part], **tail}), 1)
        last = {"text": "", "index": index, "logprobs": None, "finish_reason": ENDINGS[thought.ending]}
        yield Event(data({**head, "choices": [last], **tail}))
    if reply.with_usage:
        for shown in reply.ask.knobs.usages(usage(reply.tokens)):
            yield Event(data({**head, "choices": [], "usage": shown}))
    yield Event(DONE)


def wants_usage(body: Body) -> bool:
    """Whether a stream reports usage: only if the caller asks."""
    options = reading.field(body, "stream_options", dict, {})
    if options and not body.get("stream"):
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise Problem("invalid", message, param="stream_options")
    return bool(reading.field(options, "include_usage", bool, default=False))
