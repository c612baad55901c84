"""What Stripe says, settled: the cases of real losses, each told once, through the public webhook address."""

import pytest

from billing.models import TopUpTerms
from billing.models.ledger import Kind
from billing.models.payments import Origin
from tests.billing.ledger_stage import Stage
from tests.billing.payment_stage import CENT, Till, configure, nothing_failed, proven

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _shop_with_keys(settings):
    configure(settings)
    yield
    proven()


@pytest.fixture
def till(organization) -> Till:
    return Till(organization)


def test_a_paid_session_is_credited_once_however_often_it_is_told(till) -> None:
    event = till.session()
    till.deliver(event, event, till.session(), till.intent(), till.charge(), event)
    assert till.balances() == (2_000 * CENT, 0, 0)
    assert (till.state(), till.payments()) == ("paid", 1)
    nothing_failed()
