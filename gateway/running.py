"""The streams under way in one process, and the eye that is kept on them.

Promise: once a second, while there are any, one query asks for the epochs of their organizations. Where one has moved,
the key is looked at again: when it was revoked or has run out, when its maker left, or the organization was suspended,
its streams end with an error within two looks, with Redis or without. A stream whose reader never began is heard out as
if the client had left, and one that outlasts every bound is closed on what was delivered, so no hold stays for ever.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from django.db import DatabaseError, InterfaceError

from gateway import callers
from gateway.errors import GatewayError, KeyRefused, NotAllowed
from gateway.records import LONGEST_CALL, OpenCall
from plumbing import readers

LOOK_S = 1.0
UNREAD_S = 30.0

log = logging.getLogger(__name__)


class Run(Protocol):
    """A stream under way."""

    call: OpenCall
    is_read: bool

    def stop(self, error: GatewayError) -> None:
        """End it now, with this error."""

    def abandon(self) -> None:
        """Nobody reads it; go on as if the client had left."""

    def give_up(self) -> None:
        """It lasts too long; close its call on what was delivered."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What one stream was admitted by."""

    organization: int
    key: int
    epoch: int


class Running:
    """The streams of one process."""

    def __init__(self) -> None:
        self._runs: dict[int, Run] = {}
        self._epochs: dict[int, int] = {}  # by call, once its key was looked at again
        self._watching: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._runs)

    def add(self, run: Run) -> None:
        """A stream begins."""
        self._runs[run.call.id] = run

    def discard(self, run: Run) -> None:
        """A stream has ended, however."""
        self._runs.pop(run.call.id, None)
        self._epochs.pop(run.call.id, None)

    def start(self) -> None:
        """Begin to look."""
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def stop(self) -> None:
        """Look no more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
            self._watching = None

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            if not self._runs:
                continue
            try:
                self.tidy(time.monotonic())
                await self.look()
            except (DatabaseError, InterfaceError) as error:  # without the books nothing is admitted either
                log.warning("running streams could not be looked at: %s", type(error).__name__)
            except Exception:
                log.exception("the look at running streams broke")

    def tidy(self, now: float) -> None:
        """End what nobody reads and what lasts too long."""
        for run in list(self._runs.values()):
            age_s = now - run.call.started
            if age_s > LONGEST_CALL.total_seconds():
                run.give_up()
            elif not run.is_read and age_s > UNREAD_S:
                run.abandon()

    async def look(self) -> None:
        """Stop the streams of callers who may not call any more."""
        watched = {
            call_id: Watched(
                run.call.plea.caller.organization,
                run.call.plea.caller.key,
                self._epochs.get(call_id, run.call.plea.caller.epoch),
            )
            for call_id, run in self._runs.items()
        }
        now = datetime.now(UTC)
        expired = {
            call_id: KeyRefused("This API key has expired.")
            for call_id, run in self._runs.items()
            if run.call.plea.caller.expires_at is not None and run.call.plea.caller.expires_at <= now
        }
        epochs, refusals = await readers.read(_look, watched, now)
        for call_id, refusal in {**refusals, **expired}.items():
            if (run := self._runs.get(call_id)) is not None:
                run.stop(refusal)
        for call_id, epoch in epochs.items():
            if call_id in self._runs:
                self._epochs[call_id] = epoch


def _look(watched: Mapping[int, Watched], now: datetime) -> tuple[dict[int, int], dict[int, GatewayError]]:
    """The epochs that moved, by call, and the calls that must end."""
    epochs = callers.epochs_of({one.organization for one in watched.values()})
    moved = {call_id: one for call_id, one in watched.items() if epochs.get(one.organization) != one.epoch}
    standing = callers.still_allowed({one.key for one in moved.values()}, now=now) if moved else {}
    refusals = {call_id: refusal for call_id, one in moved.items() if (refusal := _refusal(standing, one.key))}
    return {call_id: epochs.get(one.organization, 0) for call_id, one in moved.items()}, refusals


def _refusal(standing: Mapping[int, bool], key: int) -> GatewayError | None:
    if key not in standing:
        return KeyRefused("This API key was revoked while the answer was under way.")
    return None if standing[key] else NotAllowed("This organization was suspended while the answer was under way.")
