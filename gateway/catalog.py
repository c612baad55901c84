"""Which models an organization may call, by which routes, and at what price; one picture of it in each process.

Promise: a call sees one consistent picture, at most ``REFRESH_S`` behind; what has no route with a credential, or no
price, is not sold; a model is found by its exact name and nothing else. The picture is read whole, outside every call.
"""

import asyncio
import fnmatch
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from django.utils import timezone

from accounts.access import host_name
from accounts.models import Storefront, StorefrontDomain
from billing.models.plans import CostCardVersion, PlanVersion
from billing.pricing import Card, Plan, Rates, Unpriced
from gateway import alarms, policy
from gateway.errors import ModelNotFound
from gateway.health import numbered
from gateway.kinds import KINDS
from gateway.models import AIModel, Credential, Provider, Route
from gateway.routing import Candidate
from gateway.upstream import Timeouts
from plumbing import change_marks, readers

REFRESH_S = 1.0
MARK = "gateway_cataloguemark"  # moves with every change of what a picture shows
LONGEST_S = 60.0  # however still the mark stands
AZURE_PREFIX, AZURE = "azure/", "azure"  # what is named so is served there and nowhere else

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Serving:
    """One route by one credential, with everything needed to ask there; ``route`` is the number of that pair."""

    route: int
    provider: str
    kind: str
    base_url: str
    upstream_model: str
    credential: int
    secret: str = field(repr=False)
    priority: int = 100
    weight: int = 1
    group: int = 0
    key_weight: int = 1
    is_private: bool = False
    is_sandbox: bool = False
    drain_s: int = 30
    drain_bytes: int = 1_000_000
    timeouts: Timeouts = field(default=Timeouts())
    rules: policy.Rules = policy.OPEN
    candidate: Candidate = field(init=False, repr=False, compare=False)  # what routing weighs

    def __post_init__(self) -> None:
        """Made once, since every call of the model asks for it."""
        candidate = Candidate(self.route, self.priority, self.weight, self.group, self.key_weight)
        object.__setattr__(self, "candidate", candidate)


@dataclass(frozen=True, slots=True)
class Offer:
    """A name on the price list, and who serves it."""

    slug: str
    name: str
    vendor: str
    purpose: str
    context_tokens: int
    max_output_tokens: int
    default_output_tokens: int
    servings: tuple[Serving, ...]
    created: int
    is_sandbox: bool = False
    may_be_unpriced: bool = False
    served_as: str = ""
    hidden_in: frozenset[int] = frozenset()

    def serving(self, route: int) -> Serving:
        """The route of that number."""
        for serving in self.servings:
            if serving.route == route:
                return serving
        raise LookupError(route)


@dataclass(frozen=True, slots=True)
class Priced:
    """What prices a call: rates made ready, and the versions to pin beside it."""

    rates: Rates
    plan_version: int
    card_version: int | None


