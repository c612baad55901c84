"""Ninety lively days, as if they had happened: made by the pricing engine and the ledger themselves.

Promise: every hold, charge, credit and refund goes through ``billing.ledger`` and every price through the engine, at
the moment it would have happened, so the audit holds and receipts can be recomputed. The same seed makes the same days.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from allauth.account.models import EmailAddress
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from accounts import keys, opening, organizations, trail
from accounts.models import ApiKey, Organization, Storefront, StorefrontDomain, User
from accounts.models.keys import KeyKind
from analytics import rollups
from analytics.demo_world import (
    CUSTOMERS,
    MODELS,
    OUTAGE_DAY,
    PRICE_CHANGE_DAY,
    PROVIDERS,
    SHOPS,
    Customer,
)
from analytics.models import RollupMark
from billing import leases, ledger, pricebook
from billing.models import PlanVersion
from billing.models.ledger import House, Kind
from billing.operations import Credit, Granted, Release, Reserve, Rider, Settle, Withdraw
from billing.pricing import Bucket, Charge, Circumstances, Line, Usage, charge
from gateway.callid import first_id
from gateway.fair_billing import Rule
from gateway.models import AIModel, Credential, Provider, Route
from gateway.rows import ATTEMPT_COLUMNS, CALL_COLUMNS, DEPARTURE_COLUMNS

DAYS = 90
NANO = 1_000_000_000
PLAN = "demo"
SANDBOX_URL = "http://127.0.0.1:8000/sandbox/provider"  # where `manage.py up` answers, unless told otherwise
DOMAIN = "demo.tollgate.localhost"
LABELS = ("", "chat", "", "search", "nightly-batch")


class AlreadyThere(RuntimeError):
    """The demonstration has been made before."""


@dataclass(frozen=True, slots=True)
class Made:
    """What a demonstration put there."""

    organizations: int
    calls: int
    refused: int


@dataclass(slots=True)
class Cast:
    """One customer with its rows."""

    customer: Customer
    organization: Organization
    user: int
    keys: list[int]
    epoch: int = 1


def make(*, calls: int = 20_000, seed: int = 7, now: datetime | None = None) -> Made:
    """Make everything; about so many calls."""
    if User.objects.filter(email__endswith=f"@{DOMAIN}").exists():
        raise AlreadyThere("The demonstration is already there.")
    now = now or timezone.now()
    start = rollups.day_of(now.date()) - timedelta(days=DAYS)
    chance = random.Random(seed)  # noqa: S311 - a story, not a secret
    with transaction.atomic():
        shops = [_shop(name) for name in SHOPS]
        _stock(shops, start)
        cast = [_cast(customer, shops[customer.shop], start) for customer in CUSTOMERS]
    lease = leases.Lease("demo")
    lease.take()  # without a heartbeat: no hold is open when a day is committed
    story = _Story(cast, chance, lease.process_id)
    for day in range(DAYS + 1):
        with transaction.atomic():
            story.live(start + timedelta(days=day), day, calls / DAYS, now)
    lease.stop()
    if RollupMark.objects.exists():
        rollups.roll(since=start, until=now)  # the mark is past the demonstration's days already
    rollups.roll_recent(now=now)
    return Made(len(cast), story.told, story.refused)


# --- The stage --------------------------------------------------------------------------------------------------------


def _shop(name: str) -> Storefront:
    if not name:
        return opening.default_storefront()
    shop, made = Storefront.objects.get_or_create(
        slug="nimbus-demo", defaults={"name": name, "brand_color": "#1d4ed8", "brand_color_dark": "#60a5fa"}
    )
    if made:
        StorefrontDomain.objects.create(storefront=shop, host=f"nimbus.{DOMAIN}", is_primary=True)
    return shop


def _stock(shops: list[Storefront], start: datetime) -> None:
    ready = Provider.objects.filter(kind="sandbox", is_sandbox=True).exclude(base_url="").first()
    for slug, name in PROVIDERS.items():
        account, made = Provider.objects.get_or_create(
            slug=slug,
            defaults={
                "name": f"{name} (demo)",
                "kind": "sandbox",
                "is_sandbox": True,
                "base_url": ready.base_url if ready else SANDBOX_URL,
                "may_be_private": True,
            },
        )
        if made:  # a model that nobody could be asked for is not on the shelf, and its page not there
            Credential.objects.create(provider=account, label="demonstration", secret=settings.SANDBOX_PROVIDER_KEY)
    for slug, name, provider, fresh, cached, output, *_ in MODELS:
        model, _made = AIModel.objects.get_or_create(
            slug=slug, defaults={"name": name, "vendor": PROVIDERS[provider], "is_sandbox": True}
        )
        Route.objects.get_or_create(model=model, provider=Provider.objects.get(slug=provider), upstream_model=slug)
        rates = [
            {"direction": "input", "price": fresh},
            {"direction": "input", "cache": "read", "price": cached},
            {"direction": "output", "price": output},
        ]
        body = {"provider": provider, "model": slug, "rates": rates}
        pricebook.publish_card(body=body, effective_from=start, note="Demonstration.", source=trail.SYSTEM)
    for shop in shops:
        for day, percent in ((0, "25"), (PRICE_CHANGE_DAY, "28")):
            pricebook.publish_plan(
                storefront=shop,
                name=PLAN,
                body={"method": "cost_plus", "percent": percent},
                effective_from=start + timedelta(days=day),
                note="Demonstration.",
                source=trail.SYSTEM,
            )
        if not PlanVersion.objects.filter(storefront=shop, name=pricebook.DEFAULT_PLAN).exists():
            # Its window needs prices, too; a shop that has its own plan keeps it there.
            pricebook.set_terms(storefront=shop, organization=None, plan_name=PLAN, at=start, source=trail.SYSTEM)


def _cast(customer: Customer, shop: Storefront, start: datetime) -> Cast:
    joined = start + timedelta(days=customer.joins)
    slug = customer.name.split()[0].lower()
    user = User.objects.create_user(f"{slug}@{DOMAIN}", name=customer.name.split()[0], time_zone=customer.zone)
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    User.objects.filter(pk=user.pk).update(
        date_joined=joined, acquisition={"utm_source": customer.channel, "utm_campaign": f"{customer.channel}-demo"}
    )
    organization = organizations.create(storefront=shop, owner=user, name=customer.name, source=trail.SYSTEM)
    Organization.objects.filter(pk=organization.pk).update(created_at=joined, time_zone=customer.zone)
    pricebook.set_terms(
        storefront=shop,
        organization=organization,
        plan_name=PLAN,
        multiplier=Decimal(customer.multiplier),
        at=joined,
        source=trail.SYSTEM,
    )
    made = [_key(organization, user, label, joined) for label in customer.keys]
    return Cast(customer, organization, user.pk, made)


def _key(organization: Organization, user: User, label: str, at: datetime) -> int:
    minted = keys.create(
        organization=organization,
        storefront=None,
        made_by=user,
        kind=KeyKind.INFERENCE,
        label=label,
        source=trail.SYSTEM,
    )
    ApiKey.objects.of(organization).filter(pk=minted.key.pk).update(created_at=at)
    return int(minted.key.pk)


# --- The story --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Scene:
    """One call that is about to happen."""

    at: datetime
    cast: Cast
    model: tuple[Any, ...]
    priced: Charge
    versions: tuple[int, int | None]
    failed: bool
    number: int = 0
    held: int = 0


class _Story:
    """Lives one day after another."""

    def __init__(self, cast: list[Cast], chance: random.Random, process: int) -> None:
        self.cast, self.chance, self.process = cast, chance, process
        self.told = self.refused = self.sequence = 0
        self._pinned: dict[tuple[int, str, bool], pricebook.Pinned] = {}

    def live(self, day: datetime, number: int, calls: float, now: datetime) -> None:
        """Money in the morning, calls by the hour."""
        self._money(day, number, now)
        scenes = sorted(self._scenes(day, number, calls, now), key=lambda scene: scene.at)
        for hour in range(24):
            begins = day + timedelta(hours=hour)
            told = [scene for scene in scenes if begins <= scene.at < begins + timedelta(hours=1)]
            if told:
                self._tell(told)

    def _money(self, day: datetime, number: int, now: datetime) -> None:
        if day + timedelta(hours=1) > now:
            return
        operations: list[Any] = []
        for one in self.cast:
            customer, pk = one.customer, one.organization.pk
            since = number - customer.joins
            if since == 0:
                operations.append(
                    Credit(
                        f"demo:{pk}:welcome",
                        pk,
                        NANO,
                        Kind.PROMO,
                        source=House.PROMOTIONS,
                        code="promo",
                        label="Welcome",
                    )
                )
            if since >= 0 and since % 30 == 0 and number < customer.leaves:
                amount = customer.budget_usd * NANO
                operations.append(Credit(f"demo:{pk}:{number}", pk, amount, code="top_up", reference="demonstration"))
            if number == customer.leaves and customer.leaves < DAYS:
                operations.append(
                    Withdraw(f"demo:{pk}:refund", pk, 25 * NANO, code="refund", may_owe=True, reverses=f"demo:{pk}:30")
                )
        if operations:
            ledger.apply(connection, operations, day)

    def _scenes(self, day: datetime, number: int, calls: float, now: datetime) -> Iterator[_Scene]:
        total = sum(customer.share for customer in CUSTOMERS)
        for one in self.cast:
            customer = one.customer
            if not customer.joins <= number < customer.leaves + 1:
                continue
            progress = (number - customer.joins) / max(1, DAYS - customer.joins)
            rate = calls * customer.share / total * (1 + (customer.growth - 1) * progress)
            rate *= customer.weekend if day.weekday() >= 5 else 1.15
            for _ in range(_poisson(self.chance, rate)):
                at = day + timedelta(seconds=self._second())
                if at < now - timedelta(minutes=2):
                    yield self._scene(one, at, number)

    def _second(self) -> float:
        """Most calls come in the middle of the day; some never sleep."""
        if self.chance.random() < 0.25:
            return self.chance.random() * 86_399
        return min(86_399.0, max(0.0, self.chance.gauss(14 * 3600, 3.2 * 3600)))

    def _scene(self, one: Cast, at: datetime, number: int) -> _Scene:
        model = self.chance.choices(MODELS, weights=[row[-1] for row in MODELS])[0]
        after = number >= PRICE_CHANGE_DAY
        name = (one.organization.pk, model[0], after)
        if name not in self._pinned:
            self._pinned[name] = pricebook.pin(one.organization, provider=model[2], model=model[0], at=at)
        pinned = self._pinned[name]
        outage = number == OUTAGE_DAY and model[2] == "demo-borealis" and 9 <= at.hour < 15
        failed = self.chance.random() < (0.7 if outage else 0.012)
        usage = Usage(()) if failed else self._usage(model)
        priced = charge(usage=usage, rates=pinned.rates, circumstances=Circumstances(at=at, modifiers=pinned.modifiers))
        card = pinned.card_version.pk if pinned.card_version else None
        return _Scene(at, one, model, priced, (pinned.plan_version.pk, card), failed)

    def _usage(self, model: tuple[Any, ...]) -> Usage:
        chance = self.chance
        fresh = int(chance.lognormvariate(math.log(model[6]), 0.7)) + 5
        cached = int(fresh * chance.random() * 2) if chance.random() < 0.45 else 0
        output = int(chance.lognormvariate(math.log(model[7]), 0.8)) + 2
        thought = int(output * chance.random() * 3) if "thinking" in model[0] else 0
        lines = [(Bucket("input"), fresh), (Bucket("input", cache="read"), cached), (Bucket("output"), output)]
        lines.append((Bucket("output", "reasoning"), thought))
        return Usage(tuple(Line(bucket, quantity) for bucket, quantity in lines if quantity))

    def _tell(self, scenes: list[_Scene]) -> None:
        reserves = []
        for scene in scenes:
            self.sequence = (self.sequence + 1) % (1 << 22)
            scene.number = first_id(scene.at) + self.sequence
            most = scene.priced.charge_nano * self.chance.choice((2, 3, 4))
            pk = scene.cast.organization.pk
            least = min(most, most // 4 + 1)
            left = (_departure(scene),)
            reserves.append(Reserve(scene.number, pk, self.process, scene.cast.epoch, least, most, riders=left))
        at = scenes[-1].at
        verdicts = ledger.apply(connection, self._with_epochs(reserves), at)
        ends: list[Any] = []
        for scene, verdict in zip(scenes, verdicts, strict=True):
            if not isinstance(verdict, Granted):
                self.refused += 1
                continue
            scene.held = verdict.granted_nano
            ends.append(self._end(scene))
        ledger.apply(connection, ends, at)
        self.told += len(ends)

    def _with_epochs(self, reserves: list[Reserve]) -> list[Reserve]:
        """Keys and terms were made a moment ago, so the wallets' epochs have moved on."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT organization_id, epoch FROM billing_wallet")
            epochs = dict(cursor.fetchall())
        return [
            Reserve(
                one.hold_id,
                one.organization_id,
                one.process_id,
                epochs[one.organization_id],
                one.minimum_nano,
                one.maximum_nano,
                riders=one.riders,
            )
            for one in reserves
        ]

    def _end(self, scene: _Scene) -> Settle | Release:
        riders = self._riders(scene)
        pk, price = scene.cast.organization.pk, scene.priced.charge_nano
        if scene.failed or not price:
            return Release(scene.number, pk, riders=riders)
        return Settle(scene.number, pk, price, exact=True, reference=f"call:{scene.number}", riders=riders)

    def _riders(self, scene: _Scene) -> tuple[Rider, Rider]:
        chance, made, usage = self.chance, scene.priced, scene.priced.usage
        output = sum(line.quantity for line in usage.lines if line.bucket.direction == "output")
        first_byte = int(chance.lognormvariate(math.log(420), 0.5)) + 40
        latency = first_byte + int(output * 1000 / chance.uniform(35, 140))
        ended = scene.at + timedelta(milliseconds=latency)
        state = "failed" if scene.failed else "partial" if chance.random() < 0.01 else "done"
        source = "none" if scene.failed else "estimated" if state == "partial" else "reported"
        status, error = (502, "upstream_error") if scene.failed else (200, "")
        country = scene.cast.customer.country if chance.random() < 0.9 else chance.choice(("US", "DE", "IN", ""))
        lines = usage.to_json()
        rule = {"failed": Rule.FAILED_FREE, "partial": Rule.DELIVERED_PART}.get(state, Rule.USED)
        one = scene.cast
        call = (
            *(scene.number, one.organization.pk, chance.choice(one.keys), one.user, scene.at, ended, state),
            *("chat", chance.random() < 0.6, scene.model[0], scene.model[0], scene.model[2]),
            *(*scene.versions, made.circumstances.to_json(), lines, source),
            *(rule.value, usage.input_tokens, _sum(usage, cache="read"), output),
            *(_sum(usage, modality="reasoning"), scene.held, made.charge_nano, made.cost_nano, latency),
            *(None if scene.failed else first_byte, status, error, "" if scene.failed else "stop", country),
            *(LABELS[scene.number % len(LABELS)], ""),
        )
        attempt = (
            *(scene.number, scene.number, one.organization.pk, 1, scene.model[2], None, scene.model[0], scene.at),
            *(status, error, lines, scene.versions[1], made.cost_nano, False),
            *(None if scene.failed else first_byte, latency, ""),
        )
        return Rider("gateway_call", CALL_COLUMNS, [call]), Rider("gateway_attempt", ATTEMPT_COLUMNS, [attempt])


def _departure(scene: _Scene) -> Rider:
    """What is written down before anything leaves; its key is not told, the call's is."""
    row = (
        scene.number,
        scene.number,
        scene.cast.organization.pk,
        None,
        1,
        scene.model[0],
        scene.model[2],
        "chat",
        scene.at,
    )
    return Rider("gateway_departure", DEPARTURE_COLUMNS, [row])


def _sum(usage: Usage, *, cache: str = "", modality: str = "") -> int:
    return sum(
        line.quantity
        for line in usage.lines
        if cache in {"", line.bucket.cache} and modality in {"", line.bucket.modality}
    )


def _poisson(chance: random.Random, mean: float) -> int:
    if mean > 30:
        return max(0, round(chance.gauss(mean, math.sqrt(mean))))
    product, many, least = chance.random(), 0, math.exp(-mean)
    while product > least:
        product *= chance.random()
        many += 1
    return many
