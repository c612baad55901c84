"""Tells each Django request which storefront it is at, and (on an organization's pages) which seat its sender has."""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import DisallowedHost
from django.http import Http404, HttpResponse
from django.utils import timezone

from accounts import access, impersonation
from accounts.models import User
from accounts.requests import TenantRequest
from plumbing import logs, problems

# Probes and collectors come by address, not by name, and see nothing of any shop.
HOSTLESS_PATHS = frozenset({"/health", "/ready", "/metrics"})


class StorefrontMiddleware:
    """Set ``request.storefront`` by host; a host nobody owns is answered 421."""

    def __init__(self, get_response: Callable[[TenantRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: TenantRequest) -> HttpResponse:
        host = request.META.get("HTTP_HOST", "")
        if request.path in HOSTLESS_PATHS:
            return self.get_response(request)
        try:
            request.get_host()  # nobody has a host that is not even well-formed, and views need not trip over it
            request.storefront = access.storefront_for(host)
        except (access.UnknownHost, DisallowedHost):
            return problems.answer(request, 421, "unknown_host", "No shop answers at this address.")
        request.on_platform_host = access.is_platform_host(host)
        logs.bind(storefront=request.storefront.public_id)
        return self.get_response(request)


class SeatMiddleware:
    """Give views of ``/app/<organization>/`` their seat, or 404; end visits that ran out; no session is cached."""

    def __init__(self, get_response: Callable[[TenantRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: TenantRequest) -> HttpResponse:
        request.impersonation = (
            impersonation.current(request, now=timezone.now())
            if isinstance(getattr(request, "user", None), User)
            else None
        )
        response = self.get_response(request)
        if not request.session.is_empty() and not response.has_header("Cache-Control"):
            response["Cache-Control"] = "private, no-store"  # what somebody sees is nobody else's, errors included
        return response

    def process_view(self, request: Any, view: Any, args: Any, kwargs: dict[str, Any]) -> None:
        """Turn the organization's slug in the URL into a seat before the view runs."""
        slug = kwargs.get("organization_slug")
        if slug is None or not isinstance(request.user, User):
            return
        try:
            request.seat = access.organization_for(
                request.user, request.storefront, slug, impersonation=request.impersonation
            )
        except access.NotThere as error:
            raise Http404 from error
        logs.bind(organization=request.seat.organization.public_id)
