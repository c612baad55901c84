"""Answers of messages: whole ones read as their events, streamed ones event by event, both written again.

A stream is a frame: message_start, blocks that open, grow and close one after the other, then message_delta with the
reason and the usage, then message_stop. The writer keeps that frame whatever order the other dialect has.
"""

from collections.abc import Iterable
from typing import Any

from gateway.dialects.answers import broken
from gateway.dialects.anthropic_messages.errors import error_object, read_broke
from gateway.dialects.anthropic_messages.read_requests import read_citation
from gateway.dialects.anthropic_messages.usage import merged, read_usage, write_usage
from gateway.dialects.expressing import set_members, untold
from gateway.dialects.glimpse import strings
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
from gateway.dialects.replies import Block, collect, later
from gateway.dialects.sse import ServerEvent, event
from gateway.errors import GatewayError

STOPS: dict[str, Stop] = {
    "end_turn": "end",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_window",
}
WORDS: dict[Stop, str] = {stop: word for word, stop in STOPS.items()} | {"blocked": "refusal", "error": "end_turn"}
FRAME = {"content_block_stop", "ping"}


# Reading


def read_reply(body: bytes) -> list[Event]:
    """Read a whole answer as its events."""
    source = reply_members(body)
    if source.get("type") == "error":
        return [read_broke(source)]
    reader = EventReader()
    events = [*reader.start(source)]
    content = source.get("content")
    for index, block in enumerate(content if type(content) is list else []):
        if type(block) is dict:
            events += reader.open(block, index)
    return [*events, *_finished(source), Ended()]


class EventReader:
    """Reads a streamed answer."""

    def __init__(self) -> None:
        self._usage: Json = {}
        self._started = False
        self._untold: dict[int, str] = {}

    def read(self, received: ServerEvent) -> list[Event]:
        """Read one event; pings say nothing."""
        return self.read_chunk(reply_members(received.data)) if received.data else []

    def close(self) -> list[Event]:
        """Say that the bytes have ended; this dialect marks its end itself, so it means nothing more."""
        return []

    def read_chunk(self, chunk: Json) -> list[Event]:
        """Read the data of one event."""
        match chunk.get("type"):
            case "content_block_delta":
                return self._grow(_object(chunk, "delta"), _index(chunk))
            case "content_block_start":
                return self.open(_object(chunk, "content_block"), _index(chunk))
            case "message_start":
                return self.start(_object(chunk, "message"))
            case "message_delta":
                return [*_finished(_object(chunk, "delta")), *self._report(chunk)]
            case "message_stop":
                return [Ended()]
            case "error":
                return [read_broke(chunk)]
        return []

    def start(self, message: Json) -> list[Event]:
        """Read the head of an answer; a second head, which some hosts send, only reports."""
        began = [] if self._started else [Started(_text(message, "id"), _text(message, "model"))]
        self._started = True
        return [*began, *self._report(message)]

    def _report(self, source: Json) -> list[Event]:
        usage = source.get("usage")
        if type(usage) is not dict or not usage:
            return []
        self._usage = merged(self._usage, usage)
        return [Reported(read_usage(self._usage))]

    def open(self, block: Json, index: int) -> list[Event]:
        """Read a block's beginning; in a whole answer that is all of it."""
        match block.get("type"):
            case "text":
                cited = block.get("citations")
                notes = (
                    [Cited(read_citation(c), index) for c in cited if type(c) is dict] if type(cited) is list else []
                )
                return [*([TextDelta(block["text"], index)] if _text(block, "text") else []), *notes]
            case "thinking":
                told = ThinkingDelta(_text(block, "thinking"), index, signature=_text(block, "signature") or None)
                return [told] if told.text or told.signature else []
            case "redacted_thinking":
                return [ThinkingDelta("", index, redacted=_text(block, "data"))]
            case "tool_use":
                given = block.get("input")
                arguments = [CallDelta(written(given).decode(), index)] if given and type(given) is dict else []
                return [CallStarted(_text(block, "id"), _text(block, "name"), index), *arguments]
        self._untold[index] = str(block.get("type"))[:100]
        return [Untold(self._untold[index], strings([block.get("name"), block.get("content")]))]

    def _grow(self, delta: Json, index: int) -> list[Event]:
        if index in self._untold:
            return [Untold(self._untold[index], _text(delta, "text") or _text(delta, "partial_json"))]
        match delta.get("type"):
            case "text_delta":
                return [TextDelta(_text(delta, "text"), index)]
            case "input_json_delta":
                return [CallDelta(delta["partial_json"], index)] if _text(delta, "partial_json") else []
            case "thinking_delta":
                return [ThinkingDelta(_text(delta, "thinking"), index)]
            case "signature_delta":
                return [ThinkingDelta("", index, signature=_text(delta, "signature"))]
            case "citations_delta":
                return [Cited(read_citation(_object(delta, "citation")), index)]
        return [Untold(str(delta.get("type"))[:100])]


def _finished(source: Json) -> list[Event]:
    reason = source.get("stop_reason")
    if type(reason) is not str or not reason:
        return []
    return [Finished(STOPS.get(reason, "end"), 0, _text(source, "stop_sequence") or None)]


def _text(source: Json, name: str) -> str:
    value = source.get(name)
    return value if type(value) is str else ""


def _object(source: Json, name: str) -> Json:
    value = source.get(name)
    return value if type(value) is dict else {}


def _index(source: Json) -> int:
    value = source.get("index")
    return value if type(value) is int else 0


# Writing


