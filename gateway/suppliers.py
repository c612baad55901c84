"""The accounts we buy from, and what we buy there: providers, their credentials, models and their routes.

Promise: what an operator says twice is done once; a key is checked before it is sealed, is never shown again, and is
only ever sent to the address it was given for (when an account moves to another address, the keys it had are retired);
loopback, private and plain-http addresses come from the command line alone; a price said here is pinned, so no price
list overrules it. Every change leaves one line in the trail.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.text import slugify

from accounts import trail
from billing import pricebook
from gateway import kinds
from gateway.catalog import AZURE, AZURE_PREFIX
from gateway.models import AIModel, Credential, Provider, Route
from plumbing import outbound
from plumbing.refusals import Refusal

PUBLIC = outbound.STRICT
ANYWHERE = outbound.Bounds(allow_http=True, allow_private=True)
LEAST_SHOWN_OF = 12  # of a shorter key not even the last four characters are shown
ENVIRONMENT = "from the environment"


class SupplyRefused(Refusal, ValueError):
    """What was asked of a provider, a credential or a model cannot be; the sentence says why."""

    status = 400
    code = "supply_refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is there now, and whether it was made or changed just now."""

    row: Any
    made: bool = False
    changed: bool = False


# --- Providers --------------------------------------------------------------------------------------------------------


@transaction.atomic
def add_provider(
    *,
    name: str,
    kind: str,
    source: trail.Source,
    slug: str = "",
    base_url: str = "",
    key: str = "",
    from_command_line: bool = False,
) -> Outcome:
    """Open an account, or bring one of this name up to date."""
    slug = slug or slugify(name)[:60]
    if not slug:
        raise SupplyRefused("The name holds no letter or digit that an address could be made of; give a slug too.")
    _check_kind(kind, base_url)
    is_private = bool(base_url) and checked_address(base_url, from_command_line=from_command_line)
    provider = Provider.objects.select_for_update().filter(slug=slug).first()
    if provider is None:
        provider = Provider(slug=slug, name=name, kind=kind, base_url=base_url, may_be_private=is_private)
        _save(provider)
        trail.record("provider.added", source=source, target=provider, after=_told(provider))
        made = True
    else:
        made = False
    changed = not made and _move(provider, kind=kind, base_url=base_url, is_private=is_private, source=source)
    if key:
        added = add_credential(provider=provider, key=key, source=source)
        changed = changed or added.made
    return Outcome(provider, made, changed and not made)


def _check_kind(kind: str, base_url: str) -> None:
    if kind not in kinds.KINDS:
        message = f"There is no kind {kind!r}; these are: {', '.join(sorted(kinds.KINDS))}."
        raise SupplyRefused(message)
    if not base_url and not kinds.KINDS[kind].base_url:
        message = f"A provider of kind {kind!r} needs its address: --base-url https://..."
        raise SupplyRefused(message)


def checked_address(base_url: str, *, from_command_line: bool) -> bool:
    """Judge an address by its spelling; say whether it is one that only the command line may give."""
    spelled = base_url.replace("{model}", "model")
    try:
        outbound.check_url(spelled, bounds=PUBLIC)
    except outbound.Refused as refused:
        if not from_command_line:
            raise SupplyRefused(str(refused)) from refused
    else:
        return False
    try:
        outbound.check_url(spelled, bounds=ANYWHERE)
    except outbound.Refused as refused:
        raise SupplyRefused(str(refused)) from refused
    return True


def _move(provider: Provider, *, kind: str, base_url: str, is_private: bool, source: trail.Source) -> bool:
    """An account that is there already takes the new kind and address."""
    if provider.is_sandbox:
        raise SupplyRefused("The sandbox's own account cannot be changed; choose another name.")
    before = _told(provider)
    if base_url and base_url != provider.base_url:
        if _origin(base_url) != _origin(provider.base_url or kinds.KINDS[provider.kind].base_url):
            _retire_keys(provider, source)
        provider.base_url, provider.may_be_private = base_url, is_private
    provider.kind, provider.is_active = kind, True
    after = _told(provider)
    if after == before:
        return False
    _save(provider)
    trail.record("provider.changed", source=source, target=provider, before=before, after=after)
    return True


@transaction.atomic
def change_provider(
    provider: Provider, *, changes: Mapping[str, Any], source: trail.Source, reason: str = ""
) -> Provider:
    """Change what the desk lets people change; an address given here is a public one."""
    provider = Provider.objects.select_for_update().get(pk=provider.pk)
    before = {name: getattr(provider, name) for name in changes}
    if changes.get("base_url"):
        checked_address(changes["base_url"], from_command_line=False)
    if "base_url" in changes and changes["base_url"] != provider.base_url:
        _retire_keys(provider, source)
        provider.may_be_private = False
    if changes.get("price_list_url"):
        checked_address(changes["price_list_url"], from_command_line=False)
    for name, value in changes.items():
        setattr(provider, name, value)
    _save(provider)
    after = {name: getattr(provider, name) for name in changes}
    trail.record("provider.changed", source=source, target=provider, before=before, after=after, reason=reason)
    return provider


