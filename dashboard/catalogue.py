"""The catalogue as people read it: what a model can do, what it costs them, how fast it is and how often it answers.

Promise: what is shown is what is sold here, at the price of whoever looks (a visitor sees the shop's window prices),
worked out by the engine that charges; nothing of whom we buy from or at what cost. Live figures are of all of the
shop's calls of the last day and never say how many there were.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

from django.core.cache import cache

from accounts.models import Organization, Storefront
from analytics import reports
from analytics.reports import Scope
from billing import pricebook
from billing.models.plans import CostCardVersion, PlanVersion
from billing.pricing import Bucket, Card, Circumstances, Line, Modifiers, Plan, Rates, Unpriced, Usage, charge
from billing.pricing.cards import MILLION, find
from billing.pricing.rates import Table
from gateway import service
from gateway.catalog import Offer, Picture, Priced
from gateway.errors import ModelNotFound
from gateway.models import AIModel

INPUT, CACHED, OUTPUT = Bucket("input"), Bucket("input", cache="read"), Bucket("output")
CACHE_S = 60
LEAST_CALLS = 20  # before a rate is shown as one
PICKS = {"everyday": "For most users", "power": "For power users", "speed": "For speed"}
MOST_PICKS = 3
PER_MILLION = ("token", "character")
BUCKET_WORDS = {
    "text": "",
    "read": "from cache",
    "write_5m": "written to cache, 5 minutes",
    "write_1h": "written to cache, 1 hour",
}


@dataclass(frozen=True, slots=True)
class Pulse:
    """How a model did in the last day."""

    success: Fraction | None = None
    latency_ms: float | None = None
    first_byte_ms: float | None = None
    tokens_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Tier:
    """Prices of one context tier: (what, exact nano-USD, of how many of which unit)."""

    above_tokens: int
    lines: tuple[tuple[str, Fraction, str], ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """One model in the catalogue; prices are exact nano-USD a million tokens."""

    offer: Offer
    row: AIModel
    input: Fraction | None
    cached: Fraction | None
    output: Fraction | None
    tiers: tuple[Tier, ...]
    pulse: Pulse
    yours_nano: int | None = None  # what the described call would cost
    priced: Priced | None = field(default=None, compare=False, repr=False)

    @property
    def slug(self) -> str:
        """Its id."""
        return self.offer.slug

    @property
    def takes(self) -> list[str]:
        """What it reads."""
        return self.row.input_modalities or ["text"]

    @property
    def gives(self) -> list[str]:
        """What it answers with."""
        default = {"embedding": ["vectors"], "moderation": ["verdicts"], "rerank": ["ranks"]}
        return self.row.output_modalities or default.get(self.offer.purpose, ["text"])

    @property
    def abilities(self) -> list[str]:
        """What else it can."""
        return list(self.row.capabilities)

    @property
    def is_free(self) -> bool:
        """Whether it costs nothing."""
        return not self.input and not self.output


@dataclass(frozen=True, slots=True)
class Buyer:
    """Whose prices: the shop's window, or a customer's own."""

    storefront: Storefront
    plan: str
    modifiers: Modifiers

    @classmethod
    def of(cls, storefront: Storefront, organization: Organization | None = None, *, now: datetime) -> "Buyer":
        """Read the terms of this moment, the arm of an experiment among them."""
        if organization is None:
            return cls(storefront, *pricebook.public_terms(storefront))
        standing = pricebook.standing_of(organization)
        return cls(storefront, standing.plan, standing.at(now))


def listings(buyer: Buyer, *, now: datetime, slug: str | None = None) -> list[Listing]:
    """Everything that is sold here, or the one of that id, by name."""
    picture = service.picture()
    offers = picture.listed(storefront=buyer.storefront.pk, plan=buyer.plan)
    offers = [offer for offer in offers if slug is None or offer.slug == slug]
    rows = {row.slug: row for row in AIModel.objects.filter(slug__in=[offer.slug for offer in offers])}
    pulses = pulses_of(buyer.storefront, now=now) if offers else {}
    found = [_listing(picture, buyer, offer, rows, pulses) for offer in offers if offer.slug in rows]
    return sorted(found, key=lambda one: (one.offer.is_sandbox, one.offer.name.lower(), one.slug))


def _listing(
    picture: Picture, buyer: Buyer, offer: Offer, rows: Mapping[str, AIModel], pulses: Mapping[str, Pulse]
) -> Listing:
    offer = picture.offer(offer.slug, storefront=buyer.storefront.pk, plan=buyer.plan)  # by the routes with a price
    priced = picture.price(offer, offer.servings[0], storefront=buyer.storefront.pk, plan=buyer.plan)
    table, product = priced.rates.tariffs[0].price, priced.rates.product_of(buyer.modifiers)
    return Listing(
        offer=offer,
        row=rows[offer.slug],
        input=_per_million(table, INPUT, product),
        cached=_per_million(table, CACHED, product),
        output=_per_million(table, OUTPUT, product),
        tiers=tiers(priced.rates, buyer.modifiers),
        pulse=pulses.get(offer.served_as or offer.slug, Pulse()),
        priced=priced,
    )


def _per_million(table: Table, bucket: Bucket, product: Fraction) -> Fraction | None:
    numerator = find(table.numerators, bucket)
    return None if numerator is None else Fraction(numerator * MILLION, table.denominator) * product


def tiers(rates: Rates, modifiers: Modifiers) -> tuple[Tier, ...]:
    """Every price of a model by context tier."""
    found, product = [], rates.product_of(modifiers)
    for above, tariff in zip((0, *rates.thresholds), rates.tariffs, strict=True):
        lines = []
        for bucket, numerator in sorted(tariff.price.numerators.items()):
            many = MILLION if bucket.unit in PER_MILLION else 1
            nano = Fraction(numerator * many, tariff.price.denominator) * product
            unit = f"1M {bucket.unit}s" if many == MILLION else bucket.unit
            lines.append((words(bucket), nano, unit))
        found.append(Tier(above, tuple(lines)))
    return tuple(found)


def words(bucket: Bucket) -> str:
    """A kind of usage in words."""
    about = [bucket.direction.capitalize()]
    if bucket.modality not in ("text", bucket.unit):
        about.append(bucket.modality)
    if bucket.cache in BUCKET_WORDS:
        about.append(BUCKET_WORDS[bucket.cache])
    return ", ".join(about) if len(about) > 1 else about[0]


# --- Finding one ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Need:
    """What a call needs, and how long it is."""

    text: str = ""
    takes: str = ""
    ability: str = ""
    purpose: str = ""
    least_context: int = 0
    input_tokens: int = 2_000
    output_tokens: int = 500
    sort: str = "name"


SORTS = {
    "name": "Name",
    "cheapest": "Cheapest for your call",
    "fastest": "Fastest",
    "context": "Longest context",
    "newest": "Newest",
}


def find_for(need: Need, found: Sequence[Listing], modifiers: Modifiers, *, now: datetime) -> list[Listing]:
    """Those that can do it, each with what the call would cost there, sorted as asked."""
    fitting = [_priced_for(need, one, modifiers, now) for one in found if _fits(need, one)]
    match need.sort:
        case "cheapest":
            fitting.sort(key=lambda one: (one.yours_nano is None, one.yours_nano or 0))
        case "fastest":
            fitting.sort(key=lambda one: -(one.pulse.tokens_per_second or 0))
        case "context":
            fitting.sort(key=lambda one: -one.offer.context_tokens)
        case "newest":
            fitting.sort(key=lambda one: one.row.released_on or date(1970, 1, 1), reverse=True)
    return fitting


def _fits(need: Need, one: Listing) -> bool:
    text = f"{one.slug} {one.offer.name} {one.offer.vendor} {one.row.description}".lower()
    return (
        all(word in text for word in need.text.lower().split())
        and (not need.takes or need.takes in one.takes)
        and (not need.ability or need.ability in one.abilities)
        and (not need.purpose or need.purpose == one.offer.purpose)
        and one.offer.context_tokens >= max(need.least_context, need.input_tokens + need.output_tokens)
    )


def _priced_for(need: Need, one: Listing, modifiers: Modifiers, now: datetime) -> Listing:
    output = need.output_tokens if one.offer.purpose == "chat" else 0
    usage = Usage((Line(INPUT, need.input_tokens), *((Line(OUTPUT, output),) if output else ())))
    assert one.priced is not None
    try:
        made = charge(usage=usage, rates=one.priced.rates, circumstances=Circumstances(at=now, modifiers=modifiers))
    except Unpriced:
        return one
    return Listing(
        one.offer, one.row, one.input, one.cached, one.output, one.tiers, one.pulse, made.charge_nano, one.priced
    )


def picks(found: Sequence[Listing]) -> list[tuple[str, list[Listing], bool]]:
    """Recommendations: the operator's, where models are marked with one; else by price, context and live speed."""
    chats = [one for one in found if one.offer.purpose == "chat"]
    marked = [
        (title, [one for one in chats if mark in one.row.recommended_for][:MOST_PICKS]) for mark, title in PICKS.items()
    ]
    if any(models for _, models in marked):
        return [(title, models, True) for title, models in marked if models]
    if len(chats) < MOST_PICKS:
        return []
    fast = [one for one in chats if one.pulse.tokens_per_second]
    computed = (
        (PICKS["everyday"], sorted(chats, key=_cost)[:MOST_PICKS]),
        (PICKS["power"], sorted(chats, key=lambda one: (-one.offer.context_tokens, -_cost(one)))[:MOST_PICKS]),
        (PICKS["speed"], sorted(fast, key=lambda one: -(one.pulse.tokens_per_second or 0))[:MOST_PICKS]),
    )
    return [(title, models, False) for title, models in computed if models]


