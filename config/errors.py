"""The pages for when something is wrong, in words that help; each carries the request id and nothing of our inside."""

from typing import Any

from django.http import HttpRequest, HttpResponse

from plumbing import problems

RETRY_AFTER_S = 60


def bad_request(request: HttpRequest, exception: Any = None) -> HttpResponse:
    """400."""
    return problems.answer(request, 400, "bad_request", "This request could not be understood.")


def forbidden(request: HttpRequest, exception: Any = None) -> HttpResponse:
    """403."""
    return problems.answer(request, 403, "forbidden", "You may not do this here.")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 for a form whose token is missing or stale."""
    return problems.answer(
        request, 403, "stale_form", "This form has grown stale. Go back, reload the page and send it again."
    )


def not_found(request: HttpRequest, exception: Any = None) -> HttpResponse:
    """404."""
    return problems.answer(request, 404, "not_found", "There is nothing at this address.")


def too_many(request: HttpRequest) -> HttpResponse:
    """429: what allauth answers when somebody tries too often; all of its rates that end here are per minute."""
    answer = problems.answer(request, 429, "too_many_requests", "You have tried this very often in a short time.")
    answer["Retry-After"] = str(RETRY_AFTER_S)
    return answer


def server_error(request: HttpRequest) -> HttpResponse:
    """500: always a bug of ours."""
    return problems.answer(request, 500, "server_error", "Something broke on our side. It has been noted.")
