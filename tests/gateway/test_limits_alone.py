"""What a process may admit while Redis is away, and what Redis knows afterwards."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from gateway.limits import Admission, RedisLimiter, Scope
from gateway.limits.alone import Alone, Told
from gateway.limits.patience import PATIENCE_S, Patience
from gateway.limits.rules import indexes_at
from tests.simulator import redis_troubles
from tests.simulator.troubled_redis import TroubledRedis, troubled_redis

NOON = 1_793_534_400.0  # 2026-11-01 12:00:00 UTC, the start of a minute and an hour
KEY = Scope("key:1", requests=(100, None, None))


def tell(alone: Alone, scope: Scope, *, requests: int, tokens: int = 0, now: float = NOON) -> None:
    row = [requests, requests, requests, tokens, tokens, tokens, 0]
    alone.hear(("org", scope.name), Told(indexes_at(now), row, now))


def ask(alone: Alone, *scopes: Scope, call: str, tokens: int = 0, now: float = NOON) -> Admission:
    return alone.admit(hash_tag="org", scopes=scopes, call=call, tokens=tokens, now=now)


def admitted(alone: Alone, scope: Scope, *, many: int = 200, tokens: int = 0, now: float = NOON) -> int:
    verdicts = [ask(alone, scope, call=f"{now}{n}", tokens=tokens, now=now) for n in range(many)]
    return sum(verdict.admitted for verdict in verdicts)


@pytest.mark.parametrize(("known", "share"), [(None, 25), (0, 25), (60, 10), (97, 1), (99, 1), (100, 0), (130, 0)])
def test_alone_a_process_admits_its_share_of_the_room_it_last_saw(known, share):
    alone = Alone(lambda: 4)
    if known is not None:
        tell(alone, KEY, requests=known)
    assert admitted(alone, KEY) == share


def test_a_share_that_is_used_up_says_come_back_soon_and_a_full_window_says_when_it_turns():
    alone = Alone(lambda: 4)
    tell(alone, KEY, requests=96)
    assert ask(alone, KEY, call="a").admitted
    refused = ask(alone, KEY, call="b")
    assert (refused.admitted, refused.retry_after_s, refused.refused_by) == (False, 1, "requests per minute")
    tell(alone, KEY, requests=100)
    full = Alone(lambda: 4)
    tell(full, KEY, requests=100)
    assert ask(full, KEY, call="a").retry_after_s == 60


def test_each_new_window_has_a_share_of_its_own():
    alone = Alone(lambda: 4)
    scope = Scope("key:1", requests=(8, 20, None))
    tell(alone, scope, requests=4)
    assert admitted(alone, scope) == 1
    assert admitted(alone, scope, now=NOON + 60) == 2
    assert admitted(alone, scope, now=NOON + 120) == 1  # the hour's share, of the 16 that were left, is used up


def test_a_call_that_is_larger_than_the_share_of_tokens_may_go_alone_but_only_one():
    alone = Alone(lambda: 4)
    scope = Scope("key:1", tokens=(1000, None, None))
    tell(alone, scope, requests=1, tokens=100)
    assert ask(alone, scope, call="a", tokens=800).admitted
    assert not ask(alone, scope, call="b", tokens=1).admitted
    other = Alone(lambda: 4)
    tell(other, scope, requests=1, tokens=300)
    assert not ask(other, scope, call="a", tokens=800).admitted


def test_slots_are_shared_too_and_come_back():
    alone = Alone(lambda: 4)
    scope = Scope("key:1", concurrent=8)
    first, second = ask(alone, scope, call="a"), ask(alone, scope, call="b")
    assert second.admitted
    assert not ask(alone, scope, call="c").admitted
    assert alone.settle(first, tokens=0) == []
    assert ask(alone, scope, call="d").admitted


def test_coming_and_going_gives_no_second_share_until_redis_has_counted_the_first():
    alone = Alone(lambda: 4)
    tell(alone, KEY, requests=20)
    assert admitted(alone, KEY) == 20
    [(standing, batch)] = alone.batches(alone.all_owing())
    assert admitted(alone, KEY, now=NOON + 1) == 0  # sent, and nobody knows whether it has arrived
    assert list(alone.batches(alone.all_owing())) == [(standing, batch)]  # so the same is sent again
    alone.handed_over(standing, batch, Told(indexes_at(NOON), [60, 60, 60, 0, 0, 0, 20], NOON + 2))
    assert not alone.owes
    assert admitted(alone, KEY, now=NOON + 3) == 10


# --- With a real Redis ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[TroubledRedis]:
    with troubled_redis() as made:
        yield made


@pytest.fixture
def tag() -> str:
    return f"t{time.time_ns()}"


def kept(server: TroubledRedis, tag: str) -> tuple[int, int, int]:
    with redis.Redis.from_url(server.direct_url) as client:
        name = f"tollgate:limits:{{{tag}}}:key:1"
        counts = {field: int(count) for field, count in client.hgetall(f"{name}:counts").items()}
        return counts[b"r3"], counts[b"t3"], client.zcard(f"{name}:calls")


DAY = Scope("key:1", requests=(None, None, 10), tokens=(None, None, 1000))


async def come_back(limiter: Any) -> None:
    for _ in range(100):
        if not limiter._is_lost and not limiter._alone.owes:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("Redis was never taken back")


def test_what_was_counted_alone_is_handed_over_once_it_is_back(server, tag):
    async def run() -> list[Admission]:
        limiter = RedisLimiter(server.url, processes=lambda: 2)

        async def one(name: str) -> Admission:
            return await limiter.admit(hash_tag=tag, scopes=[DAY], call=name, tokens=50)

        before = [await one(f"before {n}") for n in range(2)]
        server.freeze()
        during = [await one(f"during {n}") for n in range(6)]  # a share of the eight that are left
        await limiter.settle(before[0], tokens=5)
        await limiter.settle(during[1], tokens=5)
        server.thaw()
        await come_back(limiter)
        assert kept(server, tag) == (6, 2 * 5 + 4 * 50, 4)
        after = [await one(f"after {n}") for n in range(6)]
        for verdict in (*before, *during, *after):
            if verdict.admitted:
                await limiter.settle(verdict, tokens=5)
        await limiter.close()
        return [*before, *during, *after]

    verdicts = asyncio.run(run())
    assert [verdict.admitted for verdict in verdicts] == [True] * 6 + [False] * 2 + [True] * 4 + [False] * 2
    assert kept(server, tag) == (10, 50, 0)


def test_what_redis_comes_to_do_too_late_it_leaves_alone(server, tag):
    async def run() -> None:
        limiter = RedisLimiter(server.url)
        assert (await limiter.admit(hash_tag=tag, scopes=[DAY], call="a", tokens=1)).admitted
        server.freeze()
        late = await limiter.admit(hash_tag=tag, scopes=[DAY], call="b", tokens=1)
        assert late.admitted
        await asyncio.sleep(0.5)
        limiter._coming_back.cancel()  # nothing corrects it, so what is counted now was counted late
        server.thaw()
        await asyncio.sleep(0.1)
        assert kept(server, tag) == (1, 1, 1)
        await limiter.close()
        assert kept(server, tag) == (2, 2, 2)

    asyncio.run(run())


def test_a_redis_that_lost_its_memory_is_reminded_by_the_next_call(server, tag):
    async def run() -> list[bool]:
        limiter = RedisLimiter(server.url, processes=lambda: 2)
        names = iter(range(100))

        async def some(many: int) -> list[bool]:
            asked = [
                await limiter.admit(hash_tag=tag, scopes=[DAY], call=str(next(names)), tokens=1) for _ in range(many)
            ]
            return [verdict.admitted for verdict in asked]

        verdicts = await some(6)
        with redis.Redis.from_url(server.direct_url) as client:
            client.flushall()
        verdicts += await some(6)
        await limiter.close()
        return verdicts

    assert asyncio.run(run()) == [True] * 10 + [False] * 2
    assert kept(server, tag)[:2] == (10, 10)


def test_a_busy_loop_does_not_take_its_own_delay_for_a_silent_redis(server, tag):
    async def run() -> bool:
        limiter = RedisLimiter(server.url)
        await limiter.admit(hash_tag=tag, scopes=[DAY], call="a", tokens=1)
        asking = asyncio.ensure_future(limiter.admit(hash_tag=tag, scopes=[DAY], call="b", tokens=1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        time.sleep(2 * PATIENCE_S)  # noqa: ASYNC251 - just this: nothing is read while something else keeps the loop
        assert (await asking).admitted
        is_lost = limiter._is_lost
        await limiter.close()
        return is_lost

    assert not asyncio.run(run())
    assert kept(server, tag) == (2, 2, 2)


def test_patience_ends():
    async def run() -> float:
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            async with Patience():
                await asyncio.sleep(5)
        return time.monotonic() - started

    assert PATIENCE_S <= asyncio.run(run()) < 4 * PATIENCE_S


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["slowish", "frozen", "killed"])
def test_several_processes_never_admit_more_than_one_further_allowance(trouble):
    times_s = (1.0, 1.2, 1.8)
    assert redis_troubles.suffer(trouble, processes=3, limit=150, rate=25, times_s=times_s) == 0