@dataclass(slots=True)
class Picture:
    """Everything at one moment."""

    taken_at: datetime
    hosts: Mapping[str, int]
    default_storefront: int | None
    offers: Mapping[str, Offer]
    plans: Mapping[tuple[int, str], tuple[int, Plan]]
    cards: Mapping[tuple[str, str], tuple[int, Card]]
    stands_until: datetime | None = None  # then a version takes effect that has been published already
    mark: change_marks.Position | None = None
    read_at: datetime | None = None  # ``taken_at`` is when it was last found true
    _rates: dict[tuple[int, int | None, str], Rates] = field(default_factory=dict)
    _narrowed: dict[tuple[str, int, str], Offer] = field(default_factory=dict)

    def offer(self, slug: str, *, storefront: int, allowed: Sequence[str] = (), plan: str = "") -> Offer:
        """The model of exactly this name, if this key may call it here; under a plan, by the routes it prices."""
        offer = self.offers.get(slug)
        if offer is None or storefront in offer.hidden_in or not _allowed(slug, allowed):
            message = f"There is no model {slug[:120]!r} here; GET /v1/models lists those you may call."
            raise ModelNotFound(message, param="model")
        return self._priced_routes(offer, storefront, plan) if plan else offer

    def listed(self, *, storefront: int, plan: str, allowed: Sequence[str] = ()) -> list[Offer]:
        """What this key may call, and what has a price."""
        return [
            offer
            for offer in self.offers.values()
            if storefront not in offer.hidden_in
            and _allowed(offer.slug, allowed)
            and self._sold(offer, storefront, plan)
        ]

    def price(self, offer: Offer, serving: Serving, *, storefront: int, plan: str) -> Priced:
        """The rates of a route under a plan; what nobody has priced is not found."""
        plan_version, body = self.plans.get((storefront, plan), (0, None))
        if body is None:
            message = "This shop has no prices yet; its operator publishes a plan first."
            raise ModelNotFound(message, param="model")
        card_version, card = self.cards.get((serving.provider, serving.upstream_model), (None, None))
        sold_as = offer.served_as or offer.slug
        key = (plan_version, card_version, sold_as)
        rates = self._rates.get(key) if card is not None or offer.may_be_unpriced else None
        if rates is None:
            try:
                rates = self._made_ready(offer, body, card, sold_as)
            except Unpriced as error:
                message = f"The model {offer.slug!r} has no price here, and nothing is sold without one."
                raise ModelNotFound(message, param="model") from error
            self._rates[key] = rates
        return Priced(rates, plan_version, card_version)

    def _made_ready(self, offer: Offer, plan: Plan, card: Card | None, sold_as: str) -> Rates:
        """A plan's rule for unknown costs holds only for models that an operator has flagged."""
        if card is None and not offer.may_be_unpriced:
            raise Unpriced
        if card is not None:
            return Rates.of(plan=plan, card=card, model=sold_as)
        known = [card for _, card in self.cards.values()] if plan.on_unknown_model == "highest_known" else []
        made = Rates.of(plan=plan, card=None, model=sold_as, known_cards=known)
        alarms.raised("sold_unpriced", f"The model {sold_as} is sold although nobody knows its cost.")
        return made

    def _sold(self, offer: Offer, storefront: int, plan: str) -> bool:
        return any(
            serving.rules.may_be_resold and self._has_price(offer, serving, storefront, plan)
            for serving in offer.servings
        )

    def _priced_routes(self, offer: Offer, storefront: int, plan: str) -> Offer:
        """An offer without the routes nobody has priced; without any it stays whole, for the error to tell."""
        key = (offer.slug, storefront, plan)
        found = self._narrowed.get(key)
        if found is None:
            priced = tuple(one for one in offer.servings if self._has_price(offer, one, storefront, plan))
            found = offer if len(priced) in {0, len(offer.servings)} else replace(offer, servings=priced)
            self._narrowed[key] = found
        return found

    def _has_price(self, offer: Offer, serving: Serving, storefront: int, plan: str) -> bool:
        try:
            self.price(offer, serving, storefront=storefront, plan=plan)
        except ModelNotFound:
            return False
        return True


def _allowed(slug: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatch.fnmatchcase(slug, pattern) for pattern in patterns)


# --- Reading it -------------------------------------------------------------------------------------------------------


def take_picture(now: datetime, before: Picture | None = None) -> Picture:
    """Read everything; bodies of versions that were read before are not parsed again."""
    servings = _servings()
    rows = list(AIModel.objects.filter(is_active=True).select_related("alias_of").prefetch_related("hidden_in"))
    there = {row.pk for row in rows}
    offers = {
        row.slug: _offer(row, servings.get(row.alias_of_id or row.pk, ()))
        for row in rows
        if row.alias_of_id is None or row.alias_of_id in there
    }
    picture = Picture(
        taken_at=now,
        hosts={host_name(domain.host): domain.storefront_id for domain in StorefrontDomain.objects.all()},
        default_storefront=Storefront.objects.filter(is_default=True).values_list("pk", flat=True).first(),
        offers={slug: offer for slug, offer in offers.items() if offer.servings},
        plans=_plans(now, before),
        cards=_cards(now, before),
        stands_until=_next_version(now),
    )
    if before is not None and (before.plans, before.cards) == (picture.plans, picture.cards):
        picture._rates = before._rates  # noqa: SLF001 - its own kind: rates made ready for the same versions
    return picture


def _offer(row: AIModel, servings: tuple[Serving, ...]) -> Offer:
    limits = row.alias_of or row
    if row.slug.startswith(AZURE_PREFIX):
        servings = tuple(serving for serving in servings if serving.kind == AZURE)
    return Offer(
        slug=row.slug,
        name=row.name,
        vendor=row.vendor,
        purpose=limits.purpose,
        context_tokens=limits.context_tokens,
        max_output_tokens=limits.max_output_tokens,
        default_output_tokens=limits.default_output_tokens,
        servings=servings,
        created=int(row.created_at.timestamp()),
        is_sandbox=limits.is_sandbox,
        may_be_unpriced=limits.may_be_unpriced,
        served_as=limits.slug if row.alias_of else "",
        hidden_in=frozenset(storefront.pk for storefront in row.hidden_in.all()),
    )


