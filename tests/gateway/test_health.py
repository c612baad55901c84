from gateway import health
from gateway.health import WELL, Health, Trouble, numbered

ROUTE = 7


def rests(doctor: Health, now: float) -> bool:
    return doctor.snapshot().get(ROUTE, WELL).rests_until > now


def fail(doctor: Health, times: int, now: float) -> None:
    for _ in range(times):
        doctor.failed(ROUTE, now=now, trouble=Trouble.BROKEN)


def test_a_few_failures_are_bad_luck_and_five_open_the_circuit():
    doctor = Health()
    fail(doctor, health.FAILURES_TO_OPEN - 1, 100)
    assert not rests(doctor, 100)
    fail(doctor, 1, 101)
    assert rests(doctor, 101)
    assert not rests(doctor, 101 + health.FIRST_REST_S)


def test_failures_among_many_successes_do_not_open_it():
    doctor = Health()
    for number in range(20):
        doctor.worked(ROUTE, now=100 + number, first_byte_ms=10)
    fail(doctor, 8, 121)
    assert not rests(doctor, 121)


def test_old_failures_are_forgotten():
    doctor = Health()
    fail(doctor, health.FAILURES_TO_OPEN - 1, 100)
    fail(doctor, 1, 100 + health.WINDOW_S)
    assert not rests(doctor, 100 + health.WINDOW_S)


def test_after_its_rest_one_call_proves_it_while_others_wait():
    doctor = Health()
    fail(doctor, 5, 100)
    now = 100 + health.FIRST_REST_S
    assert not rests(doctor, now)
    doctor.began(ROUTE, now=now)
    assert rests(doctor, now)
    doctor.worked(ROUTE, now=now + 1, first_byte_ms=10)
    assert doctor.snapshot()[ROUTE] == health.Condition(0.0, on_probation=False, first_byte_ms=10)


def test_failing_the_proof_rests_it_longer_each_time_up_to_a_bound():
    doctor = Health()
    fail(doctor, 5, 100)
    now, spans = 100 + health.FIRST_REST_S, []
    for _ in range(10):
        doctor.began(ROUTE, now=now)
        fail(doctor, 1, now)
        until = doctor.snapshot()[ROUTE].rests_until
        spans.append(until - now)
        now = until
    assert spans[:3] == [10, 20, 40]
    assert spans[-1] == health.LONGEST_REST_S


def test_retry_after_is_kept_to_within_reason():
    doctor = Health()
    doctor.failed(ROUTE, now=100, trouble=Trouble.BUSY, retry_after_s=7)
    assert doctor.snapshot()[ROUTE].rests_until == 107
    doctor.failed(ROUTE, now=100, trouble=Trouble.BUSY, retry_after_s=10**9)
    assert doctor.snapshot()[ROUTE].rests_until == 100 + health.LONGEST_RETRY_AFTER_S
    other = Health()
    other.failed(ROUTE, now=100, trouble=Trouble.BUSY)
    assert other.snapshot()[ROUTE].rests_until == 101


def test_trouble_with_our_account_rests_it_at_once():
    doctor = Health()
    doctor.failed(ROUTE, now=100, trouble=Trouble.ACCOUNT)
    assert doctor.snapshot()[ROUTE].rests_until == 100 + health.ACCOUNT_REST_S


def test_speed_is_smoothed():
    doctor = Health()
    doctor.worked(ROUTE, now=1, first_byte_ms=100)
    doctor.worked(ROUTE, now=2, first_byte_ms=200)
    assert doctor.snapshot()[ROUTE].first_byte_ms == 120


ROUTE_ONE, ROUTE_TWO = ({key: numbered(route=route, credential=key) for key in (1, 2)} for route in (1, 2))


def resting(doctor: Health, now: float) -> set[int]:
    numbers = [*ROUTE_ONE.values(), *ROUTE_TWO.values()]
    return {number for number in numbers if doctor.snapshot().get(number, WELL).rests_until > now}


def test_a_refused_key_rests_on_every_route_and_its_neighbours_go_on():
    doctor = Health()
    doctor.failed(ROUTE_ONE[1], now=100, trouble=Trouble.ACCOUNT)
    assert resting(doctor, 101) == {ROUTE_ONE[1], ROUTE_TWO[1]}


def test_a_key_that_is_too_fast_rests_on_that_route_alone():
    doctor = Health()
    doctor.failed(ROUTE_ONE[1], now=100, trouble=Trouble.BUSY, retry_after_s=30)
    assert resting(doctor, 101) == {ROUTE_ONE[1]}


def test_a_broken_route_rests_by_every_key_and_one_proof_mends_it():
    doctor = Health()
    for _ in range(5):
        doctor.failed(ROUTE_ONE[1], now=100, trouble=Trouble.BROKEN)
    assert resting(doctor, 101) == set(ROUTE_ONE.values())
    doctor.began(ROUTE_ONE[2], now=106)
    assert resting(doctor, 106) == set(ROUTE_ONE.values())
    doctor.worked(ROUTE_ONE[2], now=107, first_byte_ms=10)
    assert resting(doctor, 107) == set()
