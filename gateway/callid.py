"""Ids of calls and attempts: 64 bits that sort by time, made without asking anybody.

41 bits of milliseconds since 2026, 16 bits of the process lease, 6 bits of sequence; more calls in a millisecond take
the next one. No two living processes have leases that are alike in these bits (``billing.leases``), so no two ids are.
The database cuts its months along them, so the primary key is the partition key, and a page of calls is read backwards
along one index.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

EPOCH_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
PROCESS_BITS = 16
SEQUENCE_BITS = 6


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000


class CallIds:
    """The ids of one process; they only grow, also when the clock steps back."""

    def __init__(self, process_id: Callable[[], int], clock: Callable[[], int] = _milliseconds) -> None:
        self._process_id = process_id  # a process that was given up for dead has another
        self._clock = clock
        self._last_ms = 0
        self._sequence = 0

    def new(self) -> int:
        """Make the next id."""
        now_ms = max(self._clock() - EPOCH_MS, self._last_ms)
        self._sequence = self._sequence + 1 if now_ms == self._last_ms else 0
        if self._sequence >> SEQUENCE_BITS:
            now_ms, self._sequence = now_ms + 1, 0
        self._last_ms = now_ms
        process = self._process_id() % (1 << PROCESS_BITS)
        return (now_ms << (PROCESS_BITS + SEQUENCE_BITS)) | (process << SEQUENCE_BITS) | self._sequence


def first_id(moment: datetime) -> int:
    """The smallest id a call at this moment can have: the border of a month, the start of a page."""
    return (int(moment.timestamp() * 1000) - EPOCH_MS) << (PROCESS_BITS + SEQUENCE_BITS)


def moment_of(call_id: int) -> datetime:
    """When an id was made."""
    return datetime.fromtimestamp(0, UTC) + timedelta(
        milliseconds=(call_id >> (PROCESS_BITS + SEQUENCE_BITS)) + EPOCH_MS
    )
