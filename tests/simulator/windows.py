"""Six windows and calls in flight, per key and per organization, over several real gateways with one Redis.

    python -m tests.simulator.windows [--database sqlite|postgresql] [--processes 4] [--troubles frozen slow]

Every limit is set on a key, and then on an organization with two keys, and far more is asked than it allows, of all
processes at once. Of requests and of calls in flight exactly the limit is admitted; of tokens no more than the limit is
used, and so much that one more call would not fit. Then Redis is troubled in the middle of a day's window: no more may
be admitted than the limit and the stated further allowance, and Redis must know afterwards exactly what was.
"""

import argparse
import asyncio
import itertools
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from plumbing import readers
from tests.simulator.redis_troubles import TROUBLES
from tests.simulator.servers import Served, gateway, provider, shop
from tests.simulator.troubled_redis import TroubledRedis, troubled_redis
from tests.simulator.worlds import say, world

SPANS_S = {"minute": 60, "hour": 3_600, "day": 86_400}
SLOW = "tokens=40+slow=0.15"
REQUESTS, TOKENS, SLOTS = 60, 3_000, 7
TROUBLED_REQUESTS, TROUBLED_RATE, TROUBLED_S = 300, 60, (2.0, 3.0, 4.0)
CLIENTS = 24
BODY = {"model": "sandbox-standard", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 30}

LIMITS = {
    **{f"requests_per_{window}": REQUESTS for window in SPANS_S},
    **{f"tokens_per_{window}": TOKENS for window in SPANS_S},
    "concurrent_requests": SLOTS,
}


@dataclass
class House:
    """The gateways, and a shop to make customers in."""

    served: list[Served]
    front: Any
    client: Any

    async def ask(self, number: int, secret: str, **more: Any) -> Any:
        """Ask one of the processes."""
        base = self.served[number % len(self.served)].base
        sent = {"authorization": f"Bearer {secret}"}
        return await self.client.post(base + "/v1/chat/completions", json=BODY | more, headers=sent)


def customer(front: Any, *, whose: str, limits: dict[str, int]) -> tuple[Any, list[str]]:
    """A customer with money, and the limits at one of two places; two keys where they share the organization's."""
    from accounts import trail
    from accounts.models import Organization
    from billing import wallets
    from tests import factories

    organization = factories.make_organization(storefront=front)
    wallets.credit(organization, 10**13, "proof", trail.SYSTEM)
    if whose == "key":
        return organization, [factories.make_key(organization, **limits)[1]]
    Organization.objects.filter(pk=organization.pk).update(**limits)
    return organization, [factories.make_key(organization)[1] for _ in range(2)]


async def asked(house: House, secrets: list[str], many: int) -> Counter[int]:
    """So many calls, a few at a time, of every process."""
    numbers, told = iter(range(many)), Counter[int]()

    async def one() -> None:
        for number in numbers:
            answer = await house.ask(number, secrets[number % len(secrets)])
            told[answer.status_code] += 1

    await asyncio.gather(*(one() for _ in range(CLIENTS)))
    return told


async def requests(house: House, secrets: list[str], limit: int) -> tuple[str, int]:
    """Exactly so many are admitted."""
    told = await asked(house, secrets, 3 * limit)
    return f"{told[200]} of {sum(told.values())} requests admitted", int(told != {200: limit, 429: 2 * limit})


