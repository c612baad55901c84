from datetime import UTC, datetime

import pytest

from tests import factories
from tests.analytics.history import History

START = datetime(2026, 8, 1, tzinfo=UTC)


@pytest.fixture
def history(shop, organization):
    other = factories.make_organization(storefront=shop, name="Bolt")
    return History(shop, [organization, other], at=START)
