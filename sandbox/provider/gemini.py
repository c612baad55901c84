"""Google's Gemini: generateContent and its stream, countTokens and embedContent, field by field as recorded."""

from collections.abc import Iterator
from typing import Any

import msgspec

from sandbox.provider import reading
from sandbox.provider.faults import Knobs
from sandbox.provider.mind import Ask, Thought, Tool
from sandbox.provider.models import Model
from sandbox.provider.problems import Problem
from sandbox.provider.reading import Body, Content
from sandbox.provider.tokens import MESSAGE_TOKENS, Piece, Tokens, count_json
from sandbox.provider.wire import ENCODER, Event, Reply

ENDINGS = {"stop": "STOP", "length": "MAX_TOKENS", "tool": "STOP", "refusal": "SAFETY", "stop_sequence": "STOP"}


SIGNATURE = "c2FuZGJveA=="


def read(body: Body, model: Model, knobs: Knobs) -> Ask:
    """A generateContent request; names in snake_case are understood as Google does."""
    reading.must_do(model, "chat")
    body = _camel(body)
    config = _camel(reading.field(body, "generationConfig", dict, {}))
    ask = Ask(model=model, knobs=knobs, pieces=[])
    ask.tools = _tools(body, ask)
    _read_contents(ask, body)
    ask.max_tokens = reading.positive(config, "maxOutputTokens")
    ask.stops = reading.stops(reading.field(config, "stopSequences", list))
    if config.get("responseMimeType") == "application/json":
        ask.schema = config.get("responseJsonSchema") or config.get("responseSchema") or {"type": "object"}
    _read_choice(ask, body)
    thinking = _camel(reading.field(config, "thinkingConfig", dict, {}))
    ask.reasons = thinking.get("thinkingBudget") != 0 and (bool(thinking) or model.reasons)
    reading.within(config, "candidateCount", 1, 8)
    ask.answers = reading.field(config, "candidateCount", int, 1)
    _fits(ask)
    return ask


def includes_thoughts(body: Body) -> bool:
    """Whether thoughts are shown, not only counted."""
    config = _camel(_camel(body).get("generationConfig") or {})
    return bool(_camel(config.get("thinkingConfig") or {}).get("includeThoughts"))


def _fits(ask: Ask) -> None:
    most = ask.model.context_tokens
    if ask.input_tokens > most:
        message = f"The input token count ({ask.input_tokens}) exceeds the maximum number of tokens allowed ({most})."
        raise Problem("context", message)


def _camel(value: Body) -> Body:
    def name(key: str) -> str:
        first, *rest = key.split("_")
        return first + "".join(part.title() for part in rest)

    return {name(key): item for key, item in value.items()}


def _tools(body: Body, ask: Ask) -> list[Tool]:
    offered = reading.dictionaries(body, "tools")
    if offered:
        ask.pieces.append(Piece(offered, count_json(offered)))
    functions = [_camel(one) for tool in offered for one in reading.dictionaries(_camel(tool), "functionDeclarations")]
    return [
        Tool(reading.needed(one, "name", str), one.get("parametersJsonSchema") or one.get("parameters"))
        for one in functions
    ]


def _read_choice(ask: Ask, body: Body) -> None:
    config = _camel(reading.field(body, "toolConfig", dict, {}))
    calling = _camel(reading.field(config, "functionCallingConfig", dict, {}))
    allowed = calling.get("allowedFunctionNames") or []
    mode = str(calling.get("mode", "AUTO")).upper()
    ask.choice = {"NONE": "none", "ANY": "required"}.get(mode, "auto")
    if mode == "ANY" and allowed:
        ask.choice = f"={allowed[0]}"


def _read_contents(ask: Ask, body: Body) -> None:
    if system := reading.field(body, "systemInstruction", (dict, str)):
        told = system if isinstance(system, dict) else {"parts": [{"text": system}]}
        ask.pieces.append(Piece(["system", told], _content(told).tokens))
    contents = reading.field(body, "contents", (list, dict))
    for turn in contents if isinstance(contents, list) else [contents]:
        if not isinstance(turn, dict):
            raise Problem("invalid", "* GenerateContentRequest.contents: contents is not specified")
        content = _content(turn)
        ask.pieces.append(Piece(turn, content.tokens + MESSAGE_TOKENS))
        ask.images += content.images
        ask.audio += content.audio
        responses = any("functionResponse" in _camel(part) for part in turn.get("parts", []))
        ask.last_is_user = turn.get("role", "user") == "user" and not responses
        ask.last_words = content.words if ask.last_is_user else ask.last_words
    if not contents:
        raise Problem("invalid", "* GenerateContentRequest.contents: contents is not specified")


