"""A sandbox provider of its own process, as an operator would start it."""

import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

KEY = "sk-sandbox-test"
CONTROL_KEY = "control-test"


@dataclass
class Answered:
    """What came back over plain HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def events(self):
        """The data of a stream's events, parsed; ``[DONE]`` as it is."""
        lines = self.body.decode().replace("\r\n", "\n").split("\n")
        data = [line[6:] for line in lines if line.startswith("data: ")]
        return [one if one == "[DONE]" else json.loads(one) for one in data]


@dataclass
class Running:
    """A provider at its address."""

    port: int
    pid: int
    key: str = KEY
    control_key: str = CONTROL_KEY
    url: str = field(init=False)

    def __post_init__(self):
        self.url = f"http://127.0.0.1:{self.port}"

    def ask(self, path, body=None, *, method=None, key=KEY, **headers) -> Answered:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        given = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, data=data, headers=given, method=method)  # noqa: S310
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=10) as answer:
                return Answered(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answered(error.code, {k.lower(): v for k, v in error.headers.items()}, error.read())

    def chat(self, words="hello", *, model="sandbox-standard", **more) -> Answered:
        headers = more.pop("headers", {})
        body = {"model": model, "messages": [{"role": "user", "content": words}], **more}
        return self.ask("/v1/chat/completions", body, **headers)

    def control(self, path, body=None, *, method=None):
        return self.ask(f"/_control/{path}", body, method=method, X_Sandbox_Control=self.control_key).json

    def entry(self, answer: Answered):
        return self.control(f"books/{answer.headers['x-request-id']}")

    def last_entry(self, model, *, patience_s=3):
        """The newest entry for a model's requests, once it is closed."""
        deadline = time.monotonic() + patience_s
        while True:
            entries = [entry for entry in self.control("books")["data"] if entry["model"] == model]
            if (entries and entries[-1]["outcome"] != "open") or time.monotonic() > deadline:
                return entries[-1]
            time.sleep(0.02)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


@contextlib.contextmanager
def running_provider(*arguments: str) -> Iterator[Running]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "sandbox.provider", "--port", str(port), "--key", KEY, "--key", "sk-second"]
    process = subprocess.Popen([*command, "--control-key", CONTROL_KEY, *arguments], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        yield Running(port, process.pid)
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="session")
def provider() -> Iterator[Running]:
    with running_provider() as running:
        yield running


@pytest.fixture
def clean_books(provider):
    provider.control("books", method="DELETE")
    yield provider
    provider.control("settings", {"require_hold": False})
