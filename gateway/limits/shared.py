"""The rules over many processes: Redis decides, in one script call; while it does not answer, ``alone`` does.

Once Redis is known to be lost, no call asks it: one task of its own tries, and hands over what was counted alone. A
scope with something to hand over is handed over before Redis is asked about it again.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from typing import Any

from prometheus_client import Counter
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.limits import rules
from gateway.limits.alone import Alone, Batch, Name, Told
from gateway.limits.patience import PATIENCE_S, Patience
from gateway.limits.rules import SLOT_LEASE_S, Admission, Scope, indexes_at, limits_of

RETRY_REDIS_S = 0.5
LATE_S = 2 * PATIENCE_S  # what Redis comes to do later than this, it leaves alone; shorter than ``RETRY_REDIS_S``
CONNECTIONS = 8
HANDED_OVER_AT_ONCE = 50
ANSWERS_TO_BE_BACK = 3
TOO_LATE = -2
TRIES = 3
START_S = 2.0

degraded = Counter("tollgate_limits_degraded", "Admissions decided without Redis although it is configured")


def _one() -> int:
    return 1


class RedisLimiter:
    """The limits of one process among ``processes()`` that share a Redis."""

    def __init__(self, url: str, *, processes: Callable[[], int] = _one) -> None:
        # A burst waits its turn for a connection instead of opening one each: Redis answers in microseconds. Nothing is
        # sent twice behind our back, and how long an answer is waited for is said in one place.
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=None,
            socket_timeout=None,
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
        )
        self._redis: Any = Redis.from_pool(pool)
        self._admit, self._settle, self._hand_over = (
            self._redis.register_script(files("gateway.limits").joinpath(name).read_text())
            for name in ("admit.lua", "settle.lua", "hand_over.lua")
        )
        self._alone = Alone(processes)
        self._is_lost, self._losses = False, 0
        self._coming_back: asyncio.Task[None] | None = None
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._ahead_s: float | None = None  # Redis's clock beyond ours that only grows

    async def start(self) -> None:
        """Open the connections and load the scripts before the first call comes, so that no call waits for that."""
        try:
            async with asyncio.timeout(START_S):
                for script in (self._admit, self._settle, self._hand_over):
                    await self._redis.script_load(script.script)
                await asyncio.gather(*(self._redis.time() for _ in range(CONNECTIONS)))
                await self._send([])
        except (RedisError, OSError):
            self._lost()

    async def admit(self, *, hash_tag: str, scopes: Sequence[Scope], call: str, tokens: int) -> Admission:
        """Decide one call."""
        closed = tuple([scope for scope in scopes if not scope.is_open])
        if not closed:
            return Admission(True, call, tokens, indexes_at(time.time()), (), hash_tag)
        names = [(hash_tag, scope.name) for scope in closed]
        if self._is_lost:
            self._try_again()
        elif await self._is_told(names):
            for _ in range(TRIES):
                if (asked := await self._asked(names, closed, call, tokens)) is not None:
                    return asked
                if self._is_lost or not await self._is_told(names):
                    break
        degraded.inc()
        return self._alone.admit(hash_tag=hash_tag, scopes=closed, call=call, tokens=tokens, now=self._now())

    async def settle(self, admission: Admission, *, tokens: int) -> None:
        """Give the slot back and correct the tokens."""
        if not admission.scopes:
            return
        known: Sequence[Scope] = admission.scopes
        if self._alone.owes:
            known = self._alone.settle(admission, tokens=tokens)
            if not known:
                return
        keys = [key for scope in known for key in _keys((admission.hash_tag, scope.name))]
        arguments: list[str | int] = [admission.call, tokens - admission.tokens, *admission.indexes]
        if self._is_lost or await self._ask(lambda: self._settle(keys=keys, args=arguments)) is None:
            self._alone.owe_settlement(admission, known, tokens=tokens)
            self._try_again()

    async def close(self) -> None:
        """Hand over what is owed, if Redis takes it, and close the connections."""
        if self._coming_back is not None:
            self._coming_back.cancel()
            await asyncio.gather(self._coming_back, return_exceptions=True)
        with contextlib.suppress(RedisError, OSError):
            if self._alone.owes:
                await self._hand_over_everything()
        await self._redis.aclose()

    # --- Asking -------------------------------------------------------------------------------------------------------

    async def _asked(
        self, names: Sequence[Name], scopes: tuple[Scope, ...], call: str, tokens: int
    ) -> Admission | None:
        """What Redis says of a call; None when it says nothing, or nothing that can be used."""
        limits = [-1 if limit is None else limit for scope in scopes for limit in limits_of(scope)]
        keys = [key for name in names for key in _keys(name)]
        before = [self._alone.last_told(name) for name in names]
        latest = 0 if self._ahead_s is None else round(time.monotonic() + self._ahead_s + LATE_S, 3)
        arguments = [call, tokens, SLOT_LEASE_S, latest, *limits]
        answer = await self._ask(lambda: self._admit(keys=keys, args=arguments))
        hash_tag = names[0][0]
        if answer is None:
            self._alone.doubt(Admission(False, call, tokens, indexes_at(self._now()), scopes, hash_tag))
            return None
        now, refused = float(answer[0]), int(answer[1])
        self._ahead_s = now - time.monotonic()
        if refused == TOO_LATE:
            return None
        indexes = indexes_at(now)
        told = [Told(indexes, answer[2 + 7 * place : 9 + 7 * place], now) for place in range(len(scopes))]
        verdict = rules.admission(
            None if refused < 0 else divmod(refused, 7),
            hash_tag=hash_tag,
            scopes=scopes,
            rows=[one.row for one in told],
            call=call,
            tokens=tokens,
            now=now,
        )
        if any(_forgot(*both, counted=verdict.admitted) for both in zip(before, told, strict=True)):
            self._alone.doubt(verdict)  # it is reminded of what it told before, and asked once more
            return None
        for name, one in zip(names, told, strict=True):
            self._alone.hear(name, one)
        return verdict

    async def _ask(self, question: Callable[[], Awaitable[Any]]) -> Any:
        """An answer within ``PATIENCE_S`` of asking; a turn is waited for only while others are answered."""
        try:
            async with self._turns:
                if self._is_lost:
                    return None  # whoever had the turn before has found out
                async with Patience():
                    return await question()
        except (RedisError, OSError):  # a time-out is an OSError too
            self._lost()
            return None

    def _now(self) -> float:
        """The time by Redis's clock, as far as it is known."""
        return time.time() if self._ahead_s is None else time.monotonic() + self._ahead_s

    # --- Losing and coming back ---------------------------------------------------------------------------------------

    def _lost(self) -> None:
        self._is_lost = True
        self._losses += 1
        self._try_again()

    def _try_again(self) -> None:
        """Have one task at work that brings Redis back."""
        if self._coming_back is None or self._coming_back.done():
            self._coming_back = asyncio.get_running_loop().create_task(self._come_back())

    async def _come_back(self) -> None:
        """Ask until Redis answers, then hand over until nothing is owed.

        Redis is back when it has answered a few times: by then the other processes have handed over theirs too.
        """
        answered = 0
        while self._is_lost or self._alone.owes:
            await asyncio.sleep(RETRY_REDIS_S if self._is_lost else 0)
            losses = self._losses
            try:
                await self._hand_over_everything()
            except (RedisError, OSError):
                self._is_lost, answered = True, 0
            else:
                answered = answered + 1 if losses == self._losses else 0
                self._is_lost = answered < ANSWERS_TO_BE_BACK

    async def _is_told(self, names: Sequence[Name]) -> bool:
        """Have these scopes handed over, before Redis is asked about them."""
        owing = self._alone.owing(names) if self._alone.owes else []
        if not owing:
            return True
        try:
            async with self._turns:
                await self._send(owing)
        except (RedisError, OSError):
            self._lost()
            return False
        return True

    async def _hand_over_everything(self) -> None:
        """Send what is owed now, or at least ask; raises when Redis does not take it."""
        names = self._alone.all_owing()
        for first in range(0, max(1, len(names)), HANDED_OVER_AT_ONCE):
            async with self._turns:
                await self._send(names[first : first + HANDED_OVER_AT_ONCE])

    async def _send(self, names: Sequence[Name]) -> None:
        """Send what these scopes owe, in one round trip; raises when Redis does not take it."""
        sent = list(self._alone.batches(names))
        async with Patience(), self._redis.pipeline(transaction=False) as pipeline:
            pipeline.time()
            for standing, batch in sent:
                mark = f"tollgate:limits:{{{standing.scope[0]}}}:{standing.scope[1]}:handed:{batch.mark}"
                await self._hand_over(keys=[*_keys(standing.scope), mark], args=_written(batch), client=pipeline)
            clock, *answers = await pipeline.execute()
        self._ahead_s = clock[0] + clock[1] / 1_000_000 - time.monotonic()
        for (standing, batch), answer in zip(sent, answers, strict=True):
            now = float(answer[0])
            self._alone.handed_over(standing, batch, Told(indexes_at(now), answer[1:], now))


def _keys(name: Name) -> tuple[str, str]:
    """A hash of counters and a set of leases; one hash tag keeps an organization on one node."""
    hash_tag, scope = name
    return f"tollgate:limits:{{{hash_tag}}}:{scope}:counts", f"tollgate:limits:{{{hash_tag}}}:{scope}:calls"


def _forgot(before: Told | None, told: Told, *, counted: bool) -> bool:
    """Whether Redis has lost its memory since: the requests of a day only grow."""
    return before is not None and before.indexes[2] == told.indexes[2] and told.row[2] < before.row[2] + counted


def _written(batch: Batch) -> list[str | int | float]:
    written: list[str | int | float] = [*batch.indexes, *batch.floor, *batch.counts, SLOT_LEASE_S]
    written.append(len(batch.corrections))
    for one in batch.corrections:
        written += [one.call, one.requests, one.tokens, *one.indexes]
    for call, until in batch.calls:
        written += [call, until]
    return written
