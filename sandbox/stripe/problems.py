"""The refusals, in Stripe's own words: every one carries a type, and where Stripe gives them a code and a parameter."""

from typing import Any


class Problem(Exception):
    """A refusal that is part of the conversation.

    What the request had done before is undone, unless ``keeps`` says that the attempt itself is part of the story: a
    declined card leaves a failed charge behind.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        keeps: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.param = param
        self.keeps = keeps
        self.more = more

    def words(self, request_id: str) -> dict[str, Any]:
        """``{"error": {type, message, code, param, ...}}``; what does not apply is left out."""
        error: dict[str, Any] = {"message": self.message, "type": self.kind}
        if self.code:
            error["code"] = self.code
            error["doc_url"] = f"https://docs.stripe.com/error-codes/{self.code.replace('_', '-')}"
        if self.param:
            error["param"] = self.param
        error["request_log_url"] = f"https://dashboard.stripe.com/test/logs/{request_id}"
        return {"error": {**error, **self.more}}


def missing(param: str) -> Problem:
    """A required parameter is absent."""
    return Problem(400, f"Missing required param: {param}.", code="parameter_missing", param=param)


def unknown(param: str) -> Problem:
    """A parameter nobody knows."""
    return Problem(400, f"Received unknown parameter: {param}", code="parameter_unknown", param=param)


def invalid(param: str, message: str, *, code: str | None = None) -> Problem:
    """A parameter has a value that cannot be."""
    return Problem(400, message, code=code, param=param)


def no_such(kind: str, given: str, *, param: str = "id", status: int = 404) -> Problem:
    """An id that names nothing here: 404 in an address, 400 in a parameter."""
    return Problem(status, f"No such {kind}: '{given[:100]}'", code="resource_missing", param=param)


def card_error(message: str, *, code: str, **more: Any) -> Problem:
    """The bank said no. The attempt stays on the books."""
    return Problem(402, message, kind="card_error", code=code, keeps=True, **more)