async def tokens(house: House, secrets: list[str], limit: int, organization: Any) -> tuple[str, int]:
    """No more is used, and so much that one more call does not fit."""

    first = await house.ask(0, secrets[0])
    bound = limit - int(first.headers["x-ratelimit-remaining-tokens"])
    told = await asked(house, secrets, 4 * limit // bound)
    for number in itertools.count():  # what was still held at its bound is corrected by now
        last = await house.ask(number, secrets[0])
        told[last.status_code] += 1
        if last.status_code != 200:
            break
    used = await readers.read(_used, organization)
    wrong = int(used > limit) + int(used + bound <= limit) + int(set(told) != {200, 429})
    return f"{used} tokens used, {bound} held for a call, {told[200] + 1} of {sum(told.values()) + 1} admitted", wrong


async def slots(house: House, secrets: list[str], limit: int) -> tuple[str, int]:
    """Exactly so many at once, and as many again afterwards."""
    slow = {"model": f"sandbox-standard+{SLOW}", "stream": True, "max_tokens": 60}
    said, wrong = [], 0
    for turn in range(2):
        answers = [house.ask(n + turn, secrets[n % len(secrets)], **slow) for n in range(4 * limit)]
        told = Counter(answer.status_code for answer in await asyncio.gather(*answers))
        said.append(f"{told[200]} of {sum(told.values())} at once")
        wrong += told != {200: limit, 429: 3 * limit}
    return ", then ".join(said), wrong


async def one_limit(house: House, name: str, whose: str) -> int:
    """One limit at one place."""

    limit = LIMITS[name]
    organization, secrets = await readers.read(customer, house.front, whose=whose, limits={name: limit})
    if name.endswith("minute") and (passed := time.time() % 60) > 30:
        await asyncio.sleep(60.5 - passed)  # not across the end of a window
    if name.startswith("requests"):
        said, wrong = await requests(house, secrets, limit)
    elif name.startswith("tokens"):
        said, wrong = await tokens(house, secrets, limit, organization)
    else:
        said, wrong = await slots(house, secrets, limit)
    say(f"{whose:<12} {name:<20} limit {limit:>5}: {said}{'  WRONG' if wrong else ''}")
    return wrong


async def troubled(house: House, redis: TroubledRedis, trouble: str) -> int:
    """A steady stream of calls at a limit of a day, while Redis is in trouble."""
    from redis import Redis

    limits = {"requests_per_day": TROUBLED_REQUESTS}
    organization, secrets = await readers.read(customer, house.front, whose="organization", limits=limits)
    told, calls, until = Counter[int](), [], time.monotonic() + sum(TROUBLED_S)

    async def one(number: int) -> None:
        told[(await house.ask(number, secrets[number % len(secrets)])).status_code] += 1

    def trouble_it() -> None:
        time.sleep(TROUBLED_S[0])
        TROUBLES[trouble].happens(redis, TROUBLED_S[1])

    thread = threading.Thread(target=trouble_it)
    thread.start()
    while time.monotonic() < until:
        calls.append(asyncio.ensure_future(one(len(calls))))
        await asyncio.sleep(1 / TROUBLED_RATE)
    await asyncio.gather(*calls)
    thread.join()
    await asyncio.sleep(3)  # until every process has handed over
    place = f"tollgate:limits:{{org:{organization.pk}}}:organization"
    with Redis.from_url(redis.direct_url) as client:
        known, left = int(client.hget(f"{place}:counts", "r3") or 0), client.zcard(f"{place}:calls")
    admitted, limit = told[200], TROUBLED_REQUESTS
    wrong = int(admitted > 2 * limit + len(house.served)) + int(set(told) - {200, 429} != set())
    wrong += int(TROUBLES[trouble].keeps_memory and (known, left) != (admitted, 0))
    say(
        f"Redis {trouble:<10} requests_per_day {limit}: {admitted} of {sum(told.values())} admitted (at most"
        f" {2 * limit}), Redis knows {known}, {left} slots taken, statuses {dict(told)}{'  WRONG' if wrong else ''}"
    )
    return wrong


def _used(organization: Any) -> int:
    from django.db.models import F, Sum

    from gateway.models import Call

    used = Call.objects.of(organization).aggregate(used=Sum(F("input_tokens") + F("output_tokens")))["used"]
    return int(used or 0)


async def _all(served: list[Served], front: Any, redis: TroubledRedis, names: list[str], troubles: list[str]) -> int:
    import httpx

    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client:
        house, wrong = House(served, front, client), 0
        for name, whose in itertools.product(names, ("key", "organization")):
            wrong += await one_limit(house, name, whose)
        for trouble in troubles:
            wrong += await troubled(house, redis, trouble)
    return wrong


def windows(*, processes: int, names: list[str], troubles: list[str]) -> int:
    """Every limit at every place; returns how many things were wrong."""
    from django.db import connection

    from billing import audit

    outside = provider()
    try:
        [(organization, _, _)] = shop(outside.base, organizations=1, credit=1, faults=(SLOW,))
        with troubled_redis() as redis:
            configured = {"REDIS_URL": redis.url, "WEB_CONCURRENCY": processes}
            houses = [gateway(environment=configured) for _ in range(processes)]
            try:
                served = [house.wait() for house in houses]
                wrong = asyncio.run(_all(served, organization.storefront, redis, names, troubles))
            finally:
                for house in houses:
                    house.stop()
    finally:
        outside.stop()
    findings = len(audit.run().findings)
    say(f"{connection.vendor}: {processes} processes, {wrong} wrong, audit: {findings} findings")
    return wrong + findings


def main() -> int:
    """The long version."""
    parser = argparse.ArgumentParser(description="Limits over several gateways.")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--limits", nargs="*", default=list(LIMITS))
    parser.add_argument("--troubles", nargs="*", default=list(TROUBLES))
    arguments = parser.parse_args()
    with world(arguments.database):
        return 1 if windows(processes=arguments.processes, names=arguments.limits, troubles=arguments.troubles) else 0


if __name__ == "__main__":
    raise SystemExit(main())
