"""Celery's beat, in one place: as many as you like may run, the one that holds the lease sends.

Promise: while the holder lives, nobody else sends the schedule; when it dies another takes over within ``TTL_S``. A
hand-over may send an entry twice, which every task bears.
"""

import secrets
import time
from typing import Any

import structlog
from celery.beat import PersistentScheduler
from django.db import DatabaseError, close_old_connections

from plumbing import locks

log = structlog.get_logger(__name__)

NAME = "beat"
TTL_S = 30.0
RENEWED_EVERY_S = 10.0


class LeasedScheduler(PersistentScheduler):
    """The ordinary scheduler, ticking only while it holds the lease."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._holder = secrets.token_hex(8)
        self._held_until = 0.0
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due, or wait for the lease."""
        if not self._leads():
            return RENEWED_EVERY_S
        return min(float(super().tick(*args, **kwargs)), RENEWED_EVERY_S)

    def close(self) -> None:
        if self._held_until:
            try:
                locks.release(NAME, holder=self._holder)
            except DatabaseError:
                log.warning("beat_lease_not_released")  # it ends by itself
            self._held_until = 0.0
        super().close()

    def _leads(self) -> bool:
        if time.monotonic() < self._held_until - (TTL_S - RENEWED_EVERY_S):
            return True
        close_old_connections()
        asked_at = time.monotonic()
        try:
            held = locks.acquire(NAME, holder=self._holder, ttl_s=TTL_S)
        except DatabaseError:
            log.warning("beat_lease_unreachable")
            held = False
        if held and not self._held_until:
            log.info("beat_leads")
        self._held_until = asked_at + TTL_S if held else 0.0
        return held
