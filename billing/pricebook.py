"""The price book: publish versions of plans and cost cards, and say which are in force, for whom, at what moment.

Promise: a version that was published never changes, so a call can be priced years later by what was pinned at its
admission; a plan that would sell below cost, and a card that would make a model free by omission, are refused on save
with every reason at once; what has no price is ``Unpriced``, never free.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeVar

from django.db import IntegrityError, transaction
from django.db.models import F, Max, Q, QuerySet

from accounts import trail
from accounts.models import Organization, Storefront
from accounts.signals import access_changed
from billing import arms, wallets
from billing.models.plans import CostCardVersion, PlanVersion, PriceGroup, PriceTerms
from billing.money import exact_text
from billing.pricing import (
    Card,
    Difference,
    Modifiers,
    Plan,
    Problem,
    Rates,
    Unpriced,
    card_problems,
    differences,
    plan_problems,
)

DEFAULT_PLAN = "standard"

Version = TypeVar("Version", PlanVersion, CostCardVersion)


class Refused(ValueError):
    """What was to be published would lose money or price nothing; ``problems`` says where and why."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(" ".join(f"{problem.place}: {problem.sentence}" for problem in problems))
        self.problems = problems


class Overtaken(RuntimeError):
    """Somebody published the same version a moment earlier; look at theirs before publishing yours."""


class NobodysPlan(LookupError):
    """No plan of that name is in force; the storefront sells nothing until there is one."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """What a price was made of: the versions to write beside the call, and the rates made ready from them."""

    rates: Rates
    modifiers: Modifiers
    plan_version: PlanVersion
    card_version: CostCardVersion | None


@transaction.atomic
def publish_plan(
    *,
    storefront: Storefront,
    name: str,
    body: Mapping[str, Any],
    effective_from: datetime,
    note: str,
    source: trail.Source,
) -> PlanVersion:
    """Publish the next version of a plan; refused if it sells any model below cost without ``allow_loss``."""
    number = _next(PlanVersion.objects.filter(storefront=storefront, name=name))
    plan = Plan.from_json({**body, "name": name, "version": number})
    problems = tuple(
        problem
        for card in cards_in_force(at=effective_from)
        if not _not_sold(plan, card)
        for problem in plan_problems(plan=plan, card=card)
    )
    if problems:
        raise Refused(problems)
    row = PlanVersion(
        storefront=storefront, name=name, version=number, body=plan.to_json(), effective_from=effective_from, note=note
    )
    return _publish(row, "plan.published", source)


@transaction.atomic
def publish_card(
    *, body: Mapping[str, Any], effective_from: datetime, note: str, source: trail.Source
) -> CostCardVersion:
    """Publish what a provider now charges. A cost is a fact: plans it makes unprofitable are told by ``losses``."""
    number = _next(CostCardVersion.objects.filter(provider=body.get("provider"), model=body.get("model")))
    card = Card.from_json({**body, "version": number})
    problems = card_problems(card)
    if problems:
        raise Refused(problems)
    row = CostCardVersion(
        provider=card.provider,
        model=card.model,
        version=number,
        body=card.to_json(),
        effective_from=effective_from,
        note=note,
    )
    return _publish(row, "cost_card.published", source)


def normal_card(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a card in its normal form, without a version: two that price everything alike are equal."""
    normal = Card.from_json({**body, "version": 0}).to_json()
    del normal["version"]
    return normal


