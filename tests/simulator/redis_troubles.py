"""Several processes at one set of limits, and a Redis that is slow, frozen, killed, or comes and goes.

    python -m tests.simulator.redis_troubles [--processes 4] [--limit 600] [--rate 40] [--troubles slow frozen ...]

Each process asks as fast as it is told to, settles what was admitted, and goes on while Redis is in trouble. At the end
no more may have been admitted than the limit and the stated further allowance, in each of the three windows; and where
Redis kept its memory, it must know exactly what was admitted, to the call and to the token, with no slot left taken.
"""

import argparse
import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.simulator.troubled_redis import TroubledRedis, troubled_redis
from tests.simulator.worlds import Child, say

TIMES_S = 2.0, 3.0, 4.0  # before the trouble, during it, after it
TOKENS = 10


@dataclass(frozen=True)
class Trouble:
    """What happens to Redis between the good times, and whether it keeps its memory."""

    happens: Callable[[TroubledRedis, float], None]
    keeps_memory: bool = True


def slow(redis: TroubledRedis, during_s: float) -> None:
    redis.delay_s = 0.3
    time.sleep(during_s)
    redis.delay_s = 0


def slowish(redis: TroubledRedis, during_s: float) -> None:
    """Around the patience, so that many answers come just too late."""
    chance, until = random.Random(1), time.monotonic() + during_s
    while time.monotonic() < until:
        redis.delay_s = chance.choice((0.0, 0.05, 0.09, 0.11, 0.2))
        time.sleep(0.05)
    redis.delay_s = 0


def frozen(redis: TroubledRedis, during_s: float) -> None:
    redis.freeze()
    time.sleep(during_s)
    redis.thaw()


def flapping(redis: TroubledRedis, during_s: float) -> None:
    until = time.monotonic() + during_s
    while time.monotonic() < until:
        redis.freeze()
        time.sleep(0.3)
        redis.thaw()
        time.sleep(0.2)


def restarted(redis: TroubledRedis, during_s: float) -> None:
    redis.kill()
    redis.start()
    time.sleep(during_s)


def killed(redis: TroubledRedis, during_s: float) -> None:
    redis.kill()
    time.sleep(during_s)
    redis.start()


TROUBLES = {
    "none": Trouble(lambda _, during_s: time.sleep(during_s)),
    "slow": Trouble(slow),
    "slowish": Trouble(slowish),
    "frozen": Trouble(frozen),
    "flapping": Trouble(flapping),
    "restarted": Trouble(restarted, keeps_memory=False),
    "killed": Trouble(killed, keeps_memory=False),
}


def one_process(
    url: str, tag: str, *, processes: int, limit: int, rate: int, lasts_s: float
) -> Callable[[Callable[[str], Any]], None]:
    """Ask, settle, and say at the end what was admitted."""

    async def run(name: str) -> dict[str, int]:
        from gateway.limits import RedisLimiter, Scope

        limiter = RedisLimiter(url, processes=lambda: processes)
        key = Scope("key:1", requests=(None, limit, limit), tokens=(None, None, limit * TOKENS), concurrent=limit)
        scopes = (key, Scope("organization", requests=(None, None, limit * 2)))
        chance, told = random.Random(name), {"admitted": 0, "tokens": 0, "asked": 0, "slowest_ms": 0}

        async def ask(number: int) -> None:
            started = time.monotonic()
            asked = await limiter.admit(hash_tag=tag, scopes=scopes, call=f"{name}-{number}", tokens=TOKENS)
            told["slowest_ms"] = max(told["slowest_ms"], int((time.monotonic() - started) * 1000))
            told["asked"] += 1
            if asked.admitted:
                used = chance.randrange(1, TOKENS + 1)
                told["admitted"] += 1
                told["tokens"] += used
                await asyncio.sleep(chance.random() * 0.3)
                await limiter.settle(asked, tokens=used)

        until, calls = time.monotonic() + lasts_s, []
        while time.monotonic() < until:
            calls.append(asyncio.ensure_future(ask(len(calls))))
            await asyncio.sleep(1 / rate)
        await asyncio.gather(*calls)
        await asyncio.sleep(1)
        await limiter.close()
        return told

    def story(tell: Callable[[str], Any]) -> None:
        import os

        tell(json.dumps(asyncio.run(run(str(os.getpid())))))

    return story


def suffer(name: str, *, processes: int, limit: int, rate: int, times_s: tuple[float, float, float] = TIMES_S) -> int:
    """One trouble; returns how many things were wrong."""
    import redis

    trouble, tag = TROUBLES[name], f"org:{name}"
    with troubled_redis() as server:
        story = one_process(server.url, tag, processes=processes, limit=limit, rate=rate, lasts_s=sum(times_s))
        children = [Child(story) for _ in range(processes)]
        time.sleep(times_s[0])
        trouble.happens(server, times_s[1])
        told = [json.loads(child.read()[0]) for child in children]
        client = redis.Redis.from_url(server.direct_url)
        place = f"tollgate:limits:{{{tag}}}:key:1"
        kept = {name.decode(): int(count) for name, count in client.hgetall(f"{place}:counts").items()}
        slots = client.zcard(f"{place}:calls")
        client.close()
    admitted, tokens = sum(one["admitted"] for one in told), sum(one["tokens"] for one in told)
    asked, slowest_ms = sum(one["asked"] for one in told), max(one["slowest_ms"] for one in told)
    exact = (kept["r3"], kept["t3"], slots) == (admitted, tokens, 0)
    wrong = int(admitted > 2 * limit + processes)
    wrong += int(admitted < min(limit, asked) and name == "none") + int(admitted > limit and name == "none")
    wrong += int(trouble.keeps_memory and not exact)
    say(
        f"{name:<10} {processes} processes: asked {asked}, admitted {admitted} of {limit} (at most {2 * limit}),"
        f" {tokens} tokens; Redis knows {kept['r3']} and {kept['t3']}, {slots} slots taken; slowest {slowest_ms} ms"
        f"{'  WRONG' if wrong else ''}"
    )
    return wrong


def main() -> int:
    """The long version."""
    from tests.simulator.worlds import world

    parser = argparse.ArgumentParser(description="Limits of several processes and a Redis in trouble.")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--limit", type=int, default=600)
    parser.add_argument("--rate", type=int, default=40)
    parser.add_argument("--troubles", nargs="*", default=list(TROUBLES))
    arguments = parser.parse_args()
    with world("sqlite"):
        wrong = [
            suffer(name, processes=arguments.processes, limit=arguments.limit, rate=arguments.rate)
            for name in arguments.troubles
        ]
    return 1 if any(wrong) else 0


if __name__ == "__main__":
    raise SystemExit(main())
