"""Prices that will change for one customer: from when, and what becomes dearer of what they use.

Promise: figures are those of the engine under this customer's own terms, before and after; a change is named by the
version that brings it, so it is told once. A new plan is told also when it began just now, a dearer cost of a model
only ahead, and only to those who use the model. Nothing here shows a cost.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from django.db.models import QuerySet
from django.utils import dateformat

from accounts.models import Organization
from analytics.models import CustomerDay
from billing import pricebook
from billing.models.plans import CostCardVersion, PlanVersion
from billing.pricing import Card, Modifiers, Plan, Rates, Unpriced, price_list
from gateway import service
from gateway.catalog import Offer

AHEAD = timedelta(days=30)
LATELY = timedelta(days=3)  # what begins at once is told at once
USED = timedelta(days=30)
MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Coming:
    """One change: the name of its occasion, its moment, and the models that become dearer, by how much at most."""

    occasion: str
    begins_at: datetime
    dearer: tuple[tuple[str, Fraction], ...]

    def sentence(self, *, now: datetime) -> str:
        """What the customer reads."""
        day = dateformat.format(self.begins_at.astimezone(UTC), "j F Y, H:i")
        told = f"New prices begin on {day} UTC." if self.begins_at > now else f"New prices hold since {day} UTC."
        if not self.dearer:
            return told
        named = [f"{slug[:60]} by up to {_percent(change)} %" for slug, change in self.dearer[:MOST_NAMED]]
        rest = len(self.dearer) - len(named)
        more = f" and {rest} more" if rest > 0 else ""
        return f"{told} Of what you use, dearer become: {', '.join(named)}{more}."


def plans_coming(*, now: datetime) -> QuerySet[PlanVersion]:
    """Versions of plans that begin soon, or did just now, and were not a plan's first."""
    return PlanVersion.objects.filter(
        version__gt=1, effective_from__gt=now - LATELY, effective_from__lte=now + AHEAD
    ).select_related("storefront")


def cards_coming(*, now: datetime) -> QuerySet[CostCardVersion]:
    """Costs that change soon."""
    return CostCardVersion.objects.filter(version__gt=1, effective_from__gt=now, effective_from__lte=now + AHEAD)


def of(organization: Organization, *, now: datetime) -> Iterator[Coming]:
    """What is coming for this customer."""
    plans = list(plans_coming(now=now).filter(storefront_id=organization.storefront_id))
    cards = list(cards_coming(now=now))
    if not plans and not cards:
        return
    standing = pricebook.standing_of(organization)
    used = _used(organization, now)
    for version in plans:
        if version.name == standing.plan and organization.created_at < version.effective_from:
            dearer = _dearer(version, used, standing, now)
            yield Coming(f"plan:{version.pk}", version.effective_from, dearer)
    for card in cards:
        if dearer := _dearer_by(card, used, organization, standing):
            yield Coming(f"card:{card.pk}", card.effective_from, dearer)


def _used(organization: Organization, now: datetime) -> list[Offer]:
    """What this customer called lately and is still sold."""
    since = (now - USED).date()
    slugs = CustomerDay.objects.of(organization).filter(day__gte=since).order_by().values_list("model", flat=True)
    offers = service.picture().offers
    return [offers[slug] for slug in sorted(set(slugs.distinct())) if slug in offers]


def _dearer(
    version: PlanVersion, used: list[Offer], standing: pricebook.Standing, now: datetime
) -> tuple[tuple[str, Fraction], ...]:
    family = PlanVersion.objects.filter(storefront=version.storefront, name=version.name)
    before = Plan.from_json(family.get(version=version.version - 1).body)
    after = Plan.from_json(version.body)
    found = []
    for offer in used:
        serving, at = offer.servings[0], max(version.effective_from, now)
        row = pricebook.card_in_force(serving.provider, serving.upstream_model, at=at)
        card = Card.from_json(row.body) if row else None
        found.append((offer.slug, _change(offer, (before, card), (after, card), standing.at(at))))
    return _sorted(found)


def _dearer_by(
    version: CostCardVersion, used: list[Offer], organization: Organization, standing: pricebook.Standing
) -> tuple[tuple[str, Fraction], ...]:
    at, found = version.effective_from, []
    for offer in used:
        serving = offer.servings[0]
        if (serving.provider, serving.upstream_model) != (version.provider, version.model):
            continue
        family = CostCardVersion.objects.filter(provider=version.provider, model=version.model)
        before = Card.from_json(family.get(version=version.version - 1).body)
        try:
            plan = Plan.from_json(pricebook.plan_in_force(organization.storefront, standing.plan, at=at).body)
        except pricebook.NobodysPlan:
            return ()
        after = Card.from_json(version.body)
        found.append((offer.slug, _change(offer, (plan, before), (plan, after), standing.at(at))))
    return _sorted(found)


def _change(
    offer: Offer, old: tuple[Plan, Card | None], new: tuple[Plan, Card | None], modifiers: Modifiers
) -> Fraction:
    """The largest rise of any of a model's prices, as a part of what it was."""
    model = offer.served_as or offer.slug
    try:
        was, will = (
            {
                (listed.bucket, listed.above_tokens): listed.price_usd
                for listed in price_list(rates=Rates.of(plan=plan, card=card, model=model), modifiers=modifiers)
            }
            for plan, card in (old, new)
        )
    except Unpriced:
        return Fraction(0)
    pairs = [(was.get(name), price) for name, price in will.items()]
    return max((after / before - 1 for before, after in pairs if before and after), default=Fraction(0))


def _sorted(found: list[tuple[str, Fraction]]) -> tuple[tuple[str, Fraction], ...]:
    return tuple(sorted((one for one in found if one[1] > 0), key=lambda one: (-one[1], one[0])))


def _percent(change: Fraction) -> str:
    """Rounded up to a tenth: no customer is told less than it is."""
    tenths = -(-change.numerator * 1000 // change.denominator)
    return f"{tenths // 10}.{tenths % 10}" if tenths % 10 else str(tenths // 10)
