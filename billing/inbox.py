"""The inbox of the outside world: each event of a provider kept once, answered at once, handled once.

Promise: nothing is stored that was not verified on its raw bytes; the event and its errand (an outbox row) are one
transaction, so what was answered with 200 is never forgotten; handling is one transaction together with the credit it
causes. A handler that fails is tried again with growing waits, and one that keeps failing is parked and rings an alarm.
"""

from collections.abc import Mapping
from datetime import datetime

import structlog
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts import trail
from accounts.models import Storefront
from billing import alarms, settling
from billing.models import InboxEvent
from billing.payments import registry
from plumbing import outbox

log = structlog.get_logger(__name__)
TOPIC = "billing.inbox"
TRIES = 12
LARGEST_BODY = 262_144


def receive(storefront: Storefront, method: str, *, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
    """Verify and keep one delivery; one that was here before changes nothing. Raises what the door must answer."""
    account = registry.own_or_platform(storefront, method)
    received = registry.driver(method).verify(account, headers=headers, body=body, now=now)
    with transaction.atomic():
        event = InboxEvent(
            method=method,
            account=account.name,
            outside_id=received.outside_id,
            name=received.name,
            storefront=storefront,
            body=body,
            verification="signature",
            received_at=now,
        )
        InboxEvent.objects.bulk_create([event], ignore_conflicts=True)
        outbox.add(topic=TOPIC, key=f"{method}:{account.name}:{received.outside_id}")


@outbox.handles(TOPIC, tries=TRIES)
def handle(message: outbox.Message) -> None:
    """Settle what one event says, together with the note that it was."""
    method, account_name, outside_id = message.key.split(":", 2)
    event = InboxEvent.objects.select_related("storefront").get(
        method=method, account=account_name, outside_id=outside_id
    )
    if event.handled_at is not None:
        return
    try:
        settle(event, now=timezone.now())
    except Exception as error:
        _failed(event, error, last=message.tries >= TRIES)
        raise


def settle(event: InboxEvent, *, now: datetime) -> str:
    """One event, one transaction."""
    account = registry.account_named(event.storefront, event.method, event.account)
    facts = registry.driver(event.method).read_webhook(account, bytes(event.body))
    with transaction.atomic():
        outcome = settling.apply(account, facts, now=now, event=event)
        InboxEvent.objects.filter(pk=event.pk).update(
            handled_at=now, outcome=outcome, error="", parked_at=None, attempts=F("attempts") + 1
        )
    return outcome


def replay(event: InboxEvent, *, source: trail.Source, reason: str, now: datetime) -> str:
    """Handle an event again, through the same checks; what it already did is not done twice."""
    trail.record("inbox.replayed", source=source, target=event, storefront=event.storefront, reason=reason)
    return settle(event, now=now)


def _failed(event: InboxEvent, error: Exception, *, last: bool) -> None:
    now = timezone.now()
    sentence = type(error).__name__
    InboxEvent.objects.filter(pk=event.pk).update(
        attempts=F("attempts") + 1, error=sentence, parked_at=now if last else None
    )
    if last:
        with transaction.atomic():
            alarms.ring(
                "A payment event could not be handled",
                storefront=event.storefront,
                sentence=f"{event.name} failed {TRIES} times ({sentence}) and is parked; replay it from the desk.",
                reference=event.outside_id,
                key=f"inbox:{event.pk}",
                now=now,
            )
