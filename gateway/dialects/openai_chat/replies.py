"""Chat completion answers: whole ones read as their events, streamed ones chunk by chunk, both written again.

Hosts differ in where they keep reasoning (`reasoning_content`, `reasoning`, `reasoning_details`, an array of parts),
in whether tool calls come whole or in pieces, and in which chunk carries the usage; all of that is read here without
asking who the host is.
"""

from collections.abc import Iterable
from typing import Any

from gateway.dialects.answers import broken
from gateway.dialects.blocks import Blocks
from gateway.dialects.expressing import set_members, untold
from gateway.dialects.heading import Heading
from gateway.dialects.media import data_url, read_data_url
from gateway.dialects.neutral import (
    Broke,
    CallDelta,
    CallStarted,
    Citation,
    Cited,
    Ended,
    Event,
    Finished,
    Json,
    Logprobs,
    MediaMade,
    RefusalDelta,
    Reported,
    Started,
    Stop,
    TextDelta,
    ThinkingDelta,
    Untold,
)
from gateway.dialects.openai_errors import error_object, read_broke
from gateway.dialects.openai_usage import read_usage, write_chat_usage
from gateway.dialects.reading import reply_members, written
from gateway.dialects.replies import Block, Choice, collect
from gateway.dialects.sse import DONE, ServerEvent, event
from gateway.errors import GatewayError, InvalidRequest, UpstreamMalformed

STOPS: dict[str, Stop] = {
    "stop": "end",
    "length": "length",
    "model_length": "context_window",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "blocked",
    "error": "error",
}
WORDS: dict[Stop, str] = {
    "end": "stop",
    "stop_sequence": "stop",
    "pause": "stop",
    "error": "stop",
    "length": "length",
    "context_window": "length",
    "tool_calls": "tool_calls",
    "blocked": "content_filter",
    "refusal": "content_filter",
}


# Reading


def read_reply(body: bytes) -> list[Event]:
    """Read a whole answer as its events."""
    reader = EventReader()
    events = reader.read_chunk(reply_members(body), piece="message")
    return events if events and isinstance(events[-1], Broke) else [*events, Ended()]


