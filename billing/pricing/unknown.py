"""The dearest of the known cards: what an unknown model costs while nobody has looked its price up.

The stand-in is a card like any other, so quotes, holds and receipts need no special case. For each bucket it asks
the most that any known card asks, in every context tier, at that card's dearest hour, and for every service tier the
highest multiplier; it may overstate a cost and never understates it.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from fractions import Fraction

from billing.money import NANO_PER_USD
from billing.pricing.cards import Card, ContextTier, Rate, RateList, find
from billing.pricing.usage import Bucket


def dearest_card(cards: Sequence[Card], *, model: str) -> Card:
    """Make one card that is nowhere cheaper than any of those given."""
    thresholds = sorted({tier.above_tokens for card in cards for tier in card.context_tiers})
    tiers = tuple(ContextTier(above, _dearest_rates(cards, above + 1)) for above in thresholds)
    names = sorted({name for card in cards for name, _ in card.service_tiers})
    return Card(
        provider="dearest-known",
        model=model,
        version=f"dearest of {len(cards)}",
        rates=_dearest_rates(cards, 0),
        context_tiers=tiers,
        service_tiers=tuple((name, _dearest_multiplier(cards, name)) for name in names),
        free=all(card.free for card in cards),
    )


def _dearest_rates(cards: Sequence[Card], input_tokens: int) -> RateList:
    tables = [_at_dearest_hour(card, input_tokens) for card in cards]
    buckets = sorted({bucket for table in tables for bucket in table})
    return tuple(Rate(bucket, max(_found(tables, bucket)) * Fraction(1, NANO_PER_USD), 1) for bucket in buckets)


def _found(tables: Sequence[Mapping[Bucket, Fraction]], bucket: Bucket) -> list[Fraction]:
    return [price for table in tables if (price := find(table, bucket)) is not None]


def _at_dearest_hour(card: Card, input_tokens: int) -> Mapping[Bucket, Fraction]:
    tier = bisect_left([tier.above_tokens for tier in card.context_tiers], input_tokens)
    return {bucket: price * card.dearest_hour for bucket, price in card.nano_tables()[tier].items()}


def _dearest_multiplier(cards: Sequence[Card], name: str) -> Fraction:
    return max(multiplier for card in cards for tier, multiplier in card.service_tiers if tier == name)
