"""Scenarios of shape rather than speed: the other door, many customers, large bodies, many streams, a long time.

Promise: as in ``scenarios``, the books of every installation that was loaded are proved before a figure is given back.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmarks import machine
from benchmarks.load import C32, Step
from benchmarks.rounds import Round, prove, worker
from benchmarks.stage import Contender, Stage, stage

FEW, MANY = 1_000, 1_000_000  # organizations
PICTURE_BYTES, PROMPT_BYTES = 2_000_000, 400_000
LARGE = Step("large", 4, seconds=4)
CROWD = Step("crowd", 1_200, seconds=12, warm_s=4, streamed=True)
MINUTE = Step("soak", 32, seconds=60, warm_s=0)

Figures = Mapping[str, Sequence[float]]


def canonical(rounds: int) -> Figures:
    """Whole answers on PostgreSQL by the canonical door, with Django's middleware and REST framework."""
    figures: dict[str, list[float]] = defaultdict(list)
    with stage() as at:
        bare, ours = at.start_bare(), at.start_tollgate("postgresql", name="canonical", EXPRESS_DOOR="off")
        turn = Round(at)
        turn.warm(bare, ours)
        for _ in range(rounds):
            there, here = turn.run(bare, C32), turn.run(ours, C32)
            figures["canonical_door"].append(here.cpu_ms["gateway"] / there.cpu_ms["gateway"])
        prove(ours)
    return figures


def scale(rounds: int) -> Figures:
    """The cost of a request with a thousand times the organizations; seeding them takes most of the time."""
    figures: dict[str, list[float]] = defaultdict(list)
    with stage() as at:
        few = at.start_tollgate("postgresql", organizations=FEW, name="few")
        many = at.start_tollgate("postgresql", organizations=MANY, name="many")
        turn = Round(at)
        turn.warm(few, many)
        for _ in range(rounds):
            there, here = turn.run(few, C32), turn.run(many, C32)
            figures["scale_organizations"].append(here.cpu_ms["gateway"] / there.cpu_ms["gateway"])
        prove(few)
        prove(many)
    return figures


def bodies(rounds: int) -> Figures:
    """Large prompts and pictures: processor time for each megabyte, beyond the bare pass-through."""
    figures: dict[str, list[float]] = defaultdict(list)
    with stage() as at:
        bare, ours = at.start_bare(), at.start_tollgate("postgresql", organizations=FEW)
        turn = Round(at)
        turn.warm(bare, ours)
        for _ in range(rounds):
            for name, size in (("body_prompt", PROMPT_BYTES), ("body_picture", PICTURE_BYTES)):
                text = "Lorem ipsum, quickly. " * (size // 22) if name == "body_prompt" else "A" * size
                there = turn.run(bare, LARGE, prompt=text)
                here = turn.run(ours, LARGE, prompt=text)
                added_ms = here.cpu_ms["gateway"] - there.cpu_ms["gateway"]
                figures[name].append(added_ms / (len(text) / 1_000_000))
        prove(ours)
    return figures


def crowd(rounds: int) -> Figures:
    """Twelve hundred slow streams at once: the memory each takes, and that none fails."""
    figures: dict[str, list[float]] = defaultdict(list)
    with Stage() as at:
        at.start_upstream("--chunks", "20", "--gap", "200")
        ours = at.start_tollgate("postgresql", organizations=FEW)
        turn = Round(at)
        turn.warm(ours)
        for _ in range(rounds):
            before = machine.memory_mib([worker(ours)])
            with ThreadPoolExecutor(1) as pool:
                running = pool.submit(turn.run, ours, CROWD)
                most = _most_memory(ours, running.done)
                measured = running.result()
            assert not measured.failed, f"{measured.failed} streams failed"
            figures["memory_stream"].append(max(0.0, most - before) * 1024 / CROWD.connections)
        prove(ours)
    return figures


def _most_memory(contender: Contender, is_over: Callable[[], bool]) -> float:
    most = 0.0
    while not is_over():
        most = max(most, machine.memory_mib([worker(contender)]))
        time.sleep(0.5)
    return most


def soak(rounds: int) -> Figures:
    """A minute of steady load for each round: memory must stay flat. Ask for ``--rounds 10`` or more."""
    figures: dict[str, list[float]] = defaultdict(list)
    with stage() as at:
        ours = at.start_tollgate("postgresql", organizations=FEW)
        turn = Round(at)
        turn.warm(ours)
        turn.run(ours, MINUTE)  # caches fill, arenas find their size
        before = machine.memory_mib([worker(ours)])
        for minute in range(1, rounds + 1):
            turn.run(ours, MINUTE)
            now = machine.memory_mib([worker(ours)])
            sys.stderr.write(f"  minute {minute}: {now:.1f} MiB\n")
            figures["soak_growth"].append(now / before)
        prove(ours)
    return figures
