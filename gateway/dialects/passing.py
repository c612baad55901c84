"""When client and provider speak the same dialect, bytes pass untouched, but for what is ours to say.

In a request that is the model's name at the provider, the granted limit, and the switch that makes a stream report its
usage. In an answer it is the model's public name, a usage chunk nobody asked for, and what the provider charges us,
which is nobody's business: those few members are cut out. Everything else keeps its bytes, known to us or not.
"""

import re
from functools import lru_cache
from typing import Any

import msgspec

from gateway.dialects.answers import broken
from gateway.dialects.neutral import Json, Request
from gateway.dialects.openai_errors import read_broke
from gateway.dialects.reading import reply_members, written
from gateway.dialects.sse import ServerEvent, event
from gateway.errors import MalformedJSON, UpstreamMalformed

LIMITS: dict[str, tuple[str, ...]] = {
    "openai_chat": ("max_completion_tokens", "max_tokens"),
    "openai_completions": ("max_tokens",),
    "openai_responses": ("max_output_tokens",),
    "anthropic_messages": ("max_tokens",),
}
USAGE_SWITCH = frozenset({"openai_chat", "openai_completions"})
COSTS = frozenset({"cost", "cost_details", "cost_in_usd_ticks", "is_byok", "total_cost", "upstream_inference_cost"})
MODEL = re.compile(rb'"model"\s*:\s*"((?:[^"\\]|\\.)*)"')
MODEL_VERSION = re.compile(rb'"modelVersion"\s*:\s*"((?:[^"\\]|\\.)*)"')
COST = re.compile(rb'"(?:cost|cost_details|cost_in_usd_ticks|is_byok|total_cost|upstream_inference_cost)"\s*:')
NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
SAYS_USAGE = re.compile(rb'"usage"\s*:\s*\{')
SAYS_ERROR = re.compile(rb'"error"\s*:\s*[{"]')

LONGEST_KNOWN = 64

Members = dict[str, msgspec.Raw]
_top_members = msgspec.json.Decoder(Members).decode


def rewritten(body: bytes, changes: Json) -> bytes:
    """Change, add or (with None) take away top-level members; every other value keeps its bytes."""
    return _joined(_taken_apart(body), changes)


def _taken_apart(body: bytes) -> Members:
    try:
        return _top_members(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedJSON("The body is not a JSON object.") from None


def _joined(members: Members, changes: Json) -> bytes:
    parts: list[bytes] = []
    for name, value in members.items():
        if name not in changes:
            parts.append(_label(name) + bytes(value))
        elif changes[name] is not None:
            parts.append(_label(name) + written(changes[name]))
    parts += [
        _label(name) + written(value) for name, value in changes.items() if value is not None and name not in members
    ]
    return b"{%b}" % b",".join(parts)


def _label(name: str) -> bytes:
    """A member's name as it stands before its value; a long one is a stranger's and not worth remembering."""
    return _known_label(name) if len(name) <= LONGEST_KNOWN else written(name) + b":"


@lru_cache(maxsize=512)
def _known_label(name: str) -> bytes:
    return written(name) + b":"


def pass_request(body: bytes, *, dialect: str, request: Request, model: str, limit: int | None = None) -> bytes:
    """Make the provider's body out of the client's; `model` is the name there, `limit` the granted output limit."""
    if dialect == "gemini" and limit is None:
        return body
    members = _taken_apart(body)
    if dialect == "gemini":
        return _joined(members, _gemini_limit(members, limit))
    changes: Json = {"model": model}
    if limit is not None:
        names = LIMITS[dialect]
        changes |= dict.fromkeys([name for name in names if _says(members, name)] or names[:1], limit)
    if request.stream and dialect in USAGE_SWITCH:
        changes["stream_options"] = _object(members, "stream_options") | {"include_usage": True}
    return _joined(members, changes)


def _says(members: Members, name: str) -> bool:
    return name in members and bytes(members[name]) != b"null"


def _object(members: Members, name: str) -> Json:
    value = msgspec.json.decode(members[name]) if name in members else None
    return value if type(value) is dict else {}


def _gemini_limit(members: Members, limit: int | None) -> Json:
    name = "generation_config" if "generation_config" in members else "generationConfig"
    settings = {key: value for key, value in _object(members, name).items() if key != "max_output_tokens"}
    return {name: settings | {"maxOutputTokens": limit}}


def pass_reply(body: bytes, *, model: str, members: Json | None = None) -> bytes:
    """Make the client's answer out of the provider's: the public name, our own members, and no cost."""
    if COST.search(body):
        body = written(_without_costs(reply_members(body)))
    try:
        source = _taken_apart(body)
    except MalformedJSON:
        raise UpstreamMalformed("The provider's answer is not a JSON object.") from None
    named = {name: model for name in ("model", "modelVersion") if name in source}
    return _joined(source, named | (members or {}))


def _without_costs(value: Any) -> Any:
    if type(value) is dict:
        return {
            name: _without(inner) if name == "usage" and type(inner) is dict else _without_costs(inner)
            for name, inner in value.items()
        }
    return [_without_costs(item) for item in value] if type(value) is list else value


def _without(usage: Json) -> Json:
    return {name: value for name, value in usage.items() if name not in COSTS}


class Passer:
    """Passes a stream on, event by event; a failure inside it is raised, for our own words to end the answer with."""

    def __init__(self, *, dialect: str, model: str, wants_usage: bool = True) -> None:
        self._model = written(model)
        self._wants_usage = wants_usage
        self._named = MODEL_VERSION if dialect == "gemini" else MODEL
        self._mark = b'"modelVersion"' if dialect == "gemini" else b'"model"'
        self._only_in = b"message_start" if dialect == "anthropic_messages" else b""
        self._old: bytes = b""
        self._new = b""

    def pass_on(self, received: ServerEvent) -> bytes:
        """Give the bytes for the client; none when it did not ask for this event."""
        raw = received.raw
        if b'"error"' in raw and SAYS_ERROR.search(raw):
            self._raise_error(received)
        if b'"usage"' in raw and SAYS_USAGE.search(raw):
            if not self._wants_usage and NO_CHOICES.search(raw):
                return b""
            if COST.search(raw):
                raw = event(written(_without_costs(reply_members(received.data))), name=received.name)
        return self._renamed(raw)

    def _renamed(self, raw: bytes) -> bytes:
        """Put the public name in place; the provider's, once learned, is found without looking at the rest."""
        if self._old and self._old in raw:
            return raw.replace(self._old, self._new, 1)
        if self._mark in raw and self._only_in in raw:
            named = self._named.search(raw)
            if named is not None and named[1]:
                self._old = named[0]
                self._new = named[0][: named.start(1) - named.start() - 1] + self._model
                return raw.replace(self._old, self._new, 1)
        return raw

    def _raise_error(self, received: ServerEvent) -> None:
        source = reply_members(received.data)
        response = source.get("response")
        error = source.get("error") or (response.get("error") if type(response) is dict else None)
        if error:
            raise broken(read_broke(error))
