"""Run one client's script and listen to what it reports; a case it never spoke of has failed. Then run, in the same
environment, what the guides tell people to type for this client.
"""

import json
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dashboard.guides.recipes import RECIPES, Recipe, Words
from tests.clients.clients import Client

PATIENCE_S = 400
RECIPE_PATIENCE_S = 120
GUIDES = "guides"  # the case of the recipes
QUIET = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}


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


def run_recipes(outcome: Outcome, command: list[str], *, words: Words) -> None:
    """Run what stands in the guides for this client, to the letter, and look at what it prints."""
    wrong = []
    recipes = [recipe for recipe in RECIPES.values() if recipe.proof == outcome.client.name]
    for recipe in recipes:
        with tempfile.TemporaryDirectory(prefix="tollgate-guide-") as home:
            printed = _printed(recipe, command, home, words)
        if not re.search(recipe.prints, printed):
            wrong.append(f"{recipe.slug} printed {printed.strip()[-300:]!r}")
    if wrong:
        outcome.failures[GUIDES] = "; ".join(wrong)
    elif recipes:
        outcome.passed.add(GUIDES)


def _printed(recipe: Recipe, command: list[str], home: str, words: Words) -> str:
    folder, text = Path(command[1]).parent, recipe.text(words)
    programs = f"{folder / 'venv' / 'bin'}:{folder / 'node_modules' / '.bin'}:{os.environ['PATH']}"
    if recipe.language == "sh":
        typed = ["bash", "-euc", text]
    else:
        script = folder / f"guide.{recipe.language}"
        script.write_text(text)
        typed = [command[0], str(script)]
    environment = {"PATH": programs, "HOME": home, "LANG": os.environ.get("LANG", "C.UTF-8"), **QUIET}
    try:
        done = subprocess.run(
            typed,
            cwd=home,
            env=environment,
            capture_output=True,
            text=True,
            timeout=RECIPE_PATIENCE_S,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return f"nothing for {RECIPE_PATIENCE_S} s"
    return done.stdout if done.returncode == 0 else f"{done.stdout}\nended with {done.returncode}: {done.stderr}"
