"""Reports of leaked keys, in the format of GitHub's secret-scanning partners.

Promise: nothing is believed without the partner's signature over the raw body; a believed report revokes each key it
names in one transaction, leaves a trail, and writes to the owners once, however often it is sent. The answer labels
each token without repeating it.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.db import transaction

from accounts import keys, letters, trail
from accounts.models import ApiKey, Role, Storefront
from plumbing.refusals import Refusal

MOST_RECORDS = 1000
LONGEST_SIGNATURE = 200
PEM_END = "-----END PUBLIC KEY-----"


class NotConfigured(Refusal, RuntimeError):
    """No partner's key is configured, so no report can be checked (503)."""

    status = 503
    code = "not_configured"


class BadSignature(Refusal, ValueError):
    """The report is not signed by the partner (400)."""

    status = 400
    code = "bad_signature"


@dataclass(frozen=True, slots=True)
class Report:
    """One token somebody found in public."""

    token: str
    kind: str
    url: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What we say to a report: whether the token ever was a key of ours. The token itself is named by its hash."""

    token_hash: str
    token_type: str
    label: str


def verify(body: bytes, *, key_id: str, signature: str, public_keys: str) -> None:
    """Raise unless one of the partner's public keys (PEM, P-256) signed exactly these bytes."""
    if not public_keys.strip():
        message = "Reports of leaked keys are not taken here: no partner's public key is configured."
        raise NotConfigured(message)
    if not key_id or not signature or len(signature) > LONGEST_SIGNATURE:
        message = "The headers Github-Public-Key-Identifier and Github-Public-Key-Signature are needed."
        raise BadSignature(message)
    try:
        raw = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError) as error:
        message = "The signature is not base64."
        raise BadSignature(message) from error
    if not any(_signed(body, raw, key) for key in _read(public_keys)):
        message = "The signature does not fit this body."
        raise BadSignature(message)


def _read(public_keys: str) -> list[ec.EllipticCurvePublicKey]:
    blocks = [block.strip() + "\n" + PEM_END for block in public_keys.split(PEM_END) if block.strip()]
    try:
        loaded = [serialization.load_pem_public_key(block.encode()) for block in blocks]
    except ValueError as error:
        message = "Reports of leaked keys are not taken here: SECRET_SCANNING_PUBLIC_KEY is not a public key in PEM."
        raise NotConfigured(message) from error
    return [key for key in loaded if isinstance(key, ec.EllipticCurvePublicKey)]


def _signed(body: bytes, signature: bytes, key: ec.EllipticCurvePublicKey) -> bool:
    try:
        key.verify(signature, body, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


@transaction.atomic
def handle(reports: list[Report], *, source: trail.Source, now: datetime) -> list[Finding]:
    """Revoke what is ours, write to whom it belongs, and say of each token whether it was ours."""
    found = keys.with_secrets({report.token for report in reports})
    places = {report.token: report.url for report in reversed(reports)}
    for token, key in found.items():
        place = "".join(character for character in places[token] if character.isprintable())[:160]
        if keys.revoke(key, now=now, source=source, reason=f"found in public: {place}"):
            _warn(key, place, now)
    return [
        Finding(
            token_hash=hashlib.sha256(report.token.encode()).hexdigest(),
            token_type=report.kind,
            label="true_positive" if report.token in found else "false_positive",
        )
        for report in reports
    ]


def _warn(key: ApiKey, place: str, now: datetime) -> None:
    storefront = key.organization.storefront if key.organization else key.storefront or _default_storefront()
    if storefront is None:
        return
    letters.send(
        "leaked_key",
        storefront=storefront,
        recipients=_recipients(key),
        context={
            "label": key.label,
            "masked": key.masked,
            "holder": key.organization.name if key.organization else storefront.name,
            "found_at": place,
        },
        key=key.public_id,
        now=now,
    )


def _recipients(key: ApiKey) -> list[str]:
    """The owners of the key's organization and whoever made it, once each."""
    owners = key.organization.memberships.filter(role=Role.OWNER).select_related("user") if key.organization else []
    return list(dict.fromkeys([*(owner.user.email for owner in owners), key.created_by.email]))


def _default_storefront() -> Storefront | None:
    return Storefront.objects.filter(is_default=True).first()
