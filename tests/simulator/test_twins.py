"""A batch of n is n batches of one: the same history lived twice, once gathered and once one by one.

That both engines agree follows from the simulator: on either, every verdict equals the same reference.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from billing import audit, ledger
from billing.models import Account, CapCounter, Hold
from billing.operations import Credited
from tests.simulator.simulation import Simulation
from tests.simulator.worlds import make_organizations

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
SHIFT = 1 << 38  # the twin's holds have numbers of their own


class Twins(Simulation):
    """The first twin lives as ever; the second does every batch one operation at a time."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.twin_of = dict(zip(self.owners, make_organizations(len(self.owners), credit=0), strict=True))
        self.accounts: dict[int, int] = {}

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


def test_gathered_and_one_by_one_are_the_same() -> None:
    for seed in range(3_000, 3_010):
        Twins(seed).run(150)
    assert audit.run().findings == []
