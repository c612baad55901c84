"""The ledger's own line to PostgreSQL: questions go out together, answers come back together.

Promise: statements run in the order in which they were given, within the transaction that is open or, as psycopg does
it, one that the first of them opens; the first that fails fails them all, with psycopg's own error. A batch of the
ledger asks the same few questions every time, so they travel in one packet each way instead of one by one, and a
connection that keeps plans (``prepare_threshold``) keeps them here too. Everything travels as text: every statement
says by itself what its parameters are.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache, partial
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg import generators, pq
from psycopg.abc import PQGen
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result

Question = tuple[str, Sequence[Any]]
FAILED = frozenset({pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.PIPELINE_ABORTED, pq.ExecStatus.BAD_RESPONSE})

Step = Callable[[], None]

_names = count(1)
_kept: "WeakKeyDictionary[psycopg.Connection[Any], dict[str, bytes]]" = WeakKeyDictionary()


class Told:
    """A statement that has been given; how many rows it changed is known once all were sent."""

    __slots__ = ("parameters", "rowcount", "statement")

    def __init__(self, statement: str, parameters: Sequence[Any]) -> None:
        self.statement, self.parameters, self.rowcount = statement, parameters, -1


class Line:
    """One transaction's line; looks like a cursor where a single statement is meant."""

    def __init__(self, raw: "psycopg.Connection[Any]") -> None:
        self._raw = raw
        self._reader = Transformer(raw)
        self._rows: list[Any] = []
        self._waiting: list[Told] | None = None

    def close(self) -> None:
        """There is nothing to give back."""

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Told:
        """Give one statement: at once, or inside ``together`` with the others."""
        told = Told(statement, parameters)
        if self._waiting is None:
            self._send([told])
        else:
            self._waiting.append(told)
        return told

    def fetchall(self) -> list[Any]:
        """The rows of the last statement that was given alone."""
        return self._rows

    def ask(self, questions: Sequence[Question]) -> list[list[Any]]:
        """Ask all of these; the rows of each."""
        return self._send([Told(*question) for question in questions])

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is given in here is sent in one go at the end."""
        self._waiting = []
        try:
            yield
            waiting, self._waiting = self._waiting, None
            if waiting:
                self._send(waiting)
        finally:
            self._waiting = None

    def _send(self, told: Sequence[Told]) -> list[list[Any]]:
        results = _exchange(self._raw, told)
        rows = [self._read(one, result) for one, result in zip(told, results, strict=True)]
        self._rows = rows[-1]
        return rows

    def _read(self, told: Told, result: pq.abc.PGresult) -> list[Any]:
        if result.nfields:
            self._reader.set_pgresult(result)
            return self._reader.load_rows(0, result.ntuples, tuple)
        told.rowcount = result.command_tuples or 0
        return []


def _exchange(raw: "psycopg.Connection[Any]", told: Sequence[Told]) -> "list[pq.abc.PGresult]":
    """Send all and gather the answers, in order."""
    pgconn = raw.pgconn
    steps: list[Step] = []
    answered: list[bool] = []  # whether a step's result is a statement's
    if pgconn.transaction_status == pq.TransactionStatus.IDLE and not raw.autocommit:
        steps.append(partial(pgconn.send_query_params, b"BEGIN", None))
        answered.append(False)
    plans = _kept.setdefault(raw, {}) if raw.prepare_threshold is not None else None
    fresh: dict[str, bytes] = {}
    for one in told:
        statement, parameters = one.statement, _texts(one.parameters)
        name = None if plans is None else plans.get(statement) or fresh.get(statement)
        if plans is not None and name is None:
            name = fresh[statement] = b"ledger_%d" % next(_names)
            steps.append(partial(pgconn.send_prepare, name, _numbered(statement)))
            answered.append(False)
        if name is None:
            steps.append(partial(pgconn.send_query_params, _numbered(statement), parameters))
        else:
            steps.append(partial(pgconn.send_query_prepared, name, parameters))
        answered.append(True)
    results = _piped(raw, steps)
    for result in results:
        if result.status in FAILED:
            raise error_from_result(result, encoding=raw.info.encoding)
    if plans is not None:
        plans.update(fresh)
    return [result for result, is_statements in zip(results, answered, strict=True) if is_statements]


def _piped(raw: "psycopg.Connection[Any]", steps: Sequence[Step]) -> "list[pq.abc.PGresult]":
    """Take the steps in pipeline mode; one result for each."""
    pgconn = raw.pgconn
    pgconn.enter_pipeline_mode()
    try:
        for step in steps:
            step()
        pgconn.pipeline_sync()
        return raw.wait(_answers(pgconn, len(steps)))
    finally:
        if pgconn.status == pq.ConnStatus.OK:
            pgconn.exit_pipeline_mode()


def _answers(pgconn: "pq.abc.PGconn", many: int) -> PQGen["list[pq.abc.PGresult]"]:
    """What came back for each step; the mark that ends the pipeline is read and left out."""
    yield from generators.send(pgconn)
    results: list[pq.abc.PGresult] = []
    for _ in range(many + 1):
        results += yield from generators.fetch_many(pgconn)
    return results[:many]


@lru_cache(maxsize=512)
def _numbered(statement: str) -> bytes:
    """Psycopg's marks as PostgreSQL's own."""
    first, *rest = statement.split("%s")
    return (first + "".join([f"${place}{part}" for place, part in enumerate(rest, 1)])).encode()


def _texts(parameters: Sequence[Any]) -> list[bytes | None]:
    return [None if value is None else _text(value).encode() for value in parameters]


def _text(value: Any) -> str:
    """A parameter as PostgreSQL reads it."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "{" + ",".join(["NULL" if item is None else _quoted(item) for item in value]) + "}"
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _quoted(item: str) -> str:
    if item.isalnum() and item.lower() != "null":
        return item
    return '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'
