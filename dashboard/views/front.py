"""What anybody sees of a storefront: its front page, its terms, its colours and marks."""

import hashlib

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_safe

from accounts import access, signup
from accounts.requests import TenantRequest
from dashboard import brand, terms

BRAND_AGE_S = 3600
PNG_START = b"\x89PNG\r\n\x1a\n"


@require_safe
def landing(request: TenantRequest) -> HttpResponse:
    """The shop's front page; remembers which campaign brought a new visitor."""
    signup.note_arrival(request)
    return render(request, "front/landing.html", {"base_url": access.canonical_base(request.storefront)})


@require_safe
def terms_page(request: TenantRequest) -> HttpResponse:
    """The shop's terms."""
    return render(request, "front/terms.html", {"terms": terms.page(request.storefront)})


@require_safe
def brand_css(request: TenantRequest) -> HttpResponse:
    """The shop's colours."""
    shop = request.storefront
    text = brand.stylesheet(light=shop.brand_color, dark=shop.brand_color_dark)
    return _kept(request, text.encode(), "text/css; charset=utf-8")


@require_safe
def favicon(request: TenantRequest) -> HttpResponse:
    """The mark in the shop's colour."""
    return _kept(request, brand.mark(request.storefront.brand_color).encode(), "image/svg+xml")


@require_safe
def logo(request: TenantRequest) -> HttpResponse:
    """The shop's own logo, if it has one and it is what it says."""
    image = bytes(request.storefront.logo_png or b"")
    if not image.startswith(PNG_START):
        raise Http404
    return _kept(request, image, "image/png")


def _kept(request: TenantRequest, body: bytes, content_type: str) -> HttpResponse:
    """An answer that browsers keep for an hour and ask about after."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
    fresh = request.headers.get("If-None-Match") == tag
    response = HttpResponse(b"" if fresh else body, status=304 if fresh else 200, content_type=content_type)
    response["ETag"] = tag
    response["X-Content-Type-Options"] = "nosniff"
    patch_cache_control(response, public=True, max_age=BRAND_AGE_S)
    return response