class EventReader:
    """Reads a streamed answer."""

    def __init__(self) -> None:
        self._started = False
        self._blocks = Blocks()
        self._calls: dict[tuple[int, int], str] = {}

    def read(self, received: ServerEvent) -> list[Event]:
        """Read one event; comments and keep-alives say nothing."""
        data = received.data
        if not data:
            return []
        if data == DONE:
            return [Ended()]
        return self.read_chunk(reply_members(data), piece="delta")

    def close(self) -> list[Event]:
        """Say that the bytes have ended; this dialect marks its end itself, so it means nothing more."""
        return []

    def read_chunk(self, chunk: Json, *, piece: str) -> list[Event]:
        """Read one chunk, or a whole answer, whose pieces are called `message` instead of `delta`."""
        events: list[Event] = []
        if not self._started and (chunk.get("id") or chunk.get("model")):
            self._started = True
            events.append(Started(_text(chunk, "id"), _text(chunk, "model"), _number(chunk, "created")))
        for position, choice in enumerate(_objects(chunk, "choices")):
            number = choice.get("index", position)
            number = number if type(number) is int and 0 <= number < 1000 else position
            events += self._read_choice(choice, number, piece)
        events += _read_reports(chunk)
        if chunk.get("error"):
            events.append(read_broke(chunk["error"]))
        return events

    def _read_choice(self, choice: Json, number: int, piece: str) -> list[Event]:
        delta = choice.get(piece)
        events = self._read_delta(delta, number) if type(delta) is dict else []
        if type(choice.get("text")) is str and choice["text"]:
            events.append(TextDelta(choice["text"], self._blocks.of(number, "text"), number))
        logprobs = choice.get("logprobs")
        if type(logprobs) is dict and type(logprobs.get("content")) is list and logprobs["content"]:
            events.append(Logprobs(_objects(logprobs, "content"), number))
        reason = choice.get("finish_reason")
        if type(reason) is str and reason:
            events.append(Finished(STOPS.get(reason, "end"), number))
        return events

    def _read_delta(self, delta: Json, choice: int) -> list[Event]:
        events = self._read_thinking(delta, choice)
        content = delta.get("content")
        if type(content) is str and content:
            events.append(TextDelta(content, self._blocks.of(choice, "text"), choice))
        elif type(content) is list:
            events += self._read_parts(content, choice)
        if type(delta.get("refusal")) is str and delta["refusal"]:
            events.append(RefusalDelta(delta["refusal"], self._blocks.of(choice, "refusal"), choice))
        for note in _objects(delta, "annotations"):
            events += self._read_annotation(note, choice)
        for image in _objects(delta, "images"):
            events += self._read_image(image, choice)
        for position, call in enumerate(_objects(delta, "tool_calls")):
            events += self._read_call(call, position, choice, delta)
        return events

    def _read_thinking(self, delta: Json, choice: int) -> list[Event]:
        text = _text(delta, "reasoning_content") or _text(delta, "reasoning")
        details = _objects(delta, "reasoning_details")
        told = text or "".join(_text(detail, "text") or _text(detail, "summary") for detail in details)
        events: list[Event] = []
        if told:
            events.append(ThinkingDelta(told, self._blocks.of(choice, "thinking"), choice))
        for detail in details:
            if _text(detail, "signature"):
                block = self._blocks.of(choice, "thinking")
                events.append(ThinkingDelta("", block, choice, signature=detail["signature"]))
            elif _text(detail, "data") and not _text(detail, "id"):
                events.append(ThinkingDelta("", self._blocks.fresh(choice), choice, redacted=detail["data"]))
        return events

    def _read_parts(self, content: list[Any], choice: int) -> list[Event]:
        events: list[Event] = []
        for part in content:
            if type(part) is not dict:
                continue
            if part.get("type") == "thinking":
                inner = part.get("thinking")
                told = inner if type(inner) is str else "".join(_text(p, "text") for p in _objects(part, "thinking"))
                events.append(ThinkingDelta(told, self._blocks.of(choice, "thinking"), choice))
            elif _text(part, "text"):
                events.append(TextDelta(part["text"], self._blocks.of(choice, "text"), choice))
        return events

    def _read_annotation(self, note: Json, choice: int) -> list[Event]:
        cited = note.get("url_citation")
        if type(cited) is not dict or not _text(cited, "url"):
            return []
        citation = Citation(
            cited["url"],
            _text(cited, "title") or None,
            _text(cited, "content") or None,
            _whole(cited, "start_index"),
            _whole(cited, "end_index"),
        )
        return [Cited(citation, self._blocks.of(choice, "text"), choice)]

    def _read_image(self, image: Json, choice: int) -> list[Event]:
        inner = image.get("image_url")
        try:
            inline = read_data_url(_text(inner, "url"), "images") if type(inner) is dict else None
        except InvalidRequest:
            raise UpstreamMalformed("The provider's answer holds a picture that cannot be read.") from None
        return [MediaMade(inline[0], inline[1], self._blocks.fresh(choice), choice)] if inline else []

    def _read_call(self, call: Json, position: int, choice: int, delta: Json) -> list[Event]:
        index = call.get("index", position)
        index = index if type(index) is int else position
        function = call.get("function")
        function = function if type(function) is dict else {}
        events: list[Event] = []
        call_id = _text(call, "id")
        known = self._calls.get((choice, index))
        if known is None or (call_id and call_id != known and _text(function, "name")):
            call_id = call_id or f"call_{choice}_{index}"
            self._calls[choice, index] = call_id
            events += self._signed(delta, call_id, choice)
            block = self._blocks.of(choice, ("call", index, call_id))
            events.append(CallStarted(call_id, _text(function, "name"), block, choice))
        arguments = function.get("arguments")
        if type(arguments) is dict:
            arguments = written(arguments).decode()
        if type(arguments) is str and arguments:
            block = self._blocks.of(choice, ("call", index, self._calls[choice, index]))
            events.append(CallDelta(arguments, block, choice))
        return events

    def _signed(self, delta: Json, call_id: str, choice: int) -> list[Event]:
        return [
            ThinkingDelta("", self._blocks.fresh(choice), choice, signature=detail["data"])
            for detail in _objects(delta, "reasoning_details")
            if detail.get("id") == call_id and _text(detail, "data")
        ]


