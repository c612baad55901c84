"""What analytics does in the background; each task opens a door to its room and may run any number of times."""

from pathlib import Path
from typing import Any

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from analytics import archive, rollups
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
