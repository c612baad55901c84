"""The short version of the long proof: a few dozen seeds, and a check that the simulator would notice."""

from typing import Any

import pytest

from billing import audit, ledger
from billing.ledger_book import Wallet
from billing.operations import Settle
from tests.simulator.simulation import Simulation, Violation

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


def test_a_few_histories() -> None:
    for seed in range(9_000, 9_024):
        Simulation(seed).run(150)
    assert audit.run().findings == []


def _without_order(wallet: Wallet) -> list[Any]:
    return [(account, account.available) for account in reversed(wallet.grants) if account.live]


def _without_expiry(wallet: Wallet) -> list[Any]:
    return [(account, account.available) for account in wallet.grants]


def _settled_wrong(page: Any, operation: Settle) -> Any:
    return original_settle(
        page, Settle(operation.hold_id, operation.organization_id, operation.charge_nano, exact=True)
    )


original_settle = ledger._settle


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("_means", _without_order),
        ("_means", _without_expiry),
        ("_repay", lambda *_: None),
        ("RULES", {**ledger.RULES, Settle: _settled_wrong}),
        ("_order", lambda operations: list(range(len(operations)))),
    ],
)
def test_a_broken_ledger_is_noticed(monkeypatch: pytest.MonkeyPatch, name: str, broken: Any) -> None:
    monkeypatch.setattr(ledger, name, broken)
    with pytest.raises(Violation):
        _histories(20)


def _histories(many: int) -> None:
    for seed in range(many):
        Simulation(seed).run(300)
