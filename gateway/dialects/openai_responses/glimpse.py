"""An event of Responses, seen in passing: only the members that matter are decoded, the rest is skipped over."""

from typing import Any

from msgspec import Struct
from msgspec.json import Decoder

from gateway.dialects.glimpse import ODD, Glimpse, Seen, said, strings
from gateway.dialects.neutral import Json
from gateway.dialects.openai_responses.read_replies import ENDS, EventReader
from gateway.dialects.openai_usage import with_searches
from gateway.dialects.reading import reply_members
from gateway.dialects.sse import DONE


class _Item(Struct):
    type: str | None = None
    name: str | None = None


class _Response(Struct):
    status: str | None = None
    usage: Json | None = None
    error: Any = None
    output: list[_Item] | None = None


class _Event(Struct):
    type: str
    delta: str | None = None
    response: _Response | None = None
    item: _Item | None = None


_decode = Decoder(_Event).decode


def glimpse(data: bytes) -> Seen:
    """See what an event delivers."""
    if data == DONE:
        return ""
    try:
        seen = _decode(data)
    except ODD:
        return _second_look(data)
    if seen.delta is not None:
        return seen.delta
    if seen.type == "response.output_item.added":
        return (seen.item.name or "") if seen.item else ""
    if seen.type in ENDS and seen.response is not None:
        failed = bool(seen.response.error) or seen.response.status in {"failed", "cancelled"}
        usage = seen.response.usage
        if usage and seen.response.output:
            usage = with_searches(usage, (item.type for item in seen.response.output))
        return Glimpse("", usage, seen.response.status, failed, not failed)
    return Glimpse(failed=True) if seen.type == "error" else ""


def _second_look(data: bytes) -> Glimpse:
    chunk = reply_members(data)
    events = EventReader().read_chunk(chunk)
    return Glimpse("".join(said(event) for event in events) or strings(chunk.get("delta")), failed="error" in chunk)
