"""Queued work of the gateway."""

import logging
from typing import Any

from celery import shared_task
from django.db import connection
from django.utils import timezone

from accounts import trail
from gateway import catalog, partitions, repricing
from gateway.idempotency import KEPT
from gateway.models import IdempotencyClaim, KeptAnswer
from plumbing import change_marks

log = logging.getLogger(__name__)


@shared_task(name="gateway.make_months")
def make_months() -> None:
    """Make the months of calls ahead of time, and sweep the mark of the catalogue while at it."""
    partitions.make_ahead(connection, now=timezone.now())
    change_marks.trim(catalog.MARK)


@shared_task(name="gateway.refresh_prices")
def refresh_prices(**_: Any) -> int:
    """Ask the price lists; what they say beyond the rails waits for a person."""
    done = repricing.refresh(now=timezone.now(), source=trail.SYSTEM)
    for name, why in done.untold.items():
        log.warning("no price for %s: %s", name, why)
    return len(done.published) + len(done.proposed)


@shared_task(name="gateway.forget_claims")
def forget_claims(**_: Any) -> int:
    """Forget idempotency keys, and what was answered to them, when their day is over."""
    over = timezone.now() - KEPT
    forgotten, _each = IdempotencyClaim.unscoped.filter(claimed_at__lt=over).delete()
    KeptAnswer.unscoped.filter(kept_at__lt=over).delete()
    return forgotten
