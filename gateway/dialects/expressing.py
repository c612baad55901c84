"""What a dialect cannot say is refused by name, never dropped; the small checks every writer makes first."""

from typing import Any, NoReturn

from gateway.dialects.neutral import Request, marked
from gateway.errors import Inexpressible, UpstreamMalformed

_NOTHING = (None, (), False)


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
            inexpressible(name, to=to)


def refuse_cache_marks(request: Request, *, to: str) -> None:
    """Refuse prompt-caching marks where there is no word for them; `without_cache_marks` takes them off on purpose."""
    if marked(request):
        inexpressible("cache_control", to=to)


def set_members(**members: Any) -> dict[str, Any]:
    """Make an object of the members that say something."""
    return {name: value for name, value in members.items() if value is not None}


def untold(kind: str) -> NoReturn:
    """End an answer that holds what the client's dialect has no words for."""
    msg = f"The provider answered with {kind!r}, which this API has no words for."
    raise UpstreamMalformed(msg)
