"""Months of calls on PostgreSQL: made ahead, dropped after their rows went to an archive.

Promise: there is always a partition for today and for the next ``AHEAD`` months; a row outside all of them lands in the
default partition instead of failing, and its being there is told. Dropping a month never touches the books: transfers
name calls by id and stand in tables of their own. On SQLite these are ordinary tables and nothing here does anything.
"""

from datetime import UTC, datetime
from itertools import pairwise

from django.db.backends.base.base import BaseDatabaseWrapper

from gateway.callid import first_id

TABLES = ("gateway_call", "gateway_attempt", "gateway_departure")
AHEAD = 3


def months_from(moment: datetime, count: int) -> list[datetime]:
    """The first moments of this month and the ones after it."""
    start = moment.year * 12 + moment.month - 1
    return [datetime((start + n) // 12, (start + n) % 12 + 1, 1, tzinfo=UTC) for n in range(count)]


def make_ahead(connection: BaseDatabaseWrapper, *, now: datetime) -> list[str]:
    """Make the partitions that are missing; return their names."""
    if connection.vendor != "postgresql":
        return []
    borders = months_from(now, AHEAD + 2)
    made = []
    with connection.cursor() as cursor:
        for table in TABLES:
            for start, end in pairwise(borders):
                name = f"{table}_{start:%Y_%m}"
                cursor.execute("SELECT to_regclass(%s)", [name])
                if cursor.fetchone()[0] is None:
                    cursor.execute(
                        f"CREATE TABLE {name} PARTITION OF {table}"
                        f" FOR VALUES FROM ({first_id(start)}) TO ({first_id(end)})"
                    )
                    made.append(name)
    return made


def strays(connection: BaseDatabaseWrapper) -> dict[str, int]:
    """Rows in the default partitions: there should be none."""
    if connection.vendor != "postgresql":
        return {}
    found = {}
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"SELECT count(*) FROM {table}_rest")  # noqa: S608 - our own table's name
            found[table] = cursor.fetchone()[0]
    return {table: count for table, count in found.items() if count}
