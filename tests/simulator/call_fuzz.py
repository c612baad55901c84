"""A whole server under mutated requests, and under providers whose answers are mutated, through both doors.

    python -m tests.simulator.call_fuzz [--requests 100000] [--replies 100000] [--seed 0]

Nothing may be answered with a 500, every hold must end, the audit must be clean, and the server's memory may not grow
by more than 64 MiB after its first tenth. The server is a process of its own; the provider is a function on loopback.
"""

import argparse
import asyncio
import json
import random
from pathlib import Path
from typing import Any

from tests.simulator.worlds import say, world

CLIENTS = 16
GROWTH_KIB = 64 * 1024
PATHS = {
    "openai_chat": "/v1/chat/completions",
    "anthropic_messages": "/v1/messages",
    "openai_responses": "/v1/responses",
}
DOORS = (True, False)


def resident_kib(pid: int) -> int:
    """The memory of a process that is really there."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def _request(chance: random.Random) -> tuple[str, bytes]:
    """A request of a recording, changed in a few places, at the door of its dialect."""
    from tests.gateway.test_dialect_fuzz import REQUESTS, mutated, scrambled

    exchange = chance.choice([one for one in REQUESTS if one.dialect in PATHS])
    source: Any = {**exchange.request, "model": "odd", "max_tokens": 20}
    if chance.random() < 0.2:
        return PATHS[exchange.dialect], scrambled(json.dumps(source).encode(), chance)
    for _ in range(chance.randrange(1, 4)):
        source = mutated(source, chance)
    return PATHS[exchange.dialect], json.dumps(source).encode()


def _odd_provider(seed: int) -> Any:
    """A provider that answers with recordings, changed; what it is asked does not matter to it."""
    from tests.gateway.fake_provider import Heard, Told, fake_provider
    from tests.gateway.test_dialect_fuzz import REPLIES, mutated, mutated_stream, scrambled

    chance = random.Random(seed)
    spoken = [one for one in REPLIES if one.dialect == "openai_chat"]
    whole = [one for one in spoken if not one.is_stream]
    streams = [one for one in spoken if one.is_stream]

    def answer(asked: Heard) -> Told:
        if b'"stream":true' in asked.body.replace(b" ", b""):
            body = chance.choice(streams).body[:20_000]
            changed = chance.choice([mutated_stream, scrambled])(body, chance)
            return Told(200, changed, {"content-type": "text/event-stream"})
        body = chance.choice(whole).body
        if chance.random() < 0.3:
            return Told(200, scrambled(body, chance))
        return Told(200, json.dumps(mutated(json.loads(body), chance)).encode())

    return fake_provider(answer)


def _never_rest() -> None:
    """A route that answers nonsense all day would rest, and nothing more would be read of it."""
    from gateway import health

    health.FAILURES_TO_OPEN = 10**9


async def _send(base: str, secret: str, bodies: list[tuple[str, bytes]]) -> dict[int, int]:
    import httpx

    statuses: dict[int, int] = {}
    waiting = iter(bodies)

    async def client() -> None:
        async with httpx.AsyncClient(base_url=base, timeout=60) as asking:
            headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
            for path, body in waiting:
                try:
                    answer = await asking.post(path, content=body, headers=headers)
                    status = answer.status_code
                except httpx.TransportError:
                    status = 0
                statuses[status] = statuses.get(status, 0) + 1

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return statuses


def _replies_wanted(many: int, chance: random.Random) -> list[tuple[str, bytes]]:
    ask: dict[str, Any] = {"model": "odd", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 20}
    paths = ("/v1/chat/completions", "/v1/messages")
    return [(chance.choice(paths), json.dumps({**ask, "stream": chance.random() < 0.5}).encode()) for _ in range(many)]


def fuzz(*, requests: int, replies: int, seed: int = 0) -> int:
    """So many of each over both doors; returns how many things were wrong."""
    from tests.simulator.servers import gateway

    chance, wrong = random.Random(seed), 0
    with _odd_provider(seed) as odd:
        secret = _shop(odd.url)
        for express in DOORS:
            served = gateway(arm=_never_rest, environment={"EXPRESS_DOOR": express, "UPSTREAM_TRIES": 1}).wait()
            try:
                bodies = [_request(chance) for _ in range(requests // 2)] + _replies_wanted(replies // 2, chance)
                chance.shuffle(bodies)
                wrong += _through(served, secret, bodies, "express" if express else "canonical")
                odd.heard.clear()
            finally:
                served.stop(15)
    return wrong + _books()


def _through(served: Any, secret: str, bodies: list[tuple[str, bytes]], door: str) -> int:
    first = max(1, len(bodies) // 10)
    statuses = asyncio.run(_send(served.base, secret, bodies[:first]))
    warm = resident_kib(served.child.pid)
    for status, many in asyncio.run(_send(served.base, secret, bodies[first:])).items():
        statuses[status] = statuses.get(status, 0) + many
    growth = resident_kib(served.child.pid) - warm
    say(f"{door}: {len(bodies)} requests, statuses {dict(sorted(statuses.items()))}, memory {growth:+} KiB")
    return statuses.get(500, 0) + int(growth > GROWTH_KIB)


def _books() -> int:
    import time

    from billing import audit
    from billing.models import Hold

    until = time.monotonic() + 30
    while Hold.unscoped.filter(outcome__isnull=True).exists() and time.monotonic() < until:
        time.sleep(0.2)
    open_holds = Hold.unscoped.filter(outcome__isnull=True).count()
    findings = audit.run().findings
    for finding in findings[:10]:
        say(f"FINDING {finding}")
    say(f"{open_holds} open holds, audit: {len(findings)} findings")
    return open_holds + len(findings)


def _shop(url: str) -> str:
    from django.utils import timezone

    from accounts import trail
    from accounts.opening import default_storefront
    from billing import wallets
    from gateway.seed import stock
    from tests import factories
    from tests.gateway.test_failover import sell

    front = default_storefront()
    stock(front, sandbox_url="http://127.0.0.1:1/sandbox/provider", now=timezone.now())
    provider = sell("odd-provider", url, keys=1, cost=3, priority=100)
    route = provider.routes.get()
    type(route.model).objects.filter(pk=route.model_id).update(slug="odd")
    organization = factories.make_organization(storefront=front)
    wallets.credit(organization, 10**15, "proof", trail.SYSTEM)
    return str(factories.make_key(organization)[1])


def main() -> int:
    """The long version."""
    parser = argparse.ArgumentParser(description="Mutated requests and mutated replies against a whole server.")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--replies", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with world(arguments.database):
        return 1 if fuzz(requests=arguments.requests, replies=arguments.replies, seed=arguments.seed) else 0


if __name__ == "__main__":
    raise SystemExit(main())
