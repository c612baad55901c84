"""What is remembered, in one SQLite file of our own (or in memory): objects, deliveries, keys used once, settings.

Several threads and several processes may share a file: a write is one immediate transaction, and within a process one
at a time. An object is its JSON; what lists filter by is drawn out of it by SQLite itself.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TABLES = """
CREATE TABLE IF NOT EXISTS accounts (id TEXT PRIMARY KEY, created REAL NOT NULL);
CREATE TABLE IF NOT EXISTS objects (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, id TEXT NOT NULL, type TEXT NOT NULL,
  created INTEGER NOT NULL, body TEXT NOT NULL,
  customer TEXT GENERATED ALWAYS AS (json_extract(body, '$.customer')) VIRTUAL,
  payment_intent TEXT GENERATED ALWAYS AS (json_extract(body, '$.payment_intent')) VIRTUAL,
  charge TEXT GENERATED ALWAYS AS (json_extract(body, '$.charge')) VIRTUAL,
  code TEXT GENERATED ALWAYS AS (json_extract(body, '$.code')) VIRTUAL);
CREATE UNIQUE INDEX IF NOT EXISTS object_id ON objects (account, id);
CREATE INDEX IF NOT EXISTS object_alone ON objects (id);
CREATE INDEX IF NOT EXISTS object_type ON objects (account, type, seq);
CREATE INDEX IF NOT EXISTS object_customer ON objects (account, type, customer) WHERE customer IS NOT NULL;
CREATE INDEX IF NOT EXISTS object_intent ON objects (account, type, payment_intent) WHERE payment_intent IS NOT NULL;
CREATE INDEX IF NOT EXISTS object_charge ON objects (account, type, charge) WHERE charge IS NOT NULL;
CREATE INDEX IF NOT EXISTS object_code ON objects (account, type, code) WHERE code IS NOT NULL;
CREATE TABLE IF NOT EXISTS replays (
  account TEXT NOT NULL, key TEXT NOT NULL, fingerprint TEXT NOT NULL, status INTEGER, request_id TEXT, body TEXT,
  at REAL NOT NULL, PRIMARY KEY (account, key));
CREATE TABLE IF NOT EXISTS deliveries (
  id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, event TEXT NOT NULL, type TEXT NOT NULL,
  endpoint TEXT NOT NULL, due_at REAL NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
  orders TEXT NOT NULL, status INTEGER, answer TEXT, request TEXT NOT NULL, taken_until REAL NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS delivery_due ON deliveries (due_at) WHERE state = 'waiting';
CREATE INDEX IF NOT EXISTS delivery_event ON deliveries (event);
CREATE INDEX IF NOT EXISTS delivery_request ON deliveries (request);
CREATE TABLE IF NOT EXISTS timers (
  id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, due_at REAL NOT NULL, job TEXT NOT NULL,
  target TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS timer_due ON timers (due_at);
CREATE INDEX IF NOT EXISTS timer_target ON timers (target);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS faults (id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, body TEXT NOT NULL);
"""


class Store:
    """One connection per process, used by one thread at a time."""

    def __init__(self, path: Path | str | None = None) -> None:
        self.path = str(path) if path else ":memory:"
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it, or nothing."""
        with self._lock:
            db = self._open()
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A look, without keeping anybody from writing."""
        with self._lock:
            yield self._open()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            if self.path != ":memory:":
                Path(self.path).touch(mode=0o600)  # customers' names and the webhooks' secrets are nobody else's
            db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=30)
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            db.executescript(TABLES)
            self._db = db
        return self._db


def setting(db: sqlite3.Connection, name: str, default: Any = None) -> Any:
    """One remembered setting."""
    row = db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
    return default if row is None else json.loads(row["value"])


def remember(db: sqlite3.Connection, name: str, value: Any) -> None:
    """Remember a setting."""
    db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, json.dumps(value)))


def owner_of(db: sqlite3.Connection, given: str) -> str | None:
    """The account that an object belongs to."""
    row = db.execute("SELECT account FROM objects WHERE id = ?", (given,)).fetchone()
    return None if row is None else str(row["account"])


def forget_everything(db: sqlite3.Connection) -> None:
    """Back to an empty world; the accounts stay."""
    for table in ("objects", "replays", "deliveries", "timers", "settings", "faults"):
        db.execute(f"DELETE FROM {table}")
