"""A lease on a name: at most one process does what only one should do, and a dead one is replaced.

Promise: time is the database's, so skewed clocks of machines do not matter; a lease that is not renewed ends by itself.
It lowers contention and nothing more (a paused process may wake up after its lease has ended): what must not happen
twice is guarded by unique constraints and conditional updates where it happens.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


class NotHeld(Exception):
    """Somebody else holds the lease."""


# One statement each, so the database decides; the arithmetic on its own clock is all that differs between engines.
_NOW = {"postgresql": "clock_timestamp()", "sqlite": "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')"}
_END = {
    "postgresql": "clock_timestamp() + make_interval(secs => %s)",
    "sqlite": "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', %s || ' seconds')",
}
_ACQUIRE = """
INSERT INTO leases (name, holder, until) VALUES (%s, %s, {end})
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE leases.until <= {now} OR leases.holder = excluded.holder
"""


def acquire(name: str, *, holder: str, ttl_s: float) -> bool:
    """Take or renew the lease; False while somebody else holds it."""
    statement = _ACQUIRE.format(now=_NOW[connection.vendor], end=_END[connection.vendor])
    with connection.cursor() as cursor:
        cursor.execute(statement, [name, holder, ttl_s])
        return bool(cursor.rowcount == 1)


def release(name: str, *, holder: str) -> None:
    """Give the lease back early; harmless if it was lost meanwhile."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM leases WHERE name = %s AND holder = %s", [name, holder])


@contextmanager
def lease(name: str, ttl_s: float) -> Iterator[str]:
    """Hold the lease while the block runs, or raise ``NotHeld``; yields the holder's name for renewals."""
    holder = secrets.token_hex(8)
    if not acquire(name, holder=holder, ttl_s=ttl_s):
        message = f"Another process holds the lease {name!r}."
        raise NotHeld(message)
    try:
        yield holder
    finally:
        release(name, holder=holder)
