"""An event of a message, seen in passing: only the members that matter are decoded, the rest is skipped over."""

from typing import Any

from msgspec import Struct
from msgspec.json import Decoder

from gateway.dialects.anthropic_messages.replies import EventReader
from gateway.dialects.glimpse import ENDED, ODD, Glimpse, Seen, said, strings
from gateway.dialects.neutral import Json
from gateway.dialects.reading import reply_members


class _Delta(Struct):
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Message(Struct):
    usage: Json | None = None


class _Event(Struct):
    type: str
    delta: _Delta | None = None
    message: _Message | None = None
    usage: Json | None = None
    content_block: Json | None = None


_decode = Decoder(_Event).decode


def glimpse(data: bytes) -> Seen:
    """See what an event delivers."""
    try:
        seen = _decode(data)
    except ODD:
        return _second_look(data)
    match seen.type:
        case "content_block_delta":
            delta = seen.delta
            return "" if delta is None else delta.text or delta.thinking or delta.partial_json or ""
        case "message_start":
            return Glimpse(usage=seen.message.usage if seen.message else None)
        case "message_delta":
            return Glimpse(usage=seen.usage, finish=seen.delta.stop_reason if seen.delta else None)
        case "content_block_start":
            return _opening(seen.content_block or {})
        case "message_stop":
            return ENDED
        case "error":
            return Glimpse(failed=True)
    return ""


def _opening(block: Json) -> str:
    if block.get("type") == "redacted_thinking":
        return ""
    return strings([block.get("text"), block.get("thinking"), block.get("name"), block.get("content")])


def _second_look(data: bytes) -> Glimpse:
    chunk: Any = reply_members(data)
    events = EventReader().read_chunk(chunk)
    usage = chunk.get("usage")
    return Glimpse("".join(said(event) for event in events), usage if type(usage) is dict else None)
