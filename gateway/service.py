"""The gateway of one process: what it needs, started with the server and stopped after the last call was settled."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterator

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from billing.commit import Committer
from billing.leases import Lease
from gateway.asking import Asking
from gateway.callers import Callers
from gateway.calls import Desk
from gateway.catalog import Picture, Shelf, take_picture
from gateway.counts import Counts
from gateway.express import Express
from gateway.health import Health
from gateway.limits import LocalLimiter, RedisLimiter
from gateway.oneshots import OneShots
from gateway.quotes import Quotes
from gateway.reception import Reception
from gateway.relay import Corridor
from gateway.running import Running
from gateway.upstream import Upstream
from gateway.uses import Uses
from plumbing import readers

RETRY_S = 2.0

log = logging.getLogger(__name__)
_running: "list[Gateway]" = []
_waiting: "set[Gateway]" = set()
_lent: list[Picture] = []


class Gateway:
    """Start, answer, stop."""

    def __init__(self) -> None:
        self.express: Express | None = None
        self.reception: Reception | None = None
        self.shelf = Shelf()
        self._lease = Lease(f"gateway {os.getpid()}")
        self._committer = Committer()
        self._transport: Upstream | None = None
        self._redis = RedisLimiter(settings.REDIS_URL, processes=self._processes) if settings.REDIS_URL else None
        self._corridor: Corridor | None = None
        self._running = Running()
        self._uses: Uses | None = None
        self._starting: asyncio.Task[None] | None = None

    def _processes(self) -> int:
        """How many processes share the limits; those of one server may not have seen each other yet."""
        configured: int = settings.WEB_CONCURRENCY
        return max(self._lease.neighbours, configured)

    async def start_when_possible(self) -> None:
        """Start now; where the database is away, keep trying behind the server's back and say so when asked."""
        try:
            await self.start()
        except (DatabaseError, InterfaceError) as error:
            _waiting.add(self)
            log.error("the gateway cannot start, its database does not answer (%s); trying on", type(error).__name__)  # noqa: TRY400
            self._starting = asyncio.create_task(self._keep_starting())

    async def _keep_starting(self) -> None:
        while True:
            await asyncio.sleep(RETRY_S)
            try:
                await self.start()
            except (DatabaseError, InterfaceError) as error:
                log.warning("the gateway still cannot start (%s)", type(error).__name__)
                continue
            _waiting.discard(self)
            log.info("the gateway has started")
            return

    async def start(self) -> None:
        """Take the first picture of the catalogue and a lease on the books, and open the doors."""
        await self.shelf.refresh()
        await readers.read(self._lease.start)
        await self.shelf.start()
        if self._redis is not None:
            await self._redis.start()
        self._committer.start()
        self._transport = Upstream()
        limiter = self._redis or LocalLimiter()
        desk = Desk(committer=self._committer, limiter=limiter, lease=self._lease)
        callers, health = Callers(), Health()
        corridor = Corridor(
            shelf=self.shelf,
            callers=callers,
            desk=desk,
            health=health,
            transport=self._transport,
            running=self._running,
        )
        self._running.start()
        self._uses = callers.uses
        self._uses.start()
        asking = Asking(health=health, transport=self._transport)
        self._corridor = corridor
        self.reception = Reception(
            {
                "talk": corridor,
                "once": OneShots(shelf=self.shelf, callers=callers, corridor=corridor, asking=asking),
                "count": Counts(shelf=self.shelf, callers=callers, corridor=corridor, asking=asking),
                "quote": Quotes(shelf=self.shelf, callers=callers, limiter=limiter),
            }
        )
        self.express = Express(self.reception)
        _running.append(self)

    async def stop(self) -> None:
        """Close the doors, settle what lingers, give the lease back."""
        self.express = self.reception = None
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        _waiting.discard(self)
        if self in _running:
            _running.remove(self)
        if self._corridor is None or self._transport is None:
            return
        await self._corridor.close()
        await self._running.stop()
        if self._uses is not None:
            await self._uses.stop()
        await self.shelf.stop()
        await self._transport.close()
        if self._redis is not None:
            await self._redis.close()
        await asyncio.to_thread(self._committer.stop)
        await readers.read(self._lease.stop)
        await asyncio.to_thread(readers.stop)


def running() -> Gateway | None:
    """The gateway that answers in this process, if one does."""
    return _running[-1] if _running else None


def is_waiting() -> bool:
    """Whether a gateway of this process wants to answer and cannot start yet."""
    return bool(_waiting)


def picture() -> Picture:
    """What is sold: this process's newest picture, or one taken now where no gateway runs."""
    found = running()
    if found is not None:
        return found.shelf.picture
    return _lent[-1] if _lent else take_picture(timezone.now())


@contextlib.contextmanager
def lent_picture() -> Iterator[None]:
    """Measure pages as in a server, where a picture is at hand: one that is taken now, for as long as this lasts."""
    _lent.append(take_picture(timezone.now()))
    try:
        yield
    finally:
        _lent.pop()
