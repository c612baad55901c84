"""What one process may admit while Redis is away, and what it owes Redis afterwards. It decides; it sends nothing.

Promise: in every window a process alone admits at most its share: the room Redis last told of, divided by the living
processes, or one call where that is more. A share is spent once, however often Redis comes and goes, until Redis has
counted what was spent. What is owed is kept as sums and as a few calls, so a long outage costs no more memory than a
short one: what was admitted alone, the calls of it still in flight, and corrections of calls that Redis may know.
"""

import itertools
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from gateway.limits import rules
from gateway.limits.rules import IN_FLIGHT, SLOT_LEASE_S, TOKENS, Admission, Indexes, Scope, limits_of

NOWHERE: Indexes = (0, 0, 0)
Name = tuple[str, str]  # the tag of an organization, and the scope within it


@dataclass(frozen=True, slots=True)
class Told:
    """What Redis last said of a scope: in which windows, and its seven counts."""

    indexes: Indexes
    row: Sequence[int]
    now: float


@dataclass(frozen=True, slots=True)
class Correction:
    """If Redis knows this call: end its slot and add this, in the windows it was admitted in."""

    call: str
    requests: int
    tokens: int
    indexes: Indexes


@dataclass(frozen=True, slots=True)
class Batch:
    """What is handed over at once; Redis takes each batch once, however often it is sent."""

    mark: str
    indexes: Indexes
    floor: tuple[int, ...]
    counts: tuple[int, ...]
    calls: tuple[tuple[str, float], ...]
    corrections: tuple[Correction, ...]


@dataclass(slots=True)
class Standing:
    """How one scope stands with Redis: what it told (brought up to now), what was counted alone, and what is owed.

    Of calls in flight only those admitted alone are known: whether the others have ended, nobody can say now.
    """

    scope: Name
    indexes: Indexes = NOWHERE
    told: list[int] = field(default_factory=lambda: [0] * 6)
    alone: list[int] = field(default_factory=lambda: [0] * 6)
    calls: dict[str, float] = field(default_factory=dict)
    corrections: list[Correction] = field(default_factory=list)
    batch: Batch | None = None

    @property
    def owes(self) -> bool:
        """Whether there is something to hand over."""
        return bool(self.batch or self.calls or self.corrections or any(self.alone))

    @property
    def row(self) -> list[int]:
        """The seven counts, as far as they are known here."""
        return [*(told + own for told, own in zip(self.told, self.alone, strict=True)), len(self.calls)]

    def turn(self, indexes: Indexes, now: float) -> None:
        """Forget the windows that are over and the leases that have ended."""
        for window, index in enumerate(indexes):
            if self.indexes[window] != index:
                self.told[window] = self.told[3 + window] = self.alone[window] = self.alone[3 + window] = 0
        self.indexes = indexes
        for call in [call for call, until in self.calls.items() if until <= now]:
            del self.calls[call]

    def share(self, number: int, limit: int, processes: int) -> int:
        """How much of this limit may be taken here alone."""
        told = 0 if number == IN_FLIGHT else self.told[number]
        return max(0, limit - told) // processes

    def taken(self, number: int) -> int:
        """How much of it was taken here alone."""
        return len(self.calls) if number == IN_FLIGHT else self.alone[number]


