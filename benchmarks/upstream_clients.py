"""Which HTTP client carries calls outwards: CPU and speed of each behind the barest proxy that can be written.

Promise: one command, three clients, the same work. A granian worker forwards each request untouched to a mock upstream
through one client; a load generator keeps 32 connections busy; rounds are interleaved, because the machine is noisy and
only ratios within one run hold. The two small C programs are not ours: name the folder that holds them.

    python -m benchmarks.upstream_clients --tools FOLDER_WITH_mockup_AND_loadgen --rounds 3 --seconds 5

pyreqwest lost and is not among our dependencies; where it is not installed its lines are left out and named.
"""

import argparse
import importlib.util
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

CLIENTS = {"pyreqwest": "pyreqwest", "aiohttp": "aiohttp", "gateway.upstream": "aiohttp"}
UPSTREAM = os.environ.get("UPSTREAM", "")
HEADERS = {"content-type": "application/json", "authorization": "Bearer up"}
CONNECTIONS = 32
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

Answer = tuple[int, str, bytes | None, AsyncIterator[Any]]
Opened = Callable[[bytes], Any]


def make_app(opened: Opened) -> Callable[..., Awaitable[None]]:
    """Build the barest proxy around one client: no parsing, no keys."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        async with opened(await _body(receive)) as (status, content_type, whole, chunks):
            headers = [(b"content-type", content_type.encode())]
            if whole is not None:
                headers.append((b"content-length", str(len(whole)).encode()))
                await send({"type": "http.response.start", "status": status, "headers": headers})
                await send({"type": "http.response.body", "body": whole})
                return
            await send({"type": "http.response.start", "status": status, "headers": headers})
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    return app


async def _live(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _body(receive: Any) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


async def _nothing() -> AsyncIterator[bytes]:
    pieces: list[bytes] = []
    for piece in pieces:
        yield piece


_kept: dict[str, Any] = {}


@asynccontextmanager
async def _through_pyreqwest(body: bytes) -> AsyncIterator[Answer]:
    from pyreqwest.client import ClientBuilder

    if "pyreqwest" not in _kept:
        _kept["pyreqwest"] = ClientBuilder().follow_redirects(enable=False).no_proxy().gzip(enable=False).build()
    builder = _kept["pyreqwest"].post(UPSTREAM + "/chat/completions").headers(HEADERS).body_bytes(body)
    if b'"stream": true' in body:
        builder = builder.streamed_read_buffer_limit(
            0
        )  # as it comes, it holds a stream back until 64 KiB have gathered
    async with builder.build_streamed() as response:
        kind = response.get_header("content-type")
        reader = response.body_reader
        if response.get_header("content-length") is not None:
            yield response.status, kind, bytes(await reader.bytes()), _nothing()
        else:
            yield response.status, kind, None, _pyreqwest_chunks(reader)


async def _pyreqwest_chunks(reader: Any) -> AsyncIterator[bytes]:
    while (chunk := await reader.read_chunk()) is not None:
        yield bytes(chunk)


@asynccontextmanager
async def _through_aiohttp(body: bytes) -> AsyncIterator[Answer]:
    import aiohttp

    if "aiohttp" not in _kept:
        _kept["aiohttp"] = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),
        )
    async with _kept["aiohttp"].post(UPSTREAM + "/chat/completions", data=body, headers=HEADERS) as response:
        kind = response.headers.get("content-type", "")
        if response.content_length is not None:
            yield response.status, kind, await response.read(), _nothing()
        else:
            yield response.status, kind, None, response.content.iter_any()


@asynccontextmanager
async def _through_upstream(body: bytes) -> AsyncIterator[Answer]:
    from gateway.upstream import Request, Upstream

    if "upstream" not in _kept:
        _kept["upstream"] = Upstream()
    headers = tuple(HEADERS.items())
    url = UPSTREAM + "/chat/completions"
    request = Request(method="POST", url=url, headers=headers, body=body, provider="mock", allow_private=True)
    if b'"stream": true' in body:
        async with await _kept["upstream"].stream(request) as stream:
            yield stream.status, stream.headers["content-type"], None, stream
    else:
        answer = await _kept["upstream"].whole(request)
        yield answer.status, answer.headers["content-type"], answer.body, _nothing()


upstream_app = make_app(_through_upstream)
pyreqwest_app = make_app(_through_pyreqwest)
aiohttp_app = make_app(_through_aiohttp)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    message = f"nothing listens on {port}"
    raise RuntimeError(message)


@contextmanager
def _running(command: list[str], port: int, environment: dict[str, str] | None = None) -> Any:
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)  # noqa: S603 - our own commands
    try:
        _wait(port)
        yield process
    finally:
        process.terminate()
        process.wait(10)


def _cpu_ms(root: int) -> float:
    """User and system time of a process and all its children, so far."""
    parents: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        pid = int(folder.name)
        parents.setdefault(int(fields[1]), []).append(pid)
        ticks[pid] = int(fields[11]) + int(fields[12])
    family, queue = 0, [root]
    while queue:
        pid = queue.pop()
        family += ticks.get(pid, 0)
        queue += parents.get(pid, [])
    return family * 1000 / TICKS_PER_S


def _load(tools: Path, port: int, seconds: float, body_file: str) -> dict[str, Any]:
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    command = [str(tools / "loadgen"), url, "-c", str(CONNECTIONS), "-d", str(seconds), "-w", "0", "-b", body_file]
    answered = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - the caller named it
    return dict(json.loads(answered.stdout))


def measure(arguments: argparse.Namespace) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """CPU milliseconds per request and requests per second, for each client and each shape of answer."""
    seen: dict[tuple[str, str], list[tuple[float, float]]] = {}
    present = [name for name in arguments.only if importlib.util.find_spec(CLIENTS[name])]
    with tempfile.TemporaryDirectory() as scratch, _mock(arguments.tools) as mock_port:
        bodies = _bodies(Path(scratch))
        for _ in range(arguments.rounds):
            for client in present:
                with _proxy(client, mock_port) as (process, port):
                    for shape, body_file in bodies.items():
                        _load(arguments.tools, port, 1, body_file)
                        before = _cpu_ms(process.pid)
                        said = _load(arguments.tools, port, arguments.seconds, body_file)
                        spent_ms = (_cpu_ms(process.pid) - before) / said["ok"]
                        seen.setdefault((client, shape), []).append((spent_ms, said["rps"]))
                        if said["err"] or said["s5xx"]:
                            sys.stderr.write(f"{client} {shape}: {said['err']} broken, {said['s5xx']} refused\n")
    return seen


@contextmanager
def _mock(tools: Path) -> Any:
    port = _free_port()
    with _running([str(tools / "mockup"), str(port), "--chunks", "20", "--gap", "5"], port):
        yield port


@contextmanager
def _proxy(client: str, mock_port: int) -> Any:
    port = _free_port()
    app = client.replace("gateway.upstream", "upstream") + "_app"
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--no-ws", "--loop", "uvloop", "--no-log"]
    command += ["--host", "127.0.0.1", "--port", str(port), f"benchmarks.upstream_clients:{app}"]
    with _running(command, port, {**os.environ, "UPSTREAM": f"http://127.0.0.1:{mock_port}/v1"}) as process:
        yield process, port


def _bodies(scratch: Path) -> dict[str, str]:
    request: dict[str, Any] = {"model": "mock", "messages": [{"role": "user", "content": "Say hello to the fox."}]}
    files = {}
    for shape, stream in (("whole", False), ("stream", True)):
        file = scratch / shape
        file.write_text(json.dumps({**request, "stream": stream}))
        files[shape] = str(file)
    return files


def report(seen: dict[tuple[str, str], list[tuple[float, float]]]) -> str:
    """Medians as a table, and every client's CPU relative to the leanest of its shape."""
    medians = {key: [statistics.median(values) for values in zip(*runs, strict=True)] for key, runs in seen.items()}
    leanest = {shape: min(cpu for (_, s), (cpu, _) in medians.items() if s == shape) for _, shape in medians}
    lines = ["| client | answer | CPU ms per request | of the leanest | requests per second |", "|---|---|---|---|---|"]
    for (client, shape), (cpu_ms, speed) in sorted(medians.items(), key=lambda item: item[0][::-1]):
        lines.append(f"| {client} | {shape} | {cpu_ms:.3f} | {cpu_ms / leanest[shape]:.2f} | {speed:.0f} |")
    absent = [name for name, module in CLIENTS.items() if not importlib.util.find_spec(module)]
    return "\n".join([*lines, *(f"not installed, left out: {name}" for name in absent)])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", type=Path, required=True, help="the folder with mockup and loadgen")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--only", nargs="*", choices=list(CLIENTS), default=list(CLIENTS))
    sys.stdout.write(report(measure(parser.parse_args())) + "\n")


if __name__ == "__main__":
    main()
