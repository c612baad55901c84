"""The body of a cost card, put together from prices by bucket."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from billing.money import exact_text
from billing.pricing.usage import Bucket

Prices = Mapping[Bucket, Decimal]
PER_THOUSAND, PER_HOUR = 1000, 3600
PER = {"token": 1_000_000, "character": 1_000_000, "second": PER_HOUR, "search": PER_THOUSAND, "request": PER_THOUSAND}
CACHES = ("none", "read", "write_5m", "write_1h")
TEXT_IN, TEXT_OUT = Bucket("input"), Bucket("output")


class CannotTell(ValueError):
    """The list holds no price that a cost card could say."""


@dataclass(frozen=True, slots=True)
class Modalities:
    """What a model reads and writes besides text: each needs a price, or its use could not be charged."""

    read: Sequence[str] = ()
    written: Sequence[str] = ()


def card_body(
    *,
    provider: str,
    model: str,
    base: Prices,
    tiers: Mapping[int, Prices] | None = None,
    service_tiers: Mapping[str, Decimal] | None = None,
    peak: Sequence[Mapping[str, str]] = (),
    modalities: Modalities = Modalities(),
    free: bool = False,
) -> dict[str, Any]:
    """Write a card; what the model reads or writes beside text is priced as text where the list says nothing."""
    if not base and not free:
        message = f"The price list says nothing about {model} that could be charged by."
        raise CannotTell(message)
    whole = _filled(base, modalities)
    return {
        "provider": provider,
        "model": model,
        "rates": _rates(whole),
        "context_tiers": [
            {"above_tokens": above, "rates": _rates(_filled(prices, modalities))}
            for above, prices in sorted((tiers or {}).items())
        ],
        "service_tiers": {name: exact(multiplier) for name, multiplier in sorted((service_tiers or {}).items())},
        "peak": list(peak),
        "free": free or not any(base.values()),
    }


def _filled(prices: Prices, modalities: Modalities) -> dict[Bucket, Decimal]:
    filled = dict(prices)
    for modality in modalities.read:
        for cache in CACHES:
            text = TEXT_IN._replace(cache=cache)
            own = Bucket("input", modality, cache)
            dearer = prices.get(Bucket("input", modality))
            if text in prices and own not in prices and (cache == "none" or dearer is None):
                filled[own] = prices[text]
    for modality in modalities.written:
        if TEXT_OUT in prices:
            filled.setdefault(Bucket("output", modality), prices[TEXT_OUT])
    return filled


def _rates(prices: Prices) -> list[dict[str, Any]]:
    return [
        {**bucket._asdict(), "price": exact(price), "per": PER.get(bucket.unit, 1)}
        for bucket, price in sorted(prices.items())
    ]


def exact(amount: Decimal) -> str:
    """An amount as cards write it."""
    return exact_text(Fraction(amount))
