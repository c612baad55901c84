"""Short versions of the long proofs over real server processes."""

import pytest

from tests.simulator import call_fuzz, call_kills, recorded, revocations, storm, windows

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.mark.parametrize("point", ["CP2", "CP6", "CP9"])
def test_a_gateway_killed_in_the_middle_of_calls_loses_nothing_that_was_seen(point: str) -> None:
    assert call_kills.deaths(times=1, seed=3, points=(point,)) == 0


def test_a_small_storm_of_streams_is_settled_as_the_provider_counted() -> None:
    assert storm.storm(streams=120, clients=12, seed=5) == 0


def test_keys_revoked_under_hot_processes_are_admitted_nowhere() -> None:
    assert revocations.revocations(times=5, processes=2) == 0


def test_two_gateways_with_one_redis_admit_exactly_the_limit() -> None:
    assert windows.windows(processes=2, names=["requests_per_day"], troubles=[]) == 0


def test_every_recorded_answer_is_charged_exactly() -> None:
    assert recorded.recorded(cuts=1) == 0


def test_mutated_requests_and_replies_are_never_a_500() -> None:
    assert call_fuzz.fuzz(requests=100, replies=100, seed=7) == 0
