"""Lighthouse over the landing page, the catalogue, the overview and the list of calls, beside its bars.

    python -m benchmarks.lighthouse [--rounds 5] [--accept 95]

It fetches Lighthouse 12 from npm into a temporary folder, fills a fresh installation with the demonstration, serves it
with ``manage.py up``, and measures each page signed in as an owner (the landing page as a stranger) with the desktop
preset. The median of the rounds counts; below the bar in any category it ends with 1. Node, npm and Chromium must be
there. ``up`` sends static files uncompressed, so production does a little better.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.clients.shop import free_port

ROOT = Path(__file__).resolve().parents[1]
SHOP = "acme-robotics"
PAGES = {"landing": "/", "overview": f"/app/{SHOP}/", "activity": f"/app/{SHOP}/activity/", "models": "/models"}
STRANGERS = {"landing"}
CATEGORIES = ("performance", "accessibility", "best-practices")
PATIENCE_S = 120
SESSION = f"""
from django.conf import settings
from django.test import Client
from accounts.models import Membership
owner = Membership.unscoped.get(organization__slug="{SHOP}", role="owner").user
client = Client(headers={{"host": "localhost"}})
client.force_login(owner, backend="allauth.account.auth_backends.AuthenticationBackend")
name = settings.SESSION_COOKIE_NAME
print("SESSION", name + "=" + client.cookies[name].value)
"""


def main() -> int:
    """Install, fill, serve, measure, tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--accept", type=int, default=95, help="the least median of each category")
    asked = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None or shutil.which("npm") is None:
        raise SystemExit("Lighthouse needs Node, npm and Chromium on this machine.")
    with tempfile.TemporaryDirectory(prefix="tollgate-lighthouse-") as scratch:
        folder = Path(scratch)
        subprocess.run(
            ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", scratch, "lighthouse@12"], check=True
        )
        with served(folder / "data") as (base, cookie):
            return measured(folder, base, cookie, chromium, asked)


def measured(folder: Path, base: str, cookie: str, chromium: str, asked: argparse.Namespace) -> int:
    """Each page so many times; the table; 1 if any median is under the bar."""
    missed = 0
    for name, path in PAGES.items():
        headers = {} if name in STRANGERS else {"Cookie": cookie}
        scores = [_scores(folder, base + path, headers, chromium) for _ in range(asked.rounds)]
        medians = {category: statistics.median(score[category] for score in scores) for category in CATEGORIES}
        missed += any(score < asked.accept for score in medians.values())
        told = "   ".join(f"{category} {score:3.0f}" for category, score in medians.items())
        sys.stdout.write(f"{name:<10} {told}   (median of {asked.rounds})\n")
        sys.stdout.flush()
    return 1 if missed else 0


def _scores(folder: Path, url: str, headers: dict[str, str], chromium: str) -> dict[str, float]:
    report = folder / "report.json"
    command = [str(folder / "node_modules/.bin/lighthouse"), url, "--preset=desktop", "--quiet", "--output=json"]
    command += [f"--output-path={report}", "--chrome-flags=--headless=new --no-sandbox --disable-gpu"]
    command += [f"--only-categories={','.join(CATEGORIES)}", f"--extra-headers={json.dumps(headers)}"]
    subprocess.run(command, check=True, env={**os.environ, "CHROME_PATH": chromium}, timeout=PATIENCE_S)
    found = json.loads(report.read_text())
    if found["finalDisplayedUrl"] != url:
        message = f"{url} led to {found['finalDisplayedUrl']}"
        raise RuntimeError(message)
    return {category: found["categories"][category]["score"] * 100 for category in CATEGORIES}


@contextlib.contextmanager
def served(data: Path) -> Iterator[tuple[str, str]]:
    """A fresh installation with the demonstration while the ``with`` lasts: its address, and an owner's cookie."""
    environment = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    environment["DATA_DIR"] = str(data)
    data.mkdir()

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return done.stdout

    run("migrate", "-v", "0")
    run("demo", "--calls", "4000")
    [told] = [line for line in run("shell", "-v", "0", "-c", SESSION).splitlines() if line.startswith("SESSION ")]
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "manage.py", "up", "--port", str(port)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        base = f"http://localhost:{port}"
        _until_ready(f"{base}/ready", server)
        yield base, told.removeprefix("SESSION ")
    finally:
        server.terminate()
        server.wait(60)


def _until_ready(url: str, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):  # noqa: S310 - loopback
            return
        if server.poll() is not None or time.monotonic() > deadline:
            message = "the server did not start"
            raise RuntimeError(message)
        time.sleep(0.2)


if __name__ == "__main__":
    raise SystemExit(main())
