"""Short versions of the proofs with real processes: a crowd at one wallet, and kill -9 under load."""

import pytest

from billing import audit
from tests.simulator import kills, outbox_kills
from tests.simulator.crowd import HOLD, crowd
from tests.simulator.worlds import make_organizations

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.mark.parametrize(("mode", "room", "money"), [("", 10, 10 * HOLD), ("cap", 5, 1_000 * HOLD)])
def test_a_crowd_of_processes_gets_no_more_than_there_is(mode: str, room: int, money: int) -> None:
    [organization_id] = make_organizations(1, credit=money)
    granted, refused, lowest = crowd(organization_id, requests=200, processes=2, mode=mode)
    assert (granted, refused) == (room, 200 - room)
    assert lowest >= 0
    assert audit.run().findings == []


def test_a_process_killed_anywhere_loses_nothing_that_was_seen() -> None:
    assert kills.deaths(times=1, seed=7) == 0


def test_a_worker_killed_around_a_row_of_the_outbox_pays_once() -> None:
    assert outbox_kills.deaths(times=1, seed=7) == 0
