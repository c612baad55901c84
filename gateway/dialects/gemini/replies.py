"""Answers of generateContent: whole ones read as their events, streamed ones chunk by chunk, both written again.

A chunk is an answer in small, with the usage so far; there is no mark of the end, so a stream has ended when its bytes
end after a reason to stop was given. Function calls are never sent in pieces here: the writer waits until one is whole.
"""

from collections.abc import Iterable
from typing import Any

from gateway.dialects.answers import broken
from gateway.dialects.blocks import Blocks
from gateway.dialects.expressing import set_members, untold
from gateway.dialects.gemini.errors import error_object, read_broke
from gateway.dialects.gemini.usage import merged, read_usage, with_searches, write_usage
from gateway.dialects.heading import Heading
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
    MediaMade,
    RefusalDelta,
    Reported,
    Started,
    Stop,
    Tally,
    TextDelta,
    ThinkingDelta,
    Untold,
)
from gateway.dialects.reading import argument_members, reply_members, written
from gateway.dialects.replies import Block, Choice, Reply, collect, later
from gateway.dialects.sse import ServerEvent, event
from gateway.errors import GatewayError

STOPS: dict[str, Stop] = {
    "STOP": "end",
    "MAX_TOKENS": "length",
    "MALFORMED_FUNCTION_CALL": "error",
    "UNEXPECTED_TOOL_CALL": "error",
    "OTHER": "error",
    "LANGUAGE": "error",
    "FINISH_REASON_UNSPECIFIED": "end",
}
WORDS: dict[Stop, str] = {
    "length": "MAX_TOKENS",
    "context_window": "MAX_TOKENS",
    "blocked": "SAFETY",
    "refusal": "SAFETY",
    "error": "OTHER",
}


# Reading


def read_reply(body: bytes) -> list[Event]:
    """Read a whole answer as its events."""
    reader = EventReader()
    return [*reader.read_chunk(reply_members(body)), *reader.close()]


class EventReader:
    """Reads a streamed answer."""

    def __init__(self) -> None:
        self._started = False
        self._stopped = False
        self._usage: Json = {}
        self._blocks = Blocks()
        self._calls: dict[int, int] = {}

    def read(self, received: ServerEvent) -> list[Event]:
        """Read one event."""
        return self.read_chunk(reply_members(received.data)) if received.data else []

    def close(self) -> list[Event]:
        """Say that the bytes have ended, which ends an answer that has given its reason to stop."""
        return [Ended()] if self._stopped else []

    def read_chunk(self, chunk: Json) -> list[Event]:
        """Read one chunk, or a whole answer."""
        if chunk.get("error"):
            return [read_broke(chunk["error"])]
        events: list[Event] = []
        if not self._started:
            self._started = True
            events.append(Started(_text(chunk, "responseId"), _text(chunk, "modelVersion")))
        candidates = _objects(chunk, "candidates")
        for candidate in candidates:
            events += self._read_candidate(candidate)
        feedback = chunk.get("promptFeedback")
        if type(feedback) is dict and feedback.get("blockReason") and not candidates:
            self._stopped = True
            events.append(Finished("blocked"))
        usage = chunk.get("usageMetadata")
        if type(usage) is dict and usage:
            self._usage = merged(self._usage, with_searches(usage, candidates))
            events.append(Reported(read_usage(self._usage)))
        return events

    def _read_candidate(self, candidate: Json) -> list[Event]:
        index = candidate.get("index")
        choice = index if type(index) is int and 0 <= index < 1000 else 0
        content = candidate.get("content")
        events: list[Event] = []
        for part in _objects(content, "parts") if type(content) is dict else []:
            events += self._read_part(part, choice)
        events += self._read_grounding(candidate, choice)
        reason = candidate.get("finishReason")
        if type(reason) is str and reason:
            self._stopped = True
            stop = STOPS.get(reason, "blocked")
            events.append(Finished("tool_calls" if stop == "end" and self._calls.get(choice) else stop, choice))
        return events

    def _read_part(self, part: Json, choice: int) -> list[Event]:
        signature = _text(part, "thoughtSignature") or None
        if part.get("thought") is True:
            return [
                ThinkingDelta(_text(part, "text"), self._blocks.of(choice, "thinking"), choice, signature=signature)
            ]
        events: list[Event] = []
        if signature:
            events.append(ThinkingDelta("", self._blocks.fresh(choice), choice, signature=signature))
        if _text(part, "text"):
            events.append(TextDelta(part["text"], self._blocks.of(choice, "text"), choice))
        elif type(part.get("functionCall")) is dict:
            events += self._read_call(part["functionCall"], choice)
        elif type(part.get("inlineData")) is dict:
            inline = part["inlineData"]
            made = MediaMade(_text(inline, "mimeType"), _text(inline, "data"), self._blocks.fresh(choice), choice)
            events.append(made)
        elif not signature and "text" not in part:
            events.append(Untold(", ".join(sorted(part))[:100]))
        return events

    def _read_call(self, call: Json, choice: int) -> list[Event]:
        self._calls[choice] = number = self._calls.get(choice, 0) + 1
        block = self._blocks.fresh(choice)
        call_id = _text(call, "id") or f"call_{choice}_{number}"
        args = call.get("args")
        arguments = [CallDelta(written(args).decode(), block, choice)] if args and type(args) is dict else []
        return [CallStarted(call_id, _text(call, "name"), block, choice), *arguments]

    def _read_grounding(self, candidate: Json, choice: int) -> list[Event]:
        grounding = candidate.get("groundingMetadata")
        if type(grounding) is not dict:
            return []
        pages = [
            page["web"] if type(page.get("web")) is dict else {} for page in _objects(grounding, "groundingChunks")
        ]
        events: list[Event] = []
        for support in _objects(grounding, "groundingSupports"):
            segment = support.get("segment")
            segment = segment if type(segment) is dict else {}
            indices = support.get("groundingChunkIndices")
            events += [
                Cited(_citation(pages[index], segment), self._blocks.of(choice, "text"), choice)
                for index in (indices if type(indices) is list else [])
                if type(index) is int and 0 <= index < len(pages) and _text(pages[index], "uri")
            ]
        return events


