"""How raw rows are read past the ORM, the same from both engines.

SQLite gives moments without a zone (they are UTC) and JSON as text; PostgreSQL gives text where a JSON column was
written as text inside JSON, as the ledger's riders do.
"""

import json
from datetime import UTC, date, datetime
from typing import Any


def read_moment(value: datetime | str) -> datetime:
    """A moment in UTC."""
    read = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)


def read_date(value: date | str) -> date:
    """A calendar day."""
    return value if isinstance(value, date) else date.fromisoformat(value)


def read_json(value: Any) -> Any:
    """A JSON value, however often it was written as text."""
    while isinstance(value, str):
        value = json.loads(value)
    return value
