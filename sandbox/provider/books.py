"""The provider's own books: what was asked, what was delivered, what it told and what it would bill.

Promise: every request that got past the key has one entry, whatever way it ended, and the entry never depends on what
was *said* about usage. Billed is: a whole answer, all of it; an answer that broke off, its input and what went out;
``bills-anyway``, all of it; an error instead of an answer, nothing.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from sandbox.provider.tokens import Tokens

KEPT = 100_000


@dataclass(slots=True)
class Entry:
    """One request."""

    id: str
    endpoint: str
    model: str
    hold: str | None
    stream: bool = False
    outcome: str = "open"  # complete, client_gone, cut, error
    status: int = 0
    true: Tokens = field(default_factory=Tokens)
    delivered_tokens: int = 0
    delivered_bytes: int = 0
    billed: Tokens | None = None
    bills_anyway: bool = False

    def close(self, outcome: str) -> None:
        """Write down how it ended and what it costs; the first ending counts."""
        if self.outcome != "open":
            return
        self.outcome = outcome
        if outcome == "error":
            return
        everything = outcome == "complete" or self.bills_anyway
        self.billed = self.true if everything else self._partly()

    def _partly(self) -> Tokens:
        partly = Tokens(**self.true.as_dict())
        partly.output = min(self.delivered_tokens, self.true.output)
        partly.reasoning = min(self.true.reasoning, partly.output)
        return partly

    def as_dict(self) -> dict[str, Any]:
        """For the control endpoint."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name not in {"true", "billed"}}
        return {**plain, "true": self.true.as_dict(), "billed": self.billed.as_dict() if self.billed else None}


class Books:
    """All entries, the oldest dropped when there are very many."""

    def __init__(self) -> None:
        self.entries: OrderedDict[str, Entry] = OrderedDict()
        self.refused: dict[str, int] = {}

    def open(self, entry: Entry) -> None:
        self.entries[entry.id] = entry
        if len(self.entries) > KEPT:
            self.entries.popitem(last=False)

    def refuse(self, reason: str) -> None:
        """Count what never became an entry: wrong keys, calls without a hold."""
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def summary(self) -> dict[str, Any]:
        """Totals, to compare at a glance."""
        outcomes: dict[str, int] = {}
        billed = Tokens()
        for entry in self.entries.values():
            outcomes[entry.outcome] = outcomes.get(entry.outcome, 0) + 1
            for name in Tokens.__slots__ if entry.billed else ():
                setattr(billed, name, getattr(billed, name) + getattr(entry.billed, name))
        return {
            "requests": len(self.entries),
            "outcomes": outcomes,
            "billed": billed.as_dict(),
            "without_hold": sum(entry.hold is None for entry in self.entries.values()),
            "refused": self.refused,
        }
