"""Who may open which page.

Promise: nobody signed out sees a page of ``/app/``; nobody outside an organization sees anything of it (the middleware
answered 404 already); a member whose role lacks the page's permission gets a 403 page, before the view runs.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account.decorators import reauthentication_required
from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponseBase

from accounts.models import User
from accounts.requests import TenantRequest
from accounts.roles import Permission
from plumbing.refusals import Refusal

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


def fresh_hands(view: View) -> View:
    """Let the view run only for somebody who has shown a moment ago that it is them (their password, or a passkey)."""
    guarded: View = reauthentication_required(view, allow_get=False)
    return guarded


class Told:
    """What a room refuses inside is said by the form, at the field it is about."""

    def __init__(self, form: forms.BaseForm) -> None:
        self.form = form

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        """Swallow refusals alone."""
        if isinstance(error, Refusal):
            self.form.add_error(None, error.sentence)
        elif isinstance(error, ValidationError):
            for name, sentences in _by_field(error).items():
                self.form.add_error(name if name in self.form.fields else None, sentences)
        return isinstance(error, Refusal | ValidationError)


class ToldAbove:
    """What a room refuses inside is said above the next page."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        """Swallow refusals alone."""
        if isinstance(error, Refusal):
            messages.error(self.request, error.sentence)
        elif isinstance(error, ValidationError):
            messages.error(self.request, " ".join(error.messages))
        return isinstance(error, Refusal | ValidationError)


def _by_field(error: ValidationError) -> dict[str, list[str]]:
    return error.message_dict if hasattr(error, "error_dict") else {"": error.messages}
