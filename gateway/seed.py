"""What a shop sells on its first day: the sandbox's models, at the prices of the reference model, under one plan.

Promise: safe to run at every start; what is there is left alone, but for the sandbox's address, which follows the port.
"""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from accounts import trail
from accounts.models import Storefront
from billing import pricebook
from billing.models.plans import CostCardVersion, PlanVersion
from gateway.models import AIModel, Credential, Provider, Route
from gateway.models.catalogue import Purpose

SANDBOX = "sandbox"
INPUT_USD, CACHED_USD, OUTPUT_USD = "3.00", "0.30", "15.00"
MODELS = {
    "sandbox-standard": ("Sandbox Standard", 200_000, 64_000),
    "sandbox-mini": ("Sandbox Mini", 4_096, 1_024),
    "sandbox-reasoning": ("Sandbox Reasoning", 200_000, 64_000),
}
# What is no conversation: its purpose, context, and the rates of its card; moderation costs nothing, as at OpenAI.
OTHERS: dict[str, tuple[str, Purpose, int, dict[str, Any]]] = {
    "sandbox-embedding": (
        "Sandbox Embedding",
        Purpose.EMBEDDING,
        8_192,
        {"rates": [{"direction": "input", "price": "0.02"}]},
    ),
    "sandbox-rerank": (
        "Sandbox Rerank",
        Purpose.RERANK,
        32_000,
        {"rates": [{"direction": "input", "price": "0.05"}]},
    ),
    "sandbox-moderation": (
        "Sandbox Moderation",
        Purpose.MODERATION,
        32_000,
        {"rates": [{"direction": "input", "price": "0"}], "free": True},
    ),
}


@transaction.atomic
def stock(storefront: Storefront, *, sandbox_url: str, now: datetime) -> None:
    """Put the sandbox's models on the shelf, and a plan on the counter."""
    provider, _ = Provider.objects.update_or_create(
        slug=SANDBOX,
        defaults={"base_url": sandbox_url},
        create_defaults={
            "name": "Sandbox",
            "kind": SANDBOX,
            "base_url": sandbox_url,
            "is_sandbox": True,
            "may_be_private": True,
        },
    )
    if not provider.credentials.exists():
        Credential.objects.create(
            provider=provider, label="kept by this installation", secret=settings.SANDBOX_PROVIDER_KEY
        )
    for slug, (name, context, output) in MODELS.items():
        _model(provider, slug, name, context, output, now)
    for slug, (name, purpose, context, card) in OTHERS.items():
        _other(provider, slug, name, purpose, context, card, now)
    if not PlanVersion.objects.filter(storefront=storefront, name=pricebook.DEFAULT_PLAN).exists():
        pricebook.publish_plan(
            storefront=storefront,
            name=pricebook.DEFAULT_PLAN,
            body={"method": "cost_plus", "percent": settings.TOKEN_MARKUP_PERCENTAGE},
            effective_from=now,
            note="The first plan: cost and a markup.",
            source=trail.SYSTEM,
        )


def _model(provider: Provider, slug: str, name: str, context: int, output: int, now: datetime) -> None:
    model, made = AIModel.objects.get_or_create(
        slug=slug,
        defaults={
            "name": name,
            "vendor": "Sandbox",
            "is_sandbox": True,
            "context_tokens": context,
            "max_output_tokens": output,
            "default_output_tokens": min(4_096, output),
        },
    )
    if made:
        Route.objects.create(model=model, provider=provider, upstream_model=slug)
    rates = [
        {"direction": "input", "price": INPUT_USD},
        {"direction": "input", "cache": "read", "price": CACHED_USD},
        {"direction": "output", "price": OUTPUT_USD},
    ]
    _card(provider, slug, {"rates": rates}, now)


def _other(
    provider: Provider, slug: str, name: str, purpose: Purpose, context: int, card: dict[str, Any], now: datetime
) -> None:
    about = {"name": name, "vendor": "Sandbox", "is_sandbox": True, "purpose": purpose, "context_tokens": context}
    model, made = AIModel.objects.get_or_create(slug=slug, defaults=about)
    if made:
        Route.objects.create(model=model, provider=provider, upstream_model=slug)
    _card(provider, slug, card, now)


def _card(provider: Provider, slug: str, card: dict[str, Any], now: datetime) -> None:
    if not CostCardVersion.objects.filter(provider=provider.slug, model=slug).exists():
        pricebook.publish_card(
            body={"provider": provider.slug, "model": slug, **card},
            effective_from=now,
            note="What the sandbox's model costs.",
            source=trail.SYSTEM,
        )
