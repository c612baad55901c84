"""Idempotency keys: the first answer is remembered for a day and given again, the 500s too."""

import sqlite3
import time
from dataclasses import dataclass

from sandbox.stripe.problems import Problem
from sandbox.stripe.store import setting

KEPT_S = 86_400
ABANDONED_S = 60


@dataclass(frozen=True, slots=True)
class Replay:
    """An answer that was given before."""

    status: int
    body: bytes
    request_id: str


def begin(db: sqlite3.Connection, account: str, key: str, fingerprint: str) -> Replay | None:
    """Take a key, or get what it answered; refuse it for another request, or while the first one runs."""
    if len(key) > 255:
        raise Problem(400, "Idempotency-Key must be at most 255 characters long.", kind="idempotency_error")
    now = time.time() + setting(db, "clock_ahead_s", 0)
    row = db.execute("SELECT * FROM replays WHERE account = ? AND key = ?", (account, key)).fetchone()
    gone = row is not None and (row["at"] < now - (ABANDONED_S if row["status"] is None else KEPT_S))
    if row is None or gone:
        db.execute(
            "INSERT OR REPLACE INTO replays (account, key, fingerprint, at) VALUES (?, ?, ?, ?)",
            (account, key, fingerprint, now),
        )
        return None
    if row["fingerprint"] != fingerprint:
        message = (
            "Keys for idempotent requests can only be used with the same parameters they were first used with. Try "
            f"using a key other than '{key}' if you meant to execute a different request."
        )
        raise Problem(400, message, kind="idempotency_error")
    if row["status"] is None:
        message = (
            "There is currently another in-progress request using this Idempotent Key (that probably means you "
            f"submitted twice, and the other request is still going through): {key}. Please try again later."
        )
        raise Problem(409, message, code="idempotency_key_in_use")
    return Replay(row["status"], row["body"].encode(), row["request_id"])


def finish(db: sqlite3.Connection, account: str, key: str, answer: Replay) -> None:
    """Remember what was answered."""
    db.execute(
        "UPDATE replays SET status = ?, body = ?, request_id = ? WHERE account = ? AND key = ?",
        (answer.status, answer.body.decode(), answer.request_id, account, key),
    )


def forget(db: sqlite3.Connection, account: str, key: str) -> None:
    """Nothing was begun; the key is free again."""
    db.execute("DELETE FROM replays WHERE account = ? AND key = ?", (account, key))
