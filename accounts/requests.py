"""The request as views of ours know it: Django's, with what the middlewares found out.

Only types live here: ``RequestMiddleware`` sets id and address, ``StorefrontMiddleware`` the shop, ``SeatMiddleware``
the seat and a running visit, ``KeyAuthentication`` the key.
"""

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest

from accounts.access import Seat
from accounts.models import ApiKey, Impersonation, Storefront, User


class TenantRequest(HttpRequest):
    """A request whose tenant is known."""

    request_id: str
    client_ip: str
    storefront: Storefront
    on_platform_host: bool
    user: User | AnonymousUser
    seat: Seat
    impersonation: Impersonation | None
    api_key: ApiKey
