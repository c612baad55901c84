"""The short version: a batch of n is n batches of one, and what is said does not depend on the engine."""

import pytest

from billing import audit
from tests.simulator.twins import lived

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
# On either engine. It changes with the simulator, and with every new word of a verdict.
SAID = "2b3a317c0587833df45eb7e6648d3dd56d86b536065ac08912c94a1000744fea"


def test_gathered_and_one_by_one_are_the_same_on_either_engine() -> None:
    batches, digest = lived(batches=120, first=3_000)
    assert batches >= 120
    assert audit.run().findings == []
    assert digest == SAID
