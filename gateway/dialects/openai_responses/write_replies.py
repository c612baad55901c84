"""Writing answers of Responses.

The frame is the deepest of all dialects: the answer opens, items open in it, parts in them, and everything is repeated
whole when it closes. The writer collects as it goes, so a whole answer and the end of a stream are the same object.
"""

from collections.abc import Iterable
from typing import Any

from gateway.dialects.answers import broken
from gateway.dialects.expressing import untold
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
    Logprobs,
    MediaMade,
    RefusalDelta,
    Reported,
    Started,
    TextDelta,
    ThinkingDelta,
    Untold,
)
from gateway.dialects.openai_errors import error_object
from gateway.dialects.openai_responses.write_requests import write_citation
from gateway.dialects.openai_usage import write_responses_usage
from gateway.dialects.reading import written
from gateway.dialects.replies import Block, Reply, collect, take
from gateway.dialects.sse import event
from gateway.errors import GatewayError, Inexpressible

INCOMPLETE = {
    "length": "max_output_tokens",
    "context_window": "max_output_tokens",
    "blocked": "content_filter",
    "refusal": "content_filter",
}


def write_reply(events: Iterable[Event], heading: Heading) -> bytes:
    """Write a whole answer."""
    return written(_response(collect(events), heading))


def _response(reply: Reply, heading: Heading, *, status: str | None = None) -> Json:
    if len(reply.choices) > 1:
        untold("several answers at once")
    choice = reply.choices.get(0)
    blocks = choice.blocks if choice else []
    reason = INCOMPLETE.get(choice.stop or "") if choice else None
    response_id = reply.started.id or "resp"
    return {
        "id": response_id,
        "object": "response",
        "created_at": reply.started.created or heading.created,
        "status": status or ("incomplete" if reason else "completed"),
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "model": heading.model,
        "output": [_write_item(block, _item_id(response_id, i), "completed") for i, block in enumerate(blocks)],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "truncation": "disabled",
        "usage": write_responses_usage(reply.tally) if reply.tally else None,
        "user": None,
    }


def _item_id(response_id: str, index: int) -> str:
    return f"item_{index}_{response_id[-40:]}"


def _write_item(block: Block, item_id: str, status: str) -> Json:
    match block.kind:
        case "call":
            said = {"call_id": block.id, "name": block.name, "arguments": block.text}
            return {"id": item_id, "type": "function_call", "status": status, **said}
        case "thinking":
            summary = [{"type": "summary_text", "text": block.text}] if block.text else []
            signature = block.signature if block.redacted is None else untold("redacted thinking")
            return {"id": item_id, "type": "reasoning", "summary": summary, "encrypted_content": signature}
        case "media":
            untold(block.name)
    return {"id": item_id, "type": "message", "role": "assistant", "status": status, "content": [_write_part(block)]}


def _write_part(block: Block) -> Json:
    if block.kind == "refusal":
        return {"type": "refusal", "refusal": block.text}
    notes = [_write_citation(citation) for citation in block.citations]
    return {"type": "output_text", "text": block.text, "annotations": notes, "logprobs": []}


def _write_citation(citation: Citation) -> Json:
    try:
        return write_citation(citation)
    except Inexpressible:
        untold("a citation of a document")


