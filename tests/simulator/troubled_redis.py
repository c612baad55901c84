"""A Redis of a proof's own that can be slowed down, frozen, killed and started again with nothing in its memory."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path


class TroubledRedis:
    """A real server behind a proxy; clients come through the proxy, whoever looks comes by the socket."""

    def __init__(self, scratch: str) -> None:
        from config import servers

        self._socket = Path(scratch) / "redis.sock"
        save = ["--save", "", "--appendonly", "no", "--dir", scratch]
        self._command = [servers.redis_binary(), "--port", "0", "--unixsocket", str(self._socket), *save]
        self._server: subprocess.Popen[bytes] | None = None
        self.delay_s = 0.0
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        self.start()

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
        asyncio.run_coroutine_threadsafe(self._hang_up(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _signal(self, number: int) -> None:
        if self._server is not None:
            os.kill(self._server.pid, number)

    # --- The proxy ----------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        self._proxy = await asyncio.start_server(self._converse, "127.0.0.1", 0)
        self.port = self._proxy.sockets[0].getsockname()[1]

    async def _hang_up(self) -> None:
        self._proxy.close()
        talks = asyncio.all_tasks() - {asyncio.current_task()}
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the next round

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_unix_connection(str(self._socket))
        except OSError:
            writer.close()
            return
        try:
            await asyncio.gather(self._carry(reader, inner_writer), self._carry(inner_reader, writer))
        finally:
            writer.close()
            inner_writer.close()

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        """Carry bytes one way; what has arrived is delivered even when its sender has gone."""
        with contextlib.suppress(OSError):
            while piece := await source.read(65_536):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                target.write(piece)
                await target.drain()
        with contextlib.suppress(OSError):
            target.close()


@contextlib.contextmanager
def troubled_redis() -> Iterator[TroubledRedis]:
    """One for the length of a block."""
    with tempfile.TemporaryDirectory(prefix="tollgate-redis-") as scratch:
        server = TroubledRedis(scratch)
        try:
            yield server
        finally:
            server.close()
