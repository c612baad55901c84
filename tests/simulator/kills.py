"""kill -9 in the middle of reserve, settle and commit, under load.

    python -m tests.simulator.kills [--database sqlite|postgresql] [--times 20]

A process serves customers through group commit and tells its parent each charge the customer saw. At one of its fault
points it kills itself, with everything around it still under way. Then its lease is found dead, the sweep runs, and:
every charge that was seen is in the books, once; every hold has ended; the audit is clean.
"""

import argparse
import asyncio
import itertools
import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any

from tests.simulator.worlds import Child, make_organizations, say, world

POINTS = {
    "CP1": "before the hold is written",
    "CP2": "after the hold's COMMIT, before the caller knows",
    "CP8": "before the settlement's COMMIT",
    "CP9": "after the settlement's COMMIT, its answer lost",
    "CP10": "after the caller knows, before the client sees the end",
}
CALLERS = 24
HELD, CHARGED = 1_000, 600


def victim(point: str, organizations: list[int], after: int) -> Callable[[Callable[[str], None]], None]:
    """A process that serves until its fault point comes for the ``after``-th time."""

    def story(tell: Callable[[str], None]) -> None:
        from billing.commit import Committer
        from billing.leases import Lease
        from billing.operations import Granted, Reserve, Settle, Settled

        lease = Lease("victim")
        lease.start()
        tell(f"lease {lease.process_id}")
        committer = Committer()
        _arm(committer, point, after)
        committer.start()

        async def caller(place: int) -> None:
            for turn in itertools.count(place):
                organization_id = organizations[turn % len(organizations)]
                number, process_id = lease.next_hold()
                granted = await committer.submit(Reserve(number, organization_id, process_id, 1, HELD, HELD))
                assert granted == Granted(HELD), granted
                await asyncio.sleep(0.001)  # the work
                settled = await committer.submit(Settle(number, organization_id, CHARGED, exact=True))
                assert settled == Settled(CHARGED, 0), settled
                tell(f"seen {number}")

        async def serve() -> None:
            await asyncio.gather(*(caller(place) for place in range(CALLERS)))

        asyncio.run(serve())

    return story


def _arm(committer: Any, point: str, after: int) -> None:
    """Put the fault where the point says."""
    from django.db.transaction import Atomic

    from billing import commit, ledger
    from billing.operations import Reserve, Settle

    kind = Reserve if point in {"CP1", "CP2"} else Settle
    passed = itertools.count(1)
    current: list[Any] = []
    apply, leave, answer = ledger.apply, Atomic.__exit__, committer._answer

    def die_here(where: str) -> None:
        if where == point and any(isinstance(operation, kind) for operation in current) and next(passed) == after:
            os.kill(os.getpid(), signal.SIGKILL)

    def applying(connection: Any, operations: Any, now: Any) -> Any:
        current[:] = operations
        die_here("CP1")
        return apply(connection, operations, now)

    def leaving(atomic: Any, *arguments: Any) -> Any:
        die_here("CP8")
        left = leave(atomic, *arguments)
        die_here("CP2")
        die_here("CP9")
        return left

    def answering(batch: Any) -> None:
        answer(batch)
        die_here("CP10")

    commit.ledger.apply = applying  # type: ignore[attr-defined]
    Atomic.__exit__ = leaving  # type: ignore[method-assign]
    committer._answer = answering


def kill_once(point: str, organizations: list[int], after: int) -> dict[str, int]:
    """One death and its recovery; counts what went wrong."""
    from django.db.models.functions import Now

    from billing import leases
    from billing.leases import DEAD_AFTER
    from billing.models import Hold, ProcessLease, Transfer

    child = Child(victim(point, organizations, after))
    lines = child.read()
    assert child.status is not None
    assert os.WTERMSIG(child.status) == signal.SIGKILL, (point, child.status)
    process_id = int(lines[0].split()[1])
    seen = [int(line.split()[1]) for line in lines[1:] if line.startswith("seen ")]
    started_at = time.perf_counter()
    ProcessLease.objects.filter(pk=process_id).update(heartbeat_at=Now() - DEAD_AFTER - DEAD_AFTER)
    leases.sweep()
    recovery_ms = (time.perf_counter() - started_at) * 1_000
    holds = Hold.unscoped.filter(process_id=process_id)
    charges = list(
        Transfer.unscoped.filter(hold__process_id=process_id, code="usage").values_list("hold_id", flat=True)
    )
    return {
        "seen": len(seen),
        "lost": len(set(seen) - set(charges)),
        "double": len(charges) - len(set(charges)),
        "open": holds.filter(outcome__isnull=True).count(),
        "unequal": holds.filter(outcome="settled").count() - len(charges),
        "expired": holds.filter(outcome="expired").count(),
        "recovery_ms": int(recovery_ms),
    }


def deaths(*, times: int, seed: int = 0) -> int:
    """Every point so many times; returns how many things went wrong."""
    from django.db import connection

    from billing import audit

    dice = random.Random(seed)
    organizations = make_organizations(5, credit=10**12)
    wrong = 0
    for point, words in POINTS.items():
        totals: dict[str, int] = {}
        slowest_ms = 0
        for _ in range(times):
            counted = kill_once(point, organizations, dice.randrange(1, 30))
            slowest_ms = max(slowest_ms, counted.pop("recovery_ms"))
            totals = {name: totals.get(name, 0) + many for name, many in counted.items()}
        wrong += sum(totals[name] for name in ("lost", "double", "open", "unequal"))
        say(f"{point} ({words}) x {times}: {totals}, slowest recovery {slowest_ms} ms")
    findings = audit.run().findings
    say(f"{connection.vendor}: {wrong} wrong, audit: {len(findings)} findings")
    return wrong + len(findings)


def main() -> int:
    """The long version."""
    parser = argparse.ArgumentParser(description="kill -9 under load.")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--times", type=int, default=20)
    arguments = parser.parse_args()
    with world(arguments.database):
        return 1 if deaths(times=arguments.times) else 0


if __name__ == "__main__":
    raise SystemExit(main())