class EventWriter:
    """Writes a streamed answer."""

    def __init__(self, heading: Heading) -> None:
        self._heading = heading
        self._reply = Reply()
        self._number = 0
        self._began = False
        self._open: Block | None = None

    def write(self, told: Event) -> bytes:
        """Write one event; the reason and the usage come with the end."""
        match told:
            case Untold() | MediaMade():
                untold(told.kind if isinstance(told, Untold) else told.media_type)
            case Started() | Finished() | Reported() | Logprobs():
                take(self._reply, told)
                return b""
            case Broke():
                return self.fail(broken(told))
            case Ended():
                return self._end()
        return self._grow(told)

    def fail(self, error: GatewayError) -> bytes:
        """End the answer with an error of our own."""
        said = error_object(error)
        return self._event("error", code=said["code"], message=said["message"], param=said["param"])

    def _grow(self, told: Any) -> bytes:
        choice = self._reply.choice(told.choice)
        if told.choice:
            untold("several answers at once")
        take(self._reply, told)
        block = choice.by_number[told.block]
        head = b"" if block is self._open else self._switch(block)
        return head + self._delta(told)

    def _switch(self, block: Block) -> bytes:
        if block is not self._reply.choice(0).blocks[-1]:
            untold("two parts at the same time")
        head = self._begin() + self._close()
        self._open = block
        empty = Block(block.kind, id=block.id, name=block.name)
        item = _write_item(empty, self._item_id, "in_progress")
        if block.kind in {"text", "refusal"}:
            item["content"] = []
        head += self._event("response.output_item.added", output_index=self._index, item=item)
        if block.kind == "thinking":
            part = {"type": "summary_text", "text": ""}
            return head + self._in_item("response.reasoning_summary_part.added", summary_index=0, part=part)
        if block.kind == "call":
            return head
        return head + self._in_item("response.content_part.added", content_index=0, part=_write_part(empty))

    @property
    def _index(self) -> int:
        return len(self._reply.choice(0).blocks) - 1

    @property
    def _item_id(self) -> str:
        return _item_id(self._reply.started.id or "resp", self._index)

    def _delta(self, told: Event) -> bytes:
        match told:
            case TextDelta():
                return self._in_item("response.output_text.delta", content_index=0, delta=told.text, logprobs=[])
            case RefusalDelta():
                return self._in_item("response.refusal.delta", content_index=0, delta=told.text)
            case CallDelta():
                return self._in_item("response.function_call_arguments.delta", delta=told.arguments)
            case ThinkingDelta() if told.text:
                return self._in_item("response.reasoning_summary_text.delta", summary_index=0, delta=told.text)
            case Cited():
                note = _write_citation(told.citation)
                return self._in_item(
                    "response.output_text.annotation.added", content_index=0, annotation_index=0, annotation=note
                )
            case CallStarted() | ThinkingDelta():
                return b""
        return b""

    def _begin(self) -> bytes:
        if self._began:
            return b""
        self._began = True
        response = _response(Reply(self._reply.started), self._heading, status="in_progress")
        return self._event("response.created", response=response) + self._event(
            "response.in_progress", response=response
        )

    def _close(self) -> bytes:
        block = self._open
        if block is None:
            return b""
        index = self._reply.choice(0).blocks.index(block)
        item_id = _item_id(self._reply.started.id or "resp", index)
        place: Json = {"item_id": item_id, "output_index": index}
        item = _write_item(block, item_id, "completed")
        return self._done(block, place) + self._event("response.output_item.done", output_index=index, item=item)

    def _done(self, block: Block, place: Json) -> bytes:
        match block.kind:
            case "call":
                said = {"name": block.name, "arguments": block.text}
                return self._event("response.function_call_arguments.done", **place, **said)
            case "thinking":
                part = {"type": "summary_text", "text": block.text}
                return self._event(
                    "response.reasoning_summary_text.done", **place, summary_index=0, text=block.text
                ) + self._event("response.reasoning_summary_part.done", **place, summary_index=0, part=part)
            case "refusal":
                whole = self._event("response.refusal.done", **place, content_index=0, refusal=block.text)
            case _:
                whole = self._event("response.output_text.done", **place, content_index=0, text=block.text, logprobs=[])
        return whole + self._event("response.content_part.done", **place, content_index=0, part=_write_part(block))

    def _end(self) -> bytes:
        head = self._begin() + self._close()
        response = _response(self._reply, self._heading)
        return head + self._event(f"response.{response['status']}", response=response)

    def _in_item(self, kind: str, **members: Any) -> bytes:
        return self._event(kind, item_id=self._item_id, output_index=self._index, **members)

    def _event(self, kind: str, **members: Any) -> bytes:
        data = written({"type": kind, **members, "sequence_number": self._number})
        self._number += 1
        return event(data, name=kind)