def _servings() -> dict[int, tuple[Serving, ...]]:
    """Routes that can be asked, once by each credential: active, of an active provider with an address."""
    credentials: dict[int, list[Credential]] = {}
    for credential in Credential.objects.filter(is_active=True).order_by("pk"):
        credentials.setdefault(credential.provider_id, []).append(credential)
    found: dict[int, list[Serving]] = {}
    for route in Route.objects.filter(is_active=True, provider__is_active=True).select_related("provider"):
        provider = route.provider
        kind = KINDS.get(provider.kind)
        if kind is None or not (provider.base_url or kind.base_url):
            continue
        for credential in credentials.get(provider.pk, ()):
            found.setdefault(route.model_id, []).append(_serving(route, provider, credential))
    return {model: tuple(servings) for model, servings in found.items()}


def _serving(route: Route, provider: Provider, credential: Credential) -> Serving:
    return Serving(
        route=numbered(route=route.pk, credential=credential.pk),
        provider=provider.slug,
        kind=provider.kind,
        base_url=provider.base_url,
        upstream_model=route.upstream_model,
        credential=credential.pk,
        secret=credential.secret,
        priority=route.priority,
        weight=route.weight,
        group=route.pk,
        key_weight=credential.weight,
        is_private=provider.may_be_private,
        is_sandbox=provider.is_sandbox,
        drain_s=provider.drain_s,
        drain_bytes=provider.drain_bytes,
        timeouts=Timeouts(
            connect_s=provider.connect_timeout_ms / 1000,
            first_byte_s=provider.first_byte_timeout_ms / 1000,
            idle_s=provider.idle_timeout_ms / 1000,
            total_s=provider.total_timeout_ms / 1000,
        ),
        rules=_rules(route, provider),
    )


def _rules(route: Route, provider: Provider) -> policy.Rules:
    rules = policy.rules_of(
        route.policy,
        provider.policy,
        allowed_countries=provider.allowed_countries,
        refused_countries=provider.refused_countries,
        may_be_resold=provider.resale_allowed,
    )
    if rules.is_broken:
        alarms.raised("policy", f"The policy of {route} cannot be read, so its calls are refused.")
    return rules


def _plans(now: datetime, before: Picture | None) -> dict[tuple[int, str], tuple[int, Plan]]:
    known = dict(before.plans.values()) if before else {}
    rows = PlanVersion.objects.filter(effective_from__lte=now).order_by("version")
    newest = {(row.storefront_id, row.name): row for row in rows}
    return {key: (row.pk, known.get(row.pk) or Plan.from_json(row.body)) for key, row in newest.items()}


def _cards(now: datetime, before: Picture | None) -> dict[tuple[str, str], tuple[int, Card]]:
    known = dict(before.cards.values()) if before else {}
    rows = CostCardVersion.objects.filter(effective_from__lte=now).order_by("version")
    newest = {(row.provider, row.model): row for row in rows}
    return {key: (row.pk, known.get(row.pk) or Card.from_json(row.body)) for key, row in newest.items()}


def _next_version(now: datetime) -> datetime | None:
    """When the next plan or card that waits takes effect."""
    waiting = [
        version.objects.filter(effective_from__gt=now).order_by("effective_from").values_list("effective_from").first()
        for version in (PlanVersion, CostCardVersion)
    ]
    return min((found[0] for found in waiting if found), default=None)


class Shelf:
    """Holds the picture of this process; looks every second whether it still is true, and takes a new one if not."""

    def __init__(self) -> None:
        self._picture: Picture | None = None
        self._refreshing: asyncio.Task[None] | None = None

    @property
    def picture(self) -> Picture:
        """The newest picture."""
        assert self._picture is not None, "start() comes first"
        return self._picture

    async def start(self) -> None:
        """Take the first picture, and go on."""
        await self.refresh()
        self._refreshing = asyncio.create_task(self._keep_refreshing())

    async def stop(self) -> None:
        """Take no more."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)

    async def refresh(self) -> None:
        """Take a picture now."""
        self._picture = await readers.read(_take, self._picture)

    async def _keep_refreshing(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            try:
                await self.refresh()
            except Exception:  # whatever it is, the old picture serves until the next try
                log.exception("the catalogue could not be read")


def _take(before: Picture | None) -> Picture:
    """The picture as it is now: the one from before where nothing has changed."""
    now, mark = timezone.now(), change_marks.position(MARK)  # the mark first: what changes later is read next time
    if before is None or not _still_true(before, mark, now):
        picture = take_picture(now, before)
        picture.mark, picture.read_at = mark, now
    else:
        picture = before
        picture.taken_at = now
    if before is not None:
        alarms.deliver(now=now)
    return picture


def _still_true(picture: Picture, mark: change_marks.Position, now: datetime) -> bool:
    if (
        picture.mark != mark
        or picture.read_at is None
        or (picture.stands_until is not None and picture.stands_until <= now)
    ):
        return False
    return abs((now - picture.read_at).total_seconds()) < LONGEST_S
