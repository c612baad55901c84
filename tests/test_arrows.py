"""The import contracts hold, and each of them would notice."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("config", "desk", "dashboard", "analytics", "gateway", "billing", "accounts", "plumbing", "sandbox")
LINT = Path(sys.executable).parent / "lint-imports"

ARROWS = "The arrows"
WORLDS = "The sandboxes are worlds outside"
STRANGERS = "The sandboxes import none of our rooms"
STRIPE = "Stripe is imported by its driver alone"
OUTWARDS = "What goes out goes through plumbing.outbound"
PRICING = "Pricing is pure arithmetic"
PURE = "Dialects, kinds and metering are pure"
APART = "Dialects and kinds do not know each other"
NEIGHBOURS = "No dialect knows a neighbour"

# What is done, in which room, and the contract that must notice.
BREAKS = {
    "an arrow upwards": ("accounts", "import billing", ARROWS),
    "desk and dashboard know each other": ("desk", "import dashboard", ARROWS),
    "plumbing knows a room": ("plumbing", "import accounts", ARROWS),
    "a room mounts a sandbox": ("gateway", "import sandbox", WORLDS),
    "a sandbox knows us": ("sandbox", "import billing", STRANGERS),
    "stripe outside its driver": ("dashboard", "import stripe", STRIPE),
    "a connection past the outward door": ("analytics", "import httpx", OUTWARDS),
    "a price that knows Django": ("billing.pricing", "import django.conf", PRICING),
    "a price that asks the network": ("billing.pricing", "import httpx", PRICING),
    "a dialect that knows Django": ("gateway.dialects", "import django.conf", PURE),
    "a kind that knows a dialect": ("gateway.kinds", "import gateway.dialects.sse", APART),
    "a dialect that knows its neighbour": (
        "gateway.dialects.gemini",
        "import gateway.dialects.openai_chat.replies",
        NEIGHBOURS,
    ),
    "a connection for calls past its room": ("gateway", "import aiohttp", OUTWARDS),
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
    room, line, contract = BREAKS[what]
    intruder = copy_of_the_house.joinpath(*room.split("."), "intruder.py")
    intruder.write_text(line + "\n")
    try:
        finished = lint(copy_of_the_house)
    finally:
        intruder.unlink()
    assert finished.returncode == 1, finished.stdout
    assert f"{room}.intruder" in finished.stdout
    assert contract in finished.stdout.partition("Broken contracts")[2], finished.stdout


def test_every_contract_is_broken_by_one_of_these():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    tried = {contract for _, _, contract in BREAKS.values()}
    untried = [one["name"] for one in contracts if not one["name"].startswith(tuple(tried))]
    assert not untried
    assert len(tried) == len(contracts)


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
