"""The list of clients, held to what is there: every folder is on it, every script has its cases, versions are pinned.

The clients themselves run by ``python -m tests.clients``, since their environments come from the registries.
"""

import json
import re
import shutil
import subprocess
import sys

import pytest

from tests.clients.clients import CLIENTS, ERRORS, HERE, Client

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
