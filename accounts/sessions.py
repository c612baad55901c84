"""Sessions in the database, under keys that only we can have made.

Promise: a cookie that is no key of ours (too long, not plain letters and digits) is no session, and never reaches the
database: PostgreSQL answers a NUL with an error, and an error is no answer to a stranger.
"""

from django.contrib.sessions.backends.db import SessionStore as DatabaseSessionStore

LONGEST_KEY = 40


class SessionStore(DatabaseSessionStore):
    """Django's own store, strict about its keys."""

    def _validate_session_key(self, key: str | None) -> bool:
        """Say whether a key could be ours."""
        return key is not None and 8 <= len(key) <= LONGEST_KEY and key.isascii() and key.isalnum()
