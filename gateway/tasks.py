"""Queued work of the gateway."""

from celery import shared_task
from django.db import connection
from django.utils import timezone

from gateway import partitions


@shared_task(name="gateway.make_months")
def make_months() -> None:
    """Make the months of calls ahead of time."""
    partitions.make_ahead(connection, now=timezone.now())