def _citation(page: Json, segment: Json) -> Citation:
    start, end = segment.get("startIndex"), segment.get("endIndex")
    return Citation(
        page["uri"],
        _text(page, "title") or None,
        _text(segment, "text") or None,
        start if type(start) is int else None,
        end if type(end) is int else None,
    )


def _text(source: Json, name: str) -> str:
    value = source.get(name)
    return value if type(value) is str else ""


def _objects(source: Json, name: str) -> list[Json]:
    value = source.get(name)
    return [item for item in value if type(item) is dict] if type(value) is list else []


# Writing


def write_reply(events: Iterable[Event], heading: Heading) -> bytes:
    """Write a whole answer."""
    reply = collect(events)
    return written(
        {
            "candidates": [_write_candidate(number, choice) for number, choice in sorted(reply.choices.items())],
            "usageMetadata": write_usage(reply.tally or Tally()),
            **_head(reply.started, heading),
        }
    )


def _head(started: Started, heading: Heading) -> Json:
    return {"modelVersion": heading.model, "responseId": started.id or "response"}


def _write_candidate(number: int, choice: Choice) -> Json:
    parts: list[Json] = []
    signature: str | None = None
    for block in choice.blocks:
        if block.kind == "thinking" and not block.text and block.signature:
            signature = block.signature
            continue
        parts.append(_write_block(block) | set_members(thoughtSignature=signature))
        signature = None
    if signature is not None:
        parts.append({"text": "", "thoughtSignature": signature})
    citations = [citation for block in choice.of("text") for citation in block.citations]
    return {
        "content": {"parts": parts, "role": "model"},
        "finishReason": WORDS.get(choice.stop or "end", "STOP"),
        "index": number,
        **_write_grounding(citations),
    }


def _write_block(block: Block) -> Json:
    match block.kind:
        case "thinking":
            if block.redacted is not None:
                untold("redacted thinking")
            return {"text": block.text, "thought": True, **set_members(thoughtSignature=block.signature)}
        case "call":
            return _write_call(block.id, block.name, block.text)
        case "media":
            return {"inlineData": {"mimeType": block.name, "data": block.text}}
    return {"text": block.text}