def _save(row: Any) -> None:
    try:
        row.full_clean()
    except ValidationError as error:
        raise SupplyRefused(" ".join(error.messages)) from error
    row.save()


def _told(provider: Provider) -> dict[str, Any]:
    return {name: getattr(provider, name) for name in ("name", "kind", "base_url", "may_be_private", "is_active")}


def _origin(address: str) -> tuple[str, str]:
    parts = urlsplit(address)
    return parts.scheme, parts.netloc


# --- Credentials ------------------------------------------------------------------------------------------------------


@transaction.atomic
def add_credential(
    *,
    provider: Provider,
    key: str,
    source: trail.Source,
    label: str = "key",
    weight: int = 1,
    reason: str = "",
) -> Outcome:
    """Seal a key; one that is there already is only put to work again."""
    try:
        key = kinds.checked_key(key)
    except kinds.UnfitKey as error:
        raise SupplyRefused(str(error)) from error
    for credential in provider.credentials.all():
        if hmac.compare_digest(credential.secret.encode(), key.encode()):
            if not credential.is_active:
                set_credential_active(credential, active=True, source=source, reason=reason)
            return Outcome(credential, changed=not credential.is_active)
    credential = Credential(
        provider=provider,
        label=label,
        secret=key,
        last_four=key[-4:] if len(key) >= LEAST_SHOWN_OF else "",
        weight=weight,
    )
    _save(credential)
    after = {"provider": provider.slug, "label": label, "weight": weight}
    trail.record("credential.added", source=source, target=credential, after=after, reason=reason)
    return Outcome(credential, made=True)


@transaction.atomic
def set_credential_active(
    credential: Credential, *, active: bool, source: trail.Source, reason: str = ""
) -> Credential:
    """Put a key to work, or take it off work."""
    Credential.objects.filter(pk=credential.pk).update(is_active=active)
    action = "credential.switched_on" if active else "credential.switched_off"
    trail.record(action, source=source, target=credential, reason=reason)
    return Credential.objects.get(pk=credential.pk)


@transaction.atomic
def change_credential(
    credential: Credential, *, changes: Mapping[str, Any], source: trail.Source, reason: str = ""
) -> Credential:
    """Change the label or the weight of a key."""
    credential = Credential.objects.select_for_update().get(pk=credential.pk)
    before = {name: getattr(credential, name) for name in changes}
    for name, value in changes.items():
        setattr(credential, name, value)
    _save(credential)
    trail.record(
        "credential.changed", source=source, target=credential, before=before, after=dict(changes), reason=reason
    )
    return credential


def _retire_keys(provider: Provider, source: trail.Source) -> None:
    """Keys belong to the address they were given for."""
    for credential in provider.credentials.filter(is_active=True) if provider.pk else ():
        set_credential_active(credential, active=False, source=source, reason="the account's address has changed")


def adopt_environment(keys: Mapping[str, str], *, source: trail.Source) -> list[Provider]:
    """Turn the keys of the environment into credentials of the accounts they are for; a changed key follows."""
    adopted = []
    for slug, key in keys.items():
        provider = Provider.objects.filter(slug=slug, is_sandbox=False).first()
        if provider is None:
            continue
        outcome = add_credential(provider=provider, key=key, source=source, label=ENVIRONMENT)
        for former in provider.credentials.filter(label=ENVIRONMENT, is_active=True).exclude(pk=outcome.row.pk):
            set_credential_active(former, active=False, source=source, reason="the environment has another key now")
        adopted.append(provider)
    return adopted


def has_real_credential() -> bool:
    """Whether anything can be bought for real money; the payment sandbox asks before it takes play money."""
    return Credential.objects.filter(is_active=True, provider__is_active=True, provider__is_sandbox=False).exists()


# --- Models and routes ------------------------------------------------------------------------------------------------


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
    model, made = AIModel.objects.select_for_update().get_or_create(slug=slug, defaults={"name": slug, **_fit(facts)})
    changed = False
    if made:
        _clean(model)
        trail.record("model.added", source=source, target=model, after={"slug": slug, **facts})
    else:
        changed = _change_model(model, {**facts, "alias_of": None, "is_active": True, "retired_on": None}, source)
    route, is_new = Route.objects.get_or_create(
        model=model, provider=provider, upstream_model=upstream, defaults={"is_price_pinned": True}
    )
    if is_new:
        _clean(route)
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


def _clean(row: Any) -> None:
    try:
        row.full_clean()
    except ValidationError as error:
        raise SupplyRefused(" ".join(error.messages)) from error


def _change_model(model: AIModel, facts: Mapping[str, Any], source: trail.Source) -> bool:
    wanted = _fit(facts) | {"alias_of": None, "retired_on": None}
    before = {name: getattr(model, name) for name, value in wanted.items() if getattr(model, name) != value}
    if not before:
        return False
    for name in before:
        setattr(model, name, wanted[name])
    _save(model)
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