def _cost(one: Listing) -> Fraction:
    """What calls cost by their usual shape: four tokens in for one out."""
    return (one.input or Fraction(0)) * 4 + (one.output or Fraction(0))


# --- Live figures -----------------------------------------------------------------------------------------------------


def pulses_of(storefront: Storefront, *, now: datetime) -> dict[str, Pulse]:
    """How each model did today and yesterday (UTC); a minute old at most."""
    found: Any = cache.get_or_set(f"pulses:{storefront.pk}", lambda: _pulses(storefront, now), CACHE_S)
    return dict(found)


def _pulses(storefront: Storefront, now: datetime) -> dict[str, Pulse]:
    scope = Scope(now.date() - timedelta(days=1), now.date(), storefront=storefront)
    timings = reports.percentiles(scope, shares=(0.5,), by_model=True)
    return {
        model: Pulse(
            success=1 - Fraction(figures.errors, figures.requests) if figures.requests >= LEAST_CALLS else None,
            **{name: timings.get(model, {}).get(name, {}).get(0.5) for name in reports.TIMINGS},
        )
        for (model,), figures in reports.by(scope, "model").items()
    }


# --- Prices over time -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """From when on what was asked a million tokens."""

    since: datetime
    input: Fraction | None
    cached: Fraction | None
    output: Fraction | None


