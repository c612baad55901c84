from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.health import Condition, Trouble, numbered
from gateway.routing import Candidate, Tries, plan

NOW = 1000.0


def key(number: int) -> bytes:
    return number.to_bytes(8, "big")


def test_a_lower_priority_number_comes_first_whatever_the_weight():
    order = plan([Candidate(1, 20, 1000), Candidate(2, 10, 1)], {}, sticky_key=b"", now=NOW)
    assert order.ready == (2, 1)


def test_weights_say_how_often_each_leads():
    heavy, light = Candidate(1, weight=3), Candidate(2, weight=1)
    leaders = Counter(plan([heavy, light], {}, sticky_key=key(n), now=NOW).ready[0] for n in range(4000))
    assert 2800 < leaders[1] < 3200


def test_weight_nothing_is_a_reserve():
    for n in range(200):
        assert plan([Candidate(1, weight=0), Candidate(2)], {}, sticky_key=key(n), now=NOW).ready == (2, 1)


def test_the_same_key_meets_the_same_route():
    candidates = [Candidate(number) for number in range(1, 9)]
    assert len({plan(candidates, {}, sticky_key=b"prefix", now=NOW).ready for _ in range(50)}) == 1


def test_losing_one_route_moves_only_its_own_keys():
    candidates = [Candidate(number) for number in range(1, 6)]
    resting = {3: Condition(rests_until=NOW + 10)}
    for n in range(500):
        before = plan(candidates, {}, sticky_key=key(n), now=NOW).ready
        after = plan(candidates, resting, sticky_key=key(n), now=NOW).ready
        assert after == tuple(route for route in before if route != 3)


def test_what_rests_comes_last_soonest_first_and_says_when():
    snapshot = {1: Condition(rests_until=NOW + 30), 2: Condition(rests_until=NOW + 5)}
    order = plan([Candidate(1), Candidate(2)], snapshot, sticky_key=b"", now=NOW)
    assert (order.ready, order.resting, order.ready_in_s) == ((), (2, 1), 5.0)
    assert plan([Candidate(1), Candidate(2), Candidate(3)], snapshot, sticky_key=b"", now=NOW).ready_in_s == 0.0


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=8),
    st.dictionaries(st.integers(0, 8), st.floats(0, 2000)),
    st.binary(max_size=80),
)
def test_every_route_is_in_the_order_exactly_once(shapes, rests, sticky):
    candidates = [Candidate(number, *shape) for number, shape in enumerate(shapes)]
    snapshot = {route: Condition(rests_until=until) for route, until in rests.items()}
    order = plan(candidates, snapshot, sticky_key=sticky, now=NOW)
    assert sorted((*order.ready, *order.resting)) == list(range(len(candidates)))


def test_every_key_of_a_route_comes_before_the_next_route():
    keys = [Candidate(numbered(route=route, credential=key), group=route) for route in (1, 2) for key in (1, 2, 3)]
    leaders = Counter()
    for n in range(300):
        order = plan(keys, {}, sticky_key=key(n), now=NOW).ready
        groups = [number >> 24 for number in order]
        assert groups in ([1, 1, 1, 2, 2, 2], [2, 2, 2, 1, 1, 1])
        leaders[order[0]] += 1
    assert len(leaders) == 6


def test_the_weights_of_keys_say_how_often_each_leads():
    heavy = Candidate(numbered(route=1, credential=1), group=1, key_weight=3)
    light = Candidate(numbered(route=1, credential=2), group=1, key_weight=1)
    leaders = Counter(plan([heavy, light], {}, sticky_key=key(n), now=NOW).ready[0] for n in range(4000))
    assert 2800 < leaders[heavy.route] < 3200


def handed_out(tries: Tries, *troubles: Trouble, may_again: bool = False) -> list[int]:
    found = []
    for number, trouble in zip(tries, troubles, strict=False):
        found.append(number)
        tries.failed(trouble, may_again=may_again)
    return found


BUSY, ACCOUNT, BROKEN = Trouble.BUSY, Trouble.ACCOUNT, Trouble.BROKEN


def test_after_a_refused_key_comes_the_next_key_and_after_a_broken_route_the_next_route():
    assert handed_out(Tries((11, 12, 21), (1, 1, 2), most=9), ACCOUNT, BUSY, BROKEN, BROKEN) == [11, 12, 21]
    assert handed_out(Tries((11, 12, 21), (1, 1, 2), most=9), BROKEN, BROKEN, BROKEN) == [11, 21]


def test_what_came_to_nothing_is_tried_once_more_when_nothing_else_is_left():
    assert handed_out(Tries((11, 12), (1, 1), most=9), *[BROKEN] * 9, may_again=True) == [11, 11]
    assert handed_out(Tries((11,), (1,), most=1), *[BROKEN] * 9, may_again=True) == [11]
    assert handed_out(Tries((11,), (1,), most=9), BUSY, BUSY) == [11]


@given(st.lists(st.integers(0, 3), max_size=9), st.integers(0, 5), st.lists(st.sampled_from(Trouble), max_size=20))
def test_never_more_than_allowed(groups, most, troubles):
    tries = Tries(range(len(groups)), groups, most=most)
    assert len(handed_out(tries, *troubles, *[BROKEN] * 20, may_again=True)) <= most
