"""Reading answers of Responses: whole ones as their events, streamed ones event by event.

Everything a stream says piece by piece it says again whole when a part, an item and the answer are done; only the
pieces are read, and of the repetitions only what no piece carries: encrypted reasoning, calls sent whole, the usage.
"""

from gateway.dialects.blocks import Blocks
from gateway.dialects.neutral import (
    CallDelta,
    CallStarted,
    Cited,
    Ended,
    Event,
    Finished,
    Json,
    Logprobs,
    RefusalDelta,
    Reported,
    Started,
    TextDelta,
    ThinkingDelta,
    Untold,
)
from gateway.dialects.openai_errors import read_broke
from gateway.dialects.openai_responses.read_requests import PARAGRAPH, read_citation
from gateway.dialects.openai_usage import read_usage, with_searches
from gateway.dialects.reading import reply_members
from gateway.dialects.sse import DONE, ServerEvent

ENDS = {"response.completed", "response.incomplete", "response.failed", "response.cancelled"}
PLAIN = {"message", "reasoning", "function_call"}


def read_reply(body: bytes) -> list[Event]:
    """Read a whole answer as its events."""
    source = reply_members(body)
    reader = EventReader()
    events = [*_started(source)]
    for index, item in enumerate(_objects(source, "output")):
        events += reader.read_item(item, index)
    return [*events, *reader.finish(source)]


class EventReader:
    """Reads a streamed answer."""

    def __init__(self) -> None:
        self._blocks = Blocks()
        self._called: dict[int, bool] = {}
        self._thought: set[int] = set()

    def read(self, received: ServerEvent) -> list[Event]:
        """Read one event; the last line some hosts add says nothing."""
        return self.read_chunk(reply_members(received.data)) if received.data and received.data != DONE else []

    def close(self) -> list[Event]:
        """Say that the bytes have ended; this dialect marks its end itself, so it means nothing more."""
        return []

    def read_chunk(self, chunk: Json) -> list[Event]:
        """Read the data of one event."""
        kind = _text(chunk, "type")
        if kind == "response.created":
            return _started(_object(chunk, "response"))
        if kind in ENDS:
            return self.finish(_object(chunk, "response"))
        if kind == "error" or (not kind and chunk.get("error")):
            return [read_broke(chunk.get("error") or chunk)]
        index = chunk.get("output_index")
        index = index if type(index) is int else 0
        if kind == "response.output_item.added":
            return self._open(_object(chunk, "item"), index)
        if kind == "response.output_item.done":
            return self._close(_object(chunk, "item"), index)
        return self._grow(chunk, kind, index)

    def _grow(self, chunk: Json, kind: str, index: int) -> list[Event]:
        delta = _text(chunk, "delta")
        match kind.removeprefix("response."):
            case "output_text.delta":
                block = self._part(chunk, index)
                logprobs = _objects(chunk, "logprobs")
                return [TextDelta(delta, block), *([Logprobs(logprobs)] if logprobs else [])]
            case "refusal.delta":
                return [RefusalDelta(delta, self._part(chunk, index))]
            case "function_call_arguments.delta":
                self._called[index] = True
                return [CallDelta(delta, self._item(index))] if delta else []
            case "reasoning_summary_text.delta" | "reasoning_text.delta":
                self._thought.add(index)
                return [ThinkingDelta(delta, self._item(index))]
            case "reasoning_summary_part.added" if chunk.get("summary_index"):
                return [ThinkingDelta(PARAGRAPH, self._item(index))]
            case "output_text.annotation.added":
                return [Cited(read_citation(_object(chunk, "annotation")), self._part(chunk, index))]
        return [Untold(kind[:100], delta)] if delta else []

    def _item(self, index: int) -> int:
        return self._blocks.of(0, ("item", index))

    def _part(self, chunk: Json, index: int) -> int:
        part = chunk.get("content_index")
        return self._blocks.of(0, ("part", index, part if type(part) is int else 0))

    def _open(self, item: Json, index: int) -> list[Event]:
        kind = _text(item, "type")
        if kind == "function_call":
            self._called[index] = False
            return [CallStarted(_text(item, "call_id"), _text(item, "name"), self._item(index))]
        return [] if kind in PLAIN else [Untold(kind[:100], _text(item, "name"))]

    def _close(self, item: Json, index: int) -> list[Event]:
        kind = item.get("type")
        if kind == "function_call":
            events = [] if index in self._called else self._open(item, index)
            whole = not self._called[index] and _text(item, "arguments")
            self._called[index] = True
            return [*events, CallDelta(item["arguments"], self._item(index))] if whole else events
        if kind == "reasoning":
            return self._think(item, index)
        return []

    def _think(self, item: Json, index: int) -> list[Event]:
        signature = _text(item, "encrypted_content") or None
        told = "" if index in self._thought else thought(item)
        return [ThinkingDelta(told, self._item(index), signature=signature)] if told or signature else []

    def read_item(self, item: Json, index: int) -> list[Event]:
        """Read one item of a whole answer."""
        if item.get("type") == "message":
            return [
                event for i, part in enumerate(_objects(item, "content")) for event in self._read_part(part, index, i)
            ]
        kind = _text(item, "type")
        return self._close(item, index) if kind in PLAIN else [Untold(kind[:100])]

    def _read_part(self, part: Json, index: int, position: int) -> list[Event]:
        block = self._blocks.of(0, ("part", index, position))
        if part.get("type") == "refusal":
            return [RefusalDelta(_text(part, "refusal"), block)]
        notes = [Cited(read_citation(note), block) for note in _objects(part, "annotations")]
        logprobs = _objects(part, "logprobs")
        text = _text(part, "text")
        return [*([TextDelta(text, block)] if text else []), *notes, *([Logprobs(logprobs)] if logprobs else [])]

    def finish(self, response: Json) -> list[Event]:
        """Read how an answer ended."""
        usage = response.get("usage")
        made = (_text(item, "type") for item in _objects(response, "output"))
        reported: list[Event] = (
            [Reported(read_usage(with_searches(usage, made)))] if type(usage) is dict and usage else []
        )
        status = _text(response, "status")
        if status in {"failed", "cancelled"} or response.get("error"):
            return [*reported, read_broke(response.get("error") or "The provider gave up on this answer.")]
        if status == "incomplete":
            reason = _object(response, "incomplete_details").get("reason")
            return [Finished("blocked" if reason == "content_filter" else "length"), *reported, Ended()]
        if status and status != "completed":
            return reported
        return [Finished("tool_calls" if self._called else "end"), *reported, Ended()]


def _started(response: Json) -> list[Event]:
    created = response.get("created_at")
    when = int(created) if isinstance(created, int | float) else 0
    return [Started(_text(response, "id"), _text(response, "model"), when)]


def thought(item: Json) -> str:
    """The words of a reasoning item: its summary, else what hosts of open models put into its content."""
    pieces = _objects(item, "summary") or _objects(item, "content")
    return PARAGRAPH.join(_text(piece, "text") for piece in pieces)


def _text(source: Json, name: str) -> str:
    value = source.get(name)
    return value if type(value) is str else ""


def _object(source: Json, name: str) -> Json:
    value = source.get(name)
    return value if type(value) is dict else {}


def _objects(source: Json, name: str) -> list[Json]:
    value = source.get(name)
    return [item for item in value if type(item) is dict] if type(value) is list else []
