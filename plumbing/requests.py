"""What is true of every request, whichever door it came through: its id, and where it came from.

Promise: a request id is ours, or the client's when it is short and harmless; a client's address is believed from a
trusted proxy alone, counted from the right, so that nobody can name their own.
"""

import ipaddress
import re
from collections.abc import Callable, Sequence

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from plumbing.identifiers import new_id

HARMLESS_ID = re.compile(r"[A-Za-z0-9._-]{8,64}\Z")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def request_id(offered: str | None) -> str:
    """Keep a well-formed id from the client, else make one."""
    return offered if offered and HARMLESS_ID.match(offered) else new_id("req")


def client_address(*, peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """Walk X-Forwarded-For from the right past trusted proxies; the first stranger is the client."""
    address = _address(peer)
    for hop in reversed(forwarded_for.split(",") if forwarded_for else []):
        if address is None or not any(address in network for network in trusted):
            break
        candidate = _address(hop.strip())
        if candidate is None:
            break
        address = candidate
    return str(address) if address else "0.0.0.0"  # noqa: S104 - a name for "unknown", not an address to bind


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


class RequestMiddleware:
    """Stamp each Django request with ``request_id`` and ``client_ip``, and say the id in the answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.request_id = request_id(request.headers.get("X-Request-Id"))  # type: ignore[attr-defined]
        request.client_ip = client_address(  # type: ignore[attr-defined]
            peer=request.META.get("REMOTE_ADDR", ""),
            forwarded_for=request.headers.get("X-Forwarded-For", ""),
            trusted=settings.TRUSTED_PROXIES,
        )
        response = self.get_response(request)
        response["X-Request-Id"] = request.request_id  # type: ignore[attr-defined]
        return response
