"""How fast somebody may call: six calendar windows (UTC) and calls in flight, per key and per organization.

Promise: a call is admitted when every window of every scope has room, and then counts in all of them at once, or in
none. Over many processes Redis decides, in one round trip by one script and by its own clock, so nobody's skew matters;
without Redis the same rules run in this process alone. Tokens are reserved at their bound and corrected at settlement,
in the windows of the admission. A slot in flight is a lease, so a killed process gives it back by itself.

When Redis is lost, this process goes on by its own counts and asks again after ``RETRY_REDIS_S``: each process can then
admit at most one further allowance per window. Redis coming back empty starts windows anew: at most one allowance more.
Whatever state it is in (gone, mute, slow, full, read-only), no call waits longer than ``PATIENCE_S`` for it.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Protocol

from prometheus_client import Counter
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError

WINDOWS_S = (60, 3600, 86_400)
SLOT_LEASE_S = 900  # longer than any call may last; a living call renews nothing, a dead one is forgotten
RETRY_REDIS_S = 1.0
PATIENCE_S = 0.2
CONNECTIONS = 8
REMEMBERED_SCOPES = 200_000

degraded = Counter("tollgate_limits_degraded", "Admissions decided without Redis although it is configured")


@dataclass(frozen=True, slots=True)
class Scope:
    """Who is limited, and to what; None means unlimited. ``requests`` and ``tokens`` are per minute, hour, day."""

    name: str
    requests: tuple[int | None, int | None, int | None] = (None, None, None)
    tokens: tuple[int | None, int | None, int | None] = (None, None, None)
    concurrent: int | None = None

    @property
    def is_open(self) -> bool:
        """Nothing is limited here."""
        return self.concurrent is None and not any(limit is not None for limit in (*self.requests, *self.tokens))


@dataclass(frozen=True, slots=True)
class Window:
    """What one window says: for rate-limit headers."""

    limit: int
    remaining: int
    reset_s: int


@dataclass(frozen=True, slots=True)
class Admission:
    """The verdict, and what is needed to correct it later."""

    admitted: bool
    call: str
    tokens: int
    indexes: tuple[int, int, int]
    scopes: tuple[Scope, ...]
    hash_tag: str
    refused_by: str = ""
    retry_after_s: int = 0
    requests_window: Window | None = None
    tokens_window: Window | None = None


@dataclass(slots=True)
class Counts:
    """One scope's counters: window index and count for requests and tokens, and leases of calls in flight."""

    indexes: list[int] = field(default_factory=lambda: [0, 0, 0])
    requests: list[int] = field(default_factory=lambda: [0, 0, 0])
    tokens: list[int] = field(default_factory=lambda: [0, 0, 0])
    in_flight: dict[str, float] = field(default_factory=dict)


class Limiter(Protocol):
    """Both limiters fit this."""

    async def admit(self, *, hash_tag: str, scopes: Sequence[Scope], call: str, tokens: int) -> Admission:
        """Decide one call."""

    async def settle(self, admission: Admission, *, tokens: int) -> None:
        """Give the slot back and correct the tokens."""