def _content(turn: Body) -> Content:
    content = Content()
    for raw in reading.dictionaries(turn, "parts"):
        part = _camel(raw)
        media = _camel(part.get("inlineData") or part.get("fileData") or {})
        kind = str(media.get("mimeType", ""))
        if "text" in part:
            content.text(part["text"])
        elif kind.startswith("image/"):
            content.image()
        elif kind.startswith("audio/"):
            content.sound(media.get("data", ""))
        elif media:
            content.file(media.get("data", ""))
        else:
            content.other(part)
    return content


def usage(tokens: Tokens, *, so_far: int | None = None) -> dict[str, Any]:
    """Thoughts are counted beside the answer; details say what the prompt was made of."""
    answered = tokens.output - tokens.reasoning if so_far is None else so_far
    shown: dict[str, Any] = {"promptTokenCount": tokens.input}
    if answered:
        shown["candidatesTokenCount"] = answered
    shown["totalTokenCount"] = tokens.input + answered + tokens.reasoning
    if tokens.cached:
        shown["cachedContentTokenCount"] = tokens.cached
    shown["promptTokensDetails"] = _details(tokens)
    if tokens.cached:
        shown["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": tokens.cached}]
    if tokens.reasoning:
        shown["thoughtsTokenCount"] = tokens.reasoning
    return {**shown, "serviceTier": "standard"}


def _details(tokens: Tokens) -> list[dict[str, Any]]:
    text = tokens.input - tokens.images - tokens.audio
    parts = (("TEXT", text), ("IMAGE", tokens.images), ("AUDIO", tokens.audio))
    return [{"modality": name, "tokenCount": number} for name, number in parts if number]


def whole(reply: Reply, _body: Body) -> dict[str, Any]:
    """A GenerateContentResponse."""
    candidates = [
        _candidate(_parts(thought, shown=bool(reply.detail)), index, thought.ending)
        for index, thought in enumerate(reply.thoughts)
    ]
    answer: dict[str, Any] = {"candidates": candidates}
    shown = reply.ask.knobs.usages(usage(reply.tokens))
    if shown:
        answer["usageMetadata"] = shown[-1]
    return {**answer, "modelVersion": reply.model, "responseId": reply.id}


def _candidate(parts: list[Body], index: int, ending: str | None = None) -> Body:
    content: Body = {"role": "model"}
    if parts:
        content["parts"] = parts
    candidate: Body = {"content": content, "index": index}
    if ending:
        candidate["finishReason"] = ENDINGS[ending]
    return candidate


def _parts(thought: Thought, *, shown: bool) -> list[Body]:
    parts: list[Body] = []
    if thought.reasoning and shown:
        parts.append({"text": "".join(thought.reasoning), "thought": True})
    if thought.words:
        parts.append({"text": thought.text})
    parts += [
        {"functionCall": {"name": call.name, "args": msgspec.json.decode(call.arguments)}} for call in thought.calls
    ]
    if thought.reasoning and parts:
        parts[-1]["thoughtSignature"] = SIGNATURE
    return parts


def events(reply: Reply, _body: Body) -> Iterator[Event]:
    """Every chunk a whole response with usage so far; lines end as Google's do; nothing says it is done."""
    foot = {"modelVersion": reply.model, "responseId": reply.id}
    so_far = 0
    for index, thought in enumerate(reply.thoughts):
        for part, tokens in _streamed(thought, shown=bool(reply.detail)):
            so_far += 0 if part.get("thought") else tokens
            chunk = {"candidates": [_candidate([part], index)], "usageMetadata": usage(reply.tokens, so_far=so_far)}
            if reply.ask.knobs.has("no-usage"):
                del chunk["usageMetadata"]
            yield Event(_line({**chunk, **foot}), tokens)
        candidate = _candidate([{"text": ""}] if thought.words else [], index, thought.ending)
        if thought.calls:
            candidate["finishMessage"] = "Model generated function call(s)."
        last: Body = {"candidates": [candidate]}
        shown = reply.ask.knobs.usages(usage(reply.tokens)) or [{}]
        for numbers in shown:
            final = {**last, "usageMetadata": numbers} if numbers != {} else last
            yield Event(_line({**final, **foot}))


def _streamed(thought: Thought, *, shown: bool) -> Iterator[tuple[Body, int]]:
    hidden = 0 if shown else len(thought.reasoning)
    if shown:
        for word in thought.reasoning:
            yield {"text": word, "thought": True}, 1
    for number, word in enumerate(thought.words):
        yield {"text": word}, 1 + (hidden if number == 0 else 0)
    for call in thought.calls:
        part: Body = {"functionCall": {"name": call.name, "args": msgspec.json.decode(call.arguments)}}
        if thought.reasoning:
            part["thoughtSignature"] = SIGNATURE
        yield part, call.tokens + (hidden if not thought.words and call is thought.calls[0] else 0)


def _line(value: Any) -> bytes:
    return b"data: " + ENCODER.encode(value) + b"\r\n\r\n"


def count_answer(ask: Ask) -> Body:
    """The answer of countTokens."""
    total = ask.input_tokens
    return {"totalTokens": total, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": total}]}
