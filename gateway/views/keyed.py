"""Views that only look something up: who asks is read from the database, and every answer has its dialect's shape.

Promise: the same doorway as for calls judges host, address and key, so what is refused there is refused here in the
same words: 422 without any key, 401 with a wrong one. Nothing here reserves money or reaches a provider.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import RequestDataTooBig, ValidationError
from django.http import Http404, HttpResponse
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from accounts.api.throttles import AddressThrottle
from accounts.api.views import AlwaysJson
from accounts.authentication import KeyInUrl
from accounts.models import ApiKey, Organization
from accounts.requests import TenantRequest
from gateway import callers, doorway, service
from gateway.callers import Caller
from gateway.catalog import Picture
from gateway.doorway import Asked, Front
from gateway.errors import (
    Conflict,
    GatewayError,
    InvalidRequest,
    KeyRefused,
    NotAllowed,
    NothingHere,
    RateLimited,
    TooLarge,
    UnsupportedType,
    WrongMethod,
)
from gateway.reception import refusal
from gateway.views.dispatch import request_id_of, scope_of
from plumbing.parsers import BodyTooLarge
from plumbing.refusals import Refusal


class SpeakingView(APIView):
    """A view whose refusals are worded as at the front doors."""

    authentication_classes: Any = ()
    permission_classes = ()
    throttle_classes: Sequence[type[BaseThrottle]] = (AddressThrottle,)
    content_negotiation_class = AlwaysJson
    front = Front("openai_chat", "lookup")

    def speaks(self, request: Request) -> Front:
        """Whose words this request is answered in."""
        return self.front

    @property
    def asked(self) -> TenantRequest:
        """Django's request underneath, with what the middlewares found out."""
        request: TenantRequest = self.request._request  # type: ignore[assignment]
        return request

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], HttpResponse | None]:
        """The framework's refusals and ours, in the words of the door."""
        return self._refused

    def _refused(self, error: Exception, context: dict[str, Any]) -> HttpResponse | None:
        told = _in_our_words(error, self.allowed_methods)
        if told is None:
            return None
        reply = refusal(told, self.speaks(self.request), request_id_of(self.asked))
        assert isinstance(reply.body, bytes)
        response = HttpResponse(reply.body, status=reply.status)
        for name, value in reply.headers:
            response[name] = value
        if isinstance(told, WrongMethod):
            response["Allow"] = ", ".join(self.allowed_methods)
        return response

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Nothing here is for anybody's cache, unless the view says so."""
        finalized = super().finalize_response(request, response, *args, **kwargs)
        finalized.setdefault("Cache-Control", "private, no-store")
        return finalized


class KeyedView(SpeakingView):
    """A view that answers whoever shows an inference key."""

    caller: Caller
    picture: Picture

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Find out who asks."""
        super().initial(request, *args, **kwargs)
        if request.method not in self.allowed_methods:
            return  # the framework answers 405
        scope = scope_of(self.asked)
        headers = doorway.headers_of(scope)
        asked = doorway.asked_of(scope, self.speaks(request), headers=headers, body=b"", name="")
        self.picture = service.picture()
        self.caller = self.admit(asked)

    def admit(self, asked: Asked) -> Caller:
        """Judge the key."""
        return callers.admitted(doorway.enter(asked, self.picture), now=datetime.now(UTC))

    @property
    def organization(self) -> Organization:
        """Whose key it is."""
        found: Organization = Organization.objects.get(pk=self.caller.organization)
        return found

    @property
    def key(self) -> ApiKey:
        """The key's row."""
        found: ApiKey = ApiKey.objects.of(self.organization).get(pk=self.caller.key)
        return found


def said(body: Any, status: int = 200) -> Response:
    """An answer."""
    return Response(body, status=status)


Worded = Callable[[Any, list[str]], GatewayError]

# An error of the framework or of a room as one of the tree; the first that fits.
WORDS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], Worded], ...] = (
    (GatewayError, lambda error, _: error),
    ((Http404, exceptions.NotFound), lambda *_: NothingHere("There is nothing at this address.")),
    (exceptions.MethodNotAllowed, lambda _, methods: WrongMethod(f"This endpoint is asked with {_any_of(methods)}.")),
    (
        exceptions.Throttled,
        lambda error, _: RateLimited("Too many requests from your address; slow down.", retry_after_s=error.wait),
    ),
    ((exceptions.NotAuthenticated, exceptions.AuthenticationFailed), lambda error, _: KeyRefused(str(error.detail))),
    (exceptions.PermissionDenied, lambda error, _: NotAllowed(str(error.detail))),
    (exceptions.UnsupportedMediaType, lambda *_: UnsupportedType("Send JSON.")),
    ((BodyTooLarge, RequestDataTooBig), lambda *_: TooLarge("The body is too large.")),
    (exceptions.ValidationError, lambda error, _: _invalid(error.detail)),
    (exceptions.ParseError, lambda error, _: InvalidRequest(str(error.detail))),
    (KeyInUrl, lambda error, _: InvalidRequest(str(error.detail))),
    (ValidationError, lambda error, _: _invalid(serializers.as_serializer_error(error))),
    (Refusal, lambda error, _: (NotAllowed if error.status == 403 else Conflict)(error.sentence)),
)


def _in_our_words(error: Exception, methods: list[str]) -> GatewayError | None:
    """The error as the client reads it; None is a bug and stays one."""
    return next((worded(error, methods) for kinds, worded in WORDS if isinstance(error, kinds)), None)


def _any_of(methods: list[str]) -> str:
    return " or ".join(method for method in methods if method not in {"HEAD", "OPTIONS"})


def _invalid(detail: Any) -> InvalidRequest:
    """The first field that is wrong, by name."""
    name = ""
    while isinstance(detail, dict | list) and detail:
        if isinstance(detail, dict):
            key, detail = next(iter(detail.items()))
            name = name or str(key)
        else:
            detail = next((item for item in detail if item), detail[0])
    return InvalidRequest(f"{name}: {detail}" if name else str(detail), param=name or None)
