"""Sees every call to its end, whoever stops waiting for it.

Promise: what was begun for a call is finished behind the client's back: a settlement is never cancelled, one that the
books could not take is tried again until they do, and ``wait()`` returns only when nothing lingers.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from django.db import DatabaseError, InterfaceError

from billing.commit import Busy
from gateway import token_plans
from gateway.calls import Desk
from gateway.doorway import Reply
from gateway.errors import Unavailable
from gateway.records import Closed, End, OpenCall
from gateway.recovery import NothingToReplace

MOST_LINGERING = 2_000  # calls heard out for clients that left; beyond, the provider is cut off at once
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0
PATIENCE_S = 900.0

log = logging.getLogger(__name__)


class Ends:
    """The endings of one process."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lingering: set[asyncio.Future[Any]] = set()
        self._leaving = False

    @property
    def is_crowded(self) -> bool:
        """So many calls linger that no further one may."""
        return len(self._lingering) >= MOST_LINGERING

    async def close(self, call: OpenCall, end: End) -> Closed:
        """Close a call, also when whoever waits for it is cancelled meanwhile.

        The books carry a settlement out although nobody waits for it, and answer a second one like the first; so only
        a cancelled waiter costs a task of its own.
        """
        try:
            closed = await self._desk.close(call, end)
        except asyncio.CancelledError:
            self.linger(self._close_behind(call, end))
            raise
        except (DatabaseError, InterfaceError, Busy) as error:
            log.error("call %s could not be closed yet: %s", call.id, type(error).__name__)  # noqa: TRY400
            self.linger(self._insist(call, end))
            raise Unavailable("The books could not be closed for this call; they will be.") from error
        token_plans.note(call, end)
        return closed

    async def _close_behind(self, call: OpenCall, end: End) -> None:
        """Finish what a cancelled waiter began."""
        try:
            await self._desk.close(call, end)
        except (DatabaseError, InterfaceError, Busy):
            await self._insist(call, end)

    async def _insist(self, call: OpenCall, end: End) -> None:
        """Try again until the books take it; a process that must stop leaves it to the sweep."""
        pause_s, waited_s = FIRST_PAUSE_S, 0.0
        while waited_s < PATIENCE_S and not self._leaving:
            await asyncio.sleep(pause_s)
            waited_s += pause_s
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            try:
                await self._desk.close(call, end)
            except NothingToReplace:
                break
            except (DatabaseError, InterfaceError, Busy):
                continue
            return
        log.error("call %s was left open; the sweep gives its hold back", call.id)

    async def outlived(self, asking: "asyncio.Task[Reply]") -> Reply:
        """Wait for something that goes on when its waiter is cancelled; ``asyncio.shield`` at half the price."""
        waiter = asking.get_loop().create_future()
        asking.add_done_callback(lambda _: None if waiter.done() else waiter.set_result(None))
        await waiter
        return asking.result()

    def linger(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do something that nobody waits for."""
        self._keep(asyncio.get_running_loop().create_task(work))

    def _keep(self, task: asyncio.Future[Any]) -> None:
        self._lingering.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Future[Any]) -> None:
        self._lingering.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the end of a call broke: %r", error, exc_info=error)

    async def wait(self) -> None:
        """Wait for the calls whose clients have left."""
        self._leaving = True
        while self._lingering:
            await asyncio.gather(*self._lingering, return_exceptions=True)
