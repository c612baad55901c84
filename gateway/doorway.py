"""What both doors share before and after the corridor: which shop, from where, how large, which secret, which headers.

Promise: host, client address, body cap and key are judged here and nowhere else, in the same words whichever door was
used; nothing a client sends names an upstream address, an organization there, or a header that leaves with our key.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from django.conf import settings

from accounts.access import host_name, is_platform_host
from accounts.authentication import KEY_PARAMETERS, secret_of
from gateway.catalog import Picture
from gateway.errors import InvalidRequest, KeyMissing, KeyRefused, NotServedHere
from plumbing.requests import client_address, request_id

LARGEST_BODY = 32 * 1024 * 1024
COUNTRY = re.compile(r"[A-Z]{2}\Z")


@dataclass(frozen=True, slots=True)
class Front:
    """One front door: the dialect its clients speak, and the name of the endpoint in rows and receipts."""

    dialect: str
    endpoint: str
    model: str = ""
    streamed: bool = False


FRONTS: Mapping[str, Front] = {
    "/v1/chat/completions": Front("openai_chat", "chat"),
    "/ai-proxy/v1/chat/completions": Front("openai_chat", "chat"),
    "/v1/completions": Front("openai_completions", "completions"),
    "/v1/responses": Front("openai_responses", "responses"),
    "/v1/messages": Front("anthropic_messages", "messages"),
}
GEMINI = re.compile(r"/v1beta/models/([^/]{1,200}):(generateContent|streamGenerateContent)\Z")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request at a hot door; header names are lower case."""

    front: Front
    body: bytes
    headers: Mapping[str, str]
    query: Mapping[str, str]
    peer: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who stands at the door, before the key is looked at."""

    storefront: int
    secret: str
    ip_address: str
    country: str


@dataclass(frozen=True, slots=True)
class Reply:
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
    return Front("gemini", "generate", named[1], named[2] == "streamGenerateContent") if named else None


def asked_id(headers: Mapping[str, str]) -> str:
    """The request's id: the client's own when it is harmless."""
    return request_id(headers.get("x-request-id"))


def enter(asked: Asked, picture: Picture) -> Visitor:
    """Judge host, address and key's place; the key itself is judged by ``callers``."""
    storefront = _storefront(asked.headers.get("host", ""), picture)
    if KEY_PARAMETERS & set(asked.query) and not (asked.front.dialect == "gemini" and "key" in asked.query):
        raise InvalidRequest("Send the key in a header; in a URL it ends up in logs. Rotate this one.")
    secret = secret_of(_Headers(asked.headers))
    if secret is None and asked.front.dialect == "gemini" and "key" in asked.query:
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
