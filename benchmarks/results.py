"""Keeps what the last run of each scenario showed, in RESULTS.md, with the day, the machine and the versions.

Promise: only ``bench --keep`` writes there, and only its own scenario's section; a figure there was measured.
"""

import importlib.metadata
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import bars, machine

FILE = Path(__file__).resolve().parent / "RESULTS.md"
HEAD = """# Results

What the last run of each scenario showed: `python3 manage.py bench NAME --keep`. Ratios are to a yardstick of the same
run; absolute figures belong to the machine named below each table.
"""
VERSIONS = ("django", "granian", "aiohttp", "psycopg", "msgspec")


def keep(scenario: str, verdicts: Sequence[bars.Verdict]) -> None:
    """Write one scenario's section anew."""
    text = FILE.read_text() if FILE.exists() else HEAD
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in VERSIONS)
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    section = f"\n## {scenario}\n\n{bars.table(verdicts)}\n\n{day}, {machine.described()}; {versions}.\n"
    pattern = re.compile(rf"\n## {re.escape(scenario)}\n.*?(?=\n## |\Z)", re.DOTALL)
    FILE.write_text(pattern.sub(lambda _: section, text) if pattern.search(text) else text + section)
