"""How the routes have been doing: recent failures, cool-downs, and a circuit that opens and closes again.

Promise: a route that keeps failing is left alone for a while, then given one call to prove itself; what an upstream
asks for in Retry-After is kept to, within reason; trouble with our own account there (401, 402) rests it longer. The
rest of the gateway only ever sees a snapshot.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

WINDOW_S = 60.0
FAILURES_TO_OPEN = 5
FAILED_SHARE_TO_OPEN = 0.5
FIRST_REST_S = 5.0
LONGEST_REST_S = 300.0
ACCOUNT_REST_S = 120.0
LONGEST_RETRY_AFTER_S = 600.0
LATENCY_SMOOTHING = 0.2
REMEMBERED = 200


class Trouble(StrEnum):
    """Why an attempt failed, as far as the next attempts are concerned."""

    BROKEN = "broken"  # 5xx, time-outs, cut connections
    BUSY = "busy"  # 429, 529
    ACCOUNT = "account"  # 401, 402, 403: our key or our credit there


@dataclass(frozen=True, slots=True)
class Condition:
    """What is known of one route: from when on it may be tried, whether it is on probation, and how fast it was."""

    rests_until: float = 0.0
    on_probation: bool = False
    first_byte_ms: float | None = None


WELL = Condition()
Snapshot = Mapping[int, Condition]


@dataclass(slots=True)
class _Record:
    ends: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    rests_until: float = 0.0
    rests_in_a_row: int = 0
    first_byte_ms: float | None = None
    proving: bool = False


class Health:
    """The memory of one process."""

    def __init__(self) -> None:
        self._records: dict[int, _Record] = {}

    def snapshot(self) -> Snapshot:
        """What routing may look at."""
        return MappingProxyType(
            {
                route: Condition(record.rests_until, record.proving or record.rests_in_a_row > 0, record.first_byte_ms)
                for route, record in self._records.items()
            }
        )

    def began(self, route: int, *, now: float) -> None:
        """A call is on its way; on a route that rested, this one is the proof and others wait for it."""
        record = self._records.get(route)
        if record and record.rests_in_a_row and record.rests_until <= now:
            record.proving = True
            record.rests_until = now + FIRST_REST_S

    def worked(self, route: int, *, now: float, first_byte_ms: float) -> None:
        """The first byte came: the route is well again."""
        record = self._records.setdefault(route, _Record())
        record.ends.append((now, True))
        record.rests_until, record.rests_in_a_row, record.proving = 0.0, 0, False
        known = record.first_byte_ms
        record.first_byte_ms = first_byte_ms if known is None else known + LATENCY_SMOOTHING * (first_byte_ms - known)

    def failed(self, route: int, *, now: float, trouble: Trouble, retry_after_s: float | None = None) -> None:
        """The attempt failed before its first byte."""
        record = self._records.setdefault(route, _Record())
        record.ends.append((now, False))
        if trouble is Trouble.BUSY:
            record.rests_until = max(record.rests_until, now + min(retry_after_s or 1.0, LONGEST_RETRY_AFTER_S))
        elif trouble is Trouble.ACCOUNT:
            self._rest(record, now, ACCOUNT_REST_S)
        elif record.proving or self._tripped(record, now):
            self._rest(record, now, min(FIRST_REST_S * 2**record.rests_in_a_row, LONGEST_REST_S))

    @staticmethod
    def _rest(record: _Record, now: float, span_s: float) -> None:
        record.rests_until = max(record.rests_until, now + span_s)
        record.rests_in_a_row += 1
        record.proving = False

    @staticmethod
    def _tripped(record: _Record, now: float) -> bool:
        recent = [worked for at, worked in record.ends if at > now - WINDOW_S]
        failures = recent.count(False)
        return failures >= FAILURES_TO_OPEN and failures >= FAILED_SHARE_TO_OPEN * len(recent)
