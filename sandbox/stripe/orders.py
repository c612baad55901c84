"""Standing orders for deliveries: what the next webhooks of a kind are to suffer.

An order is ``{"types": ["charge.*"], "times": 1, ...}`` with any of: ``duplicates`` (extra copies; with ``at_once`` all
of them at the same moment), ``delay_s``, ``drop``, ``hold`` (until released, in an order of the operator's choosing),
``forge`` (``secret``, ``body``, ``missing``, ``empty``, ``empty_key``, ``v0``: a signature that must not pass),
``age_s`` (a timestamp that old; negative: in the future), ``changes`` (fields of the event's object to alter, signed
all the same) and ``event`` (fields of the event itself to alter).
"""

import fnmatch
import json
import sqlite3
from typing import Any

from sandbox.stripe.store import remember, setting

KNOWN = frozenset(
    {"types", "times", "duplicates", "at_once", "delay_s", "drop", "hold", "forge", "age_s", "changes", "event"}
)
FORGERIES = ("secret", "body", "missing", "empty", "empty_key", "v0")


def orders_for(db: sqlite3.Connection, account: str, kind: str) -> dict[str, Any]:
    """All that is ordered for this event, merged; an order that has been followed often enough is gone."""
    standing: list[dict[str, Any]] = setting(db, f"orders {account}", [])
    merged: dict[str, Any] = {}
    left = []
    for order in standing:
        if any(fnmatch.fnmatchcase(kind, want) for want in order.get("types", ["*"])):
            merged |= {name: value for name, value in order.items() if name not in {"types", "times"}}
            if "times" in order:
                order["times"] -= 1
        if order.get("times", 1) > 0:
            left.append(order)
    if merged:
        remember(db, f"orders {account}", left)
    return merged


def stand(db: sqlite3.Connection, account: str, order: dict[str, Any]) -> None:
    """Add an order."""
    standing = setting(db, f"orders {account}", [])
    remember(db, f"orders {account}", [*standing, json.loads(json.dumps(order))])
