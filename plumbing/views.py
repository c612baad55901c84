"""The mailbox page: letters of an installation without a mail server, for whoever sits at that machine.

Promise: it exists outside production only, for a peer on this machine that asked for this machine by name and did not
come through a proxy; for everybody else there is nothing at this address.
"""

import ipaddress
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from plumbing import mailbox

HOSTS_HERE = frozenset({"localhost", "127.0.0.1", "[::1]"})
# No script, no form, no request to anywhere; only the letter's own styles and embedded pictures.
LETTER_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"

View = Callable[..., HttpResponse]


def _here_only(view: View) -> View:
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if settings.PRODUCTION or not _is_here(request):
            raise Http404
        return view(request, *args, **kwargs)

    return never_cache(require_safe(guarded))


def _is_here(request: HttpRequest) -> bool:
    try:
        peer = ipaddress.ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return False
    if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped:
        peer = peer.ipv4_mapped
    host = request.META.get("HTTP_HOST", "").lower()
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    forwarded = any(
        header.startswith("HTTP_X_FORWARDED") or header in {"HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA"}
        for header in request.META
    )
    return peer.is_loopback and name in HOSTS_HERE and not forwarded


@_here_only
def letters(request: HttpRequest) -> HttpResponse:
    """All letters, newest first."""
    return render(request, "plumbing/mailbox.html", {"letters": mailbox.letters(), "kept": mailbox.KEPT})


@_here_only
def letter(request: HttpRequest, name: str) -> HttpResponse:
    """One letter: its text, and its HTML in a sealed frame."""
    return render(request, "plumbing/letter.html", {"letter": _kept(name)})


@_here_only
def letter_html(request: HttpRequest, name: str) -> HttpResponse:
    """The letter's HTML for that frame, under a policy in which nothing runs and nothing loads."""
    response = HttpResponse(_kept(name).html)
    response["Content-Security-Policy"] = LETTER_POLICY
    response["X-Frame-Options"] = "SAMEORIGIN"
    return response


def _kept(name: str) -> mailbox.Kept:
    try:
        return mailbox.letter(name)
    except mailbox.NoSuchLetter as error:
        raise Http404 from error
