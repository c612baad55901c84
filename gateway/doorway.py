"""What both doors share before and after the corridor: which shop, from where, how large, which secret, which headers.

Promise: host, client address, body cap and key are judged here and nowhere else, in the same words whichever door was
used; nothing a client sends names an upstream address, an organization there, or a header that leaves with our key.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from django.conf import settings
from msgspec import Struct

from accounts.access import host_name, is_platform_host
from accounts.authentication import KEY_PARAMETERS, secret_of
from gateway.catalog import Offer, Picture
from gateway.errors import (
    InvalidRequest,
    KeyMissing,
    KeyRefused,
    NothingHere,
    NotServedHere,
    TooLarge,
    UnsupportedType,
    WrongMethod,
)
from plumbing.requests import client_address, request_id

LARGEST_BODY = 32 * 1024 * 1024
TOO_LARGE = f"The body is over {LARGEST_BODY // 1_048_576} MB."
LONGEST_KNOWN = 64  # a longer name is a stranger's and not worth remembering
COUNTRY = re.compile(r"[A-Z]{2}\Z")


@dataclass(frozen=True, slots=True)
class Front:
    """One front door: whose words its clients speak, its name in rows and receipts, and who does the work behind it.

    ``work`` is ``talk`` (the corridor), ``once`` (one question, one answer), ``count`` (tokens, free by rule) or
    ``quote`` (priced and never sent). ``way`` is what a provider must be able to be asked, where that is no dialect.
    """

    dialect: str
    endpoint: str
    work: str = "talk"
    way: str = ""
    purpose: str = "chat"
    model: str = ""
    streamed: bool = False


FRONTS: Mapping[str, Front] = {
    "/v1/chat/completions": Front("openai_chat", "chat"),
    "/v1/chat": Front("openai_chat", "chat"),
    "/ai-proxy/v1/chat/completions": Front("openai_chat", "chat"),
    "/v1/completions": Front("openai_completions", "completions"),
    "/v1/responses": Front("openai_responses", "responses"),
    "/v1/messages": Front("anthropic_messages", "messages"),
    "/v1/messages/count_tokens": Front("anthropic_messages", "count_tokens", "count", "count_tokens"),
    "/v1/embeddings": Front("openai_chat", "embeddings", "once", "embeddings", "embedding"),
    "/v1/moderations": Front("openai_chat", "moderations", "once", "moderations", "moderation"),
    "/v1/rerank": Front("openai_chat", "rerank", "once", "rerank", "rerank"),
    "/v1/quote": Front("openai_chat", "quote", "quote"),
}
VERBS: Mapping[str, Front] = {
    "generateContent": Front("gemini", "generate"),
    "streamGenerateContent": Front("gemini", "generate", streamed=True),
    "countTokens": Front("gemini", "count_tokens", "count", "gemini_count_tokens"),
    "embedContent": Front("gemini", "embed", "once", "gemini_embed", "embedding"),
    "batchEmbedContents": Front("gemini", "embed", "once", "gemini_batch_embed", "embedding"),
}
# Clients of Google's older and newer kits write v1beta or v1, and a model's name may hold slashes and colons itself.
GEMINI = re.compile(rf"/v1(?:beta)?/models/(.{{1,200}}):({'|'.join(VERBS)})\Z")


class Asked(Struct, frozen=True):
    """One request at a hot door; header names are lower case."""

    front: Front
    body: bytes
    headers: Mapping[str, str]
    query: Mapping[str, str]
    peer: str
    request_id: str


class Visitor(Struct, frozen=True):
    """Who stands at the door, before the key is looked at."""

    storefront: int
    secret: str
    ip_address: str
    country: str


class Reply(Struct, frozen=True):
    """What goes back: a whole body, or pieces as they come."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes | AsyncIterator[bytes]


def front_for(path: str) -> Front | None:
    """The front door at this path; Gemini's names the model and the way of answering in the path."""
    found = FRONTS.get(path)
    if found is not None:
        return found
    named = GEMINI.match(path)
    return replace(VERBS[named[2]], model=named[1]) if named else None


def nowhere(path: str) -> Front:
    """Whose words to use where there is no door: told from the address."""
    if path.startswith("/v1beta/"):
        return Front("gemini", "nothing")
    return Front("anthropic_messages" if path.startswith("/v1/messages") else "openai_chat", "nothing")


def lost(path: str, method: str) -> NothingHere | WrongMethod:
    """What to say to a request that met no door."""
    if front_for(path) is not None:
        return WrongMethod(f"This endpoint is asked with POST, not {method[:20]}.")
    if front_for(path.rstrip("/")) is not None:
        return NothingHere(f"There is nothing at this address; without the slash at its end there is: {path[:200]}")
    return NothingHere("There is no such endpoint here. GET / lists those there are.")


