"""When and from where each key was last used, noted without the call waiting for it.

Promise: a call writes it in memory alone. A thread carries it to the database every ``FLUSH_S``, each key at most once
a minute, all of them in one UPDATE; a process that is killed loses what it had not carried yet, and nothing else.
"""

import asyncio
import logging
from datetime import datetime

from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from accounts import keys
from plumbing import readers

FLUSH_S = 5.0

log = logging.getLogger(__name__)


class Uses:
    """The uses of one process's calls."""

    def __init__(self) -> None:
        self._carried: dict[int, datetime] = {}
        self._waiting: dict[int, keys.Use] = {}
        self._flushing: asyncio.Task[None] | None = None

    def note(self, key: int, *, ip_address: str, now: datetime) -> None:
        """Remember a use; only the first of a minute is carried further."""
        if key not in self._carried:
            self._carried[key] = now
            self._waiting[key] = keys.Use(now, ip_address)

    def start(self) -> None:
        """Begin to carry."""
        self._flushing = asyncio.create_task(self._keep_flushing())

    async def stop(self) -> None:
        """Carry what waits, and end."""
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.gather(self._flushing, return_exceptions=True)
        await self.flush()

    async def flush(self) -> None:
        """Carry what waits now."""
        waiting, self._waiting = self._waiting, {}
        if waiting:
            await readers.read(_write, waiting)
        oldest = timezone.now() - keys.USE_NOTED_EVERY
        self._carried = {key: at for key, at in self._carried.items() if at > oldest}

    async def _keep_flushing(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            await self.flush()


def _write(uses: dict[int, keys.Use]) -> None:
    try:
        keys.note_uses(uses)
    except (DatabaseError, InterfaceError):  # it is shown on a page and decides nothing
        log.exception("the last use of %s keys could not be noted", len(uses))
