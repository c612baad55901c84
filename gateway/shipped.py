"""The catalogue that comes with the product: made from a choice by hand and a price list, loaded as rows.

Promise: making is a command whose result is a file in the repository, and the same choice, prices and day make the same
file; loading may happen at every start: it adds what is missing and brings up to date what nobody has touched since,
so an operator's change always stays. A model is on the list before anybody has a key for it and sold only after.
Prices are published for routes that have none; later ones go through the rails of ``gateway.repricing``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.db import transaction

from accounts import trail
from billing import pricebook
from billing.models.plans import CostCardVersion
from billing.money import NANO_PER_USD
from gateway.models import AIModel, Provider, Route
from gateway.pricelists import CannotTell, Modalities, card_body, genai

DATA = Path(__file__).parent / "data"
CHOICE, CATALOGUE = DATA / "choice.json", DATA / "catalogue.json"
LONGEST_DESCRIPTION = 400
DEFAULT_OUTPUT = 4_096
MODEL_FACTS = (
    *("name", "vendor", "purpose", "description", "is_active", "context_tokens", "max_output_tokens"),
    *("default_output_tokens", "input_modalities", "output_modalities", "capabilities", "recommended_for"),
)


@dataclass(slots=True)
class Loaded:
    """What a load did."""

    providers: int = 0
    models: int = 0
    changed: int = 0
    routes: int = 0
    cards: int = 0

    @property
    def is_nothing(self) -> bool:
        """Everything was there."""
        return not (self.providers or self.models or self.changed or self.routes or self.cards)


# --- Making -----------------------------------------------------------------------------------------------------------


def make(*, on: date) -> dict[str, Any]:
    """The catalogue as of a day."""
    at = datetime.combine(on, time(12), UTC)
    choice = json.loads(CHOICE.read_text())
    models = [_made(model, at) for model in choice["models"]]
    by_slug = {model["slug"]: model for model in models}
    return {
        "about": "Made by manage.py catalogue make; change choice.json instead.",
        "as_of": on.isoformat(),
        "sources": [*choice["sources"], f"{genai.source()}: prices, names, context"],
        "providers": choice["providers"],
        "models": models,
        "aliases": [_alias(alias, by_slug[alias["of"]]) for alias in choice["aliases"]],
    }


def text_of(catalogue: Mapping[str, Any]) -> str:
    """The file: one line for each row, so that a change is read as a change."""
    lines = []
    for name, value in catalogue.items():
        if isinstance(value, list):
            rows = ",\n".join(f"    {json.dumps(row, ensure_ascii=False)}" for row in value)
            lines.append(f"  {json.dumps(name)}: [\n{rows}\n  ]")
        else:
            lines.append(f"  {json.dumps(name)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _made(choice: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    first = choice["routes"][0].get("priced_by")
    name, description, context = genai.facts(first) if first else (choice["slug"], "", None)
    made = {"slug": choice["slug"], "name": name, "description": _shortened(description), **choice}
    made.setdefault("context_tokens", context)
    made.setdefault("default_output_tokens", min(DEFAULT_OUTPUT, made["max_output_tokens"]))
    if not made["context_tokens"]:
        message = f"Nobody says how much {choice['slug']} reads; choice.json must."
        raise CannotTell(message)
    modalities = modalities_of(made["input_modalities"], made["output_modalities"])
    made["routes"] = [_priced(route, modalities, at) for route in choice["routes"]]
    return made


def modalities_of(read: Sequence[str], written: Sequence[str]) -> Modalities:
    """What needs a price beside text."""
    kinds = ("audio", "image", "video")
    return Modalities([one for one in read if one in kinds], [one for one in written if one in kinds])


def _priced(route: Mapping[str, Any], modalities: Modalities, at: datetime) -> dict[str, Any]:
    """A route with its card, where the choice says what prices it."""
    made = {name: value for name, value in route.items() if name not in {"rates", "free"}}
    provider, upstream = route["provider"], route["upstream"]
    if "priced_by" in route:
        made["card"] = genai.body(
            reference=route["priced_by"], provider=provider, model=upstream, at=at, modalities=modalities
        )
        if made["card"]["free"] and not route.get("free"):
            message = f"{route['priced_by']} costs nothing, and choice.json does not say so."
            raise CannotTell(message)
    elif "rates" in route or "free" in route:
        body = card_body(provider=provider, model=upstream, base={}, free=True)
        made["card"] = {**body, "rates": route.get("rates", []), "free": route.get("free", False)}
    if "card" in made:
        made["card"] = pricebook.normal_card(made["card"])
    return made


def _alias(alias: Mapping[str, Any], target: Mapping[str, Any]) -> dict[str, Any]:
    if not alias.get("retired"):
        return {**alias, "description": f"Another name of {target['slug']}."}
    when = f" on {alias['retired_on']}" if "retired_on" in alias else ""
    sentence = f"Retired by its maker{when}; answered by {target['slug']} and charged as that."
    return {**alias, "description": sentence}


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_DESCRIPTION else text[: LONGEST_DESCRIPTION - 4].rpartition(" ")[0] + " ..."


# --- Loading ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def catalogue() -> Mapping[str, Any]:
    """The file as it was shipped."""
    read: dict[str, Any] = json.loads(CATALOGUE.read_text())
    return read


@lru_cache(maxsize=1)
def dearest_known() -> Mapping[str, Fraction]:
    """What is counted otherwise than in tokens: the most, in nano-USD, that one unit costs anywhere on the list."""
    dearest: dict[str, Fraction] = {}
    for model in catalogue()["models"]:
        for route in model["routes"]:
            for rate in (route.get("card") or {}).get("rates", ()):
                if (unit := rate.get("unit", "token")) != "token":
                    price = Fraction(rate["price"]) * Fraction(NANO_PER_USD, rate["per"])
                    dearest[unit] = max(price, dearest.get(unit, price))
    return dearest


@transaction.atomic
def load(*, now: datetime, source: trail.Source) -> Loaded:
    """Put on the shelf what is missing there; nothing an operator has changed is touched."""
    shipped, done = catalogue(), Loaded()
    providers = _load_providers(shipped["providers"], done)
    models = _load_models(shipped["models"], done)
    _load_aliases(shipped["aliases"], models, done)
    _load_routes(shipped["models"], models, providers, done)
    _load_cards(shipped["models"], now, done)
    if not done.is_nothing:
        after = {name: getattr(done, name) for name in Loaded.__dataclass_fields__}
        trail.record("catalogue.loaded", source=source, after={"as_of": shipped["as_of"], **after})
    return done


def _load_providers(rows: Sequence[Mapping[str, Any]], done: Loaded) -> dict[str, Provider]:
    there = {provider.slug: provider for provider in Provider.objects.all()}
    missing = [Provider(**row) for row in rows if row["slug"] not in there]
    Provider.objects.bulk_create(missing)
    done.providers = len(missing)
    return {provider.slug: provider for provider in Provider.objects.all()} if missing else there


def _load_models(rows: Sequence[Mapping[str, Any]], done: Loaded) -> dict[str, AIModel]:
    there = {model.slug: model for model in AIModel.objects.all()}
    missing = []
    for row in rows:
        facts = {name: row[name] for name in MODEL_FACTS if name in row}
        model = there.get(row["slug"])
        if model is None:
            missing.append(AIModel(slug=row["slug"], shipped=facts, **facts))
        elif model.shipped:
            done.changed += _updated(model, facts)
    AIModel.objects.bulk_create(missing)
    done.models += len(missing)
    return {model.slug: model for model in AIModel.objects.all()} if missing else there


def _updated(model: AIModel, facts: Mapping[str, Any]) -> bool:
    """Follow the catalogue in what nobody has touched since it last spoke."""
    if model.shipped == facts:
        return False
    for name, value in facts.items():
        if getattr(model, name) == model.shipped.get(name, getattr(model, name)):
            setattr(model, name, value)
    model.default_output_tokens = min(model.default_output_tokens, model.max_output_tokens)
    model.shipped = dict(facts)
    model.save()
    return True


def _load_aliases(rows: Sequence[Mapping[str, Any]], models: Mapping[str, AIModel], done: Loaded) -> None:
    missing = []
    for row in rows:
        target, model = models[row["of"]], models.get(row["slug"])
        told = {"alias": row["of"], "retired_on": row.get("retired_on"), "description": row["description"]}
        if model is None:
            facts = {name: getattr(target, name) for name in ("vendor", "purpose", "context_tokens")}
            limits = {name: getattr(target, name) for name in ("max_output_tokens", "default_output_tokens")}
            retired_on = date.fromisoformat(row["retired_on"]) if "retired_on" in row else None
            alias = AIModel(slug=row["slug"], name=row["slug"], alias_of=target, retired_on=retired_on, shipped=told)
            for name, value in {**facts, **limits, "description": row["description"]}.items():
                setattr(alias, name, value)
            missing.append(alias)
        elif model.shipped and model.shipped != told and _still_follows(model, models):
            model.alias_of, model.description, model.shipped = target, row["description"], told
            model.save()
            done.changed += 1
    AIModel.objects.bulk_create(missing)
    done.models += len(missing)


def _still_follows(model: AIModel, models: Mapping[str, AIModel]) -> bool:
    """Whether an alias points where the catalogue last said."""
    before = models.get(str(model.shipped.get("alias")))
    return before is not None and model.alias_of_id == before.pk


def _load_routes(
    rows: Sequence[Mapping[str, Any]], models: Mapping[str, AIModel], providers: Mapping[str, Provider], done: Loaded
) -> None:
    there = set(Route.objects.values_list("model_id", "provider_id", "upstream_model"))
    missing = []
    for row in rows:
        model = models[row["slug"]]
        if model.alias_of_id is not None:
            continue  # an operator has made it an alias of something else
        for route in row["routes"]:
            provider = providers[route["provider"]]
            if (model.pk, provider.pk, route["upstream"]) not in there:
                made = Route(model=model, provider=provider, upstream_model=route["upstream"])
                made.priority = route.get("priority", made.priority)
                missing.append(made)
    Route.objects.bulk_create(missing)
    done.routes = len(missing)


def _load_cards(rows: Sequence[Mapping[str, Any]], now: datetime, done: Loaded) -> None:
    there = set(CostCardVersion.objects.values_list("provider", "model"))
    for row in rows:
        for route in row["routes"]:
            key = (route["provider"], route["upstream"])
            if "card" in route and key not in there:
                there.add(key)
                pricebook.publish_card(
                    body=route["card"], effective_from=now, note="Came with the catalogue.", source=trail.SYSTEM
                )
                done.cards += 1
