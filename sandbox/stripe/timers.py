"""What happens by itself when its time has come: sessions expire, pending money and pending refunds arrive or fail."""

import time
from collections.abc import Callable

from sandbox.stripe import charging, checkout, refunds
from sandbox.stripe.problems import Problem
from sandbox.stripe.store import Store, setting
from sandbox.stripe.world import World


def _expire(world: World, target: str) -> None:
    session = world.get("checkout.session", target)
    if session["status"] == "open":
        checkout.expired(world, session)


def _money(*, succeeds: bool) -> Callable[[World, str], None]:
    def comes(world: World, target: str) -> None:
        charging.arrived(world, world.get("payment_intent", target), succeeds=succeeds)

    return comes


def _refund_arrives(world: World, target: str) -> None:
    refunds.arrived(world, world.get("refund", target))


def _refund_fails(world: World, target: str) -> None:
    refunds.fail(world, world.get("refund", target))


JOBS: dict[str, Callable[[World, str], None]] = {
    "expire_session": _expire,
    "money_succeeds": _money(succeeds=True),
    "money_fails": _money(succeeds=False),
    "refund_arrives": _refund_arrives,
    "refund_fails": _refund_fails,
}


def run_due(store: Store) -> int:
    """Do what is due, one transaction each; say how much it was."""
    done = 0
    while True:
        with store.reading() as db:
            clock = time.time() + setting(db, "clock_ahead_s", 0)
            if db.execute("SELECT 1 FROM timers WHERE due_at <= ? LIMIT 1", (clock,)).fetchone() is None:
                return done
        with store.writing() as db:
            row = db.execute(
                "DELETE FROM timers WHERE id = (SELECT id FROM timers WHERE due_at <= ? ORDER BY due_at, id LIMIT 1)"
                " RETURNING *",
                (clock,),
            ).fetchone()
            if row is None:
                return done
            db.execute("SAVEPOINT job")
            try:
                JOBS[row["job"]](World(db, row["account"], here=setting(db, "here", "")), row["target"])
            except Problem:  # the object has gone another way meanwhile
                db.execute("ROLLBACK TO job")
        done += 1