def write_reply(events: Iterable[Event], heading: Heading) -> bytes:
    """Write a whole answer."""
    reply = collect(events)
    if len(reply.choices) > 1:
        untold("several answers at once")
    choice = reply.choice(0)
    refused = bool(choice.of("refusal")) and choice.stop in {None, "end"}
    return written(
        {
            **_head(reply.started, heading),
            "content": [_write_block(block) for block in choice.blocks],
            "stop_reason": WORDS["refusal" if refused else choice.stop or "end"],
            "stop_sequence": choice.sequence,
            "usage": write_usage(reply.tally or Tally()),
        }
    )


def _head(started: Started, heading: Heading) -> Json:
    return {"id": started.id or "msg", "type": "message", "role": "assistant", "model": heading.model}


def _write_block(block: Block) -> Json:
    match block.kind:
        case "text":
            citations = [_write_citation(citation) for citation in block.citations]
            return {"type": "text", "text": block.text, **({"citations": citations} if citations else {})}
        case "refusal":
            return {"type": "text", "text": block.text}
        case "thinking":
            if block.redacted is not None:
                return {"type": "redacted_thinking", "data": block.redacted}
            return {"type": "thinking", "thinking": block.text, "signature": block.signature or ""}
        case "call":
            return {"type": "tool_use", "id": block.id, "name": block.name, "input": _arguments(block)}
    untold(block.name or block.kind)


def _arguments(block: Block) -> Json:
    arguments = argument_members(block.text)
    if arguments is None:
        untold("a tool call whose arguments are not JSON")
    return arguments


def _write_citation(citation: Citation) -> Json:
    if citation.source is not None and "cited_text" in citation.source:
        return citation.source
    said = set_members(url=citation.url, title=citation.title, cited_text=citation.quoted or "")
    return {"type": "web_search_result_location", "encrypted_index": "", **said}


class EventWriter:
    """Writes a streamed answer."""

    def __init__(self, heading: Heading) -> None:
        self._heading = heading
        self._started = Started()
        self._tally: Tally | None = None
        self._headed = False
        self._open: int | None = None
        self._index = -1
        self._kind = ""
        self._finished: Finished | None = None
        self._refused = False

    def write(self, told: Event) -> bytes:
        """Write one event; reason and usage wait for the end, where this dialect wants them."""
        match told:
            case Started():
                self._started = told
                return b""
            case Reported():
                self._tally = told.tally if self._tally is None else later(self._tally, told.tally)
                return b""
            case Finished():
                self._finished = self._finished or told
                return b""
            case Ended():
                return self._end()
            case Broke():
                return self.fail(broken(told))
            case Untold() | MediaMade():
                untold(told.kind if isinstance(told, Untold) else told.media_type)
            case TextDelta() | ThinkingDelta() | RefusalDelta() | CallStarted() | CallDelta() | Cited():
                return self._grow(told)
        return b""

    def fail(self, error: GatewayError) -> bytes:
        """End the answer with an error of our own."""
        return _event("error", error=error_object(error))

    def _grow(self, told: Any) -> bytes:
        if told.choice:
            untold("several answers at once")
        kind = _kind(told)
        head = b"" if self._open == told.block and kind == self._kind else self._switch(told, kind)
        delta = self._delta(told)
        return head + (_event("content_block_delta", index=self._index, delta=delta) if delta else b"")

    def _switch(self, told: Any, kind: str) -> bytes:
        if isinstance(told, CallDelta):
            untold("two tool calls at the same time")
        head = self._begin() + self._close()
        self._index += 1
        self._open, self._kind = told.block, kind
        return head + _event("content_block_start", index=self._index, content_block=_opening(told))

    def _delta(self, told: Event) -> Json:
        match told:
            case TextDelta():
                return {"type": "text_delta", "text": told.text}
            case RefusalDelta():
                self._refused = True
                return {"type": "text_delta", "text": told.text}
            case CallDelta():
                return {"type": "input_json_delta", "partial_json": told.arguments}
            case Cited():
                return {"type": "citations_delta", "citation": _write_citation(told.citation)}
            case ThinkingDelta() if told.signature is not None and not told.text:
                return {"type": "signature_delta", "signature": told.signature}
            case ThinkingDelta() if told.text:
                return {"type": "thinking_delta", "thinking": told.text}
        return {}

    def _begin(self) -> bytes:
        if self._headed:
            return b""
        self._headed = True
        usage = write_usage(self._tally or Tally())
        message = {**_head(self._started, self._heading), "content": [], "stop_reason": None, "stop_sequence": None}
        return _event("message_start", message={**message, "usage": usage})

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return _event("content_block_stop", index=self._index)

    def _end(self) -> bytes:
        last = self._finished or Finished("end")
        stop = "refusal" if self._refused and last.stop == "end" else last.stop
        delta = {"stop_reason": WORDS[stop], "stop_sequence": last.sequence}
        ending = _event("message_delta", delta=delta, usage=write_usage(self._tally or Tally()))
        return self._begin() + self._close() + ending + _event("message_stop")


def _kind(told: Event) -> str:
    match told:
        case TextDelta() | RefusalDelta() | Cited():
            return "text"
        case ThinkingDelta():
            return "redacted" if told.redacted is not None else "thinking"
    return "call"


def _opening(told: Event) -> Json:
    match told:
        case ThinkingDelta():
            if told.redacted is not None:
                return {"type": "redacted_thinking", "data": told.redacted}
            return {"type": "thinking", "thinking": "", "signature": ""}
        case CallStarted():
            return {"type": "tool_use", "id": told.id, "name": told.name, "input": {}}
    return {"type": "text", "text": ""}


def _event(kind: str, **members: Any) -> bytes:
    return event(written({"type": kind, **members}), name=kind)
