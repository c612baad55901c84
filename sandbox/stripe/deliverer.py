"""The background of a server process: jobs whose time has come, and webhooks, delivered over real HTTP and retried.

Any number of processes may share the work: each takes what it delivers for a while, and what a dead one took is taken
again. Nothing goes anywhere but to this machine's own loopback addresses.
"""

import contextlib
import http.client
import ipaddress
import json
import logging
import socket
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from sandbox.stripe import timers
from sandbox.stripe.signing import signed
from sandbox.stripe.store import Store, setting

log = logging.getLogger(__name__)

AT_ONCE = 16
TAKEN_S = 40
PATIENCE_S = 15
MOST_ATTEMPTS = 12
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 300.0
LOOKS_EVERY_S = 0.2


class Deliverer:
    """One thread that looks, and some that deliver."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._wanted = threading.Event()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._starting = threading.Lock()

    def start(self) -> None:
        """Begin, once."""
        with self._starting:
            if self._thread is None:
                self._over.clear()
                self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="sandbox-webhook")
                self._thread = threading.Thread(target=self._work, name="sandbox-deliverer", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End; what is not delivered stays for the next start."""
        self._over.set()
        self._wanted.set()
        if self._thread is not None:
            self._thread.join(PATIENCE_S)
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._thread = self._pool = None

    def wake(self) -> None:
        """There is something to do."""
        self._wanted.set()

    def _work(self) -> None:
        while not self._over.is_set():
            self._wanted.clear()
            try:
                timers.run_due(self.store)
                taken = self._take()
            except sqlite3.Error:
                log.exception("the payment sandbox could not look at its deliveries")
                taken = []
            for delivery in taken:
                assert self._pool is not None
                self._pool.submit(self._deliver, delivery)
            if len(taken) < AT_ONCE:
                self._wanted.wait(LOOKS_EVERY_S)

    def _take(self) -> list[dict[str, Any]]:
        now = time.time()
        waiting = "state = 'waiting' AND due_at <= ? AND taken_until < ?"
        with self.store.reading() as db:
            if db.execute(f"SELECT 1 FROM deliveries WHERE {waiting} LIMIT 1", (now, now)).fetchone() is None:
                return []
        with self.store.writing() as db:
            rows = db.execute(
                f"UPDATE deliveries SET taken_until = ? WHERE id IN (SELECT id FROM deliveries WHERE {waiting}"
                " ORDER BY due_at, id LIMIT ?) RETURNING *",
                (now + TAKEN_S, now, now, AT_ONCE * 4),
            ).fetchall()
            return sorted((_with_event(db, row) for row in rows), key=lambda one: int(one["id"]))

    def deliver_now(self, id_: int) -> None:
        """Deliver this one at once, in the caller's own thread."""
        with self.store.writing() as db:
            db.execute("UPDATE deliveries SET taken_until = ? WHERE id = ?", (time.time() + TAKEN_S, id_))
            row = db.execute("SELECT * FROM deliveries WHERE id = ?", (id_,)).fetchone()
            delivery = _with_event(db, row)
        self._deliver(delivery)

    def _deliver(self, delivery: dict[str, Any]) -> None:
        if self._over.is_set():
            with self.store.writing() as db:
                db.execute("UPDATE deliveries SET taken_until = 0 WHERE id = ?", (delivery["id"],))
            return
        if delivery["url"] is None:
            status, answer = None, "The endpoint is gone."
        else:
            status, answer = post(delivery["url"], *signed(delivery["body"], delivery["keys"], delivery["orders"]))
        with contextlib.suppress(sqlite3.ProgrammingError), self.store.writing() as db:
            _note(db, delivery, status, answer)


def _with_event(db: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any]:
    def body(id_: str) -> dict[str, Any] | None:
        found = db.execute("SELECT body FROM objects WHERE account = ? AND id = ?", (row["account"], id_)).fetchone()
        return json.loads(found["body"]) if found else None

    endpoint, orders = body(row["endpoint"]), json.loads(row["orders"])
    return {
        "id": row["id"],
        "attempts": row["attempts"],
        "body": body(row["event"]) or {},
        "orders": orders,
        "url": endpoint["url"] if endpoint else None,
        "keys": endpoint["_secrets"] if endpoint else [],
    }


def _note(db: sqlite3.Connection, delivery: dict[str, Any], status: int | None, answer: str) -> None:
    attempts = delivery["attempts"] + 1
    done = status is not None and 200 <= status < 300
    # a forgery is refused by a sound receiver: it is not sent again
    given_up = delivery["url"] is None or attempts >= MOST_ATTEMPTS or bool(delivery["orders"].get("forge"))
    state = "delivered" if done else "failed" if given_up else "waiting"
    wait_s = min(LONGEST_RETRY_S, float(setting(db, "first_retry_s", FIRST_RETRY_S)) * 2 ** (attempts - 1))
    db.execute(
        "UPDATE deliveries SET state = ?, attempts = ?, status = ?, answer = ?, due_at = ?, taken_until = 0"
        " WHERE id = ?",
        (state, attempts, status, answer[:500], time.time() + wait_s, delivery["id"]),
    )


def post(url: str, body: bytes, signature: str | None) -> tuple[int | None, str]:
    """One attempt: the status, and the beginning of what was answered or of what went wrong."""
    parts = urlsplit(url)
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Accept": "*/*; q=0.5, application/xml",
        "Cache-Control": "no-cache",
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        "Host": parts.netloc,
    }
    if signature is not None:
        headers["Stripe-Signature"] = signature
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection: http.client.HTTPConnection | None = None
    try:
        address = _loopback(parts.hostname or "", parts.port or 80)
        connection = http.client.HTTPConnection(address, parts.port or 80, timeout=PATIENCE_S)
        connection.request("POST", target, body, headers)
        with connection.getresponse() as answer:
            return answer.status, answer.read(500).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        return None, f"{type(error).__name__}: {error}"
    finally:
        if connection is not None:
            connection.close()


def _loopback(host: str, port: int) -> str:
    """The address to connect to, looked up here so that it is the one that was checked."""
    if host == "localhost" or host.endswith(".localhost"):
        return "127.0.0.1"
    for *_, found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if ipaddress.ip_address(found[0]).is_loopback:
            return str(found[0])
    message = f"{host} is not a loopback address"
    raise OSError(message)
