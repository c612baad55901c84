"""Reading what strangers send: strict JSON, then one checked value at a time, every refusal naming its field.

Strict means: UTF-8, no lone surrogates, no NaN or infinity, whole numbers within 64 bits, no member named twice, no
nesting bomb. Replies of providers go through `reply_members`: as strict about bytes, but the blame is theirs.
"""

import json
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any, NoReturn, TypeVar

import msgspec

from gateway.dialects.neutral import Json, ToolCall
from gateway.errors import InvalidRequest, MalformedJSON, UnknownField, UpstreamMalformed

T = TypeVar("T")

LARGEST_WHOLE = 2**63 - 1
LONGEST_WHOLE = 19
LONGEST_NAME = 200

# Names under which other gateways let a client choose where a call goes. Here nobody does, on any path.
STEERING = frozenset(
    {
        "api_base",
        "api_key",
        "api_version",
        "azure_endpoint",
        "base_url",
        "custom_llm_provider",
        "extra_body",
        "extra_headers",
        "extra_query",
        "fallbacks",
        "headers",
        "proxy",
    }
)

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def members(body: bytes) -> Json:
    """Read the body of a request: one JSON object, strictly."""
    try:
        source = _decode(body)
        if type(source) is not dict:
            raise MalformedJSON("The body must be a JSON object.")
        _second_reading(body.decode())
    except (msgspec.DecodeError, UnicodeDecodeError) as trouble:
        msg = f"The body is not valid JSON: {trouble}."
        raise MalformedJSON(msg) from None
    except RecursionError:
        raise MalformedJSON("The body is nested too deeply.") from None
    if not STEERING.isdisjoint(source):
        name = min(STEERING.intersection(source))
        msg = f"{name!r} is not accepted: where a request goes is not for the request to say."
        raise UnknownField(msg, param=name)
    return source


def reply_members(body: bytes) -> Json:
    """Read an answer of a provider, or one event of it."""
    try:
        source = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamMalformed("The provider's answer is not valid JSON.") from None
    if type(source) is not dict:
        raise UpstreamMalformed("The provider's answer is not a JSON object.")
    return source


def written(source: object) -> bytes:
    """Write JSON."""
    return _encode(source)


def written_text(source: object) -> str:
    """Write JSON as text."""
    return _encode(source).decode()


def _unique(pairs: list[tuple[str, Any]]) -> None:
    names = {name for name, _ in pairs}
    if len(names) == len(pairs):
        return
    for name, _ in pairs:
        if name not in names:
            msg = f"The member {name[:LONGEST_NAME]!r} appears twice in one object."
            raise MalformedJSON(msg, param=name[:LONGEST_NAME])
        names.discard(name)


def _within_64_bits(digits: str) -> int:
    if len(digits) > LONGEST_WHOLE + 1 or abs(value := int(digits)) > LARGEST_WHOLE:
        raise MalformedJSON("A whole number in the body is larger than 64 bits hold.")
    return value


# msgspec keeps the last of two members with one name and takes whole numbers of any size; the second reading does not.
_second_reading = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_within_64_bits).decode


def argument_members(text: str) -> Json | None:
    """Read the arguments of a tool call as an object; None when they are unfinished or something else."""
    if not text.strip():
        return {}
    try:
        arguments = _decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    return arguments if type(arguments) is dict else None


def call_arguments(call: ToolCall) -> Json:
    """Read the arguments of a tool call in a request, where a dialect wants an object instead of its text."""
    arguments = argument_members(call.arguments)
    if arguments is None:
        msg = f"The arguments of the tool call {call.id[:LONGEST_NAME]!r} are not a JSON object."
        raise InvalidRequest(msg, param="messages")
    return arguments


# One value at a time


def refuse(where: str, wanted: str) -> NoReturn:
    """Refuse a value by its place."""
    msg = f"{where!r} must be {wanted}."
    raise InvalidRequest(msg, param=where)


def string(value: Any, where: str) -> str:
    """Take a string."""
    if type(value) is not str:
        refuse(where, "a string")
    return value


def boolean(value: Any, where: str) -> bool:
    """Take true or false."""
    if type(value) is not bool:
        refuse(where, "true or false")
    return value


def whole(value: Any, where: str) -> int:
    """Take a whole number that is not negative."""
    if type(value) is not int or value < 0:
        refuse(where, "a whole number, zero or more")
    return value


def any_whole(value: Any, where: str) -> int:
    """Take a whole number of either sign."""
    if type(value) is not int:
        refuse(where, "a whole number")
    return value


def number(value: Any, where: str) -> float:
    """Take a number; infinities never get this far."""
    if type(value) is not float and type(value) is not int:
        refuse(where, "a number")
    return value


def array(value: Any, where: str) -> list[Any]:
    """Take a list."""
    if type(value) is not list:
        refuse(where, "a list")
    return value


def mapping(value: Any, where: str) -> Json:
    """Take an object."""
    if type(value) is not dict:
        refuse(where, "an object")
    return value


def one_of(value: Any, words: AbstractSet[str] | dict[str, Any], where: str) -> str:
    """Take one of a few words."""
    if type(value) is not str or value not in words:
        refuse(where, "one of " + ", ".join(sorted(words)))
    return value


def need(source: Json, name: str, kind: Callable[[Any, str], T], where: str = "") -> T:
    """Take a member that must be there."""
    if name not in source:
        msg = f"{where + name!r} is missing."
        raise InvalidRequest(msg, param=where + name)
    return kind(source[name], where + name)


def maybe(source: Json, name: str, kind: Callable[[Any, str], T], where: str = "") -> T | None:
    """Take a member that may be missing or null."""
    value = source.get(name)
    return None if value is None else kind(value, where + name)


def strangers(source: Json, known: AbstractSet[str], where: str = "") -> list[str]:
    """Name the members that this dialect's reader does not know; null says nothing and is no stranger."""
    if source.keys() <= known:
        return []
    return [(where + name)[:LONGEST_NAME] for name in source if name not in known and source[name] is not None]
