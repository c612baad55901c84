"""A Redis of a proof's own that can be slowed down, frozen, killed and started again with nothing in its memory."""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class TroubledRedis:
    """A real server behind a proxy; clients come through the proxy, whoever looks comes by the socket."""

    def __init__(self, scratch: str) -> None:
        from config import servers

        self._socket = Path(scratch) / "redis.sock"
        save = ["--save", "", "--appendonly", "no", "--dir", scratch]
        self._command = [servers.redis_binary(), "--port", "0", "--unixsocket", str(self._socket), *save]
        self._server: subprocess.Popen[bytes] | None = None
        context = multiprocessing.get_context("fork")
        self._delay_s, ports = context.Value("d", 0.0), context.SimpleQueue()
        # The proxy is a process of its own, since whoever asks must not share an interpreter with it.
        self._proxy = context.Process(target=_proxy, args=(str(self._socket), self._delay_s, ports), daemon=True)
        self._proxy.start()
        self.port: int = ports.get()
        self.start()

    @property
    def delay_s(self) -> float:
        """How long whatever is said takes to arrive, each way."""
        return float(self._delay_s.value)

    @delay_s.setter
    def delay_s(self, seconds: float) -> None:
        self._delay_s.value = seconds

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def direct_url(self) -> str:
        """Where it is found without the proxy."""
        return f"unix://{self._socket}?db=0"

    def start(self) -> None:
        """Start with an empty memory."""
        self._server = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 10
        with socket.socket(socket.AF_UNIX) as probe:
            while probe.connect_ex(str(self._socket)):
                if time.monotonic() > until:
                    message = "redis-server did not start"
                    raise RuntimeError(message)
                time.sleep(0.02)

    def kill(self) -> None:
        """Die at once; what was in memory is lost."""
        if self._server is not None:
            self._server.kill()
            self._server.wait(10)
            self._server = None
            self._socket.unlink(missing_ok=True)

    def freeze(self) -> None:
        """Answer nothing, and refuse nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on with what has come in the meantime."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End everything."""
        self.thaw()
        self.kill()
        self._proxy.kill()
        self._proxy.join(10)
        self._proxy.close()

    def _signal(self, number: int) -> None:
        if self._server is not None:
            os.kill(self._server.pid, number)


def _proxy(inner: str, delay_s: Any, ports: Any) -> None:
    """Carry bytes between clients and the server, as slowly as is wished."""

    async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        """One way; what has arrived is delivered even when its sender has gone."""
        with contextlib.suppress(OSError):
            while piece := await source.read(65_536):
                if delay_s.value:
                    await asyncio.sleep(delay_s.value)
                target.write(piece)
                await target.drain()
        with contextlib.suppress(OSError):
            target.close()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_unix_connection(inner)
        except OSError:
            writer.close()
            return
        await asyncio.gather(carry(reader, inner_writer), carry(inner_reader, writer))

    async def serve() -> None:
        server = await asyncio.start_server(converse, "127.0.0.1", 0)
        ports.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


@contextlib.contextmanager
def troubled_redis() -> Iterator[TroubledRedis]:
    """One for the length of a block."""
    with tempfile.TemporaryDirectory(prefix="tollgate-redis-") as scratch:
        server = TroubledRedis(scratch)
        try:
            yield server
        finally:
            server.close()
