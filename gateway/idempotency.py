"""Idempotency keys: the same request sent twice is worked and charged once.

Promise: a key belongs to the API key that sent it and is claimed in the very transaction that holds the money, by a
unique row, so of any number of equal requests over any number of processes one is let through. Until that one has ended
the others are told so (409). Afterwards they get its answer again, byte for byte and marked, where the organization
lets us keep answers; else they learn the first call's id (409). A stream is never repeated. A changed body is a
conflict. A call that ended free, because nobody answered or our server died, gives its key back: there a second try is
what the key is for. Keys are kept for ``KEPT``; what is kept of a request is a keyed fingerprint, never its words.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings

from accounts.models import Organization
from billing.operations import Rider
from gateway.callers import Caller, ViewIsStale, epochs_of
from gateway.doorway import Asked, Reply
from gateway.errors import Conflict, InvalidRequest
from gateway.models.calls import CallState
from gateway.models.claims import IdempotencyClaim, KeptAnswer
from plumbing import readers

HEADER = "idempotency-key"
LONGEST_KEY = 255
KEPT = timedelta(hours=24)
WELL_FORMED = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?\Z")
CLAIM_COLUMNS = ("call_id", "organization_id", "api_key_id", "key", "fingerprint", "claimed_at")
ANSWER_COLUMNS = ("call_id", "organization_id", "status", "body", "kept_at")
FREE_ENDS = (CallState.FAILED, CallState.LOST)


class Taken(Exception):
    """Somebody claimed the key a moment earlier; look again."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One key as one request names it."""

    organization: int
    epoch: int
    api_key: int
    key: str
    fingerprint: str
    streamed: bool
    keeps_answer: bool


@dataclass(frozen=True, slots=True)
class Replay:
    """An answer given before."""

    call_id: int
    status: int
    body: bytes


def read(asked: Asked, *, caller: Caller, streamed: bool) -> Claim | None:
    """The claim of a request, if it makes one."""
    key = asked.headers.get(HEADER)
    if key is None:
        return None
    if not WELL_FORMED.match(key) or len(key) > LONGEST_KEY:
        message = f"Idempotency-Key must have 1 to {LONGEST_KEY} printable ASCII characters."
        raise InvalidRequest(message)
    return Claim(
        organization=caller.organization,
        epoch=caller.epoch,
        api_key=caller.key,
        key=key,
        fingerprint=_fingerprint(asked),
        streamed=streamed,
        keeps_answer=caller.keeps_content,
    )


def _fingerprint(asked: Asked) -> str:
    """Tells whether a body is the same without keeping any of it; keyed, so that short bodies cannot be guessed."""
    pepper = hashlib.sha256(settings.SECRET_KEY.encode()).digest()
    front = asked.front
    where = f"{front.dialect} {front.endpoint} {front.model} {front.streamed}\n".encode()
    return hmac.new(pepper, where + asked.body, hashlib.sha256).hexdigest()


async def first(claim: Claim) -> Replay | None:
    """Let the first of its kind through (None); give a later one the answer, or a conflict that says why not."""
    return await readers.read(weigh, claim, now=datetime.now(UTC))


def again(before: Replay) -> Reply:
    """An answer given before, marked."""
    headers = (
        ("content-type", "application/json"),
        ("x-call-id", str(before.call_id)),
        ("idempotency-replayed", "true"),
    )
    return Reply(before.status, headers, before.body)


def weigh(claim: Claim, *, now: datetime) -> Replay | None:
    """Compare a claim with what stands under its key."""
    organization = Organization.objects.get(pk=claim.organization)
    standing = IdempotencyClaim.objects.of(organization).filter(api_key_id=claim.api_key, key=claim.key)
    found = standing.first()
    if found is None:
        return None
    if epochs_of([claim.organization]).get(claim.organization) != claim.epoch:
        raise ViewIsStale  # nothing is reserved here, so nobody else would notice
    call = found.call()
    is_over = found.claimed_at <= now - KEPT
    if is_over or (call is not None and call.state in FREE_ENDS):
        standing.filter(call_id=found.call_id).delete()  # by the call's number: a newer claim is not touched
        return None
    if found.fingerprint != claim.fingerprint:
        message = f"This Idempotency-Key was used for another request (call {found.call_id}); use a new one."
        raise Conflict(message)
    if call is None:
        message = f"A request with this Idempotency-Key is still being answered (call {found.call_id})."
        raise Conflict(message, retry_after_s=1)
    return _again(found, claim, organization)


def _again(found: IdempotencyClaim, claim: Claim, organization: Organization) -> Replay:
    if claim.streamed:
        message = f"A stream is not repeated; this Idempotency-Key was answered by call {found.call_id}."
        raise Conflict(message)
    kept = KeptAnswer.objects.of(organization).filter(call_id=found.call_id).first()
    if kept is None:
        message = (
            f"This Idempotency-Key was answered and charged by call {found.call_id}."
            " Its answer was not kept, since this organization stores no content."
        )
        raise Conflict(message)
    return Replay(found.call_id, kept.status, bytes(kept.body))


def claimed(claim: Claim | None, call_id: int) -> tuple[Rider, ...]:
    """The row that rides with the reserve."""
    if claim is None:
        return ()
    row = (call_id, claim.organization, claim.api_key, claim.key, claim.fingerprint, datetime.now(UTC))
    return (Rider("gateway_idempotencyclaim", CLAIM_COLUMNS, [row]),)


def answered(claim: Claim | None, call_id: int, end: Any) -> tuple[Rider, ...]:
    """The answer that rides with the settlement, where it may be kept."""
    if claim is None or not claim.keeps_answer or claim.streamed or end.answer is None:
        return ()
    row = (call_id, claim.organization, end.status, end.answer, datetime.now(UTC))
    return (Rider("gateway_keptanswer", ANSWER_COLUMNS, [row]),)


def forget_answers(organization: Organization) -> int:
    """Forget what is kept of an organization's answers now, and not only when their day is over."""
    return int(KeptAnswer.objects.of(organization).delete()[0])
