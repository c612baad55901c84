"""How the OpenAPI schema tells of things the framework cannot see: the two ways to sign in, and every error."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiResponse

from accounts.api.serializers import Error

ERRORS = {
    400: "Something in the request is wrong; with code `invalid`, `fields` says what.",
    401: "No credential, or one that is not accepted here.",
    403: "The credential is fine; this is beyond it.",
    404: "There is nothing at this address for you.",
    409: "The request is fine; the state of things forbids it.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    429: "Too many requests; wait as `Retry-After` says.",
    503: "Not configured on this installation.",
}
ALWAYS = (400, 401, 403, 429)
WITH_BODY = (413, 415)


def answers(good: dict[int, Any], *errors: int) -> dict[int, Any]:
    """The responses of an operation: the good ones, those every operation may give, and its own errors."""
    return good | {status: OpenApiResponse(Error, ERRORS[status]) for status in sorted({*ALWAYS, *errors})}


class ManagementKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # it registers itself
    """A key in the Authorization header."""

    target_class = "accounts.authentication.KeyAuthentication"
    name = "key"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """As a bearer token; X-API-Key is read as well."""
        return {"type": "http", "scheme": "bearer", "description": "A management key. `X-API-Key` is read as well."}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # the same
    """A signed-in person."""

    target_class = "accounts.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """The session cookie; writes need the CSRF token."""
        from django.conf import settings

        return {
            "type": "apiKey",
            "in": "cookie",
            "name": settings.SESSION_COOKIE_NAME,
            "description": "The session of a signed-in person; writes also need the X-CSRFToken header.",
        }
