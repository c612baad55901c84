"""The accounts we buy from: providers, and the keys they gave us.

Promise: what an operator says twice is done once; a key is checked before it is sealed, is never shown again, and is
only ever sent to the address it was given for (when an account moves to another address, the keys it had are retired);
loopback, private and plain-http addresses come from the command line alone. Every change leaves one line in the trail.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.text import slugify

from accounts import trail
from gateway import kinds, policy, reaching
from gateway.models import Credential, Provider
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
    reason: str = "",
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
        save(provider)
        trail.record("provider.added", source=source, target=provider, after=_told(provider), reason=reason)
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
    save(provider)
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
    check_policy(changes)
    for name, value in changes.items():
        setattr(provider, name, value)
    save(provider)
    after = {name: getattr(provider, name) for name in changes}
    trail.record("provider.changed", source=source, target=provider, before=before, after=after, reason=reason)
    return provider


def save(row: Any) -> None:
    """Write a row that is whole, or say what is wrong with it."""
    try:
        row.full_clean()
    except ValidationError as error:
        raise SupplyRefused(" ".join(error.messages)) from error
    row.save()


def check_policy(changes: Mapping[str, Any]) -> None:
    """Refuse rules that nobody could follow."""
    try:
        if "policy" in changes:
            policy.checked(changes["policy"])
        for name in ("allowed_countries", "refused_countries"):
            policy.countries(changes.get(name) or [])
    except policy.BadRule as error:
        raise SupplyRefused(str(error)) from error


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
    save(credential)
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
    save(credential)
    trail.record(
        "credential.changed", source=source, target=credential, before=before, after=dict(changes), reason=reason
    )
    return credential


def try_credential(credential: Credential, *, source: trail.Source, now: datetime, reason: str = "") -> Credential:
    """Ask the provider whether it takes this key, and keep what came of it beside the key."""
    reached = reaching.reach(credential.provider, credential)
    with transaction.atomic():
        Credential.objects.filter(pk=credential.pk).update(tried_at=now, tried_says=reached.sentence[:300])
        after = {"says": reached.sentence}
        trail.record("credential.tried", source=source, target=credential, after=after, reason=reason)
    return Credential.objects.get(pk=credential.pk)


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
