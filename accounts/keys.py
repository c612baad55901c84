"""Mint, hash, find, rotate and revoke API keys.

Promise: a secret is shown once, by ``create`` and ``rotate``, and is nowhere afterwards; what is stored is a keyed hash
(HMAC-SHA-256 with the installation's pepper), the visible beginning and the last four. A typo is refused by checksum
without a query. Every change announces ``access_changed`` in its own transaction, so it holds at the next call.
A child is never wider than its maker: not than the maker's role, and not than the key it was asked with.

A secret reads ``sk-<prefix>-[mgmt-|op-]<27 base-62 characters = 160 bits><6 characters of CRC-32>``.
"""

import hmac
import re
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Case, Q, Value, When

from accounts import networks, patterns, reach, roles, scopes, trail
from accounts.models import ApiKey, Membership, Organization, Role, Storefront, User
from accounts.models.keys import KeyKind
from accounts.roles import Permission
from accounts.scopes import OperatorScope
from accounts.signals import access_changed
from plumbing.refusals import Refusal
from plumbing.text import NotOneLine, one_line

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
BODY_LENGTH = 27  # 62^27 > 2^160
CHECK_LENGTH = 6  # 62^6 > 2^32
MARKS = {KeyKind.INFERENCE: "", KeyKind.MANAGEMENT: "mgmt-", KeyKind.OPERATOR: "op-"}
SHAPE = re.compile(rf"sk-[a-z0-9]{{2,12}}-(?:mgmt-|op-)?[0-9A-Za-z]{{{BODY_LENGTH + CHECK_LENGTH}}}\Z")
TEST = "TEST"  # what a first try by hand sends; it is a key outside production only
TEST_BOUNDS = {"allowed_models": ["sandbox-*"], "allowed_networks": ["127.0.0.0/8", "::1/128"]}
LONGEST_OVERLAP = timedelta(days=30)
LONGEST_LABEL = 80
MOST_LIVING_KEYS = 1000
USE_NOTED_EVERY = timedelta(minutes=1)
USES_IN_A_STATEMENT = 200  # each names a key, a moment and an address, and SQLite takes a thousand names


class KeyRefused(Refusal, ValueError):
    """What was asked of a key cannot be; the sentence says why (409)."""

    code = "key_refused"


class WiderThanMaker(Refusal, PermissionError):
    """The key would be allowed more than whoever makes it (403)."""

    status = 403
    code = "wider_than_maker"


@dataclass(frozen=True, slots=True)
class MintedKey:
    """A key with its secret, for the one moment it may be seen."""

    key: ApiKey
    secret: str


def well_formed(secret: str) -> bool:
    """Whether the shape and the checksum are right; costs no query."""
    if secret == TEST:
        return bool(settings.SANDBOX)
    if not SHAPE.match(secret):
        return False
    return hmac.compare_digest(secret[-CHECK_LENGTH:], _checksum(secret[:-CHECK_LENGTH]))


def hashes(secret: str) -> list[str]:
    """The stored forms this secret may have, newest pepper first."""
    return [hmac.digest(pepper.encode(), secret.encode(), "sha256").hex() for pepper in settings.API_KEY_PEPPERS]


def with_secrets(candidates: set[str]) -> dict[str, ApiKey]:
    """Every key, living or ended, that has one of these secrets; what is not well-formed costs no query."""
    by_hash = {hashed: secret for secret in candidates if well_formed(secret) for hashed in hashes(secret)}
    if not by_hash:
        return {}
    found = ApiKey.unscoped.filter(secret_hash__in=by_hash).select_related(
        "organization__storefront", "storefront", "created_by"
    )
    return {by_hash[key.secret_hash]: key for key in found}


def usable(now: datetime) -> Q:
    """The condition under which a key opens anything."""
    return Q(revoked_at__isnull=True, disabled_at__isnull=True) & (Q(expires_at__isnull=True) | Q(expires_at__gt=now))


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), CHECK_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(BASE62[digit])
    return "".join(reversed(digits))


def _new_secret(prefix: str, kind: KeyKind) -> str:
    start = f"sk-{prefix}-{MARKS[kind]}{_base62(secrets.randbits(160), BODY_LENGTH)}"
    return start + _checksum(start)


def _visible_start(secret: str, prefix: str, kind: KeyKind) -> str:
    return secret[: len(f"sk-{prefix}-{MARKS[kind]}") + 3]


