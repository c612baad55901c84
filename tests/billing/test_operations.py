"""An operation that exists is well formed: every broken one is refused where it is made, by a sentence naming it."""

from typing import Any

import pytest

from accounts.models.bounds import LARGEST_NANO
from billing.models.ledger import House, Kind, Outcome
from billing.operations import (
    LARGEST_ID,
    BadOperation,
    Cap,
    Credit,
    Extend,
    Lapse,
    Post,
    Release,
    Reserve,
    Settle,
    Tokens,
    Withdraw,
)
from tests.billing.ledger_stage import NOW

GOOD: dict[type, dict[str, Any]] = {
    Reserve: {
        "hold_id": 1,
        "organization_id": 1,
        "process_id": 1,
        "epoch": 0,
        "minimum_nano": 0,
        "maximum_nano": LARGEST_NANO,
        "tokens": (Tokens("t" * 80, 1), Tokens("u", LARGEST_NANO)),
        "caps": (Cap("k" * 16, 0, "day", 0), Cap("key", LARGEST_ID, "total", LARGEST_NANO)),
    },
    Extend: {"hold_id": LARGEST_ID, "organization_id": 1, "step": 1, "minimum_nano": 5, "maximum_nano": 5},
    Settle: {"hold_id": 1, "organization_id": LARGEST_ID, "charge_nano": 0, "exact": True, "reference": "r" * 120},
    Release: {"hold_id": 1, "organization_id": 1, "outcome": Outcome.EXPIRED},
    Credit: {"uid": "u" * 100, "organization_id": 1, "amount": 1, "code": "c" * 32, "label": "l" * 120, "reason": "x"},
    Withdraw: {"uid": "u", "organization_id": 1, "amount": LARGEST_NANO, "code": "c", "may_owe": True},
    Lapse: {"account_id": 1, "organization_id": 1},
    Post: {"uid": "u", "debit": "d" * 20, "credit": "c", "amount": 1, "code": "c", "reason": "r" * 200},
}

