"""What price versions say about tokens, as rows that SQL can join: what a cached one saves, how often one counts.

Versions never change, so each is computed once, by the pricing engine, for every pair of versions that calls were made
under. A saving is the list price (before a customer's own multipliers) of a million uncached input tokens less that of
a million cached ones; a ratio exists where a plan counts dear tokens several times. Both are of the first context tier.
"""

from fractions import Fraction

from django.db import connection

from analytics.models import CacheSaving, TokenRatio
from billing.models.plans import CostCardVersion, PlanVersion
from billing.pricing import Bucket, Card, Line, Plan, Rates, Unpriced, Usage, charge
from billing.pricing.cards import find
from billing.pricing.usage import ALL_BUCKETS

MILLION = 1_000_000
UNPRICED_YET = """
SELECT DISTINCT c.plan_version_id, coalesce(c.card_version_id, 0), c.model_served
FROM gateway_call c
LEFT JOIN analytics_cachesaving v ON v.plan_version_id = c.plan_version_id
    AND v.card_version_id = coalesce(c.card_version_id, 0) AND v.model = c.model_served
WHERE c.id >= %s AND c.id < %s AND v.id IS NULL
"""


def price_new(*, low: int, high: int) -> None:
    """Price the pairs that calls with these ids name and nobody has priced yet."""
    with connection.cursor() as cursor:
        cursor.execute(UNPRICED_YET, [low, high])
        found = cursor.fetchall()
    for plan, card, model in found:
        ratios = [
            TokenRatio(
                plan_version_id=plan,
                card_version_id=card,
                model=model,
                bucket=".".join(bucket),
                numerator=ratio.numerator,
                denominator=ratio.denominator,
            )
            for bucket, ratio in token_ratios(plan, card, model).items()
        ]
        TokenRatio.objects.bulk_create(ratios, ignore_conflicts=True)
    made = [
        CacheSaving(plan_version_id=plan, card_version_id=card, model=model, nano_per_million=saving(plan, card, model))
        for plan, card, model in found
    ]
    CacheSaving.objects.bulk_create(made, ignore_conflicts=True)


def token_ratios(plan_version: int, card_version: int, model: str) -> dict[Bucket, Fraction]:
    """How often a token of each bucket counts; empty under a plan that does not adjust tokens."""
    rates = _rates(plan_version, card_version, model)
    table = rates.tariffs[0].ratios if rates else None
    if table is None:
        return {}
    found = {bucket: find(table.numerators, bucket) for bucket in ALL_BUCKETS if bucket.unit == "token"}
    return {bucket: Fraction(number, table.denominator) for bucket, number in found.items() if number is not None}


def saving(plan_version: int, card_version: int, model: str) -> int:
    """What a million cached tokens of this model save, never below zero; 0 where there is no price to compare."""
    rates = _rates(plan_version, card_version, model)
    try:
        fresh, cached = (_price(rates, cache) for cache in ("none", "read")) if rates else (0, 0)
    except Unpriced:
        return 0
    return max(0, fresh - cached)


def _rates(plan_version: int, card_version: int, model: str) -> Rates | None:
    plan = PlanVersion.objects.filter(pk=plan_version).first()
    card = CostCardVersion.objects.filter(pk=card_version).first()
    if plan is None:
        return None
    try:
        return Rates.of(plan=Plan.from_json(plan.body), card=Card.from_json(card.body) if card else None, model=model)
    except Unpriced:
        return None


def _price(rates: Rates, cache: str) -> int:
    usage = Usage((Line(Bucket("input", cache=cache), MILLION),))
    tier = rates.tariffs[0]
    numerator = tier.price.total(usage.lines)
    if tier.ratios is not None:  # tokens are counted several times instead of being dearer
        return charge(usage=usage, rates=rates).charge_nano
    return numerator // tier.price.denominator
