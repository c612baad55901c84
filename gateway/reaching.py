"""Is a provider there, and does it take our key? Asked by the command line, the desk's button and the doctor.

Promise: one question that costs nothing (the list of models), through the guarded door, with the key shown only to its
provider's own address; the answer is a sentence that never repeats a key or a provider's words.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from gateway import kinds
from gateway.models import Credential, Provider
from plumbing import outbound

LARGEST_LIST = 16 * 1024 * 1024
PATIENCE_S = 10.0
ASKED_BY = ("anthropic_messages", "gemini", "openai_chat", "rerank")


@dataclass(frozen=True, slots=True)
class Reached:
    """What came of trying."""

    is_there: bool
    key_works: bool | None  # None: it cannot be told
    sentence: str


def reach(provider: Provider, credential: Credential | None) -> Reached:
    """Ask a provider for its models."""
    kind = kinds.KINDS[provider.kind]
    dialect = next(name for name in (kind.dialect, *ASKED_BY) if name in kind.speaks)
    key = credential.secret if credential is not None else "no-key"
    headers = kinds.headers(kind, dialect, key=key)
    headers.pop("content-type", None)
    bounds = outbound.Bounds(
        total_s=PATIENCE_S,
        largest_body=LARGEST_LIST,
        allow_http=provider.may_be_private,
        allow_private=provider.may_be_private,
    )
    try:
        answer = outbound.send("GET", models_url(provider), headers=headers, bounds=bounds)
    except outbound.OutboundError as error:
        return Reached(is_there=False, key_works=None, sentence=f"{provider.name} cannot be reached: {error}")
    return _judged(provider, answer.status, answer.content, has_key=credential is not None)


def models_url(provider: Provider) -> str:
    """Where a provider lists its models: beside where it answers chats."""
    kind = kinds.KINDS[provider.kind]
    way = kind.way(kind.dialect).path
    stem = way.partition("/models/")[0] if "/models/" in way else way.rpartition("/chat/")[0]
    if not stem and way.startswith(("/v1/", "/v1beta/")):
        stem = way[: way.index("/", 1)]
    parts = urlsplit((provider.base_url or kind.base_url).partition("/deployments/")[0])
    return urlunsplit((parts.scheme, parts.netloc, f"{parts.path.rstrip('/')}{stem}/models", parts.query, ""))


def _judged(provider: Provider, status: int, body: bytes, *, has_key: bool) -> Reached:
    name = provider.name
    if 200 <= status < 300:
        return Reached(is_there=True, key_works=has_key or None, sentence=f"{name} answers and takes the key.")
    # Two of the companies call a wrong key a bad request.
    if status in {401, 403} or (status == 400 and b"key" in body.lower()):
        return Reached(is_there=True, key_works=False, sentence=f"{name} answers but refuses the key ({status}).")
    if status == 402:
        return Reached(is_there=True, key_works=False, sentence=f"{name} answers, but our account has no credit there.")
    if status in {404, 405}:
        return Reached(
            is_there=True,
            key_works=None,
            sentence=f"{name} answers but lists no models, so the key stays unproven until the first call.",
        )
    return Reached(is_there=status < 500, key_works=None, sentence=f"{name} answered {status}.")


LOW_CREDIT_USD = 5


def credit_left(provider: Provider, credential: Credential) -> float | None:
    """What is left of our credit, where a provider tells (OpenRouter does); for people to read, never for the books."""
    if provider.kind != "openrouter":
        return None
    address = models_url(provider).removesuffix("/models") + "/credits"
    bounds = outbound.Bounds(
        total_s=PATIENCE_S, allow_http=provider.may_be_private, allow_private=provider.may_be_private
    )
    try:
        answer = outbound.send("GET", address, headers={"authorization": f"Bearer {credential.secret}"}, bounds=bounds)
        told = answer.json()["data"] if answer.status == 200 else {}
        return float(told["total_credits"]) - float(told["total_usage"])
    except (outbound.OutboundError, ValueError, KeyError, TypeError):
        return None
