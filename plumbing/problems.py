"""Errors for people and programs: one sentence, one code, one request id, in the form the sender understands.

Promise: a browser gets a page, anything else gets JSON ``{"error": {"code", "message", "request_id"}}``; neither says
anything about our inside.
"""

from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from rest_framework import exceptions, serializers
from rest_framework.response import Response
from rest_framework.views import exception_handler as framework_handler

from plumbing.parsers import BodyTooLarge
from plumbing.refusals import Refusal

API_PREFIXES = (
    "/api/",
    "/v1/",
    "/v1beta/",
    "/ai-proxy/",
    "/user/",
    "/models/",
    "/health",
    "/ready",
    "/metrics",
    "/openapi.json",
)


def answer(request: HttpRequest, status: int, code: str, message: str) -> HttpResponse:
    """Say what went wrong."""
    if wants_json(request):
        body = {"error": {"code": code, "message": message, "request_id": getattr(request, "request_id", "")}}
        return JsonResponse(body, status=status)
    # Without the request, so that no context processor asks the database: these pages show when it is gone, too.
    context = {
        "code": code,
        "message": message,
        "request_id": getattr(request, "request_id", ""),
        "storefront": getattr(request, "storefront", None),
    }
    return HttpResponse(render_to_string(f"errors/{status}.html", context), status=status)


def wants_json(request: HttpRequest) -> bool:
    """Whether the sender is a program rather than a browser."""
    if request.path.startswith(API_PREFIXES):
        return True
    return not request.accepts("text/html")


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """The management API's errors in the same form; a field's own messages stand under ``fields``."""
    error = _translated(error)
    response = framework_handler(error, context)
    if response is None or not isinstance(error, exceptions.APIException):
        return response
    body: dict[str, Any] = {
        "code": error.default_code,
        "message": str(error.detail) if isinstance(error.detail, str) else "This request was refused.",
        "request_id": getattr(context["request"], "request_id", ""),
    }
    if isinstance(error, exceptions.ValidationError):
        body |= {"code": "invalid", "message": _first_sentence(response.data), "fields": _by_field(response.data)}
    response.data = {"error": body}
    return response


def _translated(error: Exception) -> Exception:
    """Refusals of rooms and of Django as the framework's own kind, with our sentences."""
    if isinstance(error, Refusal):
        refused = exceptions.APIException(error.sentence)
        refused.status_code, refused.default_code = error.status, error.code
        return refused
    if isinstance(error, ValidationError):
        return exceptions.ValidationError(serializers.as_serializer_error(error))
    if isinstance(error, Http404 | exceptions.NotFound):
        return exceptions.NotFound("There is nothing at this address.")
    if isinstance(error, RequestDataTooBig):
        return BodyTooLarge()
    if isinstance(error, PermissionDenied):
        return exceptions.PermissionDenied("You may not do this here.")
    return error


def _by_field(data: Any) -> dict[str, Any]:
    return data if isinstance(data, dict) else {"non_field_errors": data}


def _first_sentence(data: Any) -> str:
    """The first field that is wrong, by name, and why."""
    if isinstance(data, dict) and data:
        name, messages = next(iter(data.items()))
        prefix = "" if name == "non_field_errors" else f"{name}: "
        return prefix + _first_sentence(messages)
    if isinstance(data, list) and data:
        return _first_sentence(next((item for item in data if item), data[0]))
    return str(data)
