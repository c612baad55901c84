"""In which order to try the routes of a model. Pure: routes and a snapshot in, an order out.

Promise: a lower priority number always comes first; among equals the weights decide how often each leads; the same
sticky key meets the same route while it is well, so that prompt caches upstream stay warm; routes that rest come last,
soonest first, and only if none else is left. Deciding needs no clock and no chance of its own.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.health import WELL, Snapshot


@dataclass(frozen=True, slots=True)
class Candidate:
    """A route as far as the order is concerned."""

    route: int
    priority: int = 100
    weight: int = 1


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

    ready = [candidate for candidate in candidates if rests_until(candidate) <= now]
    resting = sorted((candidate for candidate in candidates if rests_until(candidate) > now), key=rests_until)
    ready.sort(key=lambda candidate: (candidate.priority, -_draw(candidate, sticky_key)))
    soonest = rests_until(resting[0]) - now if resting and not ready else 0.0
    return Order(
        tuple(candidate.route for candidate in ready), tuple(candidate.route for candidate in resting), soonest
    )


def _draw(candidate: Candidate, sticky_key: bytes) -> float:
    """Weighted rendezvous: each route draws by key, and heavier ones draw better in proportion."""
    if not candidate.weight:
        return -math.inf
    digest = hashlib.blake2b(candidate.route.to_bytes(8, "big"), digest_size=8, key=sticky_key[:64]).digest()
    uniform = (int.from_bytes(digest, "big") + 1) / (2**64 + 1)
    return -candidate.weight / math.log(uniform)
