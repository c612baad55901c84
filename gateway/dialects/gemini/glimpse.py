"""A chunk of generateContent, seen in passing: only the members that matter are decoded, the rest is skipped over."""

from typing import Any

from msgspec import Struct
from msgspec.json import Decoder

from gateway.dialects.gemini.replies import EventReader
from gateway.dialects.gemini.usage import with_searches
from gateway.dialects.glimpse import ODD, Glimpse, Seen, said, strings
from gateway.dialects.neutral import Json
from gateway.dialects.reading import reply_members, written_text


class _Call(Struct):
    name: str = ""
    args: Json | None = None


class _Part(Struct):
    text: str | None = None
    functionCall: _Call | None = None  # noqa: N815 -- the wire's own spelling


class _Content(Struct):
    parts: list[_Part] | None = None


class _Candidate(Struct):
    content: _Content | None = None
    finishReason: str | None = None  # noqa: N815
    groundingMetadata: Json | None = None  # noqa: N815


class _Feedback(Struct):
    blockReason: str | None = None  # noqa: N815


class _Chunk(Struct):
    candidates: list[_Candidate] | None = None
    usageMetadata: Json | None = None  # noqa: N815
    promptFeedback: _Feedback | None = None  # noqa: N815
    error: Any = None


_decode = Decoder(_Chunk).decode


def glimpse(data: bytes) -> Seen:
    """See what a chunk delivers."""
    try:
        chunk = _decode(data)
    except ODD:
        return _second_look(data)
    text, finish = "", None
    for candidate in chunk.candidates or ():
        finish = candidate.finishReason or finish
        for part in (candidate.content.parts or ()) if candidate.content else ():
            text += part.text or ""
            if part.functionCall is not None:
                text += part.functionCall.name + (
                    written_text(part.functionCall.args) if part.functionCall.args else ""
                )
    if chunk.promptFeedback is not None and chunk.promptFeedback.blockReason:
        finish = finish or chunk.promptFeedback.blockReason
    usage = chunk.usageMetadata
    if usage:
        grounded = [{"groundingMetadata": c.groundingMetadata} for c in chunk.candidates or () if c.groundingMetadata]
        usage = with_searches(usage, grounded) if grounded else usage
    return Glimpse(text, usage, finish, bool(chunk.error), finish is not None)


def _second_look(data: bytes) -> Glimpse:
    chunk = reply_members(data)
    text = "".join(said(event) for event in EventReader().read_chunk(chunk))
    usage = chunk.get("usageMetadata")
    return Glimpse(
        text or strings(chunk.get("candidates")),
        usage if type(usage) is dict else None,
        failed=bool(chunk.get("error")),
    )
