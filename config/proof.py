"""Everything ``manage.py test`` proves, in order: lint, types, arrows, migrations, and the suite on both engines.

Promise: nothing is left out silently. What this machine cannot run (a browser, Node) is one line at the end with its
remedy, and a failure where ``CI=true``. Arguments go through to pytest; ``--quick`` is the inner loop: the embedded
database only, no browser, no long proofs. A full run has once what knows nothing of the engine: what asks no database
runs with the embedded one, and the browser with PostgreSQL; what is named by an argument runs on both.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
WORKERS = "3"  # one more than the cores of the smallest machine: there is always one that waits for a server or a disk
# With these somebody looks at one thing, and wants to see it in order.
ALONE = {"-x", "-s", "--pdb", "-n", "--lf", "--stepwise", "-n0"}


def main(arguments: list[str]) -> int:
    """Run the proof; the exit code says whether it holds."""
    quick = "--quick" in arguments
    passed_on = [argument for argument in arguments if argument != "--quick"]
    started_at = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tollgate-test-") as scratch:
        environment = {
            **os.environ,
            "TOLLGATE_MODE": "test",
            "DATA_DIR": scratch,
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }
        held = _statics(environment) if not passed_on else True
        embedded = _selection(passed_on, "browser or slow" if quick else "" if passed_on else "browser")
        held = _suite("embedded database", embedded, _embedded(environment)) and held
        if not quick:
            with _servers(environment, scratch) as real:
                chosen = _selection(passed_on, "" if passed_on else "either")
                held = _suite("PostgreSQL and Redis", chosen, real) and held
    missing = [] if quick else _missing()
    for sentence in missing:
        print(f"NOT RUN: {sentence}")
    print(f"{'everything holds' if held else 'SOMETHING FAILED'} ({time.monotonic() - started_at:.0f} s)")
    return 0 if held and not (missing and os.environ.get("CI") == "true") else 1


def _statics(environment: dict[str, str]) -> bool:
    checks = {
        "lint": [str(BIN / "ruff"), "check", "."],
        "format": [str(BIN / "ruff"), "format", "--check", "."],
        "types": [str(BIN / "mypy"), "."],
        "arrows": [str(BIN / "lint-imports")],
        "migrations": [sys.executable, "manage.py", "makemigrations", "--check", "--dry-run"],
    }
    held = True
    for name, command in checks.items():
        held = _step(name, command, environment, quiet=True) and held
    return held


def _suite(name: str, passed_on: list[str], environment: dict[str, str]) -> bool:
    print(f"\n--- the suite on {name} ---", flush=True)
    spread = [] if set(passed_on) & ALONE else ["-n", WORKERS, "--dist", "loadgroup"]
    return _step(f"suite on {name}", [sys.executable, "-m", "pytest", *spread, *passed_on], environment, quiet=False)


def _step(name: str, command: list[str], environment: dict[str, str], *, quiet: bool) -> bool:
    started_at = time.monotonic()
    finished = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=quiet, text=True)
    held = finished.returncode == 0
    if quiet and not held:
        print(finished.stdout[-6000:], finished.stderr[-6000:], sep="\n")
    print(f"{'ok    ' if held else 'FAILED'} {name} ({time.monotonic() - started_at:.1f} s)", flush=True)
    return held


def _selection(passed_on: list[str], left_out: str) -> list[str]:
    return [*passed_on, "-m", f"not ({left_out})"] if left_out else passed_on


def _embedded(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in {"DATABASE_URL", "REDIS_URL"}}


@contextmanager
def _servers(environment: dict[str, str], scratch: str) -> Iterator[dict[str, str]]:
    """Real servers: those the environment names, else ones of our own for the length of the suite."""
    from config import servers

    with (
        servers.postgresql(environment.get("DATABASE_URL"), durable=False) as database_url,
        servers.redis(environment.get("REDIS_URL"), scratch) as redis_url,
    ):
        yield {**environment, "DATABASE_URL": database_url, "REDIS_URL": redis_url}


def _missing() -> list[str]:
    missing = []
    if not (shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")):
        missing.append("browser tests, because Chromium is not installed (on Debian: apt-get install chromium)")
    return missing
