"""Who sends this API request: a key in a header, or a person's session with its CSRF token.

Promise: a key in the URL is refused, whatever else is right; every refusal is one sentence and takes the same path.
"""

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.utils import timezone
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from accounts import access, keys
from accounts.models import ApiKey, User
from accounts.requests import TenantRequest

KEY_PARAMETERS = frozenset({"key", "api_key", "apikey", "access_token", "token"})


class KeyInUrl(exceptions.APIException):
    """Keys in URLs end up in logs and histories."""

    status_code = 400
    default_code = "key_in_url"
    default_detail = (
        "Send the key in the Authorization header; in a URL it ends up in logs. Consider this one leaked and rotate it."
    )


class Blocked(exceptions.PermissionDenied):
    """The organization may not act."""

    default_code = "organization_suspended"


def secret_of(headers: Any) -> str | None:
    """The key a request carries: ``Authorization: Bearer``, ``X-API-Key`` or ``x-goog-api-key``."""
    scheme, _, bearer = headers.get("Authorization", "").partition(" ")
    if bearer and scheme.lower() == "bearer":
        return str(bearer).strip()
    return headers.get("X-API-Key") or headers.get("X-Goog-Api-Key") or None


class KeyAuthentication(authentication.BaseAuthentication):
    """A key of any kind; the views decide which kinds they answer."""

    def authenticate(self, request: Request) -> tuple[User | AnonymousUser, ApiKey] | None:
        """Find the key's row, or refuse."""
        if KEY_PARAMETERS & {name.lower() for name in request.query_params}:
            raise KeyInUrl
        asked: TenantRequest = request._request  # type: ignore[assignment]  # the middlewares ran
        secret = secret_of(request.headers)
        if secret is None:
            return None
        now = timezone.now()
        try:
            key = access.key_for(
                secret,
                storefront=asked.storefront,
                on_platform_host=asked.on_platform_host,
                ip_address=asked.client_ip,
                now=now,
            )
        except access.KeyNotAccepted as error:
            raise exceptions.AuthenticationFailed(str(error)) from error
        except access.OrganizationBlocked as error:
            raise Blocked(str(error)) from error
        asked.api_key = key  # the trail reads it there
        keys.note_use(key, ip_address=asked.client_ip, now=now)
        return key.created_by, key

    def authenticate_header(self, request: Request) -> str:
        """What a client without a key is told to send."""
        return 'Bearer realm="api"'


class SessionAuthentication(authentication.SessionAuthentication):
    """A signed-in person; writes need the CSRF token."""