def headers_of(scope: Mapping[str, Any]) -> dict[str, str]:
    """The headers of a request, names in lower case, bytes one to one."""
    return {
        _lowered(name) if len(name) <= LONGEST_KNOWN else name.decode("latin-1").lower(): value.decode("latin-1")
        for name, value in scope["headers"]
    }


@lru_cache(maxsize=1024)
def _lowered(name: bytes) -> str:
    return name.decode("latin-1").lower()


def asked_of(scope: Mapping[str, Any], front: Front, *, headers: Mapping[str, str], body: bytes, name: str) -> "Asked":
    """One request as the rooms behind the doors know it."""
    peer = (scope.get("client") or ("", 0))[0]
    written = scope.get("query_string", b"")
    query = dict(parse_qsl(written.decode("latin-1"), keep_blank_values=True)) if written else {}
    return Asked(front, body, headers, query, peer, name)


def check_framing(headers: Mapping[str, str]) -> None:
    """Refuse a body by what is said of it, before any of it is read."""
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedType("Send the body uncompressed.")
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > LARGEST_BODY:
        raise TooLarge(TOO_LARGE)


def capped(receive: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    """A body for Django, which keeps all of one before anybody looks: over the cap it ends, and is refused there."""
    size = 0

    async def receive_capped() -> Any:
        nonlocal size
        message = await receive()
        while size > LARGEST_BODY and message["type"] == "http.request":
            message = await receive()  # the rest is let go
        if message["type"] == "http.request":
            size += len(message.get("body", b""))
            if size > LARGEST_BODY:
                return {**message, "more_body": False}
        return message

    return receive_capped


def check_purpose(front: Front, offer: Offer) -> None:
    """Refuse a model at a door it does not answer at."""
    if offer.purpose != front.purpose:
        message = f"{offer.slug!r} is a model for {offer.purpose}; this endpoint wants one for {front.purpose}."
        raise InvalidRequest(message, param="model")


def always_said(asked_headers: Mapping[str, str], name: str) -> list[tuple[str, str]]:
    """The headers of every answer of a door that has no middleware to say them: id, no sniffing, and who may read."""
    said = [("x-request-id", name), ("x-content-type-options", "nosniff")]
    if settings.CORS_ALLOWED_ORIGINS:
        said.append(("vary", "origin"))
        origin = asked_headers.get("origin", "")
        if origin in settings.CORS_ALLOWED_ORIGINS:
            said += [
                ("access-control-allow-origin", origin),
                ("access-control-expose-headers", ", ".join(settings.CORS_EXPOSE_HEADERS)),
            ]
    return said


def asked_id(headers: Mapping[str, str]) -> str:
    """The request's id: the client's own when it is harmless."""
    return request_id(headers.get("x-request-id"))


def enter(asked: Asked, picture: Picture) -> Visitor:
    """Judge host, address and key's place; the key itself is judged by ``callers``."""
    storefront = _storefront(asked.headers.get("host", ""), picture)
    is_googles = asked.front.dialect == "gemini" and "key" in asked.query
    if asked.query and KEY_PARAMETERS & set(asked.query) and not is_googles:
        raise InvalidRequest("Send the key in a header; in a URL it ends up in logs. Rotate this one.")
    secret = secret_of(_Headers(asked.headers))
    if secret is None and is_googles:
        raise KeyRefused("Send the key as x-goog-api-key; in a URL it ends up in logs. Rotate this one.")
    if secret is None:
        raise KeyMissing("Send your API key: Authorization: Bearer sk-...")
    address = client_address(
        peer=asked.peer, forwarded_for=asked.headers.get("x-forwarded-for", ""), trusted=settings.TRUSTED_PROXIES
    )
    return Visitor(storefront, secret, address, _country(asked.headers, address, asked.peer))


def _storefront(host: str, picture: Picture) -> int:
    found = picture.hosts.get(host_name(host))
    if found is None and is_platform_host(host):
        found = picture.default_storefront
    if found is None:
        raise NotServedHere("No shop answers at this address.")
    return found


def _country(headers: Mapping[str, str], address: str, peer: str) -> str:
    """The country a trusted proxy told us; nobody else is asked."""
    told = headers.get(settings.COUNTRY_HEADER.lower(), "") if settings.COUNTRY_HEADER and address != peer else ""
    return told if COUNTRY.match(told) else ""


class _Headers:
    """Lower-case headers behind the case-blind ``get`` that ``secret_of`` knows."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def get(self, name: str, default: str | None = None) -> str | None:
        """Find a header, whatever the case of its name."""
        return self._headers.get(name.lower(), default)
