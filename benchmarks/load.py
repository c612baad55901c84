"""One load on one contender: how many, how fast, at whose cost.

Promise: the figures of one run cover what the contender's processes used, from before the first request to after the
last answer; ``foreign_cores`` says how much of the machine somebody else used meanwhile, and so how far to trust it.
"""

import json
import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine, native
from benchmarks.stage import Contender, Stage


@dataclass(frozen=True, slots=True)
class Step:
    """A shape of load: ``c32`` is thirty-two at once, ``sse64`` sixty-four streams at once."""

    name: str
    connections: int
    seconds: float = 2.5
    warm_s: float = 0.8
    streamed: bool = False


C1 = Step("c1", 1, seconds=1.5, warm_s=0.3)
C32 = Step("c32", 32)
C128 = Step("c128", 128)
SSE1 = Step("sse1", 1, seconds=1.6, warm_s=0.3, streamed=True)
SSE64 = Step("sse64", 64, streamed=True)
PROMPT = "Say hello to the quick brown fox."


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run of a step showed."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    first_byte_p50_ms: float
    cpu_ms: Mapping[str, float]
    cpu_ms_per_event: float
    sent: int
    ok: int
    refused: int
    failed: int
    foreign_cores: float


def run(stage: Stage, contender: Contender, step: Step, *, prompt: str = PROMPT) -> Measured:
    """Send one step's load to one contender."""
    command = _command(stage.folder, contender, step, prompt)
    everybody = [pid for roots in contender.groups.values() for pid in roots] + [stage.upstream_pid]
    before = {group: machine.cpu_s(roots) for group, roots in contender.groups.items()}
    seen = stage.upstream_calls()
    ours, busy, started = machine.cpu_s(everybody) + _children_s(), machine.busy_s(), time.monotonic()
    said = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)  # noqa: S603 - our own program
    time.sleep(0.2)  # what runs after the last answer belongs to it
    took = time.monotonic() - started
    contender.seen += stage.upstream_calls() - seen
    used = {group: machine.cpu_s(roots) - before[group] for group, roots in contender.groups.items()}
    foreign = machine.busy_s() - busy - (machine.cpu_s(everybody) + _children_s() - ours)
    events = said["sent"] * said["events"] / max(1, said["ok"])
    return Measured(
        requests_per_s=said["rps"],
        p50_ms=said["p50"],
        p99_ms=said["p99"],
        first_byte_p50_ms=said["ttfb50"],
        cpu_ms={group: 1000 * seconds / max(1, said["sent"]) for group, seconds in used.items()},
        cpu_ms_per_event=1000 * used["gateway"] / events if events else 0.0,
        sent=said["sent"],
        ok=said["ok"],
        refused=said["s402"],
        failed=said["s429"] + said["s4xx"] + said["s5xx"] + said["err"] + said["timeouts"],
        foreign_cores=max(0.0, foreign / took),
    )


def _children_s() -> float:
    """Processor seconds of the load generators that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def _command(folder: Path, contender: Contender, step: Step, prompt: str) -> list[str]:
    body = {"model": contender.model, "messages": [{"role": "user", "content": prompt}], "max_tokens": 64}
    if step.streamed:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    file = folder / f"{contender.name}-{step.name}-{len(prompt)}.json"
    file.write_text(json.dumps(body))
    command = [str(native.program("loadgen")), contender.url + "/chat/completions", "-b", str(file), "-t", "10"]
    command += ["-c", str(step.connections), "-d", str(step.seconds), "-w", str(step.warm_s)]
    if contender.keys_file:
        command += ["-k", str(contender.keys_file)]
    elif contender.key:
        command += ["-H", f"Authorization: Bearer {contender.key}"]
    for header in contender.headers:
        command += ["-H", header]
    return command
