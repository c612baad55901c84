"""What is measured, one function a scenario; each interleaves its contenders, so that all see the same noise.

Promise: before it returns, a scenario has audited the books of every installation it loaded, and the provider's own
count of calls equals the calls that were charged. A figure from a run whose books are wrong is no figure.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import machine, shapes
from benchmarks.load import C1, C32, SSE1, SSE64
from benchmarks.rounds import Round, prove, worker
from benchmarks.stage import Contender, stage

COMMITS = 200

Figures = Mapping[str, Sequence[float]]


def calls(rounds: int) -> Figures:
    """Whole answers on PostgreSQL: the express door against the bare pass-through."""
    figures: dict[str, list[float]] = defaultdict(list)
    with stage() as at:
        bare, ours = at.start_bare(), at.start_tollgate("postgresql")
        figures["start"].append(ours.start_s)
        figures["idle_memory"].append(machine.memory_mib([worker(ours)]))
        turn = Round(at)
        turn.warm(bare, ours)
        for _ in range(rounds):
            commit_ms = _commit_ms(ours)
            there, here = turn.run(bare, C32), turn.run(ours, C32)
            figures["cpu_postgresql"].append(here.cpu_ms["gateway"] / there.cpu_ms["gateway"])
            figures["cpu_with_database"].append(sum(here.cpu_ms.values()) / there.cpu_ms["gateway"])
            figures["throughput"].append(here.requests_per_s / there.requests_per_s)
            there, here = turn.run(bare, C1), turn.run(ours, C1)
            figures["added_latency"].append(here.p50_ms - there.p50_ms - 2 * commit_ms)
        prove(ours)
    return figures


def streams(rounds: int) -> Figures:
    """Streams on PostgreSQL: time to the first token, and the cost of an event."""
    figures: dict[str, list[float]] = defaultdict(list)
    with stage() as at:
        bare, ours = at.start_bare(), at.start_tollgate("postgresql")
        turn = Round(at)
        turn.warm(bare, ours)
        for _ in range(rounds):
            commit_ms = _commit_ms(ours)
            there, here = turn.run(bare, SSE1), turn.run(ours, SSE1)
            figures["added_first_token"].append(here.first_byte_p50_ms - there.first_byte_p50_ms - commit_ms)
            there, here = turn.run(bare, SSE64), turn.run(ours, SSE64)
            figures["cpu_event"].append(here.cpu_ms_per_event / there.cpu_ms_per_event)
        prove(ours)
    return figures


def sqlite(rounds: int) -> Figures:
    """Whole answers in an embedded installation, background work included."""
    figures: dict[str, list[float]] = defaultdict(list)
    with stage() as at:
        bare, ours = at.start_bare(), at.start_tollgate("sqlite")
        turn = Round(at)
        turn.warm(bare, ours)
        for _ in range(rounds):
            there, here = turn.run(bare, C32), turn.run(ours, C32)
            figures["cpu_sqlite"].append(here.cpu_ms["gateway"] / there.cpu_ms["gateway"])
        prove(ours)
    return figures


def wallets(rounds: int) -> Figures:
    """One wallet that everybody draws on, against a thousand."""
    figures: dict[str, list[float]] = defaultdict(list)
    with stage() as at:
        many = at.start_tollgate("postgresql", organizations=1_000)
        one = replace(many, name="one wallet", keys_file=_first_key_alone(many), seen=0)
        turn = Round(at)
        turn.warm(many, one)
        for _ in range(rounds):
            figures["one_wallet"].append(turn.run(one, C32).requests_per_s / turn.run(many, C32).requests_per_s)
        prove(many, one)
    return figures


def refusals(rounds: int) -> Figures:
    """A fifth of the customers has no money: their refusals must not slow the others."""
    figures: dict[str, list[float]] = defaultdict(list)
    with stage() as at:
        none = at.start_tollgate("postgresql", organizations=1_000)
        some = at.start_tollgate("postgresql", organizations=1_000, empty_percent=20, name="a fifth empty")
        turn = Round(at)
        turn.warm(none, some)
        for _ in range(rounds):
            with_them, without = turn.run(some, C32), turn.run(none, C32)
            figures["refused"].append(with_them.cpu_ms["gateway"] / without.cpu_ms["gateway"])
            assert with_them.refused, "nobody was refused"
        prove(none)
        prove(some)
    return figures


SCENARIOS: dict[str, Callable[[int], Figures]] = {
    "calls": calls,
    "streams": streams,
    "sqlite": sqlite,
    "wallets": wallets,
    "refusals": refusals,
    "canonical": shapes.canonical,
    "scale": shapes.scale,
    "bodies": shapes.bodies,
    "crowd": shapes.crowd,
    "soak": shapes.soak,
}


def _first_key_alone(contender: Contender) -> Path:
    assert contender.keys_file is not None
    alone = contender.keys_file.with_suffix(".first")
    alone.write_text(contender.keys_file.read_text().split("\n", 1)[0])
    return alone


def _commit_ms(contender: Contender) -> float:
    """What one durable commit of one row takes on this database, alone: the median of many."""
    import psycopg

    took: list[float] = []
    with psycopg.connect(contender.environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS bench_commit (n bigint)")
        for number in range(COMMITS):
            started = time.monotonic()
            connection.execute("INSERT INTO bench_commit VALUES (%s)", [number])
            took.append((time.monotonic() - started) * 1000)
    return sorted(took)[len(took) // 2]
