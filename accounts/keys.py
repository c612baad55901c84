"""Mint, hash, find, rotate and revoke API keys.

Promise: a secret is shown once, by ``create`` and ``rotate``, and is nowhere afterwards; what is stored is a keyed hash
(HMAC-SHA-256 with the installation's pepper), the visible beginning and the last four. A typo is refused by checksum
without a query. Every change announces ``access_changed`` in its own transaction, so it holds at the next call.

A secret reads ``sk-<prefix>-[mgmt-|op-]<27 base-62 characters = 160 bits><6 characters of CRC-32>``.
"""

import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from accounts import trail
from accounts.models import ApiKey, Organization, Storefront, User
from accounts.models.keys import KeyKind
from accounts.signals import access_changed

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
BODY_LENGTH = 27  # 62^27 > 2^160
CHECK_LENGTH = 6  # 62^6 > 2^32
MARKS = {KeyKind.INFERENCE: "", KeyKind.MANAGEMENT: "mgmt-", KeyKind.OPERATOR: "op-"}
SHAPE = re.compile(rf"sk-[a-z0-9]{{2,12}}-(?:mgmt-|op-)?[0-9A-Za-z]{{{BODY_LENGTH + CHECK_LENGTH}}}\Z")
LONGEST_OVERLAP = timedelta(days=30)


class KeyRefused(ValueError):
    """What was asked of a key cannot be; the sentence says why."""


@dataclass(frozen=True, slots=True)
class MintedKey:
    """A key with its secret, for the one moment it may be seen."""

    key: ApiKey
    secret: str


def well_formed(secret: str) -> bool:
    """Whether the shape and the checksum are right; costs no query."""
    if not SHAPE.match(secret):
        return False
    return hmac.compare_digest(secret[-CHECK_LENGTH:], _checksum(secret[:-CHECK_LENGTH]))


def hashes(secret: str) -> list[str]:
    """The stored forms this secret may have, newest pepper first."""
    return [
        hmac.new(pepper.encode(), secret.encode(), hashlib.sha256).hexdigest() for pepper in settings.API_KEY_PEPPERS
    ]


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
    """Mint a key. ``bounds`` are the row's own fields: scopes, models, networks, caps, limits, expiry."""
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
    key.full_clean()
    key.save(force_insert=True)
    _tell(key, "key.created", source)
    return MintedKey(key, secret)


@transaction.atomic
def rotate(key: ApiKey, *, overlap: timedelta, now: datetime, made_by: User, source: trail.Source) -> MintedKey:
    """Mint a successor with the same bounds; the old key works until the overlap ends."""
    if overlap < timedelta(0) or overlap > LONGEST_OVERLAP:
        message = "The overlap must be between nothing and 30 days."
        raise KeyRefused(message)
    key = ApiKey.unscoped.select_for_update().get(pk=key.pk)
    if key.revoked_at or (key.expires_at and key.expires_at <= now):
        message = "This key has ended; make a new one instead of rotating it."
        raise KeyRefused(message)
    if ApiKey.unscoped.filter(replaces=key).exists():
        message = "This key was rotated already; rotate its successor."
        raise KeyRefused(message)
    copied = {
        field.attname: getattr(key, field.attname)
        for field in ApiKey._meta.concrete_fields
        if field.name in COPIED_ON_ROTATION
    }
    minted = create(
        organization=key.organization,
        storefront=key.storefront,
        made_by=made_by,
        kind=KeyKind(key.kind),
        label=key.label,
        source=source,
        replaces=key,
        **copied,
    )
    ends_at = now + overlap
    key.expires_at = min(key.expires_at, ends_at) if key.expires_at else ends_at
    key.save(update_fields=["expires_at"])
    _tell(key, "key.rotated", source)
    return minted


@transaction.atomic
def set_enabled(key: ApiKey, *, enabled: bool, now: datetime, source: trail.Source, reason: str = "") -> None:
    """Switch a key off for a while, or on again."""
    before = {"disabled_at": key.disabled_at}
    key.disabled_at = None if enabled else now
    key.save(update_fields=["disabled_at"])
    after = {"disabled_at": key.disabled_at}
    _tell(key, "key.enabled" if enabled else "key.disabled", source, before=before, after=after, reason=reason)


@transaction.atomic
def revoke(key: ApiKey, *, now: datetime, source: trail.Source, reason: str = "") -> None:
    """End a key for good; a second time changes nothing."""
    if not ApiKey.unscoped.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=now):
        return
    key.revoked_at = now
    _tell(key, "key.revoked", source, before={"revoked_at": None}, after={"revoked_at": now}, reason=reason)


@transaction.atomic
def update(key: ApiKey, *, source: trail.Source, **changes: Any) -> None:
    """Change a key's label or bounds."""
    before = {name: getattr(key, name) for name in changes}
    for name, value in changes.items():
        setattr(key, name, value)
    key.full_clean(exclude=["replaces"])
    key.save(update_fields=list(changes))
    _tell(key, "key.changed", source, before=before, after=changes)


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


COPIED_ON_ROTATION = frozenset(
    {
        "scopes",
        "allowed_models",
        "allowed_networks",
        "cap_day_nano",
        "cap_month_nano",
        "cap_total_nano",
        "requests_per_minute",
        "requests_per_hour",
        "requests_per_day",
        "tokens_per_minute",
        "tokens_per_hour",
        "tokens_per_day",
        "concurrent_requests",
    }
)