def _read_reports(chunk: Json) -> list[Event]:
    usage = chunk.get("usage")
    if type(usage) is not dict:
        groq = chunk.get("x_groq")
        usage = groq.get("usage") if type(groq) is dict else None
    return [Reported(read_usage(usage))] if type(usage) is dict and usage else []


def _text(source: Json, name: str) -> str:
    value = source.get(name)
    return value if type(value) is str else ""


def _number(source: Json, name: str) -> int:
    value = source.get(name)
    return value if type(value) is int else 0


def _whole(source: Json, name: str) -> int | None:
    value = source.get(name)
    return value if type(value) is int else None


def _objects(source: Json, name: str) -> list[Json]:
    value = source.get(name)
    return [item for item in value if type(item) is dict] if type(value) is list else []


# Writing


def write_reply(events: Iterable[Event], heading: Heading) -> bytes:
    """Write a whole answer."""
    reply = collect(events)
    return written(
        {
            "id": reply.started.id or "chatcmpl",
            "object": "chat.completion",
            "created": reply.started.created or heading.created,
            "model": heading.model,
            "choices": [_write_choice(number, choice) for number, choice in sorted(reply.choices.items())],
            **({"usage": write_chat_usage(reply.tally)} if reply.tally else {}),
        }
    )


def _write_choice(number: int, choice: Choice) -> Json:
    return {
        "index": number,
        "message": _write_message(choice),
        "logprobs": {"content": choice.logprobs, "refusal": None} if choice.logprobs else None,
        "finish_reason": WORDS[choice.stop or "end"],
    }


def _write_message(choice: Choice) -> Json:
    calls = [_write_call(block) for block in choice.of("call")]
    citations = [citation for block in choice.of("text") for citation in block.citations]
    thinking = choice.text("thinking")
    details = _write_details(choice.blocks)
    media = [_write_media(block.name, block.text) for block in choice.of("media")]
    return {
        "role": "assistant",
        "content": choice.text("text") or (None if calls or choice.of("refusal") else ""),
        "refusal": choice.text("refusal") or None,
        **({"tool_calls": calls} if calls else {}),
        **({"annotations": [_write_citation(citation) for citation in citations]} if citations else {}),
        **({"reasoning_content": thinking} if thinking else {}),
        **({"reasoning_details": details} if details else {}),
        **({"images": media} if media else {}),
    }


def _write_details(blocks: list[Block]) -> list[Json]:
    details: list[Json] = []
    for block, following in zip(blocks, [*blocks, None][1:], strict=True):
        if block.kind != "thinking" or (block.signature is None and block.redacted is None):
            continue
        if block.redacted is not None:
            details.append({"type": "reasoning.encrypted", "data": block.redacted})
        elif not block.text and following is not None and following.kind == "call":
            details.append({"type": "reasoning.encrypted", "data": block.signature, "id": following.id})
        else:
            details.append({"type": "reasoning.text", "text": block.text, "signature": block.signature})
    return details


