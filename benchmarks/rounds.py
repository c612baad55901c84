"""Rounds of a scenario: load contenders in turn, say what was seen, and at the end prove the books.

Promise: ``prove`` fails loudly where the audit finds anything, or where the provider's own count of calls is not the
number of calls that were charged.
"""

import json
import subprocess
import sys
from collections.abc import Mapping

from benchmarks import load, machine
from benchmarks.load import Measured, Step
from benchmarks.stage import ROOT, Contender, Stage

WARM = Step("warm", 32, seconds=15, warm_s=0.1)  # long enough that most callers are known


class BooksAreWrong(AssertionError):
    """The audit or the provider's own count disagrees; nothing that was measured counts."""


class Round:
    """Loads contenders in turn, and says what it saw."""

    def __init__(self, at: Stage) -> None:
        self._at = at

    def run(self, contender: Contender, step: Step, *, prompt: str = load.PROMPT) -> Measured:
        """Load one contender and say so."""
        measured = load.run(self._at, contender, step, prompt=prompt)
        line = (
            f"  {step.name:6} {contender.name:14} {measured.requests_per_s:9.1f} req/s  p50 {measured.p50_ms:7.2f} ms"
            f"  first byte {measured.first_byte_p50_ms:6.2f} ms  CPU {_each(measured.cpu_ms)}"
            f"  refused {measured.refused}  failed {measured.failed}  others used {measured.foreign_cores:.2f} cores\n"
        )
        sys.stderr.write(line)
        return measured

    def warm(self, *contenders: Contender) -> None:
        """Let caches fill and connections open; what is measured is the running state."""
        for contender in contenders:
            self.run(contender, WARM)


def _each(cpu_ms: Mapping[str, float]) -> str:
    return ", ".join(f"{group} {spent:.3f} ms" for group, spent in sorted(cpu_ms.items()))


def worker(contender: Contender) -> int:
    """The process that answers: the newest of the tree."""
    return max(machine.tree(contender.groups["gateway"]))


def prove(contender: Contender, *more: Contender) -> None:
    """Audit, and compare our calls with what the provider has seen; ``more`` are other keys of that installation."""
    findings = json.loads(_manage(contender, "audit", "--json"))["findings"]
    if findings:
        message = f"the audit of {contender.name} found {findings}"
        raise BooksAreWrong(message)
    charged = int(_manage(contender, "shell", "-v", "0", "-c", COUNT_CALLS).strip().rsplit("\n", 1)[-1])
    seen = sum(one.seen for one in (contender, *more))
    if charged != seen:
        message = f"the provider has seen {seen} calls of {contender.name} and {charged} were charged"
        raise BooksAreWrong(message)
    sys.stderr.write(f"  {charged} calls seen by the provider, {charged} charged; the audit is clean\n")


COUNT_CALLS = (
    "from billing.models.ledger import Hold; print(Hold.unscoped.filter(outcome='settled', charged_nano__gt=0).count())"
)


def _manage(contender: Contender, *arguments: str) -> str:
    finished = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=dict(contender.environment),
        check=False,
        capture_output=True,
        text=True,
    )
    if finished.returncode:
        message = f"{' '.join(arguments[:1])} failed: {finished.stdout[-2000:]} {finished.stderr[-2000:]}"
        raise BooksAreWrong(message)
    return finished.stdout