WHOLE = "must be a whole number from {} to {}, not {}"
NAMED = "must have 1 to {} characters, none of them NUL or half a character"
BROKEN: list[tuple[type, dict[str, Any], str]] = [
    *(
        (kind, {name: value}, f"{name} {WHOLE.format(1, LARGEST_ID, repr(value))}")
        for kind, fields in GOOD.items()
        for name in ("hold_id", "organization_id", "process_id", "account_id")
        if name in fields
        for value in (0, LARGEST_ID + 1, True, "1", None, 1.0)
    ),
    (Reserve, {"epoch": -1}, f"epoch {WHOLE.format(0, LARGEST_ID, -1)}"),
    (Reserve, {"maximum_nano": LARGEST_NANO + 1}, f"maximum_nano {WHOLE.format(0, LARGEST_NANO, LARGEST_NANO + 1)}"),
    (Reserve, {"maximum_nano": 5, "minimum_nano": 6}, f"minimum_nano {WHOLE.format(0, 5, 6)}"),
    (Extend, {"minimum_nano": 6}, f"minimum_nano {WHOLE.format(0, 5, 6)}"),
    (Extend, {"maximum_nano": -1}, f"maximum_nano {WHOLE.format(0, LARGEST_NANO, -1)}"),
    (Extend, {"step": 0}, f"step {WHOLE.format(1, 32_000, 0)}"),
    (Extend, {"step": 32_001}, f"step {WHOLE.format(1, 32_000, 32_001)}"),
    (Extend, {"tokens": (Tokens("", 1),)}, f"unit {NAMED.format(80)}"),
    (Settle, {"charge_nano": -1}, f"charge_nano {WHOLE.format(0, LARGEST_NANO, -1)}"),
    (Settle, {"tokens": (Tokens("t", 0),)}, f"tokens {WHOLE.format(1, LARGEST_NANO, 0)}"),
    (Settle, {"reference": "r" * 121}, f"reference {NAMED.format(120)}"),
    (Reserve, {"tokens": (Tokens("nano_usd", 1),)}, "money is not counted in tokens"),
    (Reserve, {"tokens": (Tokens("u" * 81, 1),)}, f"unit {NAMED.format(80)}"),
    (Reserve, {"caps": (Cap("", 1, "day", 1),)}, f"scope_kind {NAMED.format(16)}"),
    (Reserve, {"caps": (Cap("k" * 17, 1, "day", 1),)}, f"scope_kind {NAMED.format(16)}"),
    (Reserve, {"caps": (Cap("key", -1, "day", 1),)}, f"scope_id {WHOLE.format(0, LARGEST_ID, -1)}"),
    (
        Reserve,
        {"caps": (Cap("key", LARGEST_ID + 1, "day", 1),)},
        f"scope_id {WHOLE.format(0, LARGEST_ID, LARGEST_ID + 1)}",
    ),
    (Reserve, {"caps": (Cap("key", 1, "year", 1),)}, "window must be one of day, month, total, not 'year'"),
    (Reserve, {"caps": (Cap("key", 1, "day", -1),)}, f"limit_nano {WHOLE.format(0, LARGEST_NANO, -1)}"),
    (
        Reserve,
        {"caps": (Cap("key", 1, "day", 9), Cap("key", 1, "day", 5))},
        "a hold counts once in each of its caps; of two limits for one, name the lower",
    ),
    (Release, {"outcome": Outcome.SETTLED}, "outcome must be one of released, expired, not"),
    (Credit, {"uid": ""}, f"uid {NAMED.format(100)}"),
    (Credit, {"uid": "u" * 101}, f"uid {NAMED.format(100)}"),
    (Credit, {"amount": 0}, f"amount {WHOLE.format(1, LARGEST_NANO, 0)}"),
    (Credit, {"kind": Kind.DEBT}, "kind must be one of package, subscription, trial, promo, paid, not"),
    (Credit, {"unit": "u" * 81}, f"unit {NAMED.format(80)}"),
    (Credit, {"code": "c" * 33}, f"code {NAMED.format(32)}"),
    (Credit, {"source": "s" * 21}, f"source {NAMED.format(20)}"),
    (Credit, {"source": "paid"}, "source must be an account of the house, not a customer's 'paid'"),
    (Credit, {"source": House.PROMOTIONS}, "what was given away is a gift and never becomes cash"),
    (Credit, {"label": "l" * 121}, f"label {NAMED.format(120)}"),
    (Credit, {"value_nano": 2}, "money is worth what it is"),
    (Credit, {"unit": "t", "kind": Kind.TRIAL}, f"value_nano {WHOLE.format(0, LARGEST_NANO, -1)}"),
    (Credit, {"unit": "t", "value_nano": 0}, "paid credit is money and does not expire"),
    (Credit, {"expires_at": NOW}, "paid credit is money and does not expire"),
    (Withdraw, {"uid": "\x00"}, f"uid {NAMED.format(100)}"),
    (Withdraw, {"uid": "\ud800"}, f"uid {NAMED.format(100)}"),
    (Withdraw, {"amount": 0}, f"amount {WHOLE.format(1, LARGEST_NANO, 0)}"),
    (Withdraw, {"code": ""}, f"code {NAMED.format(32)}"),
    (Withdraw, {"code": "c" * 33}, f"code {NAMED.format(32)}"),
    (Withdraw, {"to": "debt"}, "to must be an account of the house, not a customer's 'debt'"),
    (Withdraw, {"reason": "r" * 201}, f"reason {NAMED.format(200)}"),
    (Post, {"uid": "u" * 101}, f"uid {NAMED.format(100)}"),
    (Post, {"amount": 0}, f"amount {WHOLE.format(1, LARGEST_NANO, 0)}"),
    (Post, {"code": "c" * 33}, f"code {NAMED.format(32)}"),
    (Post, {"unit": "u" * 81}, f"unit {NAMED.format(80)}"),
    (Post, {"debit": ""}, f"debit {NAMED.format(20)}"),
    (Post, {"credit": "c" * 21}, f"credit {NAMED.format(20)}"),
    (Post, {"debit": "promo"}, "debit must be an account of the house, not a customer's 'promo'"),
    (Post, {"debit": "c"}, "a posting is between two different accounts of the house"),
    (Post, {"reference": "r" * 121}, f"reference {NAMED.format(120)}"),
]


@pytest.mark.parametrize("kind", GOOD, ids=lambda kind: kind.__name__)
def test_what_is_well_formed_up_to_its_bounds_exists(kind: type) -> None:
    made = kind(**GOOD[kind])
    assert all(getattr(made, name) == value for name, value in GOOD[kind].items())


@pytest.mark.parametrize(("kind", "broken", "words"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_operation_is_refused_by_name(kind: type, broken: dict[str, Any], words: str) -> None:
    with pytest.raises(BadOperation) as refused:
        kind(**GOOD[kind] | broken)
    assert str(refused.value).startswith(words)


def test_what_is_not_said_has_its_plain_meaning() -> None:
    assert (Release(1, 1).outcome, Credit("u", 1, 1).kind, Credit("u", 1, 1).source) == ("released", "paid", "payments")
    assert Credit("u", 1, 1, kind=Kind.PROMO, value_nano=1, expires_at=NOW, source=House.PROMOTIONS).value_nano == 1
    assert Credit("u", 1, 5, kind=Kind.TRIAL, unit="t", value_nano=0).value_nano == 0
