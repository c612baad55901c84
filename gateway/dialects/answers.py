"""What a provider means by an error: by status first, by code where a status has two meanings, by words last.

Statuses lie in known ways: a bad key is a 400 at Gemini and xAI, a model that is gone a 400 at OpenAI's Responses, an
empty account a 429 at OpenAI and a 400 at Anthropic. Codes are stable; words are looked at only where no code exists.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.dialects.neutral import Broke
from gateway.errors import Answer, GatewayError, Meaning, for_client

LONGEST_WAIT_S = 3600.0
LONGEST_TEXT = 4000

BY_STATUS: dict[int, Meaning] = {
    401: "credential",
    402: "money",
    403: "credential",
    404: "not_found",
    408: "timeout",
    413: "too_long",
    429: "rate",
    498: "busy",
    503: "busy",
    504: "timeout",
    529: "busy",
}
BY_CODE: dict[str, Meaning] = {
    "context_length_exceeded": "too_long",
    "request_too_large": "too_long",
    "string_above_max_length": "too_long",
    "model_not_found": "not_found",
    "DeploymentNotFound": "not_found",
    "NOT_FOUND": "not_found",
    "not_found_error": "not_found",
    "invalid_api_key": "credential",
    "API_KEY_INVALID": "credential",
    "authentication_error": "credential",
    "permission_error": "credential",
    "UNAUTHENTICATED": "credential",
    "PERMISSION_DENIED": "credential",
    "insufficient_quota": "money",
    "credit_balance_exhausted": "money",
    "billing_error": "money",
    "billing_hard_limit_reached": "money",
    "enforced_spend_limit_reached": "money",
    "content_filter": "blocked",
    "content_policy_violation": "blocked",
    "moderation_blocked": "blocked",
    "rate_limit_exceeded": "rate",
    "rate_limit_error": "rate",
    "RateLimitReached": "rate",
    "RESOURCE_EXHAUSTED": "rate",
    "overloaded_error": "busy",
    "UNAVAILABLE": "busy",
    "timeout_error": "timeout",
    "DEADLINE_EXCEEDED": "timeout",
    "server_error": "failed",
    "api_error": "failed",
    "INTERNAL": "failed",
}
BY_WORDS: tuple[tuple[str, Meaning], ...] = (
    ("incorrect api key", "credential"),
    ("api key not valid", "credential"),
    ("invalid api key", "credential"),
    ("credit balance is too low", "money"),
    ("insufficient balance", "money"),
    ("prompt is too long", "too_long"),
    ("maximum context length", "too_long"),
    ("too many tokens", "too_long"),
    ("exceeds the maximum number of tokens", "too_long"),
    ("no available channel", "not_found"),
)


def meaning_of(status: int, codes: tuple[str | None, ...], message: str) -> Meaning:
    """Say what an error means."""
    for code in codes:
        if code is not None and code in BY_CODE:
            return BY_CODE[code]
    if status in {400, 422, 503}:
        lowered = message[:LONGEST_TEXT].lower()
        for words, meaning in BY_WORDS:
            if words in lowered:
                return meaning
    return BY_STATUS.get(status, "invalid" if 400 <= status < 500 else "failed")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Read how long a provider asks us to wait; header names in lower case."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if 0 <= seconds <= LONGEST_WAIT_S:
            return seconds
    return None


def error_members(body: bytes) -> dict[str, Any] | None:
    """Read an error's body if it is a JSON object; a provider in trouble may send a page of HTML instead."""
    try:
        source = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if type(source) is list and source and type(source[0]) is dict:
        source = source[0]
    return source if type(source) is dict else None


def word(source: Mapping[str, Any], *names: str) -> str | None:
    """Take the first member that is a word, or a number standing for one."""
    for name in names:
        value = source.get(name)
        if type(value) is str and value:
            return value[:LONGEST_TEXT]
        if type(value) is int:
            return str(value)[:20]
    return None


def answer(
    status: int,
    headers: Mapping[str, str],
    *,
    message: str | None,
    codes: tuple[str | None, ...],
    param: str | None = None,
) -> Answer:
    """Put together what a provider said."""
    text = message or ""
    return Answer(
        status=status,
        meaning=meaning_of(status, codes, text),
        message=text,
        code=next((code for code in codes if code), None),
        param=param,
        retry_after_s=retry_after_s(headers),
    )


def broken(broke: Broke) -> GatewayError:
    """Turn a failure inside an answer into the error its reader sees."""
    return for_client(answer(broke.status, {}, message=broke.message, codes=(broke.code,)))
