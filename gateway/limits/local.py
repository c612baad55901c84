"""The rules in one process: what runs where no Redis is configured."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.limits import rules
from gateway.limits.rules import SLOT_LEASE_S, Admission, Indexes, Scope, indexes_at, refusal_of


@dataclass(slots=True)
class Counts:
    """One scope's counters: window index and count for requests and tokens, and leases of calls in flight."""

    indexes: list[int] = field(default_factory=lambda: [0, 0, 0])
    requests: list[int] = field(default_factory=lambda: [0, 0, 0])
    tokens: list[int] = field(default_factory=lambda: [0, 0, 0])
    in_flight: dict[str, float] = field(default_factory=dict)


class LocalLimiter:
    """The rules, in this process."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._counts: OrderedDict[tuple[str, str], Counts] = OrderedDict()

    async def admit(self, *, hash_tag: str, scopes: Sequence[Scope], call: str, tokens: int) -> Admission:
        """Decide one call."""
        now = self._clock()
        closed = tuple([scope for scope in scopes if not scope.is_open])
        if not closed:
            return Admission(True, call, tokens, indexes_at(now), (), hash_tag)
        indexes = indexes_at(now)
        counted = [self._turned((hash_tag, scope.name), indexes, now) for scope in closed]
        rows = [_row(counts) for counts in counted]
        refusal = refusal_of(closed, rows, call_tokens=tokens)
        if refusal is None:
            for counts in counted:
                for window in range(3):
                    counts.requests[window] += 1
                    counts.tokens[window] += tokens
                counts.in_flight[call] = now + SLOT_LEASE_S
            rows = [_row(counts) for counts in counted]
        return rules.admission(refusal, hash_tag=hash_tag, scopes=closed, rows=rows, call=call, tokens=tokens, now=now)

    async def settle(self, admission: Admission, *, tokens: int) -> None:
        """Give the slot back and correct the tokens."""
        for scope in admission.scopes:
            counts = self._counts.get((admission.hash_tag, scope.name))
            if counts is None or counts.in_flight.pop(admission.call, None) is None:
                continue
            for window in range(3):
                if counts.indexes[window] == admission.indexes[window]:
                    counts.tokens[window] = max(0, counts.tokens[window] + tokens - admission.tokens)

    def _turned(self, name: tuple[str, str], indexes: Indexes, now: float) -> Counts:
        counts = self._counts.setdefault(name, Counts())
        self._counts.move_to_end(name)
        while len(self._counts) > rules.REMEMBERED_SCOPES:
            self._counts.popitem(last=False)
        for window, index in enumerate(indexes):
            if counts.indexes[window] != index:
                counts.indexes[window], counts.requests[window], counts.tokens[window] = index, 0, 0
        for call in [call for call, until in counts.in_flight.items() if until <= now]:
            del counts.in_flight[call]
        return counts


def _row(counts: Counts) -> list[int]:
    return [*counts.requests, *counts.tokens, len(counts.in_flight)]
