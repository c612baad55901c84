"""In which order to try the routes of a model. Pure: routes and a snapshot in, an order out.

Promise: a lower priority number always comes first; among equals the weights decide how often each leads; within a
route the weights of its keys do, and every key of a route comes before the next route; the same sticky key meets the
same route by the same key while both are well, so that prompt caches upstream stay warm; what rests comes last, soonest
first, and only if nothing else is left. Deciding needs no clock and no chance of its own.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.health import WELL, Snapshot, Trouble


@dataclass(frozen=True, slots=True)
class Candidate:
    """A route by one key, as far as the order is concerned; those with one ``group`` are keys of the same route."""

    route: int
    priority: int = 100
    weight: int = 1
    group: int = 0
    key_weight: int = 1


@dataclass(frozen=True, slots=True)
class Order:
    """Routes to try now, in order; and, when all rest, when the first of them is ready again."""

    ready: tuple[int, ...]
    resting: tuple[int, ...] = ()
    ready_in_s: float = 0.0


def plan(candidates: Sequence[Candidate], snapshot: Snapshot, *, sticky_key: bytes, now: float) -> Order:
    """Order the candidates for one call."""

    def rests_until(candidate: Candidate) -> float:
        return snapshot.get(candidate.route, WELL).rests_until

    if len(candidates) == 1 and rests_until(candidates[0]) <= now:
        return Order((candidates[0].route,))
    ready = [candidate for candidate in candidates if rests_until(candidate) <= now]
    resting = sorted((candidate for candidate in candidates if rests_until(candidate) > now), key=rests_until)
    ready.sort(
        key=lambda candidate: (
            candidate.priority,
            -_draw(candidate.group or candidate.route, candidate.weight, sticky_key),
            candidate.group,
            -_draw(candidate.route, candidate.key_weight, sticky_key),
        )
    )
    soonest = rests_until(resting[0]) - now if resting and not ready else 0.0
    return Order(
        tuple(candidate.route for candidate in ready), tuple(candidate.route for candidate in resting), soonest
    )


def _draw(number: int, weight: int, sticky_key: bytes) -> float:
    """Weighted rendezvous: each draws by key, and heavier ones draw better in proportion."""
    if not weight:
        return -math.inf
    digest = hashlib.blake2b(number.to_bytes(8, "big"), digest_size=8, key=sticky_key[:64]).digest()
    uniform = (int.from_bytes(digest, "big") + 1) / (2**64 + 1)
    return -weight / math.log(uniform)


class Tries:
    """Hands out what to try next: at most so many, and after each failure only what could do better.

    A key that is refused or too fast leaves its route to the next key; a route that is broken is broken by every key.
    When nothing is left and the last failure came to nothing at all, the first in the order gets one more chance.
    """

    def __init__(self, order: Sequence[int], groups: Sequence[int], *, most: int) -> None:
        self._left = list(zip(order, groups, strict=True))
        self._first = self._left[0] if self._left else None
        self._most = most
        self._given: tuple[int, int] | None = None
        self._again = False

    def __iter__(self) -> Iterator[int]:
        while self._most > 0:
            if self._left:
                self._given = self._left.pop(0)
            elif self._again and self._first is not None:
                self._given, self._first = self._first, None
            else:
                return
            self._most -= 1
            self._again = False
            yield self._given[0]

    def failed(self, trouble: Trouble, *, may_again: bool = False) -> None:
        """What was handed out last has failed."""
        self._again = may_again
        if trouble is Trouble.BROKEN and self._given is not None:
            self._left = [one for one in self._left if one[1] != self._given[1]]

    @property
    def is_repeat(self) -> bool:
        """Whether what was handed out last had been tried before, and deserves a pause."""
        return self._first is None
