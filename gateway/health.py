"""How the routes have been doing: recent failures, cool-downs, and a circuit that opens and closes again.

Promise: a route that keeps failing is left alone for a while, then given one call to prove itself; what an upstream
asks for in Retry-After is kept to, within reason, for that route by that key; trouble with a key itself (401, 402)
rests it longer, on every route it serves, while its neighbours go on. The rest of the gateway sees only a snapshot.

A number names one way to be asked: a route by one of the keys of its provider (``numbered``).
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

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


class Condition(Struct, frozen=True):
    """What is known of one route: from when on it may be tried, whether it is on probation, and how fast it was."""

    rests_until: float = 0.0
    on_probation: bool = False
    first_byte_ms: float | None = None


WELL = Condition()
CREDENTIAL_BITS = 24


def numbered(*, route: int, credential: int) -> int:
    """The number of a route by one credential."""
    return route << CREDENTIAL_BITS | credential


def _parts(number: int) -> tuple[int, int]:
    """The numbers under which the route for all keys, and the key for all routes, are remembered."""
    credential = number & (1 << CREDENTIAL_BITS) - 1
    return number - credential, credential


class Snapshot(Protocol):
    """What routing looks at; a plain mapping fits."""

    def get(self, number: int, default: Condition, /) -> Condition:
        """How a route by one credential is doing."""


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
        """What routing may look at, in one go: nothing changes while it does."""
        return _View(self._records)

    def began(self, number: int, *, now: float) -> None:
        """A call is on its way; where it rested before, this one is the proof and others wait for it."""
        for place in (number, *_parts(number)):
            record = self._records.get(place)
            if record and record.rests_in_a_row and record.rests_until <= now:
                record.proving = True
                record.rests_until = now + FIRST_REST_S

    def worked(self, number: int, *, now: float, first_byte_ms: float) -> None:
        """The first byte came: route and key are well again."""
        for place in _parts(number):
            if (record := self._records.get(place)) is not None:
                _mend(record)
        route = self._records.setdefault(_parts(number)[0], _Record())
        route.ends.append((now, True))
        own = self._records.setdefault(number, _Record())
        _mend(own)
        known = own.first_byte_ms
        own.first_byte_ms = first_byte_ms if known is None else known + LATENCY_SMOOTHING * (first_byte_ms - known)

    def failed(self, number: int, *, now: float, trouble: Trouble, retry_after_s: float | None = None) -> None:
        """The attempt failed before its first byte."""
        whole_route, credential = _parts(number)
        if trouble is Trouble.BUSY:
            record = self._records.setdefault(number, _Record())
            record.rests_until = max(record.rests_until, now + min(retry_after_s or 1.0, LONGEST_RETRY_AFTER_S))
        elif trouble is Trouble.ACCOUNT:
            self._rest(self._records.setdefault(credential, _Record()), now, ACCOUNT_REST_S)
        else:
            record = self._records.setdefault(whole_route, _Record())
            record.ends.append((now, False))
            if record.proving or self._tripped(record, now):
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


def _mend(record: _Record) -> None:
    record.rests_until, record.rests_in_a_row, record.proving = 0.0, 0, False


class _View:
    """A number's own record together with those of its route and its key."""

    def __init__(self, records: Mapping[int, _Record]) -> None:
        self._records = records

    def get(self, number: int, default: Condition, /) -> Condition:
        """The worst of the three, and how fast it was."""
        found = [record for place in (number, *_parts(number)) if (record := self._records.get(place)) is not None]
        if not found:
            return default
        return Condition(
            max(record.rests_until for record in found),
            any(record.proving or record.rests_in_a_row > 0 for record in found),
            next((record.first_byte_ms for record in found if record.first_byte_ms is not None), None),
        )

    def __getitem__(self, number: int) -> Condition:
        return self.get(number, WELL)