def same_card(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two bodies price everything alike, whatever version they call themselves."""
    return normal_card(first) == normal_card(second)


def losses(card: Card, *, at: datetime) -> dict[PlanVersion, tuple[Problem, ...]]:
    """Every plan in force that would lose money on this card, and where; admission refuses those sales."""
    found = {}
    for version in plans_in_force(at=at):
        plan = Plan.from_json(version.body)
        problems = () if _not_sold(plan, card) else plan_problems(plan=plan, card=card)
        if problems:
            found[version] = problems
    return found


def plan_in_force(storefront: Storefront, name: str, *, at: datetime) -> PlanVersion:
    """The newest version of a storefront's plan whose time has come."""
    found = (
        PlanVersion.objects.filter(storefront=storefront, name=name, effective_from__lte=at)
        .order_by("-version")
        .first()
    )
    if found is None:
        message = f"{storefront} has no plan {name!r} in force"
        raise NobodysPlan(message)
    return found


def card_in_force(provider: str, model: str, *, at: datetime) -> CostCardVersion | None:
    """The newest version of a card whose time has come; None when the model has none."""
    return (
        CostCardVersion.objects.filter(provider=provider, model=model, effective_from__lte=at)
        .order_by("-version")
        .first()
    )


def plans_in_force(*, at: datetime) -> list[PlanVersion]:
    """One version of every plan."""
    newest: dict[tuple[int, str], PlanVersion] = {}
    for version in PlanVersion.objects.filter(effective_from__lte=at).order_by("version"):
        newest[version.storefront_id, version.name] = version
    return list(newest.values())


def cards_in_force(*, at: datetime) -> list[Card]:
    """One version of every card."""
    newest: dict[tuple[str, str], CostCardVersion] = {}
    for version in CostCardVersion.objects.filter(effective_from__lte=at).order_by("version"):
        newest[version.provider, version.model] = version
    return [Card.from_json(version.body) for version in newest.values()]


@dataclass(frozen=True, slots=True)
class Standing:
    """By what one customer is charged, for as long as the wallet's epoch stands."""

    plan: str
    modifiers: Modifiers
    draws: tuple[arms.Draw, ...] = ()

    def draw_at(self, moment: datetime) -> arms.Draw | None:
        """What the experiment that runs at a moment holds for this customer."""
        return next((draw for draw in self.draws if draw.holds(moment)), None)

    def at(self, moment: datetime) -> Modifiers:
        """The multipliers at a moment, with the arm of an experiment that runs then."""
        draw = self.draw_at(moment)
        if draw is None:
            return self.modifiers
        return replace(self.modifiers, arm_name=draw.name, arm_multiplier=draw.multiplier)


def standing_of(organization: Organization) -> Standing:
    """All that makes one customer's prices besides the price list."""
    return Standing(*terms_of(organization), arms.draws_of(organization))


def terms_of(organization: Organization) -> tuple[str, Modifiers]:
    """The plan's name and the multipliers that apply to one customer, experiments left aside."""
    its_own_or_everybodys = Q(organization=organization) | Q(organization__isnull=True)
    rows = PriceTerms.objects.filter(its_own_or_everybodys, storefront=organization.storefront_id)
    terms = rows.select_related("group").order_by(F("organization").asc(nulls_last=True), "pk").first()
    return (DEFAULT_PLAN, Modifiers()) if terms is None else _terms(terms)


def _terms(terms: PriceTerms) -> tuple[str, Modifiers]:
    written: dict[str, object] = {}
    if terms.group:
        written["group_multiplier"] = _text(terms.group.multiplier)
    written["organization_multiplier"] = _text(terms.multiplier)
    return terms.plan_name, Modifiers.from_json(written)


def public_terms(storefront: Storefront) -> tuple[str, Modifiers]:
    """The plan's name and the multipliers for a customer without terms of their own: the prices in the window."""
    terms = PriceTerms.objects.filter(storefront=storefront, organization__isnull=True).select_related("group").first()
    return (DEFAULT_PLAN, Modifiers()) if terms is None else _terms(terms)


def pin(organization: Organization, *, provider: str, model: str, sold_as: str | None = None, at: datetime) -> Pinned:
    """Everything that prices a call of this customer on this provider's model at this moment."""
    standing = standing_of(organization)
    plan_version = plan_in_force(organization.storefront, standing.plan, at=at)
    card_version = card_in_force(provider, model, at=at)
    plan = Plan.from_json(plan_version.body)
    card = Card.from_json(card_version.body) if card_version else None
    known = cards_in_force(at=at) if card is None and plan.on_unknown_model == "highest_known" else []
    rates = Rates.of(plan=plan, card=card, model=sold_as or model, known_cards=known)
    return Pinned(rates, standing.at(at), plan_version, card_version)


@transaction.atomic
def set_terms(
    *,
    storefront: Storefront,
    organization: Organization | None,
    plan_name: str,
    group: PriceGroup | None = None,
    multiplier: Decimal = Decimal(1),
    at: datetime,
    source: trail.Source,
) -> PriceTerms:
    """Say which plan applies to a storefront, or to one of its customers; holds from the next call on."""
    plan_in_force(storefront, plan_name, at=at)
    if organization is not None and organization.storefront_id != storefront.pk:
        message = "This customer belongs to another storefront."
        raise ValueError(message)
    if group is not None and group.storefront_id != storefront.pk:
        message = "This price group belongs to another storefront."
        raise ValueError(message)
    before = PriceTerms.objects.filter(storefront=storefront, organization=organization).first()
    told = {"plan": before.plan_name, "multiplier": str(before.multiplier)} if before else {}
    terms, _ = PriceTerms.objects.update_or_create(
        storefront=storefront,
        organization=organization,
        defaults={"plan_name": plan_name, "group": group, "multiplier": multiplier},
    )
    terms.full_clean()
    after = {"plan": plan_name, "multiplier": str(multiplier), "group": str(group or "")}
    trail.record("price_terms.changed", source=source, target=terms, before=told, after=after)
    if organization is None:
        wallets.bump_all(storefront)
    else:
        access_changed.send(sender=PriceTerms, organization=organization)
    return terms


def changes(version: PlanVersion | CostCardVersion) -> tuple[Difference, ...]:
    """What a version changed against the one before it; nothing for the first."""
    number = version.version - 1
    if isinstance(version, PlanVersion):
        plan = PlanVersion.objects.filter(storefront=version.storefront_id, name=version.name, version=number).first()
        return differences(Plan.from_json(plan.body), Plan.from_json(version.body)) if plan else ()
    family = CostCardVersion.objects.filter(provider=version.provider, model=version.model)
    card = family.filter(version=number).first()
    return differences(Card.from_json(card.body), Card.from_json(version.body)) if card else ()


def _next(family: QuerySet[Any]) -> int:
    newest: int | None = family.aggregate(newest=Max("version"))["newest"]
    return (newest or 0) + 1


def _publish(row: Version, action: str, source: trail.Source) -> Version:
    row.author = source.user
    try:
        with transaction.atomic():
            row.clean_fields(exclude=["author", "note"])
            row.save(force_insert=True)
    except IntegrityError as error:
        raise Overtaken from error
    shop = row.storefront if isinstance(row, PlanVersion) else None
    trail.record(action, source=source, target=row, storefront=shop, after={"body": row.body}, reason=row.note)
    return row


def _not_sold(plan: Plan, card: Card) -> bool:
    """A plan with a list of its own sells only what the list names."""
    try:
        Rates.of(plan=plan, card=card)
    except Unpriced:
        return True
    return False


def _text(multiplier: Decimal) -> str:
    return exact_text(Fraction(multiplier))
