"""kill -9 a real gateway in the middle of real calls, at every fault point of a call.

    python -m tests.simulator.call_kills [--database sqlite|postgresql] [--times 20]

A server process answers a crowd of clients, streams and whole answers mixed, against the sandbox provider in a process
of its own. At one of its fault points it kills itself. Then its lease is found dead and the sweep runs, and: every call
whose end a client saw is charged, once; every hold has ended; every departure has its call; what the provider saw had
departed; the audit is clean.
"""

import argparse
import asyncio
import itertools
import json
import os
import random
import signal
import time
from typing import Any

from tests.simulator.servers import Books, Served, gateway, provider, shop
from tests.simulator.worlds import say, world

POINTS = {
    "CP1": "before the hold is written",
    "CP2": "after the hold's COMMIT, before the caller knows",
    "CP3": "before the request leaves",
    "CP4": "after the provider accepted",
    "CP5": "after the first byte to the client",
    "CP6": "in the middle of a stream",
    "CP7": "after the last event, before the settlement",
    "CP8": "before the settlement's COMMIT",
    "CP9": "after the settlement's COMMIT, its answer lost",
    "CP10": "after the settlement, before the client sees the end",
}
CLIENTS = 12
PROMPT = [{"role": "user", "content": "Tell me something that takes a few words to say."}]


def arm(point: str, after: int) -> None:  # noqa: C901, PLR0915 - ten points, each in its place
    """Put the fault where the point says."""
    from django.db.transaction import Atomic

    from billing import commit, ledger
    from billing.operations import Release, Reserve, Settle
    from gateway.calls import Desk
    from gateway.streaming import StreamedAnswer
    from gateway.upstream import Upstream

    passed = itertools.count(1)
    current: list[Any] = []
    kinds = (Reserve,) if point in {"CP1", "CP2"} else (Settle, Release)

    def die(where: str) -> None:
        if where == point and next(passed) == after:
            os.kill(os.getpid(), signal.SIGKILL)

    def die_with(where: str) -> None:
        if any(isinstance(operation, kinds) for operation in current):
            die(where)

    apply, leave = ledger.apply, Atomic.__exit__
    whole, stream, close = Upstream.whole, Upstream.stream, Desk.close
    following, finished = StreamedAnswer.__anext__, StreamedAnswer._finished

    def applying(connection: Any, operations: Any, now: Any) -> Any:
        current[:] = operations
        die_with("CP1")
        return apply(connection, operations, now)

    def leaving(atomic: Any, *arguments: Any) -> Any:
        die_with("CP8")
        left = leave(atomic, *arguments)
        die_with("CP2")
        die_with("CP9")
        current.clear()
        return left

    async def asking(self: Any, request: Any, how: Any) -> Any:
        die("CP3")
        answer = await how(self, request)
        die("CP4")
        return answer

    async def next_one(self: Any) -> bytes:
        told = TOLD[self.call.id] = TOLD.get(self.call.id, 0) + 1
        if told == 2:
            die("CP5")
        if told == 6:
            die("CP6")
        piece: bytes = await following(self)
        return piece

    async def finishing(self: Any) -> Any:
        die("CP7")
        return await finished(self)

    async def closing(self: Any, call: Any, end: Any) -> Any:
        closed = await close(self, call, end)
        die("CP10")
        return closed

    commit.ledger.apply = applying  # type: ignore[attr-defined]
    Atomic.__exit__ = leaving  # type: ignore[method-assign]
    Upstream.whole = lambda self, request: asking(self, request, whole)  # type: ignore[method-assign]
    Upstream.stream = lambda self, request: asking(self, request, stream)  # type: ignore[method-assign]
    StreamedAnswer.__anext__ = next_one  # type: ignore[method-assign]
    StreamedAnswer._finished = finishing  # type: ignore[method-assign]
    Desk.close = closing  # type: ignore[method-assign]


TOLD: dict[int, int] = {}


