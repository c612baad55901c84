"""A chat chunk, seen in passing: only the members that matter are decoded, the rest is skipped over."""

from typing import Any

from msgspec import Struct
from msgspec.json import Decoder

from gateway.dialects.glimpse import ENDED, ODD, Glimpse, Seen, said, strings
from gateway.dialects.neutral import Json
from gateway.dialects.openai_chat.replies import EventReader
from gateway.dialects.reading import reply_members
from gateway.dialects.sse import DONE


class _Function(Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(Struct):
    function: _Function | None = None


class _Delta(Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(Struct):
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Groq(Struct):
    usage: Json | None = None


class _Chunk(Struct):
    choices: list[_Choice] | None = None
    usage: Json | None = None
    x_groq: _Groq | None = None
    error: Any = None


_decode = Decoder(_Chunk).decode


def glimpse(data: bytes) -> Seen:
    """See what a chunk delivers."""
    if data == DONE:
        return ENDED
    try:
        chunk = _decode(data)
    except ODD:
        return _second_look(data)
    text, finish = "", None
    for choice in chunk.choices or ():
        finish = choice.finish_reason or finish
        if choice.delta is not None:
            text += _said(choice.delta)
        if choice.text:
            text += choice.text
    if finish is None and chunk.usage is None and chunk.x_groq is None and chunk.error is None:
        return text
    usage = chunk.usage or (chunk.x_groq.usage if chunk.x_groq is not None else None)
    return Glimpse(text, usage, finish, bool(chunk.error))


def _said(delta: _Delta) -> str:
    text = delta.content or ""
    if delta.reasoning_content or delta.reasoning:
        text += delta.reasoning_content or delta.reasoning or ""
    if delta.refusal:
        text += delta.refusal
    for call in delta.tool_calls or ():
        if call.function is not None:
            text += (call.function.name or "") + (call.function.arguments or "")
    return text


def _second_look(data: bytes) -> Glimpse:
    chunk = reply_members(data)
    text = "".join(said(event) for event in EventReader().read_chunk(chunk, piece="delta"))
    usage = chunk.get("usage")
    return Glimpse(
        text or strings(chunk.get("choices")), usage if type(usage) is dict else None, None, bool(chunk.get("error"))
    )
