"""OpenAI's responses, field by field as recorded."""

from collections.abc import Iterator
from typing import Any

from sandbox.provider import reading
from sandbox.provider.faults import Knobs
from sandbox.provider.mind import Ask, Call, Thought, Tool
from sandbox.provider.models import Model
from sandbox.provider.openai_chat import choice, logprob
from sandbox.provider.problems import Problem
from sandbox.provider.reading import Body, Content
from sandbox.provider.tokens import MESSAGE_TOKENS, Piece, Tokens, count_json
from sandbox.provider.wire import Event, Reply, named, pieces

ECHOED: dict[str, Any] = {
    "background": False,
    "frequency_penalty": 0.0,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "prompt_cache_retention": None,
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


def read(body: Body, model: Model, knobs: Knobs) -> Ask:
    """A responses request."""
    reading.must_do(model, "chat")
    reading.within(body, "temperature", 0, 2)
    reading.within(body, "top_p", 0, 1)
    if previous := reading.field(body, "previous_response_id", str):
        message = f"Previous response with id '{previous[:80]}' not found."
        raise Problem("invalid", message, param="previous_response_id", code="previous_response_not_found")
    ask = Ask(model=model, knobs=knobs, pieces=[])
    ask.tools = _tools(body, ask)
    _read_input(ask, body)
    ask.choice = choice(body.get("tool_choice"), ask.tools)
    ask.parallel = reading.field(body, "parallel_tool_calls", bool, default=True)
    ask.max_tokens = reading.positive(body, "max_output_tokens")
    wanted = reading.field(reading.field(body, "text", dict, {}), "format", dict, {})
    if wanted.get("type") == "json_schema":
        ask.schema = wanted.get("schema", {"type": "object"})
    elif wanted.get("type") == "json_object":
        ask.schema = {"type": "object", "properties": {"answer": {}}}
    effort = reading.field(reading.field(body, "reasoning", dict, {}), "effort", str)
    ask.reasons = effort not in {"none", "minimal"} and (model.reasons or effort is not None)
    reading.fits(model, ask.input_tokens)
    return ask


def _tools(body: Body, ask: Ask) -> list[Tool]:
    offered = reading.dictionaries(body, "tools")
    if offered:
        ask.pieces.append(Piece(offered, count_json(offered)))
    functions = [tool for tool in offered if tool.get("type") == "function"]
    return [Tool(reading.needed(tool, "name", str), tool.get("parameters")) for tool in functions]


def _read_input(ask: Ask, body: Body) -> None:
    if instructions := reading.field(body, "instructions", str):
        _take(ask, {"role": "system", "content": instructions})
    given = reading.needed(body, "input", (str, list))
    items = [{"role": "user", "content": given}] if isinstance(given, str) else reading.dictionaries(body, "input")
    for item in items:
        _take(ask, item)


def _take(ask: Ask, item: Body) -> None:
    content = Content()
    if "role" in item:
        _read_content(content, item.get("content"))
        ask.last_is_user = item["role"] == "user"
        ask.last_words = content.words if ask.last_is_user else ask.last_words
    else:
        content.other(item)
        ask.last_is_user = False
    ask.images += content.images
    ask.audio += content.audio
    ask.pieces.append(Piece(item, content.tokens + MESSAGE_TOKENS))


def _read_content(content: Content, value: Any) -> None:
    parts: list[Any] = [{"type": "input_text", "text": value}] if isinstance(value, str) else value or []
    for part in parts:
        match part.get("type"):
            case "input_text" | "output_text" | "text" | "summary_text":
                content.text(part.get("text"))
            case "refusal":
                content.text(part.get("refusal"))
            case "input_image":
                content.image()
            case "input_audio":
                content.sound((part.get("input_audio") or {}).get("data", ""))
            case "input_file":
                content.file(part.get("file_data") or "")
            case other:
                message = f"Invalid value: '{str(other)[:40]}'."
                raise Problem("invalid", message, param="input.content.type", code="invalid_value")


def usage(tokens: Tokens) -> dict[str, Any]:
    """Totals that hold their details."""
    return {
        "input_tokens": tokens.input,
        "input_tokens_details": {"cached_tokens": tokens.cached, "cache_write_tokens": 0},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.input + tokens.output,
    }


def _base(reply: Reply, body: Body) -> dict[str, Any]:
    echoed = {name: body[name] if body.get(name) is not None else usual for name, usual in ECHOED.items()}
    text = body.get("text") or {}
    reasoning = body.get("reasoning") or {}
    return {
        "id": f"resp_{reply.id}",
        "object": "response",
        "created_at": reply.created_at,
        "status": "in_progress",
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "model": reply.model,
        "moderation": None,
        "output": [],
        **echoed,
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "service_tier": "default",
        "text": {"format": text.get("format") or {"type": "text"}, "verbosity": text.get("verbosity") or "medium"},
        "tool_usage": {"web_search": {"num_requests": 0}},
        "usage": None,
    }


def whole(reply: Reply, body: Body) -> dict[str, Any]:
    """A response that has ended."""
    answer = _base(reply, body)
    thought = reply.thoughts[0]
    cut = thought.ending == "length"
    answer["status"] = "incomplete" if cut else "completed"
    answer["incomplete_details"] = {"reason": "max_output_tokens"} if cut else None
    answer["completed_at"] = None if cut else reply.created_at
    answer["output"] = [item for item, _ in _items(reply, body)]
    shown = reply.ask.knobs.usages(usage(reply.tokens))
    if shown:
        answer["usage"] = shown[-1]
    else:
        del answer["usage"]
    return answer


def _items(reply: Reply, body: Body) -> list[tuple[Body, Any]]:
    """Finished output items, each with what it was made from."""
    thought = reply.thoughts[0]
    status = "incomplete" if thought.ending == "length" else "completed"
    items: list[tuple[Body, Any]] = []
    if thought.reasoning:
        items.append((_reasoning_item(reply, thought, body), thought.reasoning))
    for call in thought.calls:
        item = {"id": f"fc_{call.id}", "type": "function_call", "status": status, "call_id": f"call_{call.id}"}
        items.append(({**item, "name": call.name, "arguments": call.arguments}, call))
    if thought.words:
        item = {"id": f"msg_{reply.id}", "type": "message", "status": status, "role": "assistant"}
        items.append(({**item, "content": [_part(thought, body)]}, thought))
    return items


def _reasoning_item(reply: Reply, thought: Thought, body: Body) -> Body:
    item: Body = {"id": f"rs_{reply.id}", "type": "reasoning", "summary": []}
    if (body.get("reasoning") or {}).get("summary"):
        item["summary"] = [{"type": "summary_text", "text": "".join(thought.reasoning)}]
    if "reasoning.encrypted_content" in (body.get("include") or []):
        item["encrypted_content"] = "c2FuZGJveA=="
    return item


def _part(thought: Thought, body: Body, *, empty: bool = False) -> Body:
    if thought.ending == "refusal":
        return {"type": "refusal", "refusal": "" if empty else thought.text}
    logprobs = [logprob(word, body) for word in thought.words] if _wants_logprobs(body) and not empty else []
    return {"type": "output_text", "annotations": [], "logprobs": logprobs, "text": "" if empty else thought.text}


def _wants_logprobs(body: Body) -> bool:
    return "message.output_text.logprobs" in (body.get("include") or [])


class _Numbered:
    """Events with their sequence number."""

    def __init__(self) -> None:
        self.next = 0

    def __call__(self, kind: str, tokens: int = 0, **fields: Any) -> Event:
        event = Event(named(kind, {"type": kind, **fields, "sequence_number": self.next}), tokens)
        self.next += 1
        return event


def events(reply: Reply, body: Body) -> Iterator[Event]:
    """Named, numbered events: created, in_progress, each item's own story, and the whole response at the end."""
    say = _Numbered()
    base = _base(reply, body)
    yield say("response.created", response=base)
    yield say("response.in_progress", response=base)
    for index, (item, origin) in enumerate(_items(reply, body)):
        match item["type"]:
            case "reasoning":
                yield from _reasoning_events(say, index, item, origin)
            case "function_call":
                yield from _call_events(say, index, item, origin)
            case _:
                yield from _message_events(say, index, item, origin, body)
    end = whole(reply, body)
    yield from _ends(say, reply, end)


def _ends(say: _Numbered, reply: Reply, end: Body) -> Iterator[Event]:
    kind = f"response.{end['status']}"
    shown = reply.ask.knobs.usages(usage(reply.tokens))
    for numbers in shown or [None]:
        yield say(kind, response={**end, "usage": numbers} if shown else end)


def _reasoning_events(say: _Numbered, index: int, item: Body, words: list[str]) -> Iterator[Event]:
    yield say("response.output_item.added", output_index=index, item={**item, "summary": []})
    where = {"item_id": item["id"], "output_index": index, "summary_index": 0}
    if item["summary"]:
        part = {"type": "summary_text", "text": ""}
        yield say("response.reasoning_summary_part.added", **where, part=part)
        for word in words:
            yield say("response.reasoning_summary_text.delta", 1, **where, delta=word)
        yield say("response.reasoning_summary_text.done", **where, text="".join(words))
        yield say("response.reasoning_summary_part.done", **where, part=item["summary"][0])
    hidden = 0 if item["summary"] else len(words)
    yield say("response.output_item.done", hidden, output_index=index, item=item)


def _call_events(say: _Numbered, index: int, item: Body, call: Call) -> Iterator[Event]:
    yield say("response.output_item.added", output_index=index, item={**item, "status": "in_progress", "arguments": ""})
    where = {"item_id": item["id"], "output_index": index}
    for part in pieces(call.arguments):
        yield say("response.function_call_arguments.delta", **where, delta=part)
    done = {**where, "arguments": call.arguments, "name": call.name}
    yield say("response.function_call_arguments.done", call.tokens, **done)
    yield say("response.output_item.done", output_index=index, item=item)


def _message_events(say: _Numbered, index: int, item: Body, thought: Thought, body: Body) -> Iterator[Event]:
    yield say("response.output_item.added", output_index=index, item={**item, "status": "in_progress", "content": []})
    where = {"item_id": item["id"], "output_index": index, "content_index": 0}
    yield say("response.content_part.added", **where, part=_part(thought, body, empty=True))
    refused = thought.ending == "refusal"
    kind = "response.refusal" if refused else "response.output_text"
    for word in thought.words:
        logprobs = [logprob(word, body)] if _wants_logprobs(body) else []
        more = {} if refused else {"logprobs": logprobs}
        yield say(f"{kind}.delta", 1, **where, delta=word, **more)
    if refused:
        yield say(f"{kind}.done", **where, refusal=thought.text)
    else:
        yield say(f"{kind}.done", **where, logprobs=[], text=thought.text)
    yield say("response.content_part.done", **where, part=item["content"][0])
    yield say("response.output_item.done", output_index=index, item=item)