class Alone:
    """The counts of one process whose Redis is away."""

    def __init__(self, processes: Callable[[], int]) -> None:
        self._processes = processes
        self._told: OrderedDict[Name, Told] = OrderedDict()
        self._standings: OrderedDict[Name, Standing] = OrderedDict()
        self._name, self._numbers = secrets.token_hex(6), itertools.count(1)

    # --- What Redis tells ---------------------------------------------------------------------------------------------

    def last_told(self, name: Name) -> Told | None:
        """What Redis last said of this scope."""
        return self._told.get(name)

    def hear(self, name: Name, told: Told) -> None:
        """Note what Redis says; answers may arrive in another order than they were given."""
        before = self._told.get(name)
        if before is not None:
            if before.indexes[2] == told.indexes[2] and before.row[2] > told.row[2]:
                return
            self._told.move_to_end(name)
        self._told[name] = told
        while len(self._told) > rules.REMEMBERED_SCOPES:
            self._told.popitem(last=False)

    # --- Deciding alone -----------------------------------------------------------------------------------------------

    def admit(self, *, hash_tag: str, scopes: tuple[Scope, ...], call: str, tokens: int, now: float) -> Admission:
        """Decide one call by what is known here."""
        indexes = rules.indexes_at(now)
        standings = [self._standing((hash_tag, scope.name), indexes, now) for scope in scopes]
        refusal, is_full = self._refusal(scopes, standings, tokens)
        if refusal is None:
            for standing in standings:
                for window in range(3):
                    standing.alone[window] += 1
                    standing.alone[3 + window] += tokens
                standing.calls[call] = now + SLOT_LEASE_S
        rows = [standing.row for standing in standings]
        verdict = rules.admission(
            refusal, hash_tag=hash_tag, scopes=scopes, rows=rows, call=call, tokens=tokens, now=now
        )
        # Where only the share is used up, there may be room again as soon as Redis is back.
        return verdict if is_full else replace(verdict, retry_after_s=1)

    def _refusal(
        self, scopes: Sequence[Scope], standings: Sequence[Standing], tokens: int
    ) -> tuple[tuple[int, int] | None, bool]:
        """The first limit without room here, and whether it is full for everybody."""
        processes = max(1, self._processes())
        for place, (scope, standing) in enumerate(zip(scopes, standings, strict=True)):
            row = standing.row
            for number, limit in enumerate(limits_of(scope)):
                if limit is None:
                    continue
                wanted, mine = tokens if number in TOKENS else 1, standing.taken(number)
                fits = row[number] + wanted <= limit
                if not fits or (mine and mine + wanted > standing.share(number, limit, processes)):
                    return (place, number), not fits
        return None, True

    # --- What is owed -------------------------------------------------------------------------------------------------

    @property
    def owes(self) -> bool:
        """Whether anything is to be handed over."""
        return bool(self._standings)

    def owing(self, names: Iterable[Name]) -> list[Name]:
        """Those of these scopes whose counts Redis must hear of before it is asked again."""
        return [name for name in names if name in self._standings]

    def all_owing(self) -> list[Name]:
        """Every scope with something to hand over."""
        return list(self._standings)

    def doubt(self, asked: Admission) -> None:
        """Redis was asked and did not answer in time: if it has counted that call, it must take that back."""
        for scope in asked.scopes:
            standing = self._standing((asked.hash_tag, scope.name))
            standing.corrections.append(Correction(asked.call, -1, -asked.tokens, asked.indexes))

    def settle(self, admitted: Admission, *, tokens: int) -> list[Scope]:
        """Give slots back here; returns the scopes in which Redis knows the call and must be told."""
        known = []
        for scope in admitted.scopes:
            standing = self._standings.get((admitted.hash_tag, scope.name))
            if standing is None or standing.calls.pop(admitted.call, None) is None:
                known.append(scope)
            elif standing.batch is not None and any(call == admitted.call for call, _ in standing.batch.calls):
                standing.corrections.append(_settlement(admitted, tokens))  # it is on its way there
            else:
                _correct(standing, standing.alone, admitted, tokens)
        return known

    def owe_settlement(self, admitted: Admission, scopes: Sequence[Scope], *, tokens: int) -> None:
        """Redis could not be told that this call has ended; what it last said is better known here."""
        for scope in scopes:
            standing = self._standing((admitted.hash_tag, scope.name))
            standing.corrections.append(_settlement(admitted, tokens))
            _correct(standing, standing.told, admitted, tokens)

    # --- Handing over -------------------------------------------------------------------------------------------------

    def batches(self, names: Iterable[Name]) -> Iterator[tuple[Standing, Batch]]:
        """What is to be sent for these scopes; a batch that may have arrived is sent again, as it was."""
        for name in names:
            standing = self._standings.get(name)
            if standing is None:
                continue
            if standing.batch is None:
                mark = f"{self._name}-{next(self._numbers)}"
                standing.batch = Batch(
                    mark,
                    standing.indexes,
                    floor=tuple(standing.told),
                    counts=tuple(standing.alone),
                    calls=tuple(standing.calls.items()),
                    corrections=tuple(standing.corrections),
                )
                standing.corrections.clear()
            yield standing, standing.batch

    def handed_over(self, standing: Standing, batch: Batch, told: Told) -> None:
        """Redis has taken a batch, and says how the scope stands now."""
        if standing.batch is not batch:
            return  # somebody else sent it too, and was faster
        standing.batch = None
        for number, count in enumerate(batch.counts):
            if standing.indexes[number % 3] == batch.indexes[number % 3]:
                standing.alone[number] = max(0, standing.alone[number] - count)
        for call, _ in batch.calls:
            standing.calls.pop(call, None)
        standing.turn(told.indexes, told.now)
        standing.told = list(told.row[:6])
        self._told[standing.scope] = told
        if not standing.owes and self._standings.get(standing.scope) is standing:
            del self._standings[standing.scope]

    def _standing(self, name: Name, indexes: Indexes | None = None, now: float = 0) -> Standing:
        standing = self._standings.get(name)
        if standing is None:
            standing = self._standings[name] = Standing(name)
            if (told := self._told.get(name)) is not None:
                standing.indexes, standing.told = told.indexes, list(told.row[:6])
            while len(self._standings) > rules.REMEMBERED_SCOPES:
                self._standings.popitem(last=False)
        if indexes is not None:
            standing.turn(indexes, now)
        return standing


def _correct(standing: Standing, counts: list[int], admitted: Admission, tokens: int) -> None:
    for window in range(3):
        if standing.indexes[window] == admitted.indexes[window]:
            counts[3 + window] = max(0, counts[3 + window] + tokens - admitted.tokens)


def _settlement(admitted: Admission, tokens: int) -> Correction:
    return Correction(admitted.call, 0, tokens - admitted.tokens, admitted.indexes)
