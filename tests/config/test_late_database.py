"""A server that starts before its database is ready says so, and opens its doors when it is, without a restart."""

import contextlib
import os
import subprocess
import sys
import time

import httpx

from tests.config.test_health import ROOT
from tests.config.test_up import free_port

PATIENCE_S = 60


def until(ask):
    """The first answer that satisfies, or a failure that shows the last one."""
    last, end = None, time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with contextlib.suppress(httpx.TransportError):
            last = ask()
            if last is not None:
                return last
        time.sleep(0.2)
    raise AssertionError(last)


def test_the_gateway_opens_when_its_database_is_there(tmp_path):
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    environment = {
        "PATH": os.environ["PATH"],
        "TOLLGATE_MODE": "test",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATA_DIR": str(tmp_path),
    }
    served = [sys.executable, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port)]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [*served, "config.asgi:application"], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
    try:
        early = until(lambda: httpx.get(f"{base}/ready", timeout=10))
        assert early.status_code == 503
        assert early.json()["gateway"] == "unavailable"
        assert httpx.get(f"{base}/health", timeout=10).status_code == 200
        chat = {"url": f"{base}/v1/chat/completions", "json": {"model": "m", "messages": []}, "timeout": 10}
        assert httpx.post(**chat).status_code == 503
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(migrate, cwd=ROOT, env=environment, check=True)
        ready = until(lambda: answer if (answer := httpx.get(f"{base}/ready", timeout=10)).is_success else None)
        assert "gateway" not in ready.json()
        assert httpx.post(**chat).status_code != 503
    finally:
        server.terminate()
        server.wait(20)
    assert "the gateway cannot start, its database does not answer" in (tmp_path / "log").read_text()
