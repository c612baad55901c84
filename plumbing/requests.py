"""What is true of every request, whichever door it came through: its id, where it came from, and how it went.

Promise: a request id is ours, or the client's when it is short and harmless; a client's address is believed from a
trusted proxy alone, counted from the right, so that nobody can name their own. Every request leaves one line in the
log (never its query, headers or body) and one count and one duration in the figures, by route name and not by path,
so that no stranger can invent figures.
"""

import ipaddress
import logging
import re
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from prometheus_client import Counter, Histogram

from plumbing import logs
from plumbing.identifiers import new_id

log = structlog.get_logger(__name__)
lines = logging.getLogger(__name__)

HARMLESS_ID = re.compile(r"[A-Za-z0-9._-]{8,64}\Z")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNKNOWN_ADDRESS = "0.0.0.0"  # noqa: S104 - a name for "unknown", not an address to bind
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

REQUESTS = Counter("tollgate_requests", "Requests answered.", ["route", "method", "status_class"])
SECONDS = Histogram(
    "tollgate_request_seconds",
    "Time from request to answer (for streams: to the first byte).",
    ["route", "status_class"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)


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
    return _written(address) if address else UNKNOWN_ADDRESS


def trusted_peer(peer: str, trusted: Sequence[Network]) -> bool:
    """Whether this connection comes from one of the installation's own proxies."""
    address = _address(peer)
    return address is not None and any(address in network for network in trusted)


@lru_cache(maxsize=4096)
def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.scope_id:  # the zone is free text of the sender's: it must not travel on
        return None
    return address.ipv4_mapped or address


@lru_cache(maxsize=4096)
def _written(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    return str(address)


def observe(*, method: str, path: str, route: str, status: int, seconds: float, **told: Any) -> None:
    """Write the access line and count the request; called once by each door."""
    method = method if method in METHODS else "OTHER"
    requests, durations = _figures(route, method, status // 100)
    requests.inc()
    durations.observe(seconds)
    if not lines.isEnabledFor(logging.INFO):  # structlog finds out too, but only after it has made the line
        return
    log.info("request", method=method, path=path, status=status, duration_ms=round(seconds * 1000, 1), **told)


@lru_cache(maxsize=2048)
def _figures(route: str, method: str, hundreds: int) -> tuple[Counter, Histogram]:
    """The two figures of one kind of request; finding them by label anew costs more than counting."""
    status_class = f"{hundreds}xx"
    return REQUESTS.labels(route, method, status_class), SECONDS.labels(route, status_class)


class RequestMiddleware:
    """Stamp each Django request with ``request_id`` and ``client_ip``, say the id in the answer, and keep the line."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started_at = time.perf_counter()
        stamped: Any = request
        told = request.META.get("HTTP_X_FORWARDED_PROTO")
        if told is not None and not trusted_peer(request.META.get("REMOTE_ADDR", ""), settings.TRUSTED_PROXIES):
            # Django would take anybody's word for it; the mailbox still has to see that somebody stands in between.
            request.META["HTTP_X_FORWARDED_UNBELIEVED"] = request.META.pop("HTTP_X_FORWARDED_PROTO")
        stamped.request_id = request_id(request.headers.get("X-Request-Id"))
        stamped.client_ip = client_address(
            peer=request.META.get("REMOTE_ADDR", ""),
            forwarded_for=request.headers.get("X-Forwarded-For", ""),
            trusted=settings.TRUSTED_PROXIES,
        )
        with logs.fresh(request_id=stamped.request_id):
            response = self.get_response(request)
            response["X-Request-Id"] = stamped.request_id
            match = request.resolver_match
            observe(
                method=request.method or "",
                path=request.path,
                route=(match.view_name or "unnamed") if match else "unmatched",
                status=response.status_code,
                seconds=time.perf_counter() - started_at,
                client_ip=stamped.client_ip,
            )
        return response
