"""The guides: for everybody, in the shop's own name, address and key prefix."""

import re
from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts import access
from accounts.models import Storefront
from accounts.requests import TenantRequest
from dashboard import sold
from dashboard.guides import mending
from dashboard.guides.chapters import BY_SLUG, CHAPTERS
from dashboard.guides.recipes import Words
from gateway import fair_billing
from gateway.models.catalogue import Purpose


@require_safe
def guide(request: TenantRequest, slug: str = "quick-start") -> HttpResponse:
    """One chapter."""
    chapter = BY_SLUG.get(slug)
    if chapter is None:
        raise Http404
    place = CHAPTERS.index(chapter)
    words = words_of(request.storefront)
    context: dict[str, Any] = {
        "chapter": chapter,
        "chapters": CHAPTERS,
        "before": CHAPTERS[place - 1] if place else None,
        "after": CHAPTERS[place + 1] if place + 1 < len(CHAPTERS) else None,
        "words": words,
        "base_url": words.base_url,
    }
    if slug == "errors":
        context["errors"] = mending.table()
    if slug == "billing":
        context["rules"] = fair_billing.published()
    return render(request, chapter.template, context)


def words_of(shop: Storefront, key: str = "") -> Words:
    """What this shop fills the code in with."""
    return Words(
        base_url=access.canonical_base(shop),
        key=key or f"sk-{shop.key_prefix}-your-key",
        model=sold.model_to_try(shop),
        embedding_model=sold.model_to_try(shop, Purpose.EMBEDDING, otherwise="embedding-model"),
        short_name=re.sub(r"[^a-z0-9]+", "-", shop.slug).strip("-") or "shop",
    )
