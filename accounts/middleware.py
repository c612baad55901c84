"""Tells each Django request which storefront it is at, and (on an organization's pages) which seat its sender has.

Promise: a host nobody owns is answered 421; while the database cannot be reached everybody hears so (503, and when to
come back), whatever page they asked for.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import structlog
from allauth.usersessions.middleware import UserSessionsMiddleware
from allauth.usersessions.models import UserSession
from django.core.exceptions import DisallowedHost
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone

from accounts import access, impersonation, members
from accounts.access import Seat
from accounts.models import User
from accounts.requests import TenantRequest
from plumbing import logs, problems

log = structlog.get_logger(__name__)

# What a driver says when the database is gone, refuses us, or gave up waiting.
UNREACHABLE = (OperationalError, InterfaceError)
RETRY_AFTER_S = 5
SESSION_NOTED_EVERY = timedelta(minutes=1)


class StorefrontMiddleware:
    """Set ``request.storefront`` by host; a host nobody owns is answered 421."""

    def __init__(self, get_response: Callable[[TenantRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: TenantRequest) -> HttpResponse:
        host = request.META.get("HTTP_HOST", "")
        try:
            request.get_host()  # nobody has a host that is not even well-formed, and views need not trip over it
            request.storefront = access.storefront_for(host)
        except (access.UnknownHost, DisallowedHost):
            return problems.answer(request, 421, "unknown_host", "No shop answers at this address.")
        except UNREACHABLE as error:
            return _unavailable(request, error)
        request.on_platform_host = access.is_platform_host(host)
        logs.bind(storefront=request.storefront.public_id)
        response = self.get_response(request)
        return _worded(request, response) if response.status_code == 405 else response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """A view that lost the database half-way answers 503 as well; anything else stays a bug."""
        return _unavailable(request, error) if isinstance(error, UNREACHABLE) else None


def _worded(request: HttpRequest, refused: HttpResponse) -> HttpResponse:
    """Django's answer to a wrong method is empty; somebody who reloaded the address of a form is told what it is."""
    if refused.streaming or refused.content or request.method == "HEAD":
        return refused
    answer = problems.answer(request, 405, "method_not_allowed", "This address is not a page.")
    answer["Allow"] = refused["Allow"]
    return answer


def _unavailable(request: HttpRequest, error: Exception) -> HttpResponse:
    log.error("database_unavailable", error_class=type(error).__name__, error=str(error)[:300])
    answer = problems.answer(request, 503, "unavailable", "We cannot reach our records just now. Nothing was changed.")
    answer["Retry-After"] = str(RETRY_AFTER_S)
    return answer


class SessionNoteMiddleware(UserSessionsMiddleware):
    """Note where a session is used; what the last minute noted of this very browser and address is not said again."""

    def __call__(self, request: TenantRequest) -> HttpResponse:
        answer: HttpResponse = self.get_response(request) if self._is_noted(request) else super().__call__(request)
        return answer

    @staticmethod
    def _is_noted(request: TenantRequest) -> bool:
        key = request.session.session_key
        if not key or not isinstance(request.user, User):
            return False
        fresh = UserSession.objects.filter(
            session_key=key, user_id=request.user.pk, last_seen_at__gt=timezone.now() - SESSION_NOTED_EVERY
        )
        longest = UserSession._meta.get_field("user_agent").max_length
        browser = request.headers.get("User-Agent", "")[:longest]
        return bool(fresh.values_list("ip", "user_agent").first() == (request.client_ip, browser))


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
            request.seat = self._seat(request, slug)
        except access.NotThere as error:
            raise Http404 from error
        if request.seat.membership is not None:
            members.note_active(request.seat.membership, now=timezone.now())
        logs.bind(organization=request.seat.organization.public_id)

    @staticmethod
    def _seat(request: Any, slug: str) -> Seat:
        """The seat of that slug; pages list a person's other seats as well, so all are read at once and kept."""
        if request.impersonation is not None:
            return access.organization_for(request.user, request.storefront, slug, impersonation=request.impersonation)
        request.seats = access.seats_of(request.user, request.storefront)
        return access.among(request.seats, slug)
