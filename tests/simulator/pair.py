"""The same history lived twice: the first twin's batches are gathered, the second's come one operation at a time.

They must say the same and leave the same. What they said, without the numbers of rows, must be the same on each engine.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.db import connection, transaction

from billing import ledger
from billing.models import Account, CapCounter, Hold
from billing.operations import Credited
from tests.simulator.simulation import Simulation
from tests.simulator.worlds import make_organizations

SHIFT = 1 << 38  # the twin's holds have numbers of their own


def without_numbers(verdict: Any) -> str:
    """A verdict as any engine would say it, whatever numbers it gave to its rows."""
    numbers = {name: 0 for name in ("account_id", "scope_id") if hasattr(verdict, name)}
    return repr(replace(verdict, **numbers))


class Twins(Simulation):
    """The first twin lives as ever; the second does every batch one operation at a time."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.twin_of = dict(zip(self.owners, make_organizations(len(self.owners), credit=0), strict=True))
        self.accounts: dict[int, int] = {}
        self.batches = 0
        self.said: list[str] = []

    def between(self) -> None:
        """Only time passes: faults are the simulator's."""
        self.now += timedelta(minutes=self.random.choice((0, 1, 600)))

    def commit(self, batch: list[Any]) -> None:
        with transaction.atomic():
            gathered = ledger.apply(connection, batch, self.now)
        alone: dict[int, Any] = {}
        for place in ledger._order(batch):
            with transaction.atomic():
                [alone[place]] = ledger.apply(connection, [self.twin(batch[place])], self.now)
            first = gathered[place]
            if isinstance(first, Credited) and isinstance(alone[place], Credited):
                self.accounts[first.account_id] = alone[place].account_id
        self.batches += 1
        self.said += [without_numbers(verdict) for verdict in gathered]
        self.check(batch, gathered, self.reference.batch(batch, self.now))
        for place, verdict in enumerate(gathered):
            assert alone[place] == self.twin_verdict(verdict), (self.seed, self.step, batch[place])
        self.done += batch

    def twin(self, operation: Any) -> Any:
        changes: dict[str, Any] = {}
        if hasattr(operation, "organization_id"):
            changes["organization_id"] = self.twin_of[operation.organization_id]
        if hasattr(operation, "hold_id") and operation.hold_id != 17:
            changes["hold_id"] = operation.hold_id + SHIFT
        if hasattr(operation, "uid"):
            changes["uid"] = f"twin:{operation.uid}"
        if getattr(operation, "reverses", ""):
            changes["reverses"] = f"twin:{operation.reverses}"
        if hasattr(operation, "account_id"):
            changes["account_id"] = self.accounts[operation.account_id]
        if hasattr(operation, "caps"):
            changes["caps"] = tuple(
                cap._replace(scope_id=self.twin_of.get(cap.scope_id, 0)) if cap.scope_kind == "organization" else cap
                for cap in operation.caps
            )
        return replace(operation, **changes)

    def twin_verdict(self, verdict: Any) -> Any:
        if isinstance(verdict, Credited):
            return replace(verdict, account_id=self.accounts[verdict.account_id])
        if getattr(verdict, "scope_kind", "") == "organization":
            return replace(verdict, scope_id=self.twin_of[verdict.scope_id])
        return verdict

    def compare(self) -> None:
        super().compare()
        for owner, twin in self.twin_of.items():
            for rows, columns in (
                (Account.unscoped, ("kind", "unit", "posted", "held")),
                (CapCounter.unscoped.exclude(spent=0, held=0), ("scope_kind", "window", "spent", "held")),
                (Hold.unscoped, ("outcome", "held_nano", "charged_nano", "unrecovered_nano")),
            ):
                ours = sorted(map(str, rows.filter(organization_id=owner).values_list(*columns)))
                theirs = sorted(map(str, rows.filter(organization_id=twin).values_list(*columns)))
                assert ours == theirs, (self.seed, self.step)
