"""A crowd at one wallet: real processes, real connections, one balance.

    python -m tests.simulator.crowd [--database sqlite|postgresql] [--rounds 20] [--requests 1000] [--processes 4]

Every round opens a wallet for ten holds and lets all processes reserve at once, each through its own group commit; then
a wallet for 200 holds with 5,000 requests, a cap for five, and the last tokens of a grant. While they run, a watcher
reads every committed state it can get and notes the lowest ``available``. At the end: who got in, and the audit.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

from tests.simulator.worlds import START, Child, make_organizations, say, world

HOLD = 1_000


def crowd(organization_id: int, *, requests: int, processes: int, mode: str = "") -> tuple[int, int, int]:
    """Let them all in at once. Returns granted, refused, and the lowest ``available`` that was ever committed."""
    from billing.models import Account, ProcessLease

    gate, opening = os.pipe()
    leases = [
        ProcessLease.objects.create(name="crowd", started_at=START, heartbeat_at=START.replace(year=2100)).pk
        for _ in range(processes)
    ]
    each = requests // processes

    def one_of_them(process_id: int) -> Callable[[Callable[[str], None]], None]:
        def story(tell: Callable[[str], None]) -> None:
            os.close(opening)
            os.read(gate, 1)  # comes back, for all at once, when the parent closes its end
            tell(str(_requests(organization_id, process_id, each, mode)))

        return story

    children = [Child(one_of_them(process_id)) for process_id in leases]
    os.close(opening)
    os.close(gate)
    lowest = 2**63
    while sum(child.running() for child in children):
        balances = Account.unscoped.filter(organization_id=organization_id).values_list("posted", "held")
        lowest = min(lowest, *(posted - held for posted, held in balances))
        time.sleep(0.002)
    granted = sum(int(child.read()[0]) for child in children)
    return granted, processes * each - granted, lowest


def _requests(organization_id: int, process_id: int, requests: int, mode: str) -> int:
    from billing.commit import Committer
    from billing.operations import Cap, Granted, Reserve, Tokens

    caps = (Cap("key", 1, "month", 5 * HOLD),) if mode == "cap" else ()
    tokens = (Tokens("tokens:crowd", 10),) if mode == "tokens" else ()
    committer = Committer(clock=lambda: START)
    committer.start()

    async def one(number: int) -> bool:
        operation = Reserve((process_id << 39) + number, organization_id, process_id, 1, HOLD, HOLD, tokens, caps)
        return isinstance(await committer.submit(operation), Granted)

    async def everybody() -> int:
        return sum(await asyncio.gather(*(one(number) for number in range(requests))))

    granted = asyncio.run(everybody())
    committer.stop()
    return granted


def rounds(arguments: Any) -> int:
    """Every kind of crowd; returns how many were wrong."""
    from django.db import connection, transaction

    from billing import audit, ledger
    from billing.models.ledger import Kind
    from billing.operations import Credit

    wrong = 0
    plans = [("", 10, arguments.requests)] * arguments.rounds
    plans += [("", 200, arguments.requests * 5), ("cap", 5, arguments.requests), ("tokens", 19, arguments.requests)]
    for number, (mode, room, requests) in enumerate(plans):
        money = {"": room * HOLD, "cap": 1_000 * HOLD, "tokens": 10 * HOLD}[mode]
        [organization_id] = make_organizations(1, credit=money)
        if mode == "tokens":  # 95 tokens pay for nine and a half of ten: the boundary splits
            grant = Credit(
                f"t{organization_id}", organization_id, 95, Kind.TRIAL, "tokens:crowd", 0, source="promotions"
            )
            with transaction.atomic():
                ledger.apply(connection, [grant], START)
        granted, refused, lowest = crowd(organization_id, requests=requests, processes=arguments.processes, mode=mode)
        good = granted == room and lowest >= 0
        wrong += not good
        say(
            f"round {number}{' ' + mode if mode else ''}: {granted} of {granted + refused} admitted, room for {room},"
            f" lowest available {lowest}{'' if good else '  WRONG'}"
        )
    findings = audit.run().findings
    say(f"{arguments.database}: {wrong} wrong rounds, audit: {len(findings)} findings")
    return wrong + len(findings)


def main() -> int:
    """The long version."""
    parser = argparse.ArgumentParser(description="A crowd at one wallet.")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--processes", type=int, default=4)
    arguments = parser.parse_args()
    with world(arguments.database):
        return 1 if rounds(arguments) else 0


if __name__ == "__main__":
    raise SystemExit(main())
