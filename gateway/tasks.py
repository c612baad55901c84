"""Queued work of the gateway."""

from typing import Any

from celery import shared_task
from django.db import connection
from django.utils import timezone

from gateway import partitions
from gateway.idempotency import KEPT
from gateway.models import IdempotencyClaim, KeptAnswer


@shared_task(name="gateway.make_months")
def make_months() -> None:
    """Make the months of calls ahead of time."""
    partitions.make_ahead(connection, now=timezone.now())


@shared_task(name="gateway.forget_claims")
def forget_claims(**_: Any) -> int:
    """Forget idempotency keys, and what was answered to them, when their day is over."""
    over = timezone.now() - KEPT
    forgotten, _each = IdempotencyClaim.unscoped.filter(claimed_at__lt=over).delete()
    KeptAnswer.unscoped.filter(kept_at__lt=over).delete()
    return forgotten
