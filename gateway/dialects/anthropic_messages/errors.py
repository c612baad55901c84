"""Errors as Anthropic spells them: `{"type": "error", "error": {type, message}, "request_id"}`."""

from collections.abc import Mapping

from gateway.dialects.answers import answer, error_members, word
from gateway.dialects.expressing import in_words_of
from gateway.dialects.neutral import Broke, Json
from gateway.dialects.reading import written
from gateway.errors import Answer, GatewayError

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "conflict_error",
    413: "request_too_large",
    415: "invalid_request_error",
    421: "not_found_error",
    422: "authentication_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
FIELD_NAMES = {
    "stop": "stop_sequences",
    "reasoning_effort": "output_config.effort",
    "reasoning.summary": "thinking.display",
    "response_format.type": "output_config.format",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "user": "metadata.user_id",
}
STATUSES = {name: status for status, name in TYPES.items() if status not in {405, 415, 421, 422}} | {
    "overloaded_error": 529,
    "api_error": 500,
}


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """Read what a provider refused or failed with."""
    source = error_members(body) or {}
    inner = source.get("error")
    if type(inner) is not dict:
        return answer(
            status, headers, message=word(source, "message", "error", "detail"), codes=(word(source, "code"),)
        )
    details = inner.get("details")
    code = word(details, "error_code") if type(details) is dict else None
    kind = word(inner, "type")
    told = None if kind == "invalid_request_error" else kind
    return answer(status, headers, message=word(inner, "message"), codes=(code, told))


def error_object(error: GatewayError) -> Json:
    """Give an error Anthropic's words."""
    message, param = in_words_of(error, FIELD_NAMES)
    message = message if param is None or param in message else f"{param}: {message}"
    return {"type": TYPES.get(error.status, "api_error"), "message": message}


def write_error(error: GatewayError, *, request_id: str = "") -> bytes:
    """Write the body of an error."""
    return written({"type": "error", "error": error_object(error), "request_id": request_id or None})


def read_broke(source: Json) -> Broke:
    """Read an error that came inside an answer which began with a 200."""
    inner = source.get("error")
    inner = inner if type(inner) is dict else {}
    kind = word(inner, "type")
    return Broke(STATUSES.get(kind or "", 502), word(inner, "message") or "", kind)
