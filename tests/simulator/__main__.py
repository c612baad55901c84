"""The long version: python -m tests.simulator [--seeds 2000] [--operations 500] [--first 0] [--database sqlite]."""

import argparse
import time

from tests.simulator.worlds import say, world

AUDIT_EVERY = 200


def main() -> int:
    parser = argparse.ArgumentParser(description="Random histories against the real ledger.")
    parser.add_argument("--seeds", type=int, default=2_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--operations", type=int, default=500)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    arguments = parser.parse_args()
    with world(arguments.database):
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    from django.db import connection

    from billing import audit
    from tests.simulator.simulation import Simulation, Violation

    with connection.cursor() as cursor:  # what survives a crash is proven elsewhere; here, speed is more histories
        cursor.execute("PRAGMA synchronous=OFF" if connection.vendor == "sqlite" else "SET synchronous_commit = off")
    started_at = time.perf_counter()
    totals = {"operations": 0, "crashes": 0, "deaths": 0, "violations": 0}
    verdicts: dict[str, int] = {}
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        try:
            history = Simulation(seed).run(arguments.operations)
        except Violation as violation:
            totals["violations"] += 1
            say(f"VIOLATION {violation}")
            continue
        for name in ("operations", "crashes", "deaths"):
            totals[name] += getattr(history, name)
        for name, many in history.verdicts.items():
            verdicts[name] = verdicts.get(name, 0) + many
        if (seed + 1) % AUDIT_EVERY == 0:
            totals["violations"] += _audited(audit.run(full=False))
            say(f"seed {seed}: {totals}, {time.perf_counter() - started_at:.0f} s")
    totals["violations"] += _audited(audit.run())
    say(f"{arguments.database}: {arguments.seeds} seeds, {totals}, {time.perf_counter() - started_at:.0f} s")
    say(f"verdicts: {dict(sorted(verdicts.items()))}")
    return 1 if totals["violations"] else 0


def _audited(report: "object") -> int:
    findings = getattr(report, "findings", [])
    for finding in findings:
        say(f"FINDING {finding}")
    return len(findings)


if __name__ == "__main__":
    raise SystemExit(main())
