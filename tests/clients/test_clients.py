"""The list of clients, held to what is there: every folder is on it, every script has its cases, versions are pinned.

The clients themselves run by ``python -m tests.clients``, since their environments come from the registries.
"""

import json
import re
import shutil
import subprocess
import sys
from decimal import Decimal

import pytest

from tests.clients.clients import CLIENTS, ERRORS, HERE, Client
from tests.clients.comparing import NAME, compare
from tests.clients.running import Outcome
from tests.clients.shop import CREDIT_USD, Customer

NAMES = [client.name for client in CLIENTS]
CASE = {"python": r'^@case\("([^"]+)"\)', "node": r'^test\("([^"]+)",', "agent": r'^@case\("([^"]+)"\)'}


def test_every_folder_is_a_client_of_the_list():
    folders = {path.parent.name for path in HERE.glob("*/client.*")}
    assert sorted(folders) == sorted(NAMES)


@pytest.mark.parametrize("client", CLIENTS, ids=NAMES)
def test_the_script_has_exactly_the_cases_of_the_list(client: Client):
    written = re.findall(CASE[client.language], client.script.read_text(), re.MULTILINE)
    assert sorted(written) == sorted(client.cases)
    assert set(ERRORS) <= set(client.cases), "what goes wrong is tried with every client"


@pytest.mark.parametrize("client", CLIENTS, ids=NAMES)
def test_the_versions_are_pinned(client: Client):
    if client.language == "python":
        lines = client.pins.read_text().splitlines()
        assert lines
        assert all(re.fullmatch(r"[a-z-]+(\[[a-z,]+\])?==[0-9.]+", line) for line in lines), lines
    else:
        versions = json.loads(client.pins.read_text())["dependencies"].values()
        assert versions
        assert all(re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", version) for version in versions), versions


@pytest.mark.parametrize("client", CLIENTS, ids=NAMES)
def test_the_script_compiles(client: Client):
    if client.language != "node":
        compile(client.script.read_text(), str(client.script), "exec")
    elif node := shutil.which("node"):
        done = subprocess.run([node, "--check", str(client.script)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    else:
        assert "await run(" in client.script.read_text(), "without Node, at least it runs its cases"


def test_the_command_lists_them_without_a_server():
    listed = subprocess.run(
        [sys.executable, "-m", "tests.clients", "--list"], cwd=HERE.parent.parent, capture_output=True, text=True
    )
    assert listed.returncode == 0, listed.stderr
    assert [line.split()[0] for line in listed.stdout.splitlines()] == NAMES


class Told:
    """A shop that says what it is told to, so that the comparison can be seen to fail."""

    def __init__(self, *, output=5, charged="0.001", lost="0.001"):
        call = {"id": "7", "input_tokens": 3, "cached_tokens": 0, "output_tokens": output, "reasoning_tokens": 0}
        self.told = [{"call": call, "attempts": [{}], "charged_usd": charged, "recomputes": True}]
        self.lost = Decimal(lost)

    def receipts(self, customer):
        return self.told

    def provider_entries(self, after=""):
        return [{"billed": {"input": 3, "cached": 0, "output": 5, "reasoning": 0}}]

    def balance_usd(self, customer):
        return Decimal(CREDIT_USD) - self.lost


@pytest.mark.parametrize(
    ("shop", "seen", "complaint"),
    [
        (Told(), {"input": 3, "output": 5, "call": "7", "charge_usd": "0.001"}, ""),
        (Told(output=6), {"input": 3, "output": 6}, "only on receipts"),
        (Told(), {"input": 3, "output": 4}, "no receipt of its has that"),
        (Told(lost="0.002"), {"input": 3, "output": 5}, "the balance lost 0.002"),
        (Told(), {"input": 3, "output": 5, "call": "7", "charge_usd": "0.002"}, "header 0.002 USD"),
        (Told(), {"input": 3, "output": 5, "call": "8", "charge_usd": "0.001"}, "no receipt 8"),
    ],
)
def test_the_comparison_notices_what_does_not_agree(shop, seen, complaint):
    outcome = Outcome(CLIENTS[0], seen=[seen])
    compare(outcome, shop, Customer("key", "reader", "org"), after="")
    assert (outcome.mark(NAME), complaint in outcome.failures.get(NAME, "")) == ("FAILED" if complaint else "ok", True)
