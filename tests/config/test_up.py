"""``manage.py up`` as a newcomer meets it: the first start, the second, the busy port, the end."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FIRST_ANSWER_S = 30


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    return subprocess.Popen(
        [sys.executable, "manage.py", "up", *arguments],
        cwd=ROOT,
        env={**environment, "DATA_DIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@contextmanager
def started(folder: Path, port: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run until the greeting was printed; afterwards press Ctrl-C and expect a clean end."""
    process = command(folder, "--port", str(port))
    lines: list[str] = []
    deadline = time.monotonic() + FIRST_ANSWER_S
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if "Stop with Ctrl-C" in line:
            break
        assert time.monotonic() < deadline, "".join(lines)
    try:
        yield process, "".join(lines)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
        assert process.returncode == 0, rest
        assert "Stopped." in rest, rest
        assert not children_of(process.pid)


def children_of(group: int) -> list[str]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(stat.parent.name)
    return found


@pytest.mark.slow
def test_the_first_start_prints_what_works_and_the_second_keeps_it(tmp_path):
    port = free_port()
    with started(tmp_path, port) as (_, greeting):
        secret = re.search(r"sk-tg-[0-9A-Za-z]{33}", greeting)
        assert secret, greeting
        assert "operator@tollgate.localhost" in greeting
        curl = next(line.strip() for line in greeting.splitlines() if line.strip().startswith("curl "))
        answer = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, check=True).stdout
        assert json.loads(answer)["key"]["label"] == "First key", answer
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as health:
            assert json.load(health)["status"] == "healthy"
    kept = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir() if path.is_file()}
    assert all(mode == 0o600 for mode in kept.values()), kept
    with started(tmp_path, port) as (_, greeting):
        assert "sk-tg-" not in greeting
        assert "operator@" not in greeting
        answer = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, check=True).stdout
        assert json.loads(answer)["key"]["label"] == "First key", answer


@pytest.mark.slow
def test_a_busy_port_is_one_sentence(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        output, _ = command(tmp_path, "--port", str(port)).communicate(timeout=30)
    expected = (
        f"CommandError: port {port} on 127.0.0.1 cannot be used (Address already in use); choose another with --port"
    )
    assert output.strip() == expected


@pytest.mark.slow
def test_an_unwritable_data_folder_is_one_sentence(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    output, _ = command(blocked / "var").communicate(timeout=30)
    assert "Traceback" not in output
    assert "the data folder" in output
    assert "set DATA_DIR" in output