def _write_call(block: Block) -> Json:
    return {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": block.text}}


def _write_media(media_type: str, data: str) -> Json:
    return {"type": "image_url", "image_url": {"url": data_url(media_type, data)}}


def _write_citation(citation: Citation) -> Json:
    if citation.url is None:
        untold("a citation of a document")
    said = set_members(
        title=citation.title, content=citation.quoted, start_index=citation.start, end_index=citation.end
    )
    return {"type": "url_citation", "url_citation": {"url": citation.url, **said}}


class EventWriter:
    """Writes a streamed answer."""

    def __init__(self, heading: Heading) -> None:
        self._heading = heading
        self._started = Started()
        self._calls: dict[tuple[int, int], int] = {}
        self._held: ThinkingDelta | None = None
        self._thought: set[tuple[int, int]] = set()
        self._spoken: set[int] = set()

    def write(self, told: Event) -> bytes:
        """Write one event; a bare signature waits for what it signs, since a tool call's carries the call's id."""
        if isinstance(told, ThinkingDelta) and told.signature and not told.text and self._is_bare(told):
            self._held = told
            return b""
        if self._held is None or isinstance(told, CallStarted):
            return self._write(told)
        held, self._held = self._held, None
        return self._choice(held.choice, _thinking(held)) + self._write(told)

    def _is_bare(self, told: ThinkingDelta) -> bool:
        return (told.choice, told.block) not in self._thought

    def _write(self, told: Event) -> bytes:
        match told:
            case Started():
                self._started = told
                return b""
            case Reported():
                usage = {"usage": write_chat_usage(told.tally)}
                return self._chunk([], **usage) if self._heading.wants_usage else b""
            case Finished():
                return self._choice(told.choice, {}, finish_reason=WORDS[told.stop])
            case Logprobs():
                return self._choice(told.choice, {}, logprobs={"content": told.content, "refusal": None})
            case Untold():
                untold(told.kind)
            case Ended():
                return event(DONE)
            case Broke():
                return self.fail(broken(told))
        return self._choice(told.choice, self._delta(told))

    def fail(self, error: GatewayError) -> bytes:
        """End the answer with an error of our own."""
        return event(written({"error": error_object(error)}))

    def _delta(self, told: Event) -> Json:
        match told:
            case TextDelta():
                return {"content": told.text}
            case ThinkingDelta():
                self._thought.add((told.choice, told.block))
                return _thinking(told)
            case RefusalDelta():
                return {"refusal": told.text}
            case CallStarted():
                return self._call(told)
            case CallDelta():
                index = self._calls.get((told.choice, told.block), 0)
                return {"tool_calls": [{"index": index, "function": {"arguments": told.arguments}}]}
            case Cited():
                return {"annotations": [_write_citation(told.citation)]}
            case MediaMade():
                return {"images": [_write_media(told.media_type, told.data)]}
        return {}

    def _call(self, told: CallStarted) -> Json:
        index = self._calls[told.choice, told.block] = len(
            [choice for choice, _ in self._calls if choice == told.choice]
        )
        call = {"index": index, "id": told.id, "type": "function", "function": {"name": told.name, "arguments": ""}}
        held, self._held = self._held, None
        if held is None:
            return {"tool_calls": [call]}
        signed = {"type": "reasoning.encrypted", "data": held.signature, "id": told.id}
        return {"tool_calls": [call], "reasoning_details": [signed]}

    def _choice(self, number: int, delta: Json, **members: Any) -> bytes:
        if number not in self._spoken:
            self._spoken.add(number)
            delta = {"role": "assistant", **delta}
        choice = {"index": number, "delta": delta, "logprobs": None, "finish_reason": None} | members
        return self._chunk([choice])

    def _chunk(self, choices: list[Json], **members: Any) -> bytes:
        return event(
            written(
                {
                    "id": self._started.id or "chatcmpl",
                    "object": "chat.completion.chunk",
                    "created": self._started.created or self._heading.created,
                    "model": self._heading.model,
                    "choices": choices,
                    **members,
                }
            )
        )


def _thinking(told: ThinkingDelta) -> Json:
    if told.redacted is not None:
        return {"reasoning_details": [{"type": "reasoning.encrypted", "data": told.redacted}]}
    words = {"reasoning_content": told.text} if told.text else {}
    if told.signature is None:
        return words
    return {**words, "reasoning_details": [{"type": "reasoning.text", "text": told.text, "signature": told.signature}]}
