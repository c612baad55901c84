"""Who may open which page.

Promise: nobody signed out sees a page of ``/app/``; nobody outside an organization sees anything of it (the middleware
answered 404 already); a member whose role lacks the page's permission gets a 403 page, before the view runs.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase

from accounts.models import User
from accounts.requests import TenantRequest
from accounts.roles import Permission

View = Callable[..., HttpResponseBase]


class PersonRequest(TenantRequest):
    """A request of somebody who is signed in."""

    user: User


def needs(permission: Permission) -> Callable[[View], View]:
    """Let the view run only for seats that hold the permission."""

    def guard(view: View) -> View:
        @login_required
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            asked: TenantRequest = request  # type: ignore[assignment]  # the middlewares ran
            if not asked.seat.may(permission):
                raise PermissionDenied
            return view(asked, *args, **kwargs)

        return guarded

    return guard


def own_hands(view: View) -> View:
    """Keep visitors out of pages that change things in a person's own name."""

    @login_required
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        asked: TenantRequest = request  # type: ignore[assignment]  # the middlewares ran
        if asked.impersonation is not None:
            raise PermissionDenied
        return view(asked, *args, **kwargs)

    return guarded
