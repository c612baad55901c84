"""What a dialect cannot say is refused by name, never dropped; the small checks every writer makes first."""

from collections.abc import Mapping
from typing import Any, NoReturn

from gateway.dialects.neutral import Json, Request, marked
from gateway.errors import GatewayError, Inexpressible, UpstreamMalformed

_NOTHING = (None, (), False)
NAMES = {"cache_key": "prompt_cache_key", "format": "response_format", "cache": "cache_control"}


def inexpressible(name: str, *, to: str) -> NoReturn:
    """Refuse a field by the name its sender gave it."""
    msg = f"{name!r} cannot be expressed to the provider of this model ({to}). Leave it out or choose another model."
    raise Inexpressible(msg, param=name)


def refuse_unexpressed(request: Request, fields: tuple[str, ...], *, to: str) -> None:
    """Refuse what only the client's dialect knows, then the neutral fields this dialect has no word for."""
    if request.foreign:
        inexpressible(request.foreign[0], to=to)
    for name in fields:
        if getattr(request, name) not in _NOTHING:
            inexpressible(NAMES.get(name, name), to=to)


def refuse_cache_marks(request: Request, *, to: str) -> None:
    """Refuse prompt-caching marks where there is no word for them; `without_hints` takes them off on purpose."""
    if marked(request):
        inexpressible("cache_control", to=to)
    if request.cache_key is not None:
        inexpressible("prompt_cache_key", to=to)


def set_members(**members: Any) -> dict[str, Any]:
    """Make an object of the members that say something."""
    return {name: value for name, value in members.items() if value is not None}


def untold(kind: str) -> NoReturn:
    """End an answer that holds what the client's dialect has no words for."""
    msg = f"The provider answered with {kind!r}, which this API has no words for."
    raise UpstreamMalformed(msg)


def described(schema: Json, description: str | None) -> Json:
    """Keep a schema's description inside it, where every dialect has room for it."""
    return schema if description is None or "description" in schema else {**schema, "description": description}


def in_words_of(error: GatewayError, names: Mapping[str, str]) -> tuple[str, str | None]:
    """Say an error's message and field in the words its sender used for the field."""
    name = names.get(error.param or "")
    if name is None or not isinstance(error, Inexpressible):
        return error.message, error.param
    return error.message.replace(repr(error.param), repr(name)), name
