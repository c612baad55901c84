"""Quirks: small ways in which a company departs from the dialect it speaks, one named function each.

A quirk changes the body just before it goes out, whoever wrote it. It names the bytes that must be there for it to
matter at all; a body without them passes unread.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct

from gateway.errors import Inexpressible

Json = dict[str, Any]
REASONING = ("reasoning_content", "reasoning_details", "reasoning")
SHORT_ID = 9


class Quirk(Struct, frozen=True):
    """A change of the body, and the bytes without which it changes nothing."""

    marks: tuple[bytes, ...]
    change: Callable[[Json], Json]

    @property
    def name(self) -> str:
        """What the quirk is called."""
        return self.change.__name__


def apply(quirks: tuple[Quirk, ...], body: bytes) -> bytes:
    """Apply the quirks that matter for this body; without any, the same bytes come back."""
    matter = [quirk for quirk in quirks if any([mark in body for mark in quirk.marks])]  # noqa: C419 - half the price
    if not matter:
        return body
    members = msgspec.json.decode(body)
    for quirk in matter:
        members = quirk.change(members)
    return msgspec.json.encode(members)


def _messages(body: Json) -> list[Any]:
    messages = body.get("messages")
    return messages if type(messages) is list else []


def _each_message(body: Json, change: Callable[[Json], Json]) -> Json:
    return {**body, "messages": [change(item) if type(item) is dict else item for item in _messages(body)]}


def limit_by_old_name(body: Json) -> Json:
    """Knows `max_tokens` only."""
    limit = body.get("max_completion_tokens")
    rest = {name: value for name, value in body.items() if name != "max_completion_tokens"}
    return rest if limit is None else rest | {"max_tokens": limit}


def usage_comes_unasked(body: Json) -> Json:
    """Sends usage with every stream and refuses the option that would ask for it."""
    return {name: value for name, value in body.items() if name != "stream_options"}


def seed_is_random_seed(body: Json) -> Json:
    """Calls the seed `random_seed`."""
    return {"random_seed" if name == "seed" else name: value for name, value in body.items()}


def developer_is_system(body: Json) -> Json:
    """Knows no role `developer`; the system's is the same under an older name."""
    return _each_message(
        body, lambda message: message | {"role": "system"} if message.get("role") == "developer" else message
    )


def thinking_stays_home(body: Json) -> Json:
    """Reads no reasoning of earlier turns, its own or anybody's."""
    return _each_message(body, _without_reasoning)


def thinking_only_with_tools(body: Json) -> Json:
    """Wants the reasoning of earlier turns back where it led to a tool call, and nowhere else."""
    return _each_message(body, lambda message: message if message.get("tool_calls") else _without_reasoning(message))


def _without_reasoning(message: Json) -> Json:
    return {name: value for name, value in message.items() if name not in REASONING}


def short_call_ids(body: Json) -> Json:
    """Wants ids of tool calls to be nine letters and digits; others become nine that always come out the same."""
    return _each_message(body, _with_short_ids)


def _with_short_ids(message: Json) -> Json:
    changed = dict(message)
    if type(message.get("tool_call_id")) is str:
        changed["tool_call_id"] = _short(message["tool_call_id"])
    if type(message.get("tool_calls")) is list:
        changed["tool_calls"] = [
            call | {"id": _short(call["id"])} if type(call) is dict and type(call.get("id")) is str else call
            for call in message["tool_calls"]
        ]
    return changed


def _short(call_id: str) -> str:
    if len(call_id) == SHORT_ID and call_id.isascii() and call_id.isalnum():
        return call_id
    return blake2b(call_id.encode(errors="replace"), digest_size=8).hexdigest()[:SHORT_ID]


def one_answer_without_logprobs(body: Json) -> Json:
    """Gives one answer and no likelihoods; asked for more it would fail in its own words."""
    wanted = [name for name in ("logprobs", "top_logprobs") if body.get(name)]
    if type(body.get("n")) is int and body["n"] > 1:
        wanted.insert(0, "n")
    if wanted:
        msg = f"{wanted[0]!r} cannot be expressed to the provider of this model. Leave it out or choose another model."
        raise Inexpressible(msg, param=wanted[0])
    return body


LIMIT_BY_OLD_NAME = Quirk((b'"max_completion_tokens"',), limit_by_old_name)
USAGE_COMES_UNASKED = Quirk((b'"stream_options"',), usage_comes_unasked)
SEED_IS_RANDOM_SEED = Quirk((b'"seed"',), seed_is_random_seed)
DEVELOPER_IS_SYSTEM = Quirk((b'"developer"',), developer_is_system)
THINKING_STAYS_HOME = Quirk((b'"reasoning_content"', b'"reasoning_details"', b'"reasoning"'), thinking_stays_home)
THINKING_ONLY_WITH_TOOLS = Quirk(
    (b'"reasoning_content"', b'"reasoning_details"', b'"reasoning"'), thinking_only_with_tools
)
SHORT_CALL_IDS = Quirk((b'"tool_call_id"', b'"tool_calls"'), short_call_ids)
ONE_ANSWER_WITHOUT_LOGPROBS = Quirk((b'"n"', b'"logprobs"', b'"top_logprobs"'), one_answer_without_logprobs)
