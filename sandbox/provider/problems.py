"""How the sandbox says no, in each company's words: one neutral problem, three shapes of error."""

from typing import Any

STATUSES = {
    "invalid": 400,
    "context": 400,
    "auth": 401,
    "billing": 402,
    "permission": 403,
    "not_found": 404,
    "method": 405,
    "too_large": 413,
    "rate": 429,
    "server": 500,
    "unavailable": 503,
    "timeout": 504,
    "overloaded": 529,
}
KINDS = {status: kind for kind, status in STATUSES.items() if kind != "context"}

ANTHROPIC = {
    "invalid": "invalid_request_error",
    "context": "invalid_request_error",
    "auth": "authentication_error",
    "billing": "billing_error",
    "permission": "permission_error",
    "not_found": "not_found_error",
    "method": "invalid_request_error",
    "too_large": "request_too_large",
    "rate": "rate_limit_error",
    "timeout": "timeout_error",
    "overloaded": "overloaded_error",
}
OPENAI = {
    "rate": ("requests", "rate_limit_exceeded"),
    "billing": ("insufficient_quota", "insufficient_quota"),
    "server": ("server_error", None),
    "unavailable": ("server_error", None),
    "timeout": ("server_error", None),
    "overloaded": ("server_error", None),
    "auth": ("invalid_request_error", "invalid_api_key"),
    "context": ("invalid_request_error", "context_length_exceeded"),
}
GEMINI = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "INVALID_ARGUMENT",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    529: "UNAVAILABLE",
}


class Problem(Exception):
    """A refusal that is part of the conversation."""

    def __init__(
        self, kind: str, message: str, *, param: str | None = None, code: str | None = None, retry_after_s: float = 0
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.param = param
        self.code = code
        self.retry_after_s = retry_after_s

    @property
    def status(self) -> int:
        return STATUSES[self.kind]


def openai_words(problem: Problem) -> dict[str, Any]:
    """``{"error": {message, type, param, code}}``; all four keys are always there."""
    kind, code = OPENAI.get(problem.kind, ("invalid_request_error", None))
    error = {"message": problem.message, "type": kind, "param": problem.param, "code": problem.code or code}
    return {"error": error}


def anthropic_words(problem: Problem, request_id: str) -> dict[str, Any]:
    """``{"type": "error", "error": {type, message}, "request_id"}``."""
    error = {"type": ANTHROPIC.get(problem.kind, "api_error"), "message": problem.message}
    return {"type": "error", "error": error, "request_id": request_id}


def gemini_status(problem: Problem) -> int:
    """A wrong key is the caller's bad argument there."""
    return 400 if problem.kind == "auth" else problem.status


def gemini_words(problem: Problem) -> dict[str, Any]:
    """``{"error": {code, message, status, details}}``; when to come back is told in the body."""
    status = gemini_status(problem)
    error: dict[str, Any] = {"code": status, "message": problem.message, "status": GEMINI[status]}
    if problem.kind == "auth":
        error["message"] = "API key not valid. Please pass a valid API key."
        service = {"service": "generativelanguage.googleapis.com"}
        error["details"] = [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "API_KEY_INVALID",
                "domain": "googleapis.com",
                "metadata": service,
            }
        ]
    if problem.kind == "rate":
        delay = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{problem.retry_after_s:g}s"}
        quota = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaValue": "1000000"}]}
        error["details"] = [quota, delay]
    return {"error": error}
