"""What goes wrong on demand with the next requests to the API.

A fault is ``{"what": ..., "times": 1, "method": "POST", "path": "/v1/refunds*"}``. Kinds: ``500`` (before anything is
done), ``500_after`` (all is done, and the answer is 500), ``429``, ``409``, ``402`` (a declined card), ``timeout``
(all is done, and no answer comes), ``cut`` (all is done, and the answer breaks off), ``slow`` (``seconds`` before
anything is done) and ``webhook_first`` (the answer waits until its webhooks have been delivered).
"""

import fnmatch
import json
import sqlite3
from typing import Any

from sandbox.stripe.problems import Problem

KINDS = ("500", "500_after", "429", "409", "402", "timeout", "cut", "slow", "webhook_first")
AFTER = frozenset({"500_after", "timeout", "cut", "webhook_first"})


def order(db: sqlite3.Connection, account: str, fault: dict[str, Any]) -> None:
    """Have it happen."""
    db.execute("INSERT INTO faults (account, body) VALUES (?, ?)", (account, json.dumps(fault)))


def due(db: sqlite3.Connection, account: str, method: str, path: str) -> dict[str, Any] | None:
    """The fault for this request, if one is ordered; it is used up by being told."""
    for row in db.execute("SELECT id, body FROM faults WHERE account = ? ORDER BY id", (account,)).fetchall():
        fault: dict[str, Any] = json.loads(row["body"])
        fits = fnmatch.fnmatchcase(path, fault.get("path", "*"))
        if not fits or fault.get("method", method) != method:
            continue
        fault["times"] = fault.get("times", 1) - 1
        if fault["times"] > 0:
            db.execute("UPDATE faults SET body = ? WHERE id = ?", (json.dumps(fault), row["id"]))
        else:
            db.execute("DELETE FROM faults WHERE id = ?", (row["id"],))
        return fault
    return None


def refusal(what: str) -> Problem | None:
    """What a fault says in place of an answer."""
    if what in {"500", "500_after"}:
        message = "An unknown error occurred (the sandbox was told to fail)."
        return Problem(500, message, kind="api_error")
    if what == "429":
        return Problem(429, "Request rate limit exceeded.", code="rate_limit")
    if what == "409":
        return Problem(409, "This object cannot be accessed right now.", code="lock_timeout")
    if what == "402":
        message = "Your card was declined."
        return Problem(402, message, kind="card_error", code="card_declined", decline_code="generic_decline")
    return None
