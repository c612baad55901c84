"""When client and provider speak the same dialect, bytes pass untouched, but for what is ours to say.

In a request that is the model's name at the provider, the granted limit, and the switch that makes a stream report its
usage. In an answer it is the model's public name, a usage chunk nobody asked for, and what the provider charges us,
which is nobody's business: those few members are cut out. Everything else keeps its bytes, known to us or not.
"""

import re
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
MODEL = re.compile(rb'"(?:model|modelVersion)"\s*:\s*"((?:[^"\\]|\\.)*)"')
COST = re.compile(rb'"(?:cost|cost_details|cost_in_usd_ticks|is_byok|total_cost|upstream_inference_cost)"\s*:')
NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
SAYS_USAGE = re.compile(rb'"usage"\s*:\s*\{')
SAYS_ERROR = re.compile(rb'"error"\s*:\s*[{"]')

_top_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def rewritten(body: bytes, changes: Json) -> bytes:
    """Change, add or (with None) take away top-level members; every other value keeps its bytes."""
    try:
        members: dict[str, Any] = dict(_top_members(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedJSON("The body is not a JSON object.") from None
    members |= {name: None if value is None else msgspec.Raw(written(value)) for name, value in changes.items()}
    pairs = (b"%b:%b" % (written(name), bytes(value)) for name, value in members.items() if value is not None)
    return b"{%b}" % b",".join(pairs)


def pass_request(body: bytes, *, dialect: str, request: Request, model: str, limit: int | None = None) -> bytes:
    """Make the provider's body out of the client's; `model` is the name there, `limit` the granted output limit."""
    if dialect == "gemini":
        return _limit_gemini(body, limit)
    changes: Json = {"model": model}
    if limit is not None:
        names = LIMITS[dialect]
        said = [name for name in names if _says(body, name)] or [names[0]]
        changes |= dict.fromkeys(said, limit)
    if request.stream and dialect in USAGE_SWITCH:
        changes["stream_options"] = _stream_options(body) | {"include_usage": True}
    return rewritten(body, changes)


def _says(body: bytes, name: str) -> bool:
    return b'"%b"' % name.encode() in body and _top_members(body).get(name, b"null") not in {
        b"null",
        msgspec.Raw(b"null"),
    }


def _stream_options(body: bytes) -> Json:
    raw = _top_members(body).get("stream_options")
    options = None if raw is None else msgspec.json.decode(raw)
    return options if type(options) is dict else {}


def _limit_gemini(body: bytes, limit: int | None) -> bytes:
    if limit is None:
        return body
    members = _top_members(body)
    name = "generation_config" if "generation_config" in members else "generationConfig"
    settings = msgspec.json.decode(members[name]) if name in members else {}
    settings = {key: value for key, value in (settings or {}).items() if key != "max_output_tokens"}
    return rewritten(body, {name: settings | {"maxOutputTokens": limit}})


def pass_reply(body: bytes, *, model: str, members: Json | None = None) -> bytes:
    """Make the client's answer out of the provider's: the public name, our own members, and no cost."""
    if COST.search(body):
        body = written(_without_costs(reply_members(body)))
    changes = members or {}
    named = MODEL.search(body)
    if named is not None:
        name = "modelVersion" if named[0].startswith(b'"modelVersion') else "model"
        changes = {name: model, **changes}
    try:
        return rewritten(body, changes)
    except MalformedJSON:
        raise UpstreamMalformed("The provider's answer is not a JSON object.") from None


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

    def __init__(self, *, model: str, wants_usage: bool = True) -> None:
        self._model = written(model)
        self._wants_usage = wants_usage
        self._old: bytes | None = None
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
        if self._old is None:
            self._learn(raw)
        return raw if self._old is None else raw.replace(self._old, self._new, 1)

    def _learn(self, raw: bytes) -> None:
        named = MODEL.search(raw)
        if named is not None and named[1]:
            self._old = named[0]
            self._new = named[0][: named.start(1) - named.start() - 1] + self._model

    def _raise_error(self, received: ServerEvent) -> None:
        source = reply_members(received.data)
        response = source.get("response")
        error = source.get("error") or (response.get("error") if type(response) is dict else None)
        if error:
            raise broken(read_broke(error))
