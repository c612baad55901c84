"""How long an answer is waited for, by somebody who may be busy itself."""

import asyncio
from types import TracebackType

PATIENCE_S = 0.2
BUSY_S = 0.02  # a timer that rings later than this says that we were away, not that nobody answered


class Patience:
    """Raises ``TimeoutError`` when the block takes longer than ``PATIENCE_S``.

    When the event loop itself was held up, what has arrived in the meantime is read first: time starts once more.
    """

    __slots__ = ("_due", "_is_last", "_limit", "_loop", "_timer")

    async def __aenter__(self) -> None:
        self._loop, self._is_last = asyncio.get_running_loop(), False
        self._limit = asyncio.timeout(None)
        await self._limit.__aenter__()
        self._wait()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        await self._limit.__aexit__(kind, error, trace)

    def _wait(self) -> None:
        self._due = self._loop.time() + PATIENCE_S
        self._timer = self._loop.call_at(self._due, self._ring)

    def _ring(self) -> None:
        if self._loop.time() > self._due + BUSY_S and not self._is_last:
            self._is_last = True
            self._wait()
        else:
            self._limit.reschedule(self._loop.time())
