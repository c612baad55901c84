"""What people do to their own ways of signing in, as allauth tells of it, in the trail.

Promise: whoever comes in, and every change to a password, mailbox, second factor, passkey, outside identity or session,
leaves an event at the storefront it happened at, with the address it came from. Neither codes, keys nor names of
devices are written. A wrong password leaves none: its writing would tell by its time which mailbox has an account.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from allauth.account import signals as account
from allauth.mfa import signals as mfa
from allauth.socialaccount import signals as social
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from allauth.usersessions.models import UserSession
from django.dispatch import Signal
from django.http import HttpRequest

from accounts import trail
from accounts.models import User


def listen() -> None:
    """Begin to write down; called once, when the apps are ready."""
    for signal, heard in (
        (account.user_logged_in, _signed_in),
        (account.password_changed, _password_changed),
        (account.password_set, _password_set),
        (account.password_reset, _password_reset),
        (account.email_added, _email_added),
        (account.email_removed, _email_removed),
        (account.email_changed, _email_changed),
        (mfa.authenticator_added, _factor_added),
        (mfa.authenticator_removed, _factor_removed),
        (mfa.authenticator_reset, _factor_reset),
        (mfa.authentication_failed, _factor_failed),
        (social.social_account_added, _identity_added),
        (social.social_account_removed, _identity_removed),
    ):
        _connect(signal, heard)


def _connect(signal: Signal, heard: Any) -> None:
    signal.connect(heard, dispatch_uid=f"accounts.acts.{heard.__name__}")


def _write(action: str, request: HttpRequest, user: User, *, proven: bool = True, **told: Any) -> None:
    """One event about somebody, done by themselves unless they have not ``proven`` to be that person."""
    source = replace(trail.source_of(request), user=user if proven else None)
    trail.record(action, source=source, target=user, storefront=getattr(request, "storefront", None), **told)


def _signed_in(request: HttpRequest, user: User, sociallogin: Any = None, **_: Any) -> None:
    after = {"provider": sociallogin.account.provider} if sociallogin else {}
    _write("user.signed_in", request, user, after=after)


def _password_changed(request: HttpRequest, user: User, **_: Any) -> None:
    _write("user.password_changed", request, user)


def _password_set(request: HttpRequest, user: User, **_: Any) -> None:
    _write("user.password_set", request, user)


def _password_reset(request: HttpRequest, user: User, **_: Any) -> None:
    _write("user.password_reset", request, user)


def _email_added(request: HttpRequest, user: User, email_address: Any, **_: Any) -> None:
    _write("user.email_added", request, user, after={"email": email_address.email})


def _email_removed(request: HttpRequest, user: User, email_address: Any, **_: Any) -> None:
    _write("user.email_removed", request, user, before={"email": email_address.email})


def _email_changed(request: HttpRequest, user: User, from_email_address: Any, to_email_address: Any, **_: Any) -> None:
    before = {"email": from_email_address.email} if from_email_address else {}
    _write("user.email_changed", request, user, before=before, after={"email": to_email_address.email})


def _factor_added(request: HttpRequest, user: User, authenticator: Any, **_: Any) -> None:
    _write("user.factor_added", request, user, after={"factor": authenticator.type})


def _factor_removed(request: HttpRequest, user: User, authenticator: Any, **_: Any) -> None:
    _write("user.factor_removed", request, user, before={"factor": authenticator.type})


def _factor_reset(request: HttpRequest, user: User, authenticator: Any, **_: Any) -> None:
    _write("user.factor_renewed", request, user, after={"factor": authenticator.type})


def _factor_failed(request: HttpRequest, user: User, **_: Any) -> None:
    """The password was right and the second factor was not; the rate of sign-ins bounds how often."""
    _write("user.factor_failed", request, user, proven=False)


def _identity_added(request: HttpRequest, sociallogin: Any, **_: Any) -> None:
    _write("user.identity_added", request, sociallogin.user, after={"provider": sociallogin.account.provider})


def _identity_removed(request: HttpRequest, socialaccount: Any, **_: Any) -> None:
    _write("user.identity_removed", request, socialaccount.user, before={"provider": socialaccount.provider})


class SessionsAdapter(DefaultUserSessionsAdapter):
    """Ends sessions, and says so."""

    def end_sessions(self, sessions: Sequence[UserSession]) -> None:
        """End them, with one event for all."""
        from allauth.core import context  # the request is not handed in; allauth keeps it there

        super().end_sessions(sessions)
        if sessions:
            _write("user.sessions_ended", context.request, sessions[0].user, after={"count": len(sessions)})
