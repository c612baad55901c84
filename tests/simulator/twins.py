"""A batch of n is n batches of one, and the same on the other engine: one history lived twice, gathered and one by one.

    python -m tests.simulator.twins [--batches 100000] [--first 0] [--database sqlite|postgresql]

The last line is a digest of everything the ledger said, without the numbers of rows: both engines print the same one.
"""

import argparse
import hashlib
import itertools
import time

from tests.simulator.worlds import say, world

OPERATIONS = 200
TELL_EVERY = 100


def lived(*, batches: int, first: int = 0) -> tuple[int, str]:
    """Live histories until there were so many batches; returns how many, and the digest of what was said."""
    from tests.simulator.pair import Twins

    said, done, started_at = hashlib.sha256(), 0, time.perf_counter()
    for seed in itertools.count(first):
        if done >= batches:
            break
        history = Twins(seed)
        history.run(OPERATIONS)
        done += history.batches
        said.update("\n".join(history.said).encode())
        if (seed + 1) % TELL_EVERY == 0:
            say(f"seed {seed}: {done} batches, {said.hexdigest()[:16]}, {time.perf_counter() - started_at:.0f} s")
    return done, said.hexdigest()


def main() -> int:
    """The long version."""
    parser = argparse.ArgumentParser(description="A batch of n is n batches of one.")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--batches", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    with world(arguments.database):
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    from django.db import connection

    from billing import audit

    with connection.cursor() as cursor:  # what survives a crash is proven elsewhere
        cursor.execute("PRAGMA synchronous=OFF" if connection.vendor == "sqlite" else "SET synchronous_commit = off")
    done, digest = lived(batches=arguments.batches, first=arguments.first)
    findings = audit.run().findings
    say(f"{arguments.database}: {done} batches, each twice, 0 differences, audit: {len(findings)} findings")
    say(f"what was said: {digest}")
    return len(findings)


if __name__ == "__main__":
    raise SystemExit(main())
