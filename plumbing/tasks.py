"""What plumbing does in the background; each task opens a door to its room and may run any number of times."""

from typing import Any

from celery import shared_task
from django.utils import timezone

from plumbing import outbox


@shared_task(name="plumbing.drain_outbox")
def drain_outbox(*_: Any, **__: Any) -> int:
    """The doorbell rang: handle what is due, and ring again rather than keep a worker for long."""
    handled = outbox.drain()
    if outbox.is_due(now=timezone.now()):
        outbox.ring()
    return handled


@shared_task(name="plumbing.sweep_outbox")
def sweep_outbox(*_: Any, **__: Any) -> int:
    """Take what the doorbell forgot."""
    return int(drain_outbox())


@shared_task(name="plumbing.forget_outbox")
def forget_outbox(*_: Any, **__: Any) -> int:
    """Drop messages handled long ago."""
    return outbox.forget(now=timezone.now())
