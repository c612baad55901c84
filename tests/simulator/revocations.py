"""Keys revoked while four hot server processes work with them, with Redis and without.

    python -m tests.simulator.revocations [--database sqlite|postgresql] [--times 200] [--redis]

Each key is warmed in every process; then it is revoked, and as soon as that is committed every process is asked again
at once: none may admit it. Every fifth key also has a stream running, which must end with an error within five seconds
and be charged for what was delivered.
"""

import argparse
import asyncio
import contextlib
import tempfile
import time
from typing import Any

from plumbing import readers
from tests.simulator.servers import Served, gateway, provider, shop
from tests.simulator.worlds import say, world

PROCESSES = 4
SLOW = "tokens=2000+slow=0.05"
LONGEST_S = 5.0


async def revoke_once(client: Any, houses: list[Served], organization: Any, *, streams: bool) -> dict[str, float]:
    """One key's life; how many admitted it afterwards, and how long its stream went on."""

    key, secret = await readers.read(_make, organization)
    sent = {"authorization": f"Bearer {secret}"}
    body = {"model": "sandbox-standard", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}

    async def ask(house: Served) -> int:
        answer = await client.post(house.base + "/v1/chat/completions", json=body, headers=sent)
        return int(answer.status_code)

    warm = await asyncio.gather(*map(ask, houses))
    begun, ended = asyncio.Event(), 0.0
    said = bytearray()

    async def stream() -> None:
        nonlocal ended
        long = {**body, "model": f"sandbox-standard+{SLOW}", "max_tokens": 2_000, "stream": True}
        async with client.stream("POST", houses[0].base + "/v1/chat/completions", json=long, headers=sent) as answer:
            async for piece in answer.aiter_bytes():
                begun.set()
                said.extend(piece)
        ended = time.monotonic()

    running = asyncio.ensure_future(stream()) if streams else None
    if running is not None:
        await asyncio.wait_for(begun.wait(), 30)
    await readers.read(_revoke, key)
    revoked_at = time.monotonic()
    after = await asyncio.gather(*map(ask, houses))
    if running is not None:
        await asyncio.wait_for(running, 60)
    return {
        "cold": sum(status != 200 for status in warm),
        "admitted": sum(status == 200 for status in after),
        "odd": sum(status != 401 for status in after),
        "stream_s": ended - revoked_at if streams else 0.0,
        "silent": float(streams and (b'"error"' not in said or b"[DONE]" in said)),
    }


def _make(organization: Any) -> tuple[Any, str]:
    from tests import factories

    return factories.make_key(organization)


def _revoke(key: Any) -> None:
    from django.utils import timezone

    from accounts import keys, trail

    keys.revoke(key, now=timezone.now(), source=trail.SYSTEM)


async def _all(houses: list[Served], organization: Any, times: int) -> list[dict[str, float]]:
    import httpx

    async with httpx.AsyncClient(timeout=60) as client:
        return [await revoke_once(client, houses, organization, streams=n % 5 == 0) for n in range(times)]


def revocations(*, times: int, redis_url: str = "", processes: int = PROCESSES) -> int:
    """So many keys; returns how many things were wrong."""
    from django.db import connection

    from billing import audit
    from billing.models import Hold

    outside = provider()
    try:
        [(organization, _, _)] = shop(outside.base, organizations=1, credit=10**13, faults=(SLOW,))
        houses = [gateway(environment={"REDIS_URL": redis_url}) for _ in range(processes)]
        try:
            told = asyncio.run(_all([house.wait() for house in houses], organization, times))
            until = time.monotonic() + 30
            while Hold.unscoped.filter(outcome__isnull=True).exists() and time.monotonic() < until:
                time.sleep(0.2)
        finally:
            for house in houses:
                house.stop()
    finally:
        outside.stop()
    totals = {name: sum(one[name] for one in told) for name in ("cold", "admitted", "odd", "silent")}
    slowest_s = max(one["stream_s"] for one in told)
    late = sum(one["stream_s"] > LONGEST_S for one in told)
    open_holds = Hold.unscoped.filter(outcome__isnull=True).count()
    findings = len(audit.run().findings)
    say(
        f"{connection.vendor}{', Redis' if redis_url else ''}: {times} revocations x {processes} processes: {totals},"
        f" slowest stream ended after {slowest_s:.2f} s, {late} late, {open_holds} open holds, audit: {findings}"
    )
    return int(sum(totals.values())) + late + open_holds + findings


def main() -> int:
    """The long version."""
    from config import servers

    parser = argparse.ArgumentParser(description="Revocations against hot processes.")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--redis", action="store_true")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        stack.enter_context(world(arguments.database))
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="tollgate-redis-"))
        url = stack.enter_context(servers.redis(None, scratch)) if arguments.redis else ""
        return 1 if revocations(times=arguments.times, redis_url=url) else 0


if __name__ == "__main__":
    raise SystemExit(main())