def history(buyer: Buyer, offer: Offer, *, now: datetime) -> list[Change]:
    """Every price the model has had or is about to have, newest first; versions that changed nothing are left out."""
    serving = offer.servings[0]
    plans: list[Any] = list(
        PlanVersion.objects.filter(storefront=buyer.storefront, name=buyer.plan).order_by("version")
    )
    cards: list[Any] = list(
        CostCardVersion.objects.filter(provider=serving.provider, model=serving.upstream_model).order_by("version")
    )
    changes: list[Change] = []
    for moment in sorted({row.effective_from for row in (*plans, *cards)}):
        rates = _rates_at(plans, cards, offer, moment)
        if rates is None:
            continue
        table, product = rates.tariffs[0].price, rates.product_of(buyer.modifiers)
        prices = tuple(_per_million(table, bucket, product) for bucket in (INPUT, CACHED, OUTPUT))
        if not changes or prices != (changes[-1].input, changes[-1].cached, changes[-1].output):
            changes.append(Change(moment, *prices))
    return changes[::-1]


def _rates_at(plans: Sequence[Any], cards: Sequence[Any], offer: Offer, moment: datetime) -> Rates | None:
    plan = next((row for row in reversed(plans) if row.effective_from <= moment), None)
    card = next((row for row in reversed(cards) if row.effective_from <= moment), None)
    if plan is None:
        return None
    try:
        return Rates.of(
            plan=Plan.from_json(plan.body),
            card=Card.from_json(card.body) if card else None,
            model=offer.served_as or offer.slug,
        )
    except (Unpriced, ModelNotFound):
        return None