def _write_call(call_id: str, name: str, arguments: str) -> Json:
    args = argument_members(arguments)
    if args is None:
        untold("a tool call whose arguments are not JSON")
    return {"functionCall": {"id": call_id, "name": name, "args": args}}


def _write_grounding(citations: list[Citation]) -> Json:
    if not citations:
        return {}
    if any(citation.url is None for citation in citations):
        untold("a citation of a document")
    pages = [{"web": {"uri": citation.url, **set_members(title=citation.title)}} for citation in citations]
    supports = [
        {
            "segment": set_members(startIndex=citation.start, endIndex=citation.end, text=citation.quoted),
            "groundingChunkIndices": [index],
        }
        for index, citation in enumerate(citations)
    ]
    return {"groundingMetadata": {"groundingChunks": pages, "groundingSupports": supports}}


class EventWriter:
    """Writes a streamed answer."""

    def __init__(self, heading: Heading) -> None:
        self._heading = heading
        self._whole = Reply()
        self._call: tuple[CallStarted, list[str]] | None = None
        self._signature: str | None = None
        self._thought: set[tuple[int, int]] = set()
        self._citations: list[Citation] = []
        self._finished: dict[int, Stop] = {}

    def write(self, told: Event) -> bytes:
        """Write one event; reasons and usage wait for the end, calls until they are whole."""
        match told:
            case CallDelta():
                if self._call is None or (self._call[0].choice, self._call[0].block) != (told.choice, told.block):
                    untold("two tool calls at the same time")
                self._call[1].append(told.arguments)
                return b""
            case Reported():
                tally = self._whole.tally
                self._whole.tally = told.tally if tally is None else later(tally, told.tally)
                return b""
            case Started():
                self._whole.started = told
                return b""
        return self._finish_call() + self._write(told)

    def _write(self, told: Event) -> bytes:
        match told:
            case TextDelta() | RefusalDelta():
                return self._part(told.choice, {"text": told.text}) if told.text else b""
            case ThinkingDelta():
                return self._think(told)
            case CallStarted():
                self._call = (told, [])
            case MediaMade():
                return self._part(told.choice, {"inlineData": {"mimeType": told.media_type, "data": told.data}})
            case Cited():
                self._citations.append(told.citation)
            case Finished():
                self._finished[told.choice] = told.stop
            case Broke():
                return self.fail(broken(told))
            case Untold():
                untold(told.kind)
            case Ended():
                return self._end()
        return b""

    def fail(self, error: GatewayError) -> bytes:
        """End the answer with an error of our own."""
        return event(written({"error": error_object(error)}))

    def _think(self, told: ThinkingDelta) -> bytes:
        if told.redacted is not None:
            untold("redacted thinking")
        place = (told.choice, told.block)
        if told.text:
            self._thought.add(place)
        elif place not in self._thought:
            self._signature = told.signature
            return b""
        return self._part(
            told.choice, {"text": told.text, "thought": True, **set_members(thoughtSignature=told.signature)}
        )

    def _finish_call(self) -> bytes:
        if self._call is None:
            return b""
        (began, pieces), self._call = self._call, None
        return self._part(began.choice, _write_call(began.id, began.name, "".join(pieces)))

    def _part(self, choice: int, part: Json) -> bytes:
        if self._signature is not None:
            part, self._signature = part | {"thoughtSignature": self._signature}, None
        return self._chunk([{"content": {"parts": [part], "role": "model"}, "index": choice}])

    def _end(self) -> bytes:
        left = self._part(0, {"text": ""}) if self._signature is not None else b""
        stops = self._finished or {0: "end"}
        last = [{"finishReason": WORDS.get(stop, "STOP"), "index": choice} for choice, stop in sorted(stops.items())]
        last[0] |= _write_grounding(self._citations)
        return left + self._chunk(last, usageMetadata=write_usage(self._whole.tally or Tally()))

    def _chunk(self, candidates: list[Any], **members: Any) -> bytes:
        return event(written({"candidates": candidates, **members, **_head(self._whole.started, self._heading)}))
