"""The list of models, as OpenAI, Anthropic and Google write it.

Promise: whoever asks sees what their key may call here and what has a price, with our price for them and nothing of
what it costs us. Values in, values out.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from billing.money import NANO_PER_USD, exact_text
from billing.pricing import Bucket, Modifiers
from billing.pricing.cards import find
from gateway.catalog import Offer, Priced
from gateway.errors import ModelNotFound

Json = dict[str, Any]

SHOWN: Mapping[str, tuple[Bucket, int]] = {
    "input_per_million_usd": (Bucket("input"), 1_000_000),
    "cached_input_per_million_usd": (Bucket("input", cache="read"), 1_000_000),
    "output_per_million_usd": (Bucket("output"), 1_000_000),
    "search_usd": (Bucket("input", "search", "none", "search"), 1),
}
METHODS = {"chat": ["generateContent", "countTokens"], "embedding": ["embedContent", "batchEmbedContents"]}
LONGEST_PAGE = 1000


def pricing(priced: Priced, modifiers: Modifiers) -> Json:
    """What this caller pays, as exact decimals; what cannot happen with a model is not named."""
    table, product = priced.rates.tariffs[0].price, priced.rates.product_of(modifiers)
    prices: Json = {}
    for name, (bucket, quantity) in SHOWN.items():
        numerator = find(table.numerators, bucket)
        if numerator is not None:
            nano = Fraction(numerator * quantity, table.denominator) * product
            prices[name] = exact_text(nano / NANO_PER_USD)
    return prices


def openai_model(offer: Offer, prices: Json) -> Json:
    """One model as OpenAI writes it, with what its clients do not know beside it."""
    return {
        "id": offer.slug,
        "object": "model",
        "created": offer.created,
        "owned_by": offer.vendor or "system",
        "name": offer.name,
        "purpose": offer.purpose,
        "context_length": offer.context_tokens,
        "max_output_tokens": offer.max_output_tokens,
        "pricing": prices,
    }


def openai_list(models: Sequence[tuple[Offer, Json]]) -> Json:
    """``GET /v1/models``."""
    return {"object": "list", "data": [openai_model(offer, prices) for offer, prices in models]}


def anthropic_model(offer: Offer) -> Json:
    """One model as Anthropic writes it."""
    created = datetime.fromtimestamp(offer.created, UTC)
    return {
        "type": "model",
        "id": offer.slug,
        "display_name": offer.name,
        "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def anthropic_list(offers: Sequence[Offer], query: Mapping[str, str]) -> Json:
    """One page of the list as Anthropic writes it; its clients turn pages by ``after_id`` and ``before_id``."""
    talking = [offer for offer in offers if offer.purpose == "chat"]
    names = [offer.slug for offer in talking]
    first = names.index(query["after_id"]) + 1 if query.get("after_id") in names else 0
    last = names.index(query["before_id"]) if query.get("before_id") in names else len(names)
    limit = int(query["limit"][:6]) if query.get("limit", "").isdecimal() else LONGEST_PAGE
    page = talking[first:last][: max(1, min(limit, LONGEST_PAGE))]
    return {
        "data": [anthropic_model(offer) for offer in page],
        "has_more": first + len(page) < last,
        "first_id": page[0].slug if page else None,
        "last_id": page[-1].slug if page else None,
    }


def gemini_model(offer: Offer) -> Json:
    """One model as Google writes it."""
    return {
        "name": f"models/{offer.slug}",
        "version": "1",
        "displayName": offer.name,
        "inputTokenLimit": offer.context_tokens,
        "outputTokenLimit": offer.max_output_tokens,
        "supportedGenerationMethods": METHODS.get(offer.purpose, []),
    }


def gemini_list(offers: Sequence[Offer]) -> Json:
    """The list as Google writes it: what can be asked in its words."""
    return {"models": [gemini_model(offer) for offer in offers if offer.purpose in METHODS]}


def simple_list(models: Sequence[tuple[Offer, Json]]) -> Json:
    """``GET /models/simple``, for everybody."""
    return {
        "status": "success",
        "count": len(models),
        "models": [
            {
                "id": offer.slug,
                "name": offer.name,
                "provider": offer.vendor,
                "context_length": offer.context_tokens,
                "pricing": prices,
            }
            for offer, prices in models
        ],
    }


def named(offers: Sequence[Offer], slug: str) -> Offer:
    """The model of exactly this name among those listed."""
    found = next((offer for offer in offers if offer.slug == slug), None)
    if found is None:
        message = f"There is no model {slug[:120]!r} here; GET /v1/models lists those you may call."
        raise ModelNotFound(message, param="model")
    return found
