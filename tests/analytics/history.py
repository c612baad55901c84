"""Seeded calls with holds that paid for them, as rows: what rollups are made of, without a server."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from accounts import trail
from billing import pricebook
from billing.models import Hold, ProcessLease
from billing.pricing import Bucket, Circumstances, Line, Usage, charge
from gateway.callid import first_id
from gateway.models import Attempt, Call

RATES = [
    {"direction": "input", "price": "3.00"},
    {"direction": "input", "cache": "read", "price": "0.30"},
    {"direction": "input", "cache": "write_5m", "price": "3.75"},
    {"direction": "input", "modality": "audio", "price": "40.00"},
    {"direction": "output", "price": "15.00"},
]
MODELS = ("alpha-large", "alpha-mini", "beta")
COUNTRIES = ("", "DE", "NP", "US")


class History:
    """Makes calls at chosen moments; every id is used once."""

    def __init__(self, shop: Any, organizations: list[Any], *, at: datetime, seed: int = 1) -> None:
        self.chance = random.Random(seed)
        self.organizations = organizations
        self.lease = ProcessLease.objects.create(name="history", started_at=at, heartbeat_at=at, ended_at=at)
        self.plan = pricebook.publish_plan(
            storefront=shop,
            name="standard",
            body={"method": "cost_plus", "percent": "25"},
            effective_from=at,
            note="",
            source=trail.SYSTEM,
        )
        for provider in ("north", "south"):
            for model in MODELS:
                body = {"provider": provider, "model": model, "rates": RATES}
                pricebook.publish_card(body=body, effective_from=at, note="", source=trail.SYSTEM)
        self._pinned: dict[Any, Any] = {}
        self._sequence = 0

    def calls(self, moments: Iterator[datetime] | list[datetime], **fixed: Any) -> list[Call]:
        """One call ending at each moment."""
        made = [self._call(moment, fixed) for moment in moments]
        Hold.unscoped.bulk_create([hold for _, hold, _ in made], batch_size=500)
        Call.unscoped.bulk_create([call for call, _, _ in made], batch_size=500)
        Attempt.unscoped.bulk_create([attempt for _, _, attempt in made], batch_size=500)
        return [call for call, _, _ in made]

    def _call(self, ended_at: datetime, fixed: dict[str, Any]) -> tuple[Call, Hold, Attempt]:
        chance = self.chance
        organization = fixed.get("organization") or chance.choice(self.organizations)
        latency = chance.randrange(50, 90_000)
        created = ended_at - timedelta(milliseconds=latency)
        self._sequence += 1
        number = first_id(created) + self._sequence % (1 << 22)
        model, provider = fixed.get("model") or chance.choice(MODELS), chance.choice(("north", "south"))
        failed = chance.random() < 0.05
        usage = Usage(()) if failed else self._usage()
        pinned = self._pin(organization, provider, model, created)
        made = charge(usage=usage, rates=pinned.rates, circumstances=Circumstances(at=created))
        unrecovered = made.charge_nano // 3 if chance.random() < 0.02 else 0
        hold = Hold(
            id=number,
            organization=organization,
            process=self.lease,
            held_nano=0,
            created_at=created,
            outcome="settled",
            resolved_at=ended_at,
            charged_nano=made.charge_nano - unrecovered,
            unrecovered_nano=unrecovered,
        )
        key = chance.choice((None, organization.pk * 10, organization.pk * 10 + 1))
        tokens = {bucket: line.quantity for line in usage.lines for bucket in [line.bucket]}
        call = Call(
            id=number,
            organization=organization,
            api_key_id=key,
            user_id=key and organization.pk,
            created_at=created,
            ended_at=ended_at,
            state="failed" if failed else chance.choice(("done", "done", "done", "partial")),
            endpoint="chat",
            model_asked=model,
            model_served=model,
            provider=provider,
            plan_version_id=pinned.plan_version.pk,
            card_version_id=pinned.card_version.pk,
            circumstances=made.circumstances.to_json(),
            usage=usage.to_json(),
            usage_source=chance.choice(("reported", "reported", "reported", "estimated")),
            input_tokens=sum(q for b, q in tokens.items() if b.direction == "input"),
            cached_tokens=sum(q for b, q in tokens.items() if b.cache == "read"),
            output_tokens=sum(q for b, q in tokens.items() if b.direction == "output"),
            reasoning_tokens=sum(q for b, q in tokens.items() if b.modality == "reasoning"),
            price_nano=made.charge_nano,
            cost_nano=None if chance.random() < 0.03 else made.cost_nano,
            latency_ms=latency,
            first_byte_ms=None if failed else latency // chance.randrange(1, 9),
            status=502 if failed else 200,
            country=chance.choice(COUNTRIES),
        )
        attempt = Attempt(
            id=number,
            call_id=number,
            organization=organization,
            provider=provider,
            upstream_model=model,
            started_at=created,
            status=call.status,
            usage=usage.to_json(),
            cost_nano=call.cost_nano,
            latency_ms=latency,
        )
        return call, hold, attempt

    def _usage(self) -> Usage:
        chance = self.chance
        lines = [Line(Bucket("input"), chance.randrange(1, 4000)), Line(Bucket("output"), chance.randrange(1, 2000))]
        if chance.random() < 0.4:
            lines.append(Line(Bucket("input", cache="read"), chance.randrange(1, 9000)))
        if chance.random() < 0.2:
            lines.append(Line(Bucket("output", "reasoning"), chance.randrange(1, 900)))
        if chance.random() < 0.1:
            lines.append(Line(Bucket("input", cache="write_5m"), chance.randrange(1, 900)))
        if chance.random() < 0.1:
            lines.append(Line(Bucket("input", "audio"), chance.randrange(1, 900)))
        return Usage(tuple(lines))

    def _pin(self, organization: Any, provider: str, model: str, at: datetime) -> Any:
        name = (organization.pk, provider, model)
        if name not in self._pinned:
            self._pinned[name] = pricebook.pin(organization, provider=provider, model=model, at=at)
        return self._pinned[name]
