"""Errors as Gemini spells them: `{"error": {code, message, status, details}}`."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from gateway.dialects.answers import LONGEST_WAIT_S, answer, error_members, word
from gateway.dialects.expressing import in_words_of
from gateway.dialects.neutral import Broke, Json
from gateway.dialects.reading import written
from gateway.errors import Answer, GatewayError

STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    421: "NOT_FOUND",
    422: "UNAUTHENTICATED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
FIELD_NAMES = {
    "top_k": "generationConfig.topK",
    "seed": "generationConfig.seed",
    "stop": "generationConfig.stopSequences",
    "n": "generationConfig.candidateCount",
    "temperature": "generationConfig.temperature",
    "frequency_penalty": "generationConfig.frequencyPenalty",
    "presence_penalty": "generationConfig.presencePenalty",
    "response_format.type": "generationConfig.responseMimeType",
    "thinking.budget_tokens": "generationConfig.thinkingConfig.thinkingBudget",
    "reasoning_effort": "generationConfig.thinkingConfig.thinkingLevel",
    "reasoning.summary": "generationConfig.thinkingConfig.includeThoughts",
}


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """Read what a provider refused or failed with."""
    source = error_members(body) or {}
    inner = source.get("error")
    if type(inner) is not dict:
        return answer(status, headers, message=word(source, "message", "error"), codes=())
    details = [detail for detail in _list(inner.get("details")) if type(detail) is dict]
    reasons = [word(detail, "reason") for detail in details]
    said = answer(status, headers, message=word(inner, "message"), codes=(*reasons, word(inner, "status")))
    if said.meaning != "rate":
        return said
    if _is_daily(details):
        return replace(said, meaning="money")  # nothing more today on this account, whatever the wait it suggests
    return replace(said, retry_after_s=said.retry_after_s if said.retry_after_s is not None else _delay(details))


def _list(value: Any) -> list[Any]:
    return value if type(value) is list else []


def _delay(details: list[Json]) -> float | None:
    for detail in details:
        delay = detail.get("retryDelay")
        if type(delay) is str and delay.endswith("s"):
            try:
                seconds = float(delay[:-1])
            except ValueError:
                continue
            if 0 <= seconds <= LONGEST_WAIT_S:
                return seconds
    return None


def _is_daily(details: list[Json]) -> bool:
    violations = [violation for detail in details for violation in _list(detail.get("violations"))]
    return any(type(violation) is dict and "PerDay" in str(violation.get("quotaId", "")) for violation in violations)


def error_object(error: GatewayError) -> Json:
    """Give an error Gemini's words."""
    message, param = in_words_of(error, FIELD_NAMES)
    message = message if param is None or param in message else f"{param}: {message}"
    return {"code": error.status, "message": message, "status": STATUSES.get(error.status, "INTERNAL")}


def write_error(error: GatewayError, *, request_id: str = "") -> bytes:
    """Write the body of an error."""
    return written({"error": error_object(error)})


def read_broke(source: Any) -> Broke:
    """Read an error that came inside an answer which began with a 200."""
    inner = source if type(source) is dict else {}
    code = inner.get("code")
    status = code if type(code) is int and 400 <= code <= 599 else 502
    return Broke(status, word(inner, "message") or "", word(inner, "status"))
