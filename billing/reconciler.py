"""What webhooks missed: on a schedule, the provider's own list of payments is compared with ours.

Promise: it only finds; what it found goes through the same checks as every webhook. It asks for a window that overlaps
the last one, settles each payment in a transaction of its own, and one that fails never stops its neighbours.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.db.models import Q

from accounts.models import Storefront
from billing import settling, topups
from billing.models import InboxEvent, Payment, PaymentAccount, Reversal, TopUp
from billing.models.payments import UNDER_WAY
from billing.payments import registry
from billing.payments.driver import NotConfigured, ProviderAccount
from billing.payments.facts import Came, Fact, Look, Paid, TakenBack
from plumbing.refusals import Refusal

log = structlog.get_logger(__name__)
WINDOW = timedelta(days=3)  # as long as Stripe tries to deliver
GRACE = timedelta(minutes=2)
OPEN_FOR = timedelta(days=8)
SLICE = 200


@dataclass(slots=True)
class Found:
    """What one run saw."""

    payments: int = 0
    missed: int = 0
    failed: int = 0
    events: int = 0


def run(*, now: datetime, since: datetime | None = None) -> Found:
    """Compare every account we use with our rows."""
    found = Found()
    for account in _accounts():
        try:
            for facts in registry.driver(account.method).listed(account, since=since or now - WINDOW):
                _compare(account, facts, found, now)
        except Refusal as refusal:
            found.failed += 1
            log.warning("reconciler_could_not_ask", account=account.name, error=refusal.sentence)
    _look_at_open_orders(found, now)
    found.events = _forgotten_events(now)
    return found


def _accounts() -> Iterator[ProviderAccount]:
    shop = Storefront.objects.filter(is_default=True).first()
    if shop is not None:
        try:
            platform = registry.own_or_platform(shop, registry.DEFAULT)
        except NotConfigured:
            pass
        else:
            yield platform
    for row in PaymentAccount.objects.filter(is_active=True, storefront__is_default=False).select_related("storefront"):
        yield registry.account_named(row.storefront, row.method, row.public_id)


def _compare(account: ProviderAccount, facts: list[Fact], found: Found, now: datetime) -> None:
    found.payments += 1
    if all(_known(account, fact) for fact in facts):
        return
    try:
        with transaction.atomic():
            outcome = settling.apply(account, facts, now=now)
    except Exception as error:
        found.failed += 1
        log.exception("reconciler_failed", account=account.name, error_class=type(error).__name__)
        return
    if outcome in {settling.CREDITED, settling.REVERSED, settling.MISMATCHED}:
        found.missed += 1
        log.warning("reconciler_found", account=account.name, outcome=outcome)


def _known(account: ProviderAccount, fact: Fact) -> bool:
    """Whether the fact would change nothing; cheap, so that an ordinary run writes nothing at all."""
    here = {"method": account.method, "account": account.name}
    if isinstance(fact, Paid):
        return fact.came != Came.PAID or Payment.unscoped.filter(**here, outside_id=fact.payment_id).exists()
    if isinstance(fact, TakenBack):
        return Reversal.objects.filter(**here, outside_id=fact.outside_id, state=fact.state).exists()
    return isinstance(fact, Look) and not fact.payment_id


def _look_at_open_orders(found: Found, now: datetime) -> None:
    """Orders that wait: the provider may have closed, failed or given them away for nothing."""
    waiting = (
        TopUp.unscoped.filter(Q(looked_at=None) | Q(looked_at__lt=now - GRACE * 10), state__in=UNDER_WAY)
        .filter(created_at__lt=now - GRACE, created_at__gt=now - OPEN_FOR)
        .exclude(session_id=None, payment_id=None)
        .select_related("organization__storefront")
        .order_by("looked_at", "id")[:SLICE]
    )
    for order in waiting:
        try:
            topups.look(order, now=now)
        except Refusal as refusal:
            found.failed += 1
            log.warning("reconciler_could_not_look", order=order.public_id, error=refusal.sentence)


def _forgotten_events(now: datetime) -> int:
    """Events kept and not handled for long; the outbox has them or has parked them, so this is only a number."""
    return InboxEvent.objects.filter(handled_at=None, received_at__lt=now - timedelta(hours=1)).count()
