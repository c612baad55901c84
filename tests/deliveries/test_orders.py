"""A short version of all orders of all lifecycles."""

import pytest

from tests.billing.payment_stage import Till, configure, proven
from tests.deliveries.orders import check, lifecycles, some, till_for

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

NAMES = (
    "a card",
    "a card at the second try",
    "money later",
    "money never",
    "failed and paid all the same",
    "expired and paid all the same",
    "all of it back",
    "a part back",
    "parts back",
    "back, and not back",
    "disputed and lost",
    "disputed and won",
    "asked about",
    "refunded and disputed",
    "refunded, disputed and won",
    "a refund that fails while disputed",
    "two payments",
    "tax and a discount",
)


@pytest.mark.parametrize("name", NAMES)
def test_any_order_of_the_events_leaves_the_same_ledger(settings, organization, name) -> None:
    configure(settings)
    till = till_for(name, Till, organization)
    known = lifecycles(till)
    assert set(known) == set(NAMES)
    events = known[name]
    _, wrongs = check(name, till, events, some(events, most=24, seed=11))
    assert wrongs == []
    proven()
