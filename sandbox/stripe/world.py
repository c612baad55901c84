"""One account's side of the world inside one transaction: its objects, its clock, and the events it tells of."""

import fnmatch
import json
import secrets
import sqlite3
import string
import time
from typing import Any

from sandbox.stripe.orders import orders_for
from sandbox.stripe.problems import no_such
from sandbox.stripe.store import setting

Object = dict[str, Any]

API_VERSION = "2026-10-28.endive"
_LETTERS = string.ascii_letters + string.digits


def new_id(prefix: str, *, length: int = 24) -> str:
    """An id as Stripe makes them: what it is, and letters nobody guesses."""
    return f"{prefix}_{''.join(secrets.choice(_LETTERS) for _ in range(length))}"


class World:
    """What a handler is given. ``here`` is our own address, for the pages we link to."""

    def __init__(
        self,
        db: sqlite3.Connection,
        account: str,
        *,
        here: str = "",
        request_id: str | None = None,
        idempotency_key: str | None = None,
        webhook_secret: str = "",
    ) -> None:
        self.db = db
        self.account = account
        self.here = here
        self.request_id = request_id
        self.idempotency_key = idempotency_key
        self.webhook_secret = webhook_secret
        self.now_exact: float = time.time() + setting(db, "clock_ahead_s", 0)
        self.now = int(self.now_exact)
        self.told: list[str] = []

    # --- objects ---

    def add(self, body: Object) -> Object:
        """A new object."""
        self.db.execute(
            "INSERT INTO objects (account, id, type, created, body) VALUES (?, ?, ?, ?, ?)",
            (self.account, body["id"], body["object"], body.get("created", self.now), json.dumps(body)),
        )
        return body

    def put(self, body: Object) -> Object:
        """An object as it now is."""
        self.db.execute(
            "UPDATE objects SET body = ? WHERE account = ? AND id = ?", (json.dumps(body), self.account, body["id"])
        )
        return body

    def remove(self, body: Object) -> None:
        """An object that is no more."""
        self.db.execute("DELETE FROM objects WHERE account = ? AND id = ?", (self.account, body["id"]))

    def find(self, given: str | None, kind: str | None = None) -> Object | None:
        """The object of that id, if this account has one."""
        if not given:
            return None
        row = self.db.execute(
            "SELECT type, body FROM objects WHERE account = ? AND id = ?", (self.account, given)
        ).fetchone()
        if row is None or (kind is not None and row["type"] != kind):
            return None
        found: Object = json.loads(row["body"])
        return found

    def get(self, kind: str, given: str | None, *, param: str = "id", status: int = 404) -> Object:
        """The object of that id, or Stripe's refusal."""
        found = self.find(given, kind)
        if found is None:
            raise no_such(kind.rpartition(".")[2], given or "", param=param, status=status)
        return found

    def named(self, kind: str, given: str, *, param: str) -> Object:
        """The object a parameter names."""
        return self.get(kind, given, param=param, status=400)

    def all(self, kind: str, **by: Any) -> list[Object]:
        """Every object of a kind, oldest first; ``by`` names drawn-out columns."""
        where = "".join(f" AND {column} = ?" for column in by)
        rows = self.db.execute(
            f"SELECT body FROM objects WHERE account = ? AND type = ?{where} ORDER BY seq",
            (self.account, kind, *by.values()),
        )
        return [json.loads(row["body"]) for row in rows]

    # --- time ---

    def later(self, seconds: float, job: str, target: str) -> None:
        """Have a job done when the clock gets there."""
        self.db.execute(
            "INSERT INTO timers (account, due_at, job, target) VALUES (?, ?, ?, ?)",
            (self.account, self.now_exact + seconds, job, target),
        )

    def never_mind(self, target: str) -> None:
        """Forget the jobs that wait for an object."""
        self.db.execute("DELETE FROM timers WHERE account = ? AND target = ?", (self.account, target))

    # --- events ---

    def tell(self, kind: str, body: Object, *, before: Object | None = None, queue: bool = True) -> Object:
        """Write an event down and queue it for every endpoint that asked for its kind."""
        endpoints = [
            one
            for one in self.all("webhook_endpoint")
            if one["status"] == "enabled" and any(fnmatch.fnmatchcase(kind, want) for want in one["enabled_events"])
        ]
        data: Object = {"object": public(body)}
        if before is not None:
            data["previous_attributes"] = before
        event: Object = {
            "id": new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": self.now,
            "data": data,
            "livemode": False,
            "pending_webhooks": len(endpoints),
            "request": {"id": self.request_id, "idempotency_key": self.idempotency_key},
            "type": kind,
        }
        self.add(event)
        self.told.append(event["id"])
        for endpoint in endpoints if queue else ():
            self.queue(event, str(endpoint["id"]))
        return event

    def queue(self, event: Object, endpoint: str, *, orders: Object | None = None) -> None:
        """One delivery, or as many as the standing orders want."""
        ordered = orders if orders is not None else orders_for(self.db, self.account, event["type"])
        if ordered.get("drop"):
            return
        for copy in range(1 + int(ordered.get("duplicates", 0))):
            due_at = time.time() + float(ordered.get("delay_s", 0)) + (0.05 * copy if not ordered.get("at_once") else 0)
            self.db.execute(
                "INSERT INTO deliveries (account, event, type, endpoint, due_at, state, orders, request)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    self.account,
                    event["id"],
                    event["type"],
                    endpoint,
                    due_at,
                    "held" if ordered.get("hold") else "waiting",
                    json.dumps(ordered),
                    self.request_id or "",
                ),
            )


def public(body: Any) -> Any:
    """An object as the outside sees it: names that begin with an underscore are our own notes."""
    if isinstance(body, dict):
        return {name: public(value) for name, value in body.items() if not name.startswith("_")}
    if isinstance(body, list):
        return [public(one) for one in body]
    return body
