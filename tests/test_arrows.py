"""The import contracts hold, and each of them would notice."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("config", "desk", "dashboard", "analytics", "gateway", "billing", "accounts", "plumbing", "sandbox")
LINT = Path(sys.executable).parent / "lint-imports"

BREAKS = {
    "an arrow upwards": ("accounts", "import billing"),
    "desk and dashboard know each other": ("desk", "import dashboard"),
    "plumbing knows a room": ("plumbing", "import accounts"),
    "a room mounts a sandbox": ("gateway", "import sandbox"),
    "a sandbox knows us": ("sandbox", "import billing"),
    "stripe outside its driver": ("dashboard", "import stripe"),
    "a connection past the outward door": ("analytics", "import httpx"),
    "a dialect that knows Django": ("gateway.dialects", "import django.conf"),
    "a kind that knows a dialect": ("gateway.kinds", "import gateway.dialects.sse"),
    "a dialect that knows its neighbour": ("gateway.dialects.gemini", "import gateway.dialects.openai_chat.replies"),
    "a connection for calls past its room": ("gateway", "import aiohttp"),
}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(LINT), "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def copy_of_the_house(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("house")
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@pytest.mark.slow
def test_the_contracts_hold(copy_of_the_house):
    finished = lint(copy_of_the_house)
    assert finished.returncode == 0, finished.stdout


@pytest.mark.slow
@pytest.mark.parametrize("what", BREAKS)
def test_breaking_it_on_purpose_fails(copy_of_the_house, what):
    room, line = BREAKS[what]
    intruder = copy_of_the_house.joinpath(*room.split("."), "intruder.py")
    intruder.write_text(line + "\n")
    try:
        finished = lint(copy_of_the_house)
    finally:
        intruder.unlink()
    assert finished.returncode == 1, finished.stdout
    assert f"{room}.intruder" in finished.stdout


@pytest.mark.slow
def test_every_room_opens_with_its_promise():
    import ast

    silent = []
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            if "migrations" in path.parts or path.name in {"__init__.py", "apps.py"} or "commands" in path.parts:
                continue
            if not ast.get_docstring(ast.parse(path.read_text())):
                silent.append(str(path.relative_to(ROOT)))
    assert not silent
