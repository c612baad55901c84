import pytest

from tests.simulator.rollup_proofs import prove


@pytest.mark.django_db(transaction=True)
def test_rollups_survive_five_workers_a_kill_and_late_rows():
    assert prove(600, days=6) == 0
