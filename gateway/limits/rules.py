"""The rules themselves: who is limited to what, which window refuses, and what a verdict says. Values, no deeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

WINDOWS_S = (60, 3600, 86_400)
SLOT_LEASE_S = 900  # longer than any call may last; a living call renews nothing, a dead one is forgotten
REMEMBERED_SCOPES = 200_000
NAMES = (
    "requests per minute",
    "requests per hour",
    "requests per day",
    "tokens per minute",
    "tokens per hour",
    "tokens per day",
    "concurrent requests",
)

TOKENS = range(3, 6)  # the places of the limits on tokens
IN_FLIGHT = 6

Indexes = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Scope:
    """Who is limited, and to what; None means unlimited. ``requests`` and ``tokens`` are per minute, hour, day."""

    name: str
    requests: tuple[int | None, int | None, int | None] = (None, None, None)
    tokens: tuple[int | None, int | None, int | None] = (None, None, None)
    concurrent: int | None = None

    @property
    def is_open(self) -> bool:
        """Nothing is limited here."""
        return self.concurrent is None and not any(limit is not None for limit in (*self.requests, *self.tokens))


@dataclass(frozen=True, slots=True)
class Window:
    """What one window says: for rate-limit headers."""

    limit: int
    remaining: int
    reset_s: int


@dataclass(frozen=True, slots=True)
class Admission:
    """The verdict, and what is needed to correct it later."""

    admitted: bool
    call: str
    tokens: int
    indexes: Indexes
    scopes: tuple[Scope, ...]
    hash_tag: str
    refused_by: str = ""
    retry_after_s: int = 0
    requests_window: Window | None = None
    tokens_window: Window | None = None


class Limiter(Protocol):
    """Both limiters fit this."""

    async def admit(self, *, hash_tag: str, scopes: Sequence[Scope], call: str, tokens: int) -> Admission:
        """Decide one call."""

    async def settle(self, admission: Admission, *, tokens: int) -> None:
        """Give the slot back and correct the tokens."""


def told(admission: Admission) -> list[tuple[str, str]]:
    """The standard headers: of requests and of tokens, the window with least room left."""
    if not admission.scopes:
        return []
    windows = (("requests", admission.requests_window), ("tokens", admission.tokens_window))
    return [
        header
        for name, window in windows
        if window is not None
        for header in (
            (f"x-ratelimit-limit-{name}", str(window.limit)),
            (f"x-ratelimit-remaining-{name}", str(window.remaining)),
            (f"x-ratelimit-reset-{name}", f"{window.reset_s}s"),
        )
    ]


def limits_of(scope: Scope) -> tuple[int | None, ...]:
    """The seven limits, in the order of ``NAMES``."""
    return (*scope.requests, *scope.tokens, scope.concurrent)


def indexes_at(now: float) -> Indexes:
    """Which minute, hour and day it is."""
    second = int(now)
    return second // WINDOWS_S[0], second // WINDOWS_S[1], second // WINDOWS_S[2]


def refusal_of(scopes: Sequence[Scope], rows: Sequence[Sequence[int]], *, call_tokens: int) -> tuple[int, int] | None:
    """The first scope and limit without room; requests and slots take one, tokens take the bound."""
    for place, (scope, row) in enumerate(zip(scopes, rows, strict=True)):
        for number, (limit, count) in enumerate(zip(limits_of(scope), row, strict=True)):
            taken = call_tokens if number in TOKENS else 1
            if limit is not None and count + taken > limit:
                return place, number
    return None


def admission(
    refusal: tuple[int, int] | None,
    *,
    hash_tag: str,
    scopes: tuple[Scope, ...],
    rows: Sequence[Sequence[int]],
    call: str,
    tokens: int,
    now: float,
) -> Admission:
    """A verdict, and what the headers say of it; ``refusal`` is the place of a scope and the number of its limit."""
    number = refusal[1] if refusal else 0
    again_s = 1 if number == IN_FLIGHT else reset_s(now, WINDOWS_S[number % 3])
    return Admission(
        admitted=refusal is None,
        call=call,
        tokens=tokens,
        indexes=indexes_at(now),
        scopes=scopes,
        hash_tag=hash_tag,
        refused_by=NAMES[number] if refusal else "",
        retry_after_s=again_s if refusal else 0,
        requests_window=_tightest(scopes, rows, range(3), now),
        tokens_window=_tightest(scopes, rows, TOKENS, now),
    )


def reset_s(now: float, window_s: int) -> int:
    """How long this window lasts, in whole seconds."""
    return max(1, int(window_s - now % window_s + 0.999))


def _tightest(scopes: Sequence[Scope], rows: Sequence[Sequence[int]], numbers: range, now: float) -> Window | None:
    """The window with least room left."""
    windows = [
        Window(limit, max(0, limit - row[number]), reset_s(now, WINDOWS_S[number % 3]))
        for scope, row in zip(scopes, rows, strict=True)
        for number in numbers
        if (limit := limits_of(scope)[number]) is not None
    ]
    return min(windows, key=lambda window: (window.remaining, -window.reset_s), default=None)
