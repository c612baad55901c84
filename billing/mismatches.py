"""The queue of what does not fit: money that came and was not credited, until a person has looked.

Promise: the same trouble with the same payment waits once, its news rings an alarm once, and a replay goes through the
same checks as the first time; resolving one by hand moves no money by itself.
"""

from datetime import datetime
from typing import Any

from django.db import transaction

from accounts import trail
from accounts.models import Storefront
from billing import alarms, flight
from billing.models import InboxEvent, Mismatch, TopUp
from billing.payments.driver import ProviderAccount
from plumbing.refusals import Refusal


class AlreadyResolved(Refusal):
    """Somebody was faster."""


def note(  # noqa: PLR0913 - the columns of a row, by name
    *,
    what: str,
    sentence: str,
    outside_id: str,
    account: ProviderAccount,
    top_up: TopUp | None,
    event: InboxEvent | None,
    expected: dict[str, Any],
    found: dict[str, Any],
    now: datetime,
) -> Mismatch:
    """Put it into the queue, once."""
    storefront = top_up.organization.storefront if top_up else Storefront.objects.get(pk=account.storefront_id)
    row, made = Mismatch.objects.get_or_create(
        method=account.method,
        account=account.name,
        outside_id=outside_id,
        what=what,
        resolved_at=None,
        defaults={
            "storefront": storefront,
            "sentence": sentence,
            "top_up": top_up,
            "event": event,
            "expected": _plain(expected),
            "found": _plain(found),
            "created_at": now,
        },
    )
    if made:
        flight.record(
            flight.MISMATCH,
            what,
            now=now,
            top_up=top_up,
            storefront_id=storefront.pk,
            outside_id=outside_id,
            outcome="queued",
            sentence=sentence,
        )
        alarms.ring(
            "A payment does not fit our books",
            storefront=storefront,
            sentence=sentence,
            reference=outside_id,
            key=row.public_id,
            now=now,
        )
    return row


@transaction.atomic
def resolve(mismatch: Mismatch, *, source: trail.Source, resolution: str, now: datetime) -> None:
    """Close it: a person has seen to it."""
    row = Mismatch.objects.select_for_update().get(pk=mismatch.pk)
    if row.resolved_at is not None:
        message = "This was resolved already."
        raise AlreadyResolved(message)
    row.resolved_at, row.resolved_by, row.resolution = now, source.user, resolution[:200]
    row.save(update_fields=["resolved_at", "resolved_by", "resolution"])
    trail.record("mismatch.resolved", source=source, target=row, storefront=row.storefront, reason=resolution)


def replay(mismatch: Mismatch, *, source: trail.Source, reason: str, now: datetime) -> str:
    """Handle its event again, through the same checks; if it fits now, the mismatch is resolved."""
    from billing import inbox  # the inbox imports settling, which notes mismatches here

    if mismatch.event is None:
        message = "No event is kept for this one; ask the provider from its top-up instead."
        raise AlreadyResolved(message)
    outcome = inbox.settle(mismatch.event, now=now)
    trail.record("mismatch.replayed", source=source, target=mismatch, storefront=mismatch.storefront, reason=reason)
    if outcome != "mismatch":
        resolve(mismatch, source=source, resolution=f"replayed: {outcome}", now=now)
    return outcome


def _plain(words: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in words.items()}
