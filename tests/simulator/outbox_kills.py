"""kill -9 around a row of the outbox whose work is money.

    python -m tests.simulator.outbox_kills [--database sqlite|postgresql] [--times 20]

A process handles messages, each of which credits a customer, and kills itself at a fault point. When the row's lease is
over another process handles what is left, and: every message was credited, once; none waits; the audit is clean.
"""

import argparse
import itertools
import os
import random
import signal
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.simulator.worlds import Child, make_organizations, say, world

POINTS = {
    "CP11": "an outbox row is taken, nothing of its work is done",
    "CP11 later": "its work is committed, the row is not done",
    "CP12": "the row is done",
}
TOPIC = "proof.credit"
MESSAGES, CREDITED = 30, 1_000


def credit(message: Any) -> None:
    """Idempotent by the message's key, as every handler is."""
    from django.db import connection, transaction
    from django.utils import timezone

    from billing import ledger
    from billing.operations import Credit

    with transaction.atomic():
        given = Credit(f"proof-{message.key}", message.payload["organization"], CREDITED)
        ledger.apply(connection, [given], timezone.now())


def victim(point: str, after: int) -> Callable[[Callable[[str], object]], None]:
    """A process that handles messages until its fault point comes for the ``after``-th time."""

    def story(tell: Callable[[str], object]) -> None:
        from plumbing import outbox

        passed = itertools.count(1)
        handle, finish = outbox._handle, outbox._finish

        def die_here(where: str) -> None:
            if where == point and next(passed) == after:
                os.kill(os.getpid(), signal.SIGKILL)

        def handling(row: Any, **given: Any) -> None:
            die_here("CP11")
            handle(row, **given)

        def finishing(row: Any, **changes: Any) -> None:
            die_here("CP11 later")
            finish(row, **changes)
            die_here("CP12")

        outbox._handle, outbox._finish = handling, finishing
        outbox.drain()

    return story


def kill_once(point: str, organizations: list[int], after: int) -> dict[str, int]:
    """One death and what follows; counts what went wrong."""
    from django.db import transaction
    from django.utils import timezone

    from billing.models import Transfer
    from plumbing import outbox
    from plumbing.identifiers import new_id
    from plumbing.models import OutboxMessage

    outbox.handles(TOPIC)(credit)
    keys = [new_id("p") for _ in range(MESSAGES)]
    with transaction.atomic():
        for place, key in enumerate(keys):
            payload = {"organization": organizations[place % len(organizations)]}
            outbox.add(topic=TOPIC, key=key, payload=payload)
    child = Child(victim(point, after))
    child.read()
    assert child.status is not None
    assert os.WTERMSIG(child.status) == signal.SIGKILL, (point, child.status)
    done = OutboxMessage.objects.filter(key__in=keys).exclude(done_at=None).count()
    outbox.drain()  # at once: the row that died with its worker is still leased, its neighbours do not wait for it
    leased = OutboxMessage.objects.filter(key__in=keys, done_at=None).count()
    outbox.drain(now=lambda: timezone.now() + outbox.LEASE + timedelta(seconds=1))
    uids = [f"proof-{key}" for key in keys]
    credited = list(Transfer.unscoped.filter(uid__in=uids).values_list("uid", flat=True))
    return {
        "done before": done,
        "leased": leased,
        "lost": len(set(uids) - set(credited)),
        "double": len(credited) - len(set(credited)),
        "waiting": OutboxMessage.objects.filter(key__in=keys, done_at=None).count(),
        "misplaced": int(leased != (point != "CP12")),
    }


def deaths(*, times: int, seed: int = 0) -> int:
    """Every point so many times; returns how many things went wrong."""
    from django.db import connection

    from billing import audit

    dice = random.Random(seed)
    organizations = make_organizations(5, credit=10**9)
    wrong = 0
    for point, words in POINTS.items():
        totals: dict[str, int] = {}
        for _ in range(times):
            counted = kill_once(point, organizations, dice.randrange(1, MESSAGES + 1))
            totals = {name: totals.get(name, 0) + many for name, many in counted.items()}
        wrong += sum(totals[name] for name in ("lost", "double", "waiting", "misplaced"))
        say(f"{point} ({words}) x {times}: {totals}")
    findings = audit.run().findings
    say(f"{connection.vendor}: {wrong} wrong, audit: {len(findings)} findings")
    return wrong + len(findings)


def main() -> int:
    """The long version."""
    parser = argparse.ArgumentParser(description="kill -9 around the outbox.")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--times", type=int, default=20)
    arguments = parser.parse_args()
    with world(arguments.database):
        return 1 if deaths(times=arguments.times) else 0


if __name__ == "__main__":
    raise SystemExit(main())
