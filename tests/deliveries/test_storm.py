"""A short version of the storm, on whatever engine the suite runs."""

import pytest

from tests.billing.payment_stage import configure
from tests.deliveries.storm import Storm

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def test_a_small_storm_leaves_every_balance_exact(settings) -> None:
    configure(settings)
    storm = Storm(payments=60, deliveries=300, seed=7)
    storm.gather()
    storm.blow(rate=1_000, senders=3)
    assert storm.wrongs() == []
    assert storm.forged_accepted == 0
    assert storm.answers["forged 400"] >= 50
