"""The base of every view here: strict about what it is asked, and sure who asks for which organization.

Promise: in this order, the address is counted, the sender authenticated and counted, unknown query parameters refused,
the seat found (404 for outsiders, whatever the method), and only then the permission looked at (403).
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.db.models import QuerySet
from rest_framework import exceptions, generics, negotiation, serializers
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle

from accounts import access, trail
from accounts.access import Seat
from accounts.api.throttles import AddressThrottle, SenderThrottle, TenantThrottle
from accounts.models import ApiKey, User
from accounts.models.keys import KeyKind
from accounts.requests import TenantRequest
from accounts.scopes import Scope
from plumbing.pagination import CursorPagination

PAGE_PARAMETERS = frozenset({"cursor", "limit"})


class AlwaysJson(negotiation.BaseContentNegotiation):
    """JSON, whatever the Accept header hopes for."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """The parser that reads the body's type, or none (415)."""
        return negotiation.DefaultContentNegotiation().select_parser(request, parsers)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """The first and only renderer."""
        return renderers[0], renderers[0].media_type


class ApiView(generics.GenericAPIView[Any]):
    """A view that anyone who is somebody may ask."""

    throttle_classes: Sequence[type[BaseThrottle]] = (SenderThrottle, TenantThrottle)
    content_negotiation_class = AlwaysJson
    pagination_class: type[BasePagination] | None = CursorPagination
    filter_backends = ()
    lists = False
    filterset: ClassVar[type[serializers.Serializer[Any]] | None] = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Count the address first, then what the framework does, then refuse parameters nobody declared."""
        throttle = AddressThrottle()
        if not throttle.allow_request(request, self):
            self.throttled(request, throttle.wait() or 1)
        super().initial(request, *args, **kwargs)
        self._refuse_strangers(request)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Response:
        """Nothing here is for anybody's cache."""
        finalized = super().finalize_response(request, response, *args, **kwargs)
        finalized["Cache-Control"] = "private, no-store"
        return finalized

    @property
    def asked(self) -> TenantRequest:
        """Django's request underneath, with what the middlewares found out."""
        request: TenantRequest = self.request._request  # type: ignore[assignment]
        return request

    @property
    def source(self) -> trail.Source:
        """Who acts, for the trail."""
        return trail.source_of(self.asked)

    @property
    def person(self) -> User:
        """The signed-in person, where a key will not do."""
        if isinstance(self.request.auth, ApiKey) or self.asked.impersonation is not None:
            message = "Only a signed-in person can do this; a key or a visit by staff cannot."
            raise exceptions.PermissionDenied(message)
        assert isinstance(self.request.user, User), "permission_classes let nobody else through"
        return self.request.user

    def read(self, reader: type[serializers.Serializer[Any]], **options: Any) -> dict[str, Any]:
        """The body, if it is exactly what the reader knows."""
        serializer = reader(data=self.request.data, **options)
        serializer.is_valid(raise_exception=True)
        found: dict[str, Any] = serializer.validated_data
        return found

    def filters(self) -> Mapping[str, Any]:
        """The declared filters that were used."""
        if self.filterset is None:
            return {}
        serializer = self.filterset(data=self.request.query_params.dict())
        serializer.is_valid(raise_exception=True)
        return {name: value for name, value in serializer.validated_data.items() if name not in PAGE_PARAMETERS}

    def page(self, rows: "QuerySet[Any]", writer: type[serializers.Serializer[Any]], **context: Any) -> Response:
        """One page of the rows."""
        found = self.paginate_queryset(rows)
        return self.get_paginated_response(writer(found, many=True, context=context).data)

    def _refuse_strangers(self, request: Request) -> None:
        known: set[str] = set()
        if self.lists and request.method in {"GET", "HEAD"}:
            known = set(PAGE_PARAMETERS) | set(self.filterset().fields if self.filterset else ())
        strangers = sorted(name for name in request.query_params if name not in known)
        if strangers:
            words = ", ".join(sorted(known)) or "none"
            raise exceptions.ValidationError(
                {strangers[0][:60]: [f"This query parameter is not known here (known: {words})."]}
            )


class OrganizationView(ApiView):
    """A view of one organization: ``self.seat`` is the asker's place in it, ``scopes`` what each method needs."""

    scopes: ClassVar[dict[str, Scope | None]] = {}
    seat: Seat

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Find the seat (404), then look at the permission (403)."""
        super().initial(request, *args, **kwargs)
        self.seat = self._seat(kwargs["organization_id"])
        self.asked.seat = self.seat
        if request.method not in self.scopes and request.method != "HEAD":
            return  # the framework answers 405
        scope = self.scopes["GET" if request.method == "HEAD" else str(request.method)]
        if scope is not None and not self.seat.within(scope):
            if self.seat.api_key is not None:
                message = f"This key does not carry {scope.value}, or its maker's role no longer reaches that far."
            else:
                message = "Your role here does not allow this."
            raise exceptions.PermissionDenied(message)

    def _seat(self, organization_id: str) -> Seat:
        key = self.request.auth
        try:
            if isinstance(key, ApiKey):
                seat = seat_of(key)
                if seat.organization.public_id == organization_id:
                    return seat
                raise exceptions.NotFound
            assert isinstance(self.request.user, User), "permission_classes let nobody else through"
            return access.organization_named(
                self.request.user, self.asked.storefront, organization_id, impersonation=self.asked.impersonation
            )
        except access.NotThere as error:
            raise exceptions.NotFound from error


def seat_of(key: ApiKey) -> Seat:
    """The seat of a management key, or 403 (another kind) or 401 (its maker left)."""
    if key.kind != KeyKind.MANAGEMENT:
        message = "This key makes calls; /api/v1 needs a management key (only /api/v1/me answers any key)."
        raise exceptions.PermissionDenied(message)
    try:
        return access.seat_of_key(key)
    except access.KeyNotAccepted as error:
        raise exceptions.AuthenticationFailed(str(error)) from error