@transaction.atomic
def create(
    *,
    organization: Organization | None,
    storefront: Storefront | None,
    made_by: User,
    kind: KeyKind,
    label: str,
    source: trail.Source,
    **bounds: Any,
) -> MintedKey:
    """Mint a key. ``bounds`` are the row's own fields: scopes, models, networks, caps, limits, expiry.

    A management key asked for without naming scopes gets all its maker's role can give; it shrinks with that role.
    """
    shop = organization.storefront if organization else storefront
    prefix = shop.key_prefix if shop else "tg"
    secret = _new_secret(prefix, kind)
    key = ApiKey(
        organization=organization,
        storefront=None if organization else storefront,
        created_by=made_by,
        kind=kind,
        label=label,
        secret_hash=hashes(secret)[0],
        visible_start=_visible_start(secret, prefix, kind),
        last_four=secret[-4:],
        **bounds,
    )
    role = _maker_role(key)
    if "scopes" not in bounds:
        key.scopes = _every_scope(kind, role)
    _check(key, role, source)
    if organization and organization.api_keys.filter(revoked_at__isnull=True).count() >= MOST_LIVING_KEYS:
        message = f"{MOST_LIVING_KEYS} keys are the most an organization can have; revoke some first."
        raise KeyRefused(message)
    key.save(force_insert=True)
    _tell(key, "key.created", source, after={"kind": kind, "label": key.label, "scopes": key.scopes, **bounds})
    return MintedKey(key, secret)


@transaction.atomic
def open_test_key(*, organization: Organization, made_by: User, source: trail.Source) -> ApiKey | None:
    """Let ``Bearer TEST`` open the sandbox's models from this machine, where there is a sandbox; once."""
    if not settings.SANDBOX or ApiKey.unscoped.filter(secret_hash__in=hashes(TEST)).exists():
        return None
    minted = create(
        organization=organization,
        storefront=None,
        made_by=made_by,
        kind=KeyKind.INFERENCE,
        label="TEST, for the sandbox",
        source=source,
        **TEST_BOUNDS,
    )
    shown = {"secret_hash": hashes(TEST)[0], "visible_start": TEST, "last_four": TEST}
    ApiKey.unscoped.filter(pk=minted.key.pk).update(**shown)
    return minted.key


def _maker_role(key: ApiKey) -> Role | None:
    """The current role of the key's maker in its organization; None for operator keys, whose makers are staff."""
    if key.organization is None:
        if not operates(key.created_by, key.storefront):
            message = "Only the staff make operator keys."
            raise WiderThanMaker(message)
        return None
    membership = Membership.objects.of(key.organization).filter(user=key.created_by).first()
    if membership is None or Permission.MAKE_KEYS not in roles.GRANTED[Role(membership.role)]:
        message = "Your role here does not make keys."
        raise WiderThanMaker(message)
    return Role(membership.role)


def operates(user: User, storefront: Storefront | None) -> bool:
    """Whether this person runs the platform, or (with the right to change things) this storefront."""
    if not user.is_active:
        return False
    if user.is_staff:
        return True
    return storefront is not None and user.storefront_jobs.filter(storefront=storefront, can_change=True).exists()


def _every_scope(kind: KeyKind, role: Role | None) -> list[str]:
    if kind == KeyKind.MANAGEMENT and role is not None:
        return scopes.within_role(role)
    return [scope.value for scope in OperatorScope] if kind == KeyKind.OPERATOR else []


def _check(key: ApiKey, role: Role | None, source: trail.Source) -> None:
    """Clean what the row says and refuse what reaches further than its maker."""
    key.label = _clean_label(key.label)
    key.scopes = scopes.clean(KeyKind(key.kind), key.scopes)
    key.allowed_models = patterns.clean(key.allowed_models)
    key.allowed_networks = networks.clean(key.allowed_networks)
    key.full_clean(exclude=["replaces"])
    if source.impersonation is not None:
        message = "A visit by staff cannot make or change keys."
        raise WiderThanMaker(message)
    if role is not None and (beyond := set(key.scopes) - set(scopes.within_role(role))):
        message = f"The maker's role does not reach {', '.join(sorted(beyond))}."
        raise WiderThanMaker(message)
    _within_the_asking_key(key, source)


def _within_the_asking_key(key: ApiKey, source: trail.Source) -> None:
    if source.api_key is not None and (bound := reach.wider(key, source.api_key)):
        message = f"A key cannot make or open one that is wider than itself; {bound} reaches further."
        raise WiderThanMaker(message)


def _clean_label(label: str) -> str:
    try:
        return one_line(label, longest=LONGEST_LABEL)
    except NotOneLine as error:
        raise ValidationError({"label": str(error)}) from error


