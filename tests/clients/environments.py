"""An environment of its own for each client, made of the versions pinned in its folder and kept for the next time.

They live inside our own environment's folder, which is private and never committed. A folder whose pins changed is made
anew; the scripts are copied in at every run.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tests.clients.clients import HERE, Client

KEPT = Path(sys.prefix) / "clients"
PATIENCE_S = 900


class Unmade(Exception):
    """An environment that could not be made."""


def prepare(client: Client) -> list[str]:
    """Make the environment if need be; the command that runs the client's script in it."""
    folder = KEPT / client.name
    pins = hashlib.sha256(client.pins.read_bytes()).hexdigest()
    stamp = folder / "stamp"
    if not stamp.exists() or stamp.read_text() != pins:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if client.language == "python":
            uv = _program("uv")
            _done([uv, "venv", "-q", str(folder / "venv"), "--python", sys.executable])
            python = str(folder / "venv" / "bin" / "python")
            _done([uv, "pip", "install", "-q", "--python", python, "-r", str(client.pins)])
        else:
            shutil.copy(client.pins, folder / "package.json")
            npm = [_program("npm"), "install", "--no-audit", "--no-fund", "--no-package-lock"]
            _done([*npm, "--prefix", str(folder)])
        stamp.write_text(pins)
    for script in [*client.folder.glob("client.*"), *(HERE / "shared").glob("cases.*")]:
        shutil.copy(script, folder / script.name)
    if client.language == "node":
        return [_program("node"), str(folder / "client.mjs")]
    python = folder / "venv" / "bin" / "python" if client.language == "python" else Path(sys.executable)
    return [str(python), str(folder / "client.py")]


def _program(name: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        message = f"there is no {name} on this machine"
        raise Unmade(message)
    return found


def _done(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired as error:
        message = f"{command[0]} took more than {PATIENCE_S} s"
        raise Unmade(message) from error
    if done.returncode:
        raise Unmade((done.stderr or done.stdout).strip()[-600:])
