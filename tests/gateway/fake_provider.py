"""A provider on loopback, in a thread of its own: a function answers, and everything that was asked is kept."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Heard:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def key(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Told:
    """What is answered."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class FakeProvider:
    """Where it is and what it heard."""

    url: str
    heard: list[Heard] = field(default_factory=list)

    @property
    def keys(self) -> list[str]:
        return [one.key for one in self.heard]


@contextmanager
def fake_provider(answer: Callable[[Heard], Told]) -> Iterator[FakeProvider]:
    """Serve until the block ends."""
    seen = FakeProvider("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("content-length", 0))
            names = {name.lower(): value for name, value in self.headers.items()}
            one = Heard(self.command, self.path, names, self.rfile.read(length))
            seen.heard.append(one)
            told = answer(one)
            self.send_response(told.status)
            for name, value in {"content-type": "application/json", **told.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(told.body)))
            self.end_headers()
            self.wfile.write(told.body)

        do_GET = do_POST = answer  # noqa: N815 - the names are the library's

        def log_message(self, *words: Any) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    seen.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def chat(text: str = "Hello", *, model: str = "m", **usage: Any) -> Told:
    """A whole answer in OpenAI's dialect."""
    counted = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, **usage}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": counted,
    }
    return Told(200, json.dumps(body).encode())


def refusal(status: int, *, code: str = "server_error", usage: Any = None, **headers: str) -> Told:
    """A refusal in OpenAI's dialect; some providers report what they counted all the same."""
    body: dict[str, Any] = {"error": {"message": "no", "type": code, "param": None, "code": code}}
    if usage is not None:
        body["usage"] = usage
    return Told(status, json.dumps(body).encode(), headers)