@transaction.atomic
def rotate(key: ApiKey, *, overlap: timedelta, now: datetime, made_by: User, source: trail.Source) -> MintedKey:
    """Mint a successor with the same bounds; the old key works until the overlap ends."""
    if overlap < timedelta(0) or overlap > LONGEST_OVERLAP:
        message = "The overlap must be between nothing and 30 days."
        raise KeyRefused(message)
    key = ApiKey.unscoped.select_for_update(of=("self",)).get(pk=key.pk)
    if key.revoked_at or (key.expires_at and key.expires_at <= now):
        message = "This key has ended; make a new one instead of rotating it."
        raise KeyRefused(message)
    if ApiKey.unscoped.filter(replaces=key).exists():
        message = "This key was rotated already; rotate its successor."
        raise KeyRefused(message)
    minted = create(
        organization=key.organization,
        storefront=key.storefront,
        made_by=made_by,
        kind=KeyKind(key.kind),
        label=key.label,
        source=source,
        replaces=key,
        **{name: getattr(key, name) for name in reach.COMPARED},
    )
    ends_at = now + overlap
    key.expires_at = min(key.expires_at, ends_at) if key.expires_at else ends_at
    key.save(update_fields=["expires_at"])
    _tell(key, "key.rotated", source, after={"expires_at": key.expires_at})
    return minted


@transaction.atomic
def set_enabled(key: ApiKey, *, enabled: bool, now: datetime, source: trail.Source, reason: str = "") -> None:
    """Switch a key off for a while, or on again; what is so already stays so."""
    living = ApiKey.unscoped.filter(pk=key.pk, revoked_at__isnull=True)
    if not living.exists():
        message = "This key was revoked; that is for good."
        raise KeyRefused(message)
    if enabled:
        _within_the_asking_key(key, source)
    if not living.filter(disabled_at__isnull=not enabled).update(disabled_at=None if enabled else now):
        return
    before = {"disabled_at": key.disabled_at}
    key.disabled_at = None if enabled else now
    after = {"disabled_at": key.disabled_at}
    _tell(key, "key.enabled" if enabled else "key.disabled", source, before=before, after=after, reason=reason)


@transaction.atomic
def revoke(key: ApiKey, *, now: datetime, source: trail.Source, reason: str = "") -> bool:
    """End a key for good; a second time changes nothing and returns False."""
    if not ApiKey.unscoped.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=now):
        return False
    key.revoked_at = now
    _tell(key, "key.revoked", source, before={"revoked_at": None}, after={"revoked_at": now}, reason=reason)
    return True


@transaction.atomic
def update(key: ApiKey, *, source: trail.Source, **changes: Any) -> None:
    """Change a living key's label or bounds."""
    current = ApiKey.unscoped.select_for_update(of=("self",)).get(pk=key.pk)
    if current.revoked_at:
        message = "This key was revoked; nothing about it changes any more."
        raise KeyRefused(message)
    before = {name: getattr(current, name) for name in changes}
    gains = not set(scopes.clean(KeyKind(key.kind), changes.get("scopes", current.scopes))) <= set(current.scopes)
    for name, value in changes.items():
        setattr(current, name, value)
    _check(current, _maker_role(current) if gains else None, source)
    current.save(update_fields=list(changes))
    after = {name: getattr(current, name) for name in changes}
    for name, value in after.items():
        setattr(key, name, value)
    _tell(current, "key.changed", source, before=before, after=after)


def note_use(key: ApiKey, *, ip_address: str, now: datetime) -> None:
    """Remember when and from where a key was last used, at most once a minute."""
    if key.last_used_at is None or now - key.last_used_at >= USE_NOTED_EVERY:
        ApiKey.unscoped.filter(pk=key.pk).update(last_used_at=now, last_used_ip=ip_address)


class Use(NamedTuple):
    """When and from where."""

    at: datetime
    ip_address: str


def note_uses(uses: Mapping[int, Use]) -> None:
    """Remember the last uses of many keys, by their ids, in one statement for each few hundred."""
    noted = list(uses.items())
    for start in range(0, len(noted), USES_IN_A_STATEMENT):
        some = noted[start : start + USES_IN_A_STATEMENT]
        ApiKey.unscoped.filter(pk__in=[key for key, _ in some]).update(
            last_used_at=Case(*(When(pk=key, then=Value(use.at)) for key, use in some)),
            last_used_ip=Case(
                *(When(pk=key, then=Value(use.ip_address)) for key, use in some),
                output_field=ApiKey._meta.get_field("last_used_ip"),
            ),
        )


def _tell(
    key: ApiKey,
    action: str,
    source: trail.Source,
    *,
    reason: str = "",
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    trail.record(action, source=source, target=key, before=before or {}, after=after or {}, reason=reason)
    if key.organization_id:
        access_changed.send(sender=ApiKey, organization=key.organization)