async def crowd(server: Served, secrets: list[str], seen: list[int]) -> None:
    """Ask until the server is gone; note the calls whose end was seen."""
    import httpx

    async def one(place: int, client: Any) -> None:
        for turn in itertools.count(place):
            streamed = turn % 2 == 0
            body = {"model": "sandbox-standard", "messages": PROMPT, "max_tokens": 30, "stream": streamed}
            sent = {"authorization": f"Bearer {secrets[turn % len(secrets)]}"}
            async with client.stream("POST", server.base + "/v1/chat/completions", json=body, headers=sent) as answer:
                said = await answer.aread()
            if answer.status_code == 200 and (not streamed or b"data: [DONE]" in said):
                if not streamed:
                    json.loads(said)
                seen.append(int(answer.headers["x-call-id"]))

    async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=CLIENTS)) as client:
        await asyncio.gather(*(one(place, client) for place in range(CLIENTS)), return_exceptions=True)


def kill_once(point: str, secrets: list[str], books: Books, after: int) -> dict[str, int]:
    """One death and its recovery; counts what went wrong."""
    from django.db.models import Count
    from django.db.models.functions import Now

    from billing import leases
    from billing.leases import DEAD_AFTER
    from billing.models import Hold, ProcessLease, Transfer
    from gateway.models import Call, Departure

    books.forget()
    server = gateway(arm=lambda: arm(point, after)).wait()
    seen: list[int] = []
    asyncio.run(crowd(server, secrets, seen))
    server.child.read()
    assert server.child.status is not None
    assert os.WIFSIGNALED(server.child.status), (point, server.child.status)
    started_at = time.perf_counter()
    process = ProcessLease.objects.get(name=f"gateway {server.child.pid}", ended_at__isnull=True)
    ProcessLease.objects.filter(pk=process.pk).update(heartbeat_at=Now() - DEAD_AFTER - DEAD_AFTER)
    leases.sweep()
    recovery_ms = int((time.perf_counter() - started_at) * 1_000)
    holds = Hold.unscoped.filter(process_id=process.pk)
    ids = list(holds.values_list("pk", flat=True))
    charged = dict(
        Transfer.unscoped.filter(hold_id__in=ids, code="usage")
        .values_list("hold_id")
        .annotate(Count("pk"))
        .order_by("hold_id")
    )
    departed = set(Departure.unscoped.filter(call_id__in=ids).values_list("call_id", flat=True))
    known = set(Call.unscoped.filter(pk__in=ids).values_list("pk", flat=True))
    summary = books.summary()
    return {
        "seen": len(seen),
        "lost": len(set(seen) - charged.keys()),
        "double": sum(many - 1 for many in charged.values()),
        "open": holds.filter(outcome__isnull=True).count(),
        "unexplained": len(departed - known) + len(set(ids) - departed),
        "unheld": max(0, summary["requests"] - len(departed)),
        "expired": holds.filter(outcome="expired").count(),
        "recovery_ms": recovery_ms,
    }


WRONG = ("lost", "double", "open", "unexplained", "unheld")


def deaths(*, times: int, seed: int = 0, points: tuple[str, ...] = tuple(POINTS)) -> int:
    """Every point so many times; returns how many things went wrong."""
    from django.db import connection

    from billing import audit

    world_outside = provider()
    try:
        customers = shop(world_outside.base, organizations=5, credit=10**12)
        books, dice, wrong = Books(world_outside), random.Random(seed), 0
        secrets = [secret for _, _, secret in customers]
        for point in points:
            totals: dict[str, int] = {}
            slowest_ms = 0
            for _ in range(times):
                counted = kill_once(point, secrets, books, dice.randrange(1, 16))
                slowest_ms = max(slowest_ms, counted.pop("recovery_ms"))
                totals = {name: totals.get(name, 0) + many for name, many in counted.items()}
            wrong += sum(totals[name] for name in WRONG)
            say(f"{point} ({POINTS[point]}) x {times}: {totals}, slowest sweep {slowest_ms} ms")
    finally:
        world_outside.stop()
    findings = audit.run().findings
    for finding in findings[:10]:
        say(f"FINDING {finding}")
    say(f"{connection.vendor}: {wrong} wrong, audit: {len(findings)} findings")
    return wrong + len(findings)


def main() -> int:
    """The long version."""
    parser = argparse.ArgumentParser(description="kill -9 a gateway in the middle of calls.")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--points", nargs="*", default=list(POINTS))
    arguments = parser.parse_args()
    with world(arguments.database):
        return 1 if deaths(times=arguments.times, points=tuple(arguments.points)) else 0


if __name__ == "__main__":
    raise SystemExit(main())
