"""What a kind is: where a company is found, how it is spoken to, and what of a client's headers it may see.

Nothing a client sends chooses an address or a header here. The address is the row's or the operator's account; a model
name goes into it quoted; of the client's headers only those a row names pass, and only if they look as they should.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Literal
from urllib.parse import quote

from msgspec import Struct

from gateway.errors import InvalidRequest
from gateway.kinds.quirks import Quirk, apply

Auth = Literal["bearer", "x-api-key", "api-key", "anthropic", "google"]
ANTHROPIC_VERSION = "2023-06-01"
FIRST_VERSION_WITH_BEARER = "2026-10-21"
KEY = re.compile(r"[\x21-\x7e]{1,1000}")
NOTHING: Mapping[str, str] = MappingProxyType({})


class UnfitKey(ValueError):
    """A key holds characters that no header may carry; the message never repeats it."""


class NotSpoken(LookupError):
    """The company does not speak this dialect."""


class Way(Struct, frozen=True):
    """One thing a company can be asked: the path below its address, and how the key is shown there."""

    path: str
    stream_path: str | None = None
    auth: Auth | None = None


class Kind(Struct, frozen=True, kw_only=True):
    """One company, or one sort of them."""

    slug: str
    name: str
    base_url: str
    speaks: Mapping[str, Way]
    auth: Auth = "bearer"
    passes: Mapping[str, str] = NOTHING
    quirks: tuple[Quirk, ...] = ()

    @property
    def dialect(self) -> str:
        """The dialect it speaks best: the first of its row."""
        return next(iter(self.speaks))

    def dialect_for(self, client: str) -> str:
        """Choose the dialect to speak: the client's own where possible, so that bytes pass untouched."""
        return client if client in self.speaks else self.dialect

    def way(self, dialect: str) -> Way:
        """Find how something is asked."""
        if dialect not in self.speaks:
            msg = f"{self.name} does not speak {dialect}."
            raise NotSpoken(msg)
        return self.speaks[dialect]


@lru_cache(maxsize=4_096)
def _address(way: Way, kinds_base: str, base_url: str, model: str, stream: bool) -> str:  # noqa: FBT001 - for the cache
    path, _, query = ((way.stream_path if stream else None) or way.path).partition("?")
    base, _, base_query = (base_url or kinds_base).partition("?")
    address = (base.rstrip("/") + path).replace("{model}", _quoted(model))
    queries = "&".join(part for part in (base_query, query) if part)
    return f"{address}?{queries}" if queries else address


def url(kind: Kind, dialect: str, *, model: str, stream: bool, base_url: str = "") -> str:
    """Build the address of a request; an account's own `base_url` may hold `{model}` and a query of its own."""
    return _address(kind.way(dialect), kind.base_url, base_url, model, stream)


def _quoted(model: str) -> str:
    if model in {"", ".", ".."} or not model.isprintable():
        raise InvalidRequest("'model' is not a name this provider could have.", param="model")
    return quote(model, safe="-._~")


def headers(kind: Kind, dialect: str, *, key: str, client_headers: Mapping[str, str] = NOTHING) -> dict[str, str]:
    """Build the headers of a request; names of the client's are in lower case."""
    passed = {
        name: client_headers[name]
        for name, shape in kind.passes.items()
        if name in client_headers and re.fullmatch(shape, client_headers[name], re.ASCII)
    }
    auth = kind.way(dialect).auth or kind.auth
    if auth == "anthropic":
        passed.setdefault("anthropic-version", ANTHROPIC_VERSION)
    return {"content-type": "application/json", **passed, **_shown(auth, checked_key(key), passed)}


def _shown(auth: Auth, key: str, passed: Mapping[str, str]) -> dict[str, str]:
    match auth:
        case "bearer":
            return {"authorization": f"Bearer {key}"}
        case "google":
            return {"x-goog-api-key": key}
        case "anthropic":
            bearer = passed["anthropic-version"] >= FIRST_VERSION_WITH_BEARER
            return {"authorization": f"Bearer {key}"} if bearer else {"x-api-key": key}
    return {auth: key}


def checked_key(key: str) -> str:
    """Trim a key and refuse one that could break out of its header."""
    trimmed = key.strip()
    if not KEY.fullmatch(trimmed):
        raise UnfitKey("The provider key is empty, too long, or holds characters that do not belong into a header.")
    return trimmed


def outgoing(kind: Kind, body: bytes) -> bytes:
    """Make the last changes to a body that goes to this company."""
    return apply(kind.quirks, body)
