"""How often one sender may ask: per address before anything else is looked at, then per key or person, then per tenant.

Promise: the client's address is the one the trusted proxies vouch for, an IPv6 sender counts as a /64, and a refusal
says in Retry-After how long to wait. Rates are read from the settings at each request.
"""

import ipaddress
import math

from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from accounts.models import ApiKey


class _Throttle(SimpleRateThrottle):
    def get_rate(self) -> str | None:
        """The rate of this scope, as the settings have it now."""
        rate = api_settings.DEFAULT_THROTTLE_RATES[str(self.scope)]
        return None if rate is None else str(rate)

    def wait(self) -> float | None:
        """Whole seconds, never nought: a client that waits as told gets through."""
        seconds = super().wait()
        return None if seconds is None else max(1, math.ceil(seconds))

    def ident(self, request: Request) -> str | None:
        """Who is counted."""
        raise NotImplementedError

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        """One counter per scope and sender."""
        ident = self.ident(request)
        return None if ident is None else self.cache_format % {"scope": self.scope, "ident": ident}


class AddressThrottle(_Throttle):
    """Per client address, before authentication, so that guessing is slow as well."""

    scope = "address"

    def ident(self, request: Request) -> str:
        """The address, or its /64."""
        address = ipaddress.ip_address(request._request.client_ip)  # type: ignore[attr-defined]
        if address.version == 6:
            return str(ipaddress.ip_network((address, 64), strict=False).network_address)
        return str(address)


class SenderThrottle(_Throttle):
    """Per key, or per signed-in person."""

    scope = "management"

    def ident(self, request: Request) -> str | None:
        """The key's or the person's public id."""
        sender = request.auth if isinstance(request.auth, ApiKey) else request.user
        return getattr(sender, "public_id", None)


class TenantThrottle(_Throttle):
    """Per organization over all its keys, so that more keys do not mean more requests."""

    scope = "tenant"

    def ident(self, request: Request) -> str | None:
        """The key's organization."""
        return str(request.auth.organization_id) if isinstance(request.auth, ApiKey) else None
