"""What the desk does in the background; may run any number of times."""

from typing import Any

from celery import shared_task
from django.utils import timezone

from analytics import reports
from desk import mailed
from desk.models import MailedReport


@shared_task(name="desk.send_reports")
def send_reports(**_: Any) -> int:
    """Send the reports whose days are over, once the calls of their last hours are folded in."""
    now = timezone.now()
    if not MailedReport.objects.exists():
        return 0
    reports.fresh(now=now)
    return mailed.send_due(now=now)
