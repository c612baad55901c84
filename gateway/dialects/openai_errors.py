"""Errors as OpenAI spells them: `{"error": {message, type, param, code}}`, and the shapes of those who nearly do."""

from collections.abc import Mapping

from gateway.dialects.answers import answer, error_members, word
from gateway.dialects.neutral import Broke, Json
from gateway.dialects.reading import written
from gateway.errors import Answer, GatewayError

TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
}


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """Read what a provider refused or failed with."""
    source = error_members(body) or {}
    inner = source.get("error")
    if type(inner) is dict:
        metadata = inner.get("metadata")
        raw = word(metadata, "raw") if type(metadata) is dict else None
        codes = (word(inner, "code"), word(inner, "type"))
        return answer(status, headers, message=raw or word(inner, "message"), codes=codes, param=word(inner, "param"))
    # flat: xAI says {code, error}, Mistral {detail} or {message, type, code}, Cohere {id, message}, Azure {message}
    message = word(source, "error", "message", "detail")
    return answer(status, headers, message=message, codes=(word(source, "code"), word(source, "type", "error_type")))


def error_object(error: GatewayError) -> Json:
    """Give an error OpenAI's words; all four members are always there."""
    return {
        "message": error.message,
        "type": TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "server_error"),
        "param": error.param,
        "code": error.code,
    }


def write_error(error: GatewayError, *, request_id: str = "") -> bytes:
    """Write the body of an error."""
    return written({"error": error_object(error)})


def read_broke(source: object) -> Broke:
    """Read an error that came inside an answer which began with a 200."""
    if type(source) is not dict:
        return Broke(502, source[:1000] if type(source) is str else "")
    status = source.get("code")
    if type(status) is not int or not 400 <= status <= 599:
        status = 502
    return Broke(status, word(source, "message", "error") or "", word(source, "code", "type"))
