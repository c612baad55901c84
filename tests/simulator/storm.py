"""Streams by the thousand, two in five abnormal, against a provider that keeps its own books.

    python -m tests.simulator.storm [--database sqlite|postgresql] [--streams 10000] [--clients 24]

Clients leave after k events; the provider cuts, ends early, stalls, reports no usage, the same twice, less than before,
strings, negatives or absurdities, fails inside its 200 or before it. Afterwards every hold has ended; where usage was
reported and could be true the charge is what the provider's own books say, to the nano-dollar; else it lies within the
hold, and above nothing if something was answered; the audit is clean.
"""

import argparse
import asyncio
import random
import time
from typing import Any

from tests.simulator.servers import Books, gateway, provider, shop
from tests.simulator.worlds import say, world

INPUT_NANO, CACHED_NANO, OUTPUT_NANO = 3_750, 375, 18_750
CACHED_SAVES_NANO = INPUT_NANO - CACHED_NANO
ABNORMAL = (
    *("cut=900", "cut=2500", "eof=1500", "midline=4", "no-done", "no-usage", "usage=repeated", "usage=decreasing"),
    *("usage=1e12", "usage=negative", "usage=strings", "usage=2e63", "usage=x10", "usage=floats", "usage=null"),
    *("error-first", "error-later=6", "status=500", "status=429", "malformed"),
)
LEAVES = "leaves"
TRUE_USAGE = {"", LEAVES, "usage=repeated", "usage=decreasing"}  # what it reports is what it bills


def plan(streams: int, dice: random.Random) -> list[str]:
    """Three in five as they should be; of the rest a third is left by the client."""
    kinds = []
    for _ in range(streams):
        if dice.random() < 0.6:
            kinds.append("")
        else:
            kinds.append(LEAVES if dice.random() < 1 / 3 else dice.choice(ABNORMAL))
    return kinds


async def run(base: str, secrets: list[str], kinds: list[str], clients: int, dice: random.Random) -> dict[str, str]:
    """All streams; returns what kind each call was."""
    import httpx

    queue, called = list(enumerate(kinds)), {}
    leaving_after = [dice.choice((1, 2, 5, 20)) for _ in kinds]

    async def one(client: Any) -> None:
        while queue:
            number, kind = queue.pop()
            fault = "" if kind in {"", LEAVES} else kind
            body = {
                "model": f"sandbox-standard+{fault}" if fault else "sandbox-standard",
                "messages": [{"role": "user", "content": f"Stream number {number}, in a few words"}],
                "max_tokens": 40,
                "stream": True,
            }
            sent = {"authorization": f"Bearer {secrets[number % len(secrets)]}"}
            try:
                async with client.stream("POST", base + "/v1/chat/completions", json=body, headers=sent) as answer:
                    called[answer.headers.get("x-call-id", f"refused {number}")] = kind
                    left = leaving_after[number]
                    async for _ in answer.aiter_bytes(64):
                        left -= 1
                        if kind == LEAVES and left <= 0:
                            break
            except httpx.TransportError as error:
                called[f"broken {number}: {error!r}"] = kind

    async with httpx.AsyncClient(timeout=120, limits=httpx.Limits(max_connections=clients)) as client:
        await asyncio.gather(*(one(client) for _ in range(clients)))
    return called


def storm(*, streams: int, clients: int, seed: int = 0) -> int:
    """One storm; returns how many things were wrong."""
    from django.db import connection

    from billing import audit
    from billing.models import Hold

    dice = random.Random(seed)
    outside, started_at = provider(), time.perf_counter()
    try:
        customers = shop(outside.base, organizations=10, credit=10**13, faults=ABNORMAL)
        house = gateway(arm=_never_rest).wait()
        try:
            secrets = [secret for _, _, secret in customers]
            called = asyncio.run(run(house.base, secrets, plan(streams, dice), clients, dice))
            until = time.monotonic() + 60
            while Hold.unscoped.filter(outcome__isnull=True).exists() and time.monotonic() < until:
                time.sleep(0.2)
        finally:
            house.stop()
        wrong = compare(called, {entry["id"]: entry for entry in Books(outside).entries()})
    finally:
        outside.stop()
    findings = audit.run().findings
    for finding in findings[:10]:
        say(f"FINDING {finding}")
    took_s = time.perf_counter() - started_at
    say(f"{connection.vendor}: {streams} streams in {took_s:.0f} s, {wrong} wrong, audit: {len(findings)} findings")
    return wrong + len(findings)


def _never_rest() -> None:
    """One provider, asked to fail thousands of times: its routes must not rest, or nothing else would be tried."""
    from gateway.health import Health

    Health.failed = lambda self, route, **_: None  # type: ignore[method-assign,assignment]


def compare(called: dict[str, str], books: dict[str, dict[str, Any]]) -> int:
    """Our rows beside the provider's; a line for every kind."""
    from billing.models import Hold
    from gateway.models import Attempt, Call

    tallies: dict[str, dict[str, int]] = {}
    unsettled = Hold.unscoped.filter(outcome__isnull=True).count()
    last = dict(Attempt.unscoped.order_by("number").values_list("call_id", "upstream_request_id"))
    holds = Hold.unscoped.in_bulk()
    broken = sum(name.startswith("broken") for name in called)
    unknown = 0
    for call in Call.unscoped.all():
        kind = called.get(str(call.pk), "refused or unseen")
        entry, hold = books.get(last.get(call.pk, "")), holds[call.pk]
        counted = tallies.setdefault(kind, {"calls": 0, "exact": 0, "estimated": 0, "free": 0, "wrong": 0, "nano": 0})
        counted["calls"] += 1
        counted["nano"] += hold.charged_nano
        if hold.charged_nano == 0:
            counted["free"] += 1
        if call.usage_source == "reported" and kind in TRUE_USAGE:
            counted["exact"] += 1
            if entry is None or hold.charged_nano != billed(entry["true"]):
                counted["wrong"] += 1
        elif call.usage_source != "none":
            counted["estimated"] += 1
            counted["wrong"] += not 0 < hold.charged_nano <= hold.held_nano
        elif hold.charged_nano:
            counted["wrong"] += 1
        unknown += kind == "refused or unseen" and hold.charged_nano > 0
    for kind, counted in sorted(tallies.items()):
        say(f"{kind or 'as it should be':<18} {counted}")
    say(f"unsettled {unsettled}, broken connections {broken}, charged without having been seen {unknown}")
    return unsettled + broken + unknown + sum(counted["wrong"] for counted in tallies.values())


def billed(tokens: dict[str, int]) -> int:
    """What the provider's own count costs the customer."""
    return tokens["input"] * INPUT_NANO - tokens["cached"] * CACHED_SAVES_NANO + tokens["output"] * OUTPUT_NANO


def main() -> int:
    """The long version."""
    parser = argparse.ArgumentParser(description="A storm of streams.")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with world(arguments.database):
        return 1 if storm(streams=arguments.streams, clients=arguments.clients, seed=arguments.seed) else 0


if __name__ == "__main__":
    raise SystemExit(main())
