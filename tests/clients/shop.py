"""An open shop for strangers' clients: a real installation and a provider whose own books can be read.

Promise: nothing is pretended. The server is ``manage.py up`` in a folder of its own; the provider is the sandbox as a
server of its own, bought from like any company; keys, credit, models and providers come from the stable commands.
What was charged is asked for at the management API, what was asked of the provider is asked of the provider.
"""

import contextlib
import http.client
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 180
PROVIDER_KEY = "sk-counting"
CREDIT_USD = "20.00"
EMPTY = "empty"
CHAT, EMBEDDING = "shop-chat", "shop-embedding"
# What is sold here: our name for it, the provider's, and what it costs us per million tokens in and out.
MODELS = (
    (CHAT, "sandbox-standard", "3.00", "15.00", "chat"),
    ("shop-thinking", "sandbox-reasoning", "3.00", "15.00", "chat"),
    (EMBEDDING, "sandbox-embedding", "0.02", "0", "embedding"),
)
# Run inside the installation, in one process, since each start of one costs seconds: the stable commands, one by one.
STOCK = """
import io, json
from django.core.management import call_command
from accounts import keys, trail
from accounts.models import User

def said(*words):
    out = io.StringIO()
    call_command(*words, stdout=out)
    return out.getvalue().strip()

for words in {commands!r}:
    said(*words)
made = {{}}
for name, credit in {customers!r}:
    email = name + "@clients.example"
    key = said("issue_key", "--email", email, *(["--credit", credit] if credit else []))
    user = User.objects.get(email__iexact=email)
    organization = user.memberships.get().organization
    reader = keys.create(organization=organization, storefront=None, made_by=user, kind="management",
                         label="reads receipts", source=trail.SYSTEM)
    made[name] = [key, reader.secret, organization.public_id]
print("MADE", json.dumps(made))
"""


@dataclass(frozen=True, slots=True)
class Customer:
    """One client's organization: what it calls with, and what we look at its receipts with."""

    key: str
    management_key: str
    organization: str


class Shop:
    """The running server and the provider behind it."""

    def __init__(self, folder: Path, url: str, provider_url: str, control_key: str) -> None:
        self.folder, self.url, self.provider_url = folder, url, provider_url
        self._control_key = control_key

    def stock(self, customers: list[tuple[str, str]]) -> dict[str, Customer]:
        """Buy from the provider, price its models, and make a customer for each (name, credit in USD)."""
        provider = ["--name", "Counting", "--kind", "sandbox", "--base-url", self.provider_url, "--key", PROVIDER_KEY]
        commands = [["provider", "add", *provider], *(self._model(*model) for model in MODELS)]
        code = STOCK.format(commands=commands, customers=customers)
        done = subprocess.run(
            [sys.executable, "manage.py", "shell", "-v", "0", "-c", code],
            cwd=ROOT,
            env=_environment(self.folder),
            capture_output=True,
            text=True,
        )
        made = [line for line in done.stdout.splitlines() if line.startswith("MADE ")]
        if not made:
            raise RuntimeError("the shop could not be stocked:\n" + done.stdout + done.stderr)
        return {name: Customer(*told) for name, told in json.loads(made[0].removeprefix("MADE ")).items()}

    def _model(self, slug: str, upstream: str, input_usd: str, output_usd: str, purpose: str) -> list[str]:
        words = ["model", "add", slug, "--provider", "counting", "--upstream", upstream, "--purpose", purpose]
        words += ["--input", input_usd, "--output", output_usd, "--context", "200000", "--max-output", "8192"]
        return words + (["--cached-input", "0.30", "--cache-write", "3.75"] if purpose == "chat" else [])

    def receipts(self, customer: Customer) -> list[dict[str, Any]]:
        """Every call of the customer, with its receipt."""
        headers = {"authorization": f"Bearer {customer.management_key}"}
        address = f"{self.url}/api/v1/organizations/{customer.organization}/calls"
        numbers: list[str] = []
        page: str | None = f"{address}?limit=100"
        while page:
            answer = _get(page, headers)
            numbers += [call["id"] for call in answer["results"]]
            page = answer["next"]
        return [_get(f"{address}/{number}/receipt", headers) for number in numbers]

    def balance_usd(self, customer: Customer) -> Decimal:
        """What the customer could hold now."""
        return Decimal(_get(f"{self.url}/v1/balance", {"authorization": f"Bearer {customer.key}"})["balance_usd"])

    def provider_entries(self, after: str = "") -> list[dict[str, Any]]:
        """What the provider wrote down after an entry."""
        found: list[dict[str, Any]] = []
        while True:
            address = f"{self.provider_url}/_control/books?after={after}"
            page = _get(address, {"x-sandbox-control": self._control_key})["data"]
            if not page:
                return found
            found += page
            after = page[-1]["id"]


@contextlib.contextmanager
def opened(names: list[str]) -> Iterator[tuple[Shop, dict[str, Customer]]]:
    """Run a shop with a customer of each name, and one with an empty wallet, for as long as the ``with`` lasts."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tollgate-clients-")))
        control_key = secrets.token_urlsafe(16)
        port, provider_port = free_port(), free_port()
        provider = ["-m", "sandbox.provider", "--port", str(provider_port), "--key", PROVIDER_KEY]
        stack.enter_context(_running("provider", folder, [*provider, "--control-key", control_key]))
        shop = Shop(folder / "data", f"http://127.0.0.1:{port}", f"http://127.0.0.1:{provider_port}", control_key)
        server = stack.enter_context(_running("server", folder, ["manage.py", "up", "--port", str(port)], shop.folder))
        _until_ready(f"{shop.url}/ready", server, folder / "server.log")
        yield shop, shop.stock([*((name, CREDIT_USD) for name in names), (EMPTY, "")])


@contextlib.contextmanager
def _running(
    name: str, folder: Path, command: list[str], data: Path | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=_environment(data), stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment(data: Path | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    return {**kept, "DJANGO_SETTINGS_MODULE": "config.settings", **({"DATA_DIR": str(data)} if data else {})}


def _until_ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException), urllib.request.urlopen(url, timeout=5):  # noqa: S310 - loopback
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the server did not start:\n" + log.read_text()[-3000:])
        time.sleep(0.1)


def _get(url: str, headers: dict[str, str]) -> dict[str, Any]:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        message = f"{url}: {error.code} {error.read().decode()[:500]}"
        raise RuntimeError(message) from error
