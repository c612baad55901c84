"""Run one client's script and listen to what it reports; a case it never spoke of has failed."""

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.clients.clients import Client

PATIENCE_S = 400


@dataclass(slots=True)
class Outcome:
    """How a client fared."""

    client: Client
    versions: dict[str, str] = field(default_factory=dict)
    passed: set[str] = field(default_factory=set)
    failures: dict[str, str] = field(default_factory=dict)
    seen: list[dict[str, Any]] = field(default_factory=list)
    books: str = "nothing to compare"

    def fail_all(self, why: str) -> None:
        """None of its cases could be tried."""
        self.failures = {"environment": why, **dict.fromkeys(self.client.cases, "not tried")}

    def mark(self, case: str) -> str:
        """One word for the table."""
        if case in self.failures:
            return "FAILED"
        return "ok" if case in self.passed else "-"

    def hear(self, line: str) -> None:
        """Take in one line of the script."""
        told = json.loads(line)
        self.versions |= told.get("versions", {})
        if "seen" in told:
            self.seen.append(told["seen"])
        if "case" in told and told["ok"]:
            self.passed.add(told["case"])
        elif "case" in told:
            self.failures[told["case"]] = told["why"]


def run(outcome: Outcome, command: list[str], *, url: str, key: str, empty_key: str) -> None:
    """Run the script with nothing of our own environment but what a program needs to start."""
    with tempfile.TemporaryDirectory(prefix="tollgate-client-") as home:
        environment = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG"}}
        environment |= {"HOME": home, "BASE_URL": url, "KEY": key, "EMPTY_KEY": empty_key}
        environment |= {"PYTHONPATH": str(Path(command[1]).parent), "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(
                command, cwd=home, env=environment, capture_output=True, text=True, timeout=PATIENCE_S
            )
            spoken, rest = done.stdout, done.stderr
        except subprocess.TimeoutExpired as error:
            spoken, rest = (error.stdout or b"").decode(), f"took more than {PATIENCE_S} s"
    for line in spoken.splitlines():
        if line.startswith("{"):
            outcome.hear(line)
    for name in outcome.client.cases:
        if name not in outcome.passed and name not in outcome.failures:
            outcome.failures[name] = f"never reported; the script ended with: {rest.strip()[-300:]}"