class LocalLimiter:
    """The rules, in this process."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._counts: OrderedDict[str, Counts] = OrderedDict()

    async def admit(self, *, hash_tag: str, scopes: Sequence[Scope], call: str, tokens: int) -> Admission:
        """Decide one call."""
        now = self._clock()
        closed = tuple([scope for scope in scopes if not scope.is_open])
        if not closed:
            return Admission(True, call, tokens, _indexes(now), (), hash_tag)
        indexes = _indexes(now)
        counted = [self._turned(scope.name, indexes, now) for scope in closed]
        rows = [_row(scope, counts) for scope, counts in zip(closed, counted, strict=True)]
        refusal = _refusal(closed, rows, call_tokens=tokens)
        if refusal is None:
            for counts in counted:
                for window in range(3):
                    counts.requests[window] += 1
                    counts.tokens[window] += tokens
                counts.in_flight[call] = now + SLOT_LEASE_S
            rows = [_row(scope, counts) for scope, counts in zip(closed, counted, strict=True)]
        return _admission(
            refusal, hash_tag=hash_tag, scopes=closed, rows=rows, call=call, tokens=tokens, now=now, indexes=indexes
        )

    async def settle(self, admission: Admission, *, tokens: int) -> None:
        """Give the slot back and correct the tokens."""
        for scope in admission.scopes:
            counts = self._counts.get(scope.name)
            if counts is None or counts.in_flight.pop(admission.call, None) is None:
                continue
            for window in range(3):
                if counts.indexes[window] == admission.indexes[window]:
                    counts.tokens[window] = max(0, counts.tokens[window] + tokens - admission.tokens)

    def _turned(self, name: str, indexes: tuple[int, int, int], now: float) -> Counts:
        counts = self._counts.setdefault(name, Counts())
        self._counts.move_to_end(name)
        while len(self._counts) > REMEMBERED_SCOPES:
            self._counts.popitem(last=False)
        for window, index in enumerate(indexes):
            if counts.indexes[window] != index:
                counts.indexes[window], counts.requests[window], counts.tokens[window] = index, 0, 0
        for call in [call for call, until in counts.in_flight.items() if until <= now]:
            del counts.in_flight[call]
        return counts


class RedisLimiter:
    """The rules, in one script call; falls back to this process while Redis does not answer."""

    def __init__(self, url: str) -> None:
        # A burst waits its turn for a connection instead of opening one each: Redis answers in microseconds.
        pool = BlockingConnectionPool.from_url(
            url, max_connections=CONNECTIONS, timeout=None, socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S
        )
        self._redis: Any = Redis.from_pool(pool)
        source = files("gateway").joinpath("limits.lua").read_text()
        self._admit = self._redis.register_script(source)
        self._settle = self._redis.register_script(files("gateway").joinpath("limits_settle.lua").read_text())
        self._local = LocalLimiter()
        self._ask_again_at = 0.0
        self._is_lost = False
        self._turns = asyncio.Semaphore(CONNECTIONS)

    async def admit(self, *, hash_tag: str, scopes: Sequence[Scope], call: str, tokens: int) -> Admission:
        """Decide one call."""
        closed = tuple([scope for scope in scopes if not scope.is_open])
        if not closed:
            return Admission(True, call, tokens, _indexes(time.time()), (), hash_tag)
        limits = [-1 if limit is None else limit for scope in closed for limit in _limits(scope)]
        answer = await self._ask(
            lambda: self._admit(keys=_keys(hash_tag, closed), args=[call, tokens, SLOT_LEASE_S, *limits])
        )
        if answer is None:
            return await self._local.admit(hash_tag=hash_tag, scopes=closed, call=call, tokens=tokens)
        now, refused = float(answer[0]), int(answer[1])
        rows = [[int(count) for count in answer[2 + 7 * place : 9 + 7 * place]] for place in range(len(closed))]
        refusal = None if refused < 0 else divmod(refused, 7)
        return _admission(refusal, hash_tag=hash_tag, scopes=closed, rows=rows, call=call, tokens=tokens, now=now)

    async def settle(self, admission: Admission, *, tokens: int) -> None:
        """Give the slot back and correct the tokens."""
        if not admission.scopes:
            return
        await self._local.settle(admission, tokens=tokens)
        arguments: list[str | int] = [admission.call, tokens - admission.tokens, *admission.indexes]
        await self._ask(lambda: self._settle(keys=_keys(admission.hash_tag, admission.scopes), args=arguments))

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _ask(self, question: Callable[[], Awaitable[Any]]) -> Any:
        """An answer within ``PATIENCE_S`` of asking; a turn is waited for only while others are answered.

        While Redis is lost, one asks for all.
        """
        now = time.monotonic()
        if now < self._ask_again_at:
            degraded.inc()
            return None
        was_lost = self._is_lost
        if was_lost:
            self._ask_again_at = now + RETRY_REDIS_S
        try:
            async with self._turns:
                if time.monotonic() < self._ask_again_at and not was_lost:
                    degraded.inc()
                    return None  # whoever had the turn before has found out
                async with asyncio.timeout(PATIENCE_S):
                    answer = await question()
        except (RedisError, OSError):  # a time-out is an OSError too
            degraded.inc()
            self._is_lost, self._ask_again_at = True, time.monotonic() + RETRY_REDIS_S
            return None
        self._is_lost = False
        return answer


def told(admission: Admission) -> list[tuple[str, str]]:
    """The standard headers: of requests and of tokens, the window with least room left."""
    if not admission.scopes:
        return []
    windows = (("requests", admission.requests_window), ("tokens", admission.tokens_window))
    return [
        header
        for name, window in windows
        if window is not None
        for header in (
            (f"x-ratelimit-limit-{name}", str(window.limit)),
            (f"x-ratelimit-remaining-{name}", str(window.remaining)),
            (f"x-ratelimit-reset-{name}", f"{window.reset_s}s"),
        )
    ]


def _limits(scope: Scope) -> tuple[int | None, ...]:
    return (*scope.requests, *scope.tokens, scope.concurrent)


def _keys(hash_tag: str, scopes: Sequence[Scope]) -> list[str]:
    """A hash of counters and a set of leases for each scope; one hash tag keeps an organization on one node."""
    return [f"tollgate:limits:{{{hash_tag}}}:{scope.name}:{part}" for scope in scopes for part in ("counts", "calls")]


def _indexes(now: float) -> tuple[int, int, int]:
    second = int(now)
    return second // WINDOWS_S[0], second // WINDOWS_S[1], second // WINDOWS_S[2]


def _row(scope: Scope, counts: Counts) -> list[int]:
    return [*counts.requests, *counts.tokens, len(counts.in_flight)]


def _refusal(scopes: Sequence[Scope], rows: Sequence[Sequence[int]], *, call_tokens: int) -> tuple[int, int] | None:
    """The first scope and limit without room; requests and slots take one, tokens take the bound."""
    for place, (scope, row) in enumerate(zip(scopes, rows, strict=True)):
        for number, (limit, count) in enumerate(zip(_limits(scope), row, strict=True)):
            taken = call_tokens if 3 <= number < 6 else 1
            if limit is not None and count + taken > limit:
                return place, number
    return None


NAMES = (
    "requests per minute",
    "requests per hour",
    "requests per day",
    "tokens per minute",
    "tokens per hour",
    "tokens per day",
    "concurrent requests",
)


def _admission(
    refusal: tuple[int, int] | None,
    *,
    hash_tag: str,
    scopes: tuple[Scope, ...],
    rows: Sequence[Sequence[int]],
    call: str,
    tokens: int,
    now: float,
    indexes: tuple[int, int, int] | None = None,
) -> Admission:
    number = refusal[1] if refusal else 0
    return Admission(
        admitted=refusal is None,
        call=call,
        tokens=tokens,
        indexes=indexes or _indexes(now),
        scopes=scopes,
        hash_tag=hash_tag,
        refused_by=NAMES[number] if refusal else "",
        retry_after_s=(1 if number == 6 else _reset(now, WINDOWS_S[number % 3])) if refusal else 0,
        requests_window=_tightest(scopes, rows, range(3), now),
        tokens_window=_tightest(scopes, rows, range(3, 6), now),
    )


def _reset(now: float, window_s: int) -> int:
    return max(1, int(window_s - now % window_s + 0.999))


def _tightest(scopes: Sequence[Scope], rows: Sequence[Sequence[int]], numbers: range, now: float) -> Window | None:
    """The window with least room left."""
    windows = [
        Window(limit, max(0, limit - row[number]), _reset(now, WINDOWS_S[number % 3]))
        for scope, row in zip(scopes, rows, strict=True)
        for number in numbers
        if (limit := _limits(scope)[number]) is not None
    ]
    return min(windows, key=lambda window: (window.remaining, -window.reset_s), default=None)
