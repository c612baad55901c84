"""What we sell and by which ways: models, their routes, and what they cost us when an operator says so.

Promise: what is said twice is done once; a price said here is pinned, so no price list overrules it; a model named
azure/... is served by Azure alone. Every change leaves one line in the trail.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from accounts import trail
from billing import pricebook
from gateway.catalog import AZURE, AZURE_PREFIX
from gateway.models import AIModel, Provider, Route
from gateway.suppliers import Outcome, SupplyRefused, check_policy, save

LONGEST_UPSTREAM = 120  # as long as a cost card's model may be


@dataclass(frozen=True, slots=True)
class Price:
    """What one kind of token costs us, in USD per million."""

    direction: str
    usd: Decimal
    cache: str = "none"

    def to_json(self) -> dict[str, object]:
        """Write it as cost cards do."""
        return {"direction": self.direction, "cache": self.cache, "price": format(self.usd, "f")}


@transaction.atomic
def add_model(
    *,
    slug: str,
    provider: Provider,
    upstream: str,
    prices: Sequence[Price],
    source: trail.Source,
    now: datetime,
    is_free: bool = False,
    **facts: Any,
) -> Outcome:
    """Put a model on the price list, with a route and its cost; said again, it changes what differs."""
    _check_way(slug, provider)
    if len(upstream) > LONGEST_UPSTREAM:
        message = f"A name upstream has at most {LONGEST_UPSTREAM} characters."
        raise SupplyRefused(message)
    model = AIModel.objects.select_for_update().filter(slug=slug).first()
    made, changed = model is None, False
    if model is None:
        model = AIModel(slug=slug, **{"name": slug, **_fit(facts)})
        save(model)
        trail.record("model.added", source=source, target=model, after={"slug": slug, **facts})
    else:
        changed = _change_model(model, {**facts, "alias_of": None, "is_active": True, "retired_on": None}, source)
    route = Route.objects.filter(model=model, provider=provider, upstream_model=upstream).first()
    is_new = route is None
    if route is None:
        route = Route(model=model, provider=provider, upstream_model=upstream, is_price_pinned=True)
        save(route)
        after = {"provider": provider.slug, "upstream": upstream}
        trail.record("route.added", source=source, target=route, after=after)
    elif not (route.is_active and route.is_price_pinned):
        changed = True
        Route.objects.filter(pk=route.pk).update(is_active=True, is_price_pinned=True)
    priced = _price(provider, upstream, prices, source=source, now=now, is_free=is_free)
    return Outcome(model, made, not made and (changed or is_new or priced))


def _check_way(slug: str, provider: Provider) -> None:
    if slug.startswith(AZURE_PREFIX) and provider.kind != AZURE:
        raise SupplyRefused("A model named azure/... is served by Azure; its provider must be of kind azure.")


def _fit(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a request without a limit is given never exceeds the ceiling."""
    fitted = {name: value for name, value in facts.items() if value is not None}
    if (ceiling := fitted.get("max_output_tokens")) is not None:
        fitted["default_output_tokens"] = min(4_096, ceiling)
    return fitted


def _change_model(model: AIModel, facts: Mapping[str, Any], source: trail.Source) -> bool:
    wanted = _fit(facts) | {"alias_of": None, "retired_on": None}
    before = {name: getattr(model, name) for name, value in wanted.items() if getattr(model, name) != value}
    if not before:
        return False
    for name in before:
        setattr(model, name, wanted[name])
    save(model)
    after = {name: wanted[name] for name in before}
    trail.record("model.changed", source=source, target=model, before=before, after=after)
    return True


def _price(
    provider: Provider,
    upstream: str,
    prices: Sequence[Price],
    *,
    source: trail.Source,
    now: datetime,
    is_free: bool,
) -> bool:
    """Publish a card if it says anything new."""
    body = {
        "provider": provider.slug,
        "model": upstream,
        "rates": [price.to_json() for price in prices],
        "free": is_free,
    }
    try:
        return publish_if_new(body, note="Said by the operator.", source=source, now=now)
    except ValueError as error:
        raise SupplyRefused(str(error)) from error


def publish_if_new(body: Mapping[str, Any], *, note: str, source: trail.Source, now: datetime) -> bool:
    """Publish a cost card unless the one in force says the same."""
    in_force = pricebook.card_in_force(str(body["provider"]), str(body["model"]), at=now)
    if in_force is not None and pricebook.same_card(in_force.body, body):
        return False
    pricebook.publish_card(body=body, effective_from=now, note=note, source=source)
    return True


# --- One row at a time, for the desk ----------------------------------------------------------------------------------


@transaction.atomic
def put_on_list(*, source: trail.Source, reason: str = "", **facts: Any) -> AIModel:
    """A new name on the price list; it is sold once a route serves it."""
    model = AIModel(**facts)
    model.default_output_tokens = min(model.default_output_tokens, model.max_output_tokens)
    save(model)
    trail.record("model.added", source=source, target=model, after=facts, reason=reason)
    return model


@transaction.atomic
def add_route(
    *, model: AIModel, provider: Provider, upstream_model: str, source: trail.Source, reason: str = "", **facts: Any
) -> Route:
    """A new way to serve a model."""
    _check_way(model.slug, provider)
    if model.alias_of_id is not None:
        message = f"{model} is another name of {model.alias_of}, whose routes serve it."
        raise SupplyRefused(message)
    route = Route(model=model, provider=provider, upstream_model=upstream_model, **facts)
    save(route)
    after = {"model": model.slug, "provider": provider.slug, "upstream": upstream_model}
    trail.record("route.added", source=source, target=route, after=after, reason=reason)
    return route


@transaction.atomic
def change(row: AIModel | Route, *, changes: Mapping[str, Any], source: trail.Source, reason: str = "") -> None:
    """Change a model or a route."""
    row = type(row).objects.select_for_update().get(pk=row.pk)
    check_policy(changes)
    before = {name: getattr(row, name) for name in changes}
    for name, value in changes.items():
        setattr(row, name, value)
    save(row)
    action = "model.changed" if isinstance(row, AIModel) else "route.changed"
    trail.record(action, source=source, target=row, before=before, after=dict(changes), reason=reason)
