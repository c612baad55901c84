"""The way in for whoever tests against the sandbox: its books, and its canary for calls that nobody reserved.

Closed (and unknown to strangers) unless a control key is set; then, with the header ``X-Sandbox-Control``:

    GET /_control/summary            totals
    GET /_control/books?after=ID     entries in order, 1,000 at a time, those after an id
    GET /_control/books/ID           one entry, by the request id of the answer's headers
    DELETE /_control/books           forget
    POST /_control/settings          {"require_hold": true}: refuse calls without the header X-Tollgate-Hold
"""

import hmac
import itertools
from typing import Any

from sandbox.provider.books import Books
from sandbox.provider.exchange import Exchange
from sandbox.provider.problems import Problem

AT_A_TIME = 1_000


class Control:
    """Answers what lies under ``/_control``."""

    def __init__(self, key: str, books: Books) -> None:
        self.key = key
        self.require_hold = False
        self._books = books

    async def answers(self, exchange: Exchange) -> bool:
        """Answer, if it is ours to answer."""
        if not self.key or not exchange.path.startswith("/_control/"):
            return False
        if not hmac.compare_digest(exchange.headers.get("x-sandbox-control", "").encode(), self.key.encode()):
            raise Problem("auth", "The control key is wrong.")
        body = await exchange.json() if exchange.method == "POST" else {}
        await exchange.answer(200, {}, self._answer(exchange, body))
        return True

    def _answer(self, exchange: Exchange, body: dict[str, Any]) -> Any:
        path = exchange.path.removeprefix("/_control/")
        match exchange.method, path:
            case "GET", "summary":
                return self._books.summary()
            case "GET", "books":
                return {"data": self._page(exchange.query.get("after", [""])[0])}
            case "DELETE", "books":
                self._books.entries.clear()
                self._books.refused.clear()
                return {}
            case "POST", "settings":
                self.require_hold = bool(body.get("require_hold"))
                return {"require_hold": self.require_hold}
            case "GET", _ if (entry := self._books.entries.get(path.removeprefix("books/"))) is not None:
                return entry.as_dict()
        raise Problem("not_found", "Nothing of that name is kept here.")

    def _page(self, after: str) -> list[dict[str, Any]]:
        entries: Any = self._books.entries.items()
        if after in self._books.entries:
            entries = itertools.islice(itertools.dropwhile(lambda item: item[0] != after, entries), 1, None)
        return [entry.as_dict() for _, entry in itertools.islice(entries, AT_A_TIME)]
