"""What analytics does in the background; each task opens a door to its room and may run any number of times."""

from pathlib import Path
from typing import Any

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from accounts.models import Organization
from analytics import alarms, archive, experiments, rollups, statements
from billing.models import Experiment
from plumbing import locks

LEASE_S = 600.0
MENDED_DAYS = 3


@shared_task(name="analytics.roll_up")
def roll_up(**_: Any) -> int:
    """Roll what came since the last run; the lease only saves a second worker the same work."""
    try:
        with locks.lease("analytics.roll_up", LEASE_S):
            return rollups.roll_recent(now=timezone.now()).total
    except locks.NotHeld:
        return 0


@shared_task(name="analytics.mend_rollups")
def mend_rollups(*, days: int = MENDED_DAYS, **_: Any) -> int:
    """Compare the hours of the last days with their calls, and roll again those that differ."""
    return len(rollups.mend(now=timezone.now(), days=days))


@shared_task(name="analytics.look_for_alarms")
def look_for_alarms(**_: Any) -> int:
    """Find what loses money, and tell what is new; then end experiments that are over or go badly."""
    now = timezone.now()
    found = len(alarms.look(now=now))
    for experiment in Experiment.objects.filter(stopped_at__isnull=True, starts_at__lte=now):
        experiments.stop_if_due(experiment, now=now)
    return found


@shared_task(name="analytics.archive_old_calls")
def archive_old_calls(**_: Any) -> int:
    """Write months that are older than what is kept to files, and drop them; only where the settings say how many."""
    if not settings.CALLS_KEPT_MONTHS:
        return 0
    now = timezone.now()
    months = archive.due(now=now, keep_months=settings.CALLS_KEPT_MONTHS)
    for month in months:
        archive.archive(month, folder=Path(settings.ARCHIVE_DIR), now=now)
        archive.drop(month, now=now)
    return len(months)


@shared_task(name="analytics.fold_all_statements")
def fold_all_statements(**_: Any) -> int:
    """Add up everybody's months, so that a page never has more than a day to add."""
    organizations = Organization.objects.order_by("pk").iterator()
    return sum(statements.fold(organization) for organization in organizations)
