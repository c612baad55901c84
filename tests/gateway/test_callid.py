from datetime import UTC, datetime
from functools import partial

from gateway.callid import EPOCH_MS, CallIds, first_id, moment_of


def test_ids_grow_also_when_the_clock_steps_back():
    times = iter([EPOCH_MS + 1000] * 3 + [EPOCH_MS + 10] * 3 + [EPOCH_MS + 2000])
    ids = CallIds(lambda: 5, clock=lambda: next(times))
    made = [ids.new() for _ in range(7)]
    assert made == sorted(set(made))


def test_more_than_a_sequence_in_one_millisecond_goes_on_in_the_next():
    ids = CallIds(lambda: 5, clock=lambda: EPOCH_MS + 1000)
    made = [ids.new() for _ in range(10_000)]
    assert len(set(made)) == 10_000
    assert made == sorted(made)


def test_processes_do_not_meet():
    clock = lambda: EPOCH_MS + 1000  # noqa: E731 - a clock that stands
    first, second = CallIds(lambda: 1, clock=clock), CallIds(lambda: 2, clock=clock)
    assert not {first.new() for _ in range(200)} & {second.new() for _ in range(200)}


def test_an_id_knows_its_moment_and_fits_63_bits():
    moment = datetime(2026, 12, 1, tzinfo=UTC)
    assert moment_of(first_id(moment)) == moment
    assert first_id(datetime(2090, 1, 1, tzinfo=UTC)) < 2**63
    ids = CallIds(lambda: 65_535, clock=lambda: int(moment.timestamp() * 1000))
    assert first_id(moment) <= ids.new()


def test_processes_do_not_meet_that_are_alike_in_their_last_ten_bits():
    clock = lambda: EPOCH_MS + 1000  # noqa: E731 - a clock that stands
    makers = [CallIds(partial(int, number), clock=clock) for number in (7, 7 + 1024, 7 + 2048, 7 + 65_535)]
    made = [maker.new() for maker in makers for _ in range(1_000)]
    assert len(set(made)) == 4_000
