import asyncio
import multiprocessing
import time
from typing import Any

import pytest
from django.conf import settings

from gateway import limits
from gateway.limits import Admission, LocalLimiter, RedisLimiter, Scope

NOON = 1_793_534_400.0  # 2026-11-01 12:00:00 UTC, the start of a minute and an hour


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def admit(limiter: Any, *scopes: Scope, call: str = "c", tokens: int = 0) -> Admission:
    return asyncio.run(limiter.admit(hash_tag="org", scopes=scopes, call=call, tokens=tokens))


@pytest.mark.parametrize(("window", "span"), list(enumerate(limits.WINDOWS_S)))
def test_each_window_admits_its_limit_and_then_says_when_to_come_back(window, span):
    clock = Clock()
    limiter = LocalLimiter(clock)
    allowed = tuple(3 if place == window else None for place in range(3))
    scope = Scope("key:1", requests=allowed)
    clock.now = NOON - NOON % span + span * 0.75
    verdicts = [admit(limiter, scope, call=str(number)) for number in range(5)]
    assert [verdict.admitted for verdict in verdicts] == [True, True, True, False, False]
    assert verdicts[3].retry_after_s == span // 4
    assert verdicts[3].refused_by == limits.NAMES[window]
    assert [verdict.requests_window.remaining for verdict in verdicts] == [2, 1, 0, 0, 0]
    clock.now += span // 4
    assert admit(limiter, scope, call="next").admitted


def test_windows_are_those_of_the_calendar():
    clock = Clock()
    limiter = LocalLimiter(clock)
    scope = Scope("key:1", requests=(1, None, None))
    clock.now = NOON + 59.999
    assert admit(limiter, scope, call="a").admitted
    assert not admit(limiter, scope, call="b").admitted
    clock.now = NOON + 60
    assert admit(limiter, scope, call="c").admitted


def test_a_refusal_by_one_scope_counts_in_none():
    limiter = LocalLimiter(Clock())
    key, organization = Scope("key:1", requests=(5, None, None)), Scope("org:1", requests=(1, None, None))
    assert admit(limiter, key, organization, call="a").admitted
    for number in range(10):
        refused = admit(limiter, key, organization, call=f"b{number}")
        assert not refused.admitted
    assert refused.requests_window == limits.Window(1, 0, 60)
    assert admit(limiter, key, call="c").requests_window.remaining == 3


def test_tokens_are_reserved_at_their_bound_and_corrected_at_settlement():
    limiter = LocalLimiter(Clock())
    scope = Scope("key:1", tokens=(1000, None, None))
    first = admit(limiter, scope, call="a", tokens=900)
    assert not admit(limiter, scope, call="b", tokens=200).admitted
    asyncio.run(limiter.settle(first, tokens=100))
    assert admit(limiter, scope, call="c", tokens=900).admitted
    assert not admit(limiter, scope, call="d", tokens=1).admitted


def test_a_correction_belongs_to_the_window_of_its_admission():
    clock = Clock()
    limiter = LocalLimiter(clock)
    scope = Scope("key:1", tokens=(1000, None, None))
    first = admit(limiter, scope, call="a", tokens=900)
    clock.now += 60
    assert admit(limiter, scope, call="b", tokens=1000).admitted
    asyncio.run(limiter.settle(first, tokens=0))
    assert not admit(limiter, scope, call="c", tokens=1).admitted


def test_slots_come_back_once_each():
    limiter = LocalLimiter(Clock())
    scope = Scope("key:1", concurrent=2)
    first, second = admit(limiter, scope, call="a"), admit(limiter, scope, call="b")
    assert second.admitted
    assert not admit(limiter, scope, call="c").admitted
    for _ in range(3):
        asyncio.run(limiter.settle(first, tokens=0))
    assert admit(limiter, scope, call="d").admitted
    assert not admit(limiter, scope, call="e").admitted


def test_organizations_do_not_share_what_is_named_alike():
    limiter = LocalLimiter(Clock())
    scope = Scope("organization", requests=(1, None, None))
    asked = [
        asyncio.run(limiter.admit(hash_tag=tag, scopes=[scope], call="a", tokens=0))
        for tag in ("org:1", "org:2", "org:1")
    ]
    assert [verdict.admitted for verdict in asked] == [True, True, False]


def test_the_slot_of_a_dead_process_returns_when_its_lease_ends():
    clock = Clock()
    limiter = LocalLimiter(clock)
    scope = Scope("key:1", concurrent=1)
    assert admit(limiter, scope, call="a").admitted
    clock.now += limits.SLOT_LEASE_S - 1
    assert not admit(limiter, scope, call="b").admitted
    clock.now += 1
    assert admit(limiter, scope, call="b").admitted


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(limits.rules, "REMEMBERED_SCOPES", 10)
    limiter = LocalLimiter(Clock())
    for number in range(50):
        admit(limiter, Scope(f"key:{number}", requests=(1, None, None)), call="a")
    assert len(limiter._counts) == 10


def test_nothing_limited_asks_nobody():
    limiter = RedisLimiter("redis://127.0.0.1:1")
    assert admit(limiter, Scope("key:1")).admitted
    assert not limiter._is_lost


def test_without_redis_the_process_goes_on_alone_and_quickly():
    limiter = RedisLimiter("redis://127.0.0.1:1")
    scope = Scope("key:1", requests=(2, None, None))
    started_at = time.monotonic()
    verdicts = [admit(limiter, scope, call=str(number)) for number in range(20)]
    assert sum(verdict.admitted for verdict in verdicts) in {2, 3, 4}  # a minute may turn in between
    assert time.monotonic() - started_at < 1


redis_only = pytest.mark.skipif(not settings.REDIS_URL, reason="the run on PostgreSQL has the real Redis")


def together(url: str, tag: str, gate: Any, admitted: Any) -> None:
    async def run() -> int:
        limiter = RedisLimiter(url)
        scope = Scope("key:1", requests=(None, None, 100), tokens=(None, None, 100_000))
        gate.wait()
        verdicts = await asyncio.gather(
            *(
                limiter.admit(
                    hash_tag=tag, scopes=[scope], call=f"{multiprocessing.current_process().name}-{number}", tokens=10
                )
                for number in range(60)
            )
        )
        await limiter.close()
        return sum(verdict.admitted for verdict in verdicts)

    admitted.put(asyncio.run(run()))


@redis_only
def test_over_many_processes_never_more_than_the_limit():
    context = multiprocessing.get_context("spawn")
    gate, admitted = context.Barrier(4), context.Queue()
    tag = f"t{time.time_ns()}"
    workers = [context.Process(target=together, args=(settings.REDIS_URL, tag, gate, admitted)) for _ in range(4)]
    for worker in workers:
        worker.start()
    counts = [admitted.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert sum(counts) == 100


@redis_only
def test_redis_and_the_process_decide_alike():
    async def compare() -> None:
        real, own = RedisLimiter(settings.REDIS_URL), LocalLimiter(time.time)
        tag = f"t{time.time_ns()}"
        key = Scope("key:1", requests=(4, None, 9), tokens=(None, 500, None), concurrent=3)
        organization = Scope("org:1", tokens=(None, None, 400))
        pairs = []
        for number in range(40):
            asked = {"scopes": [key, organization], "call": f"c{number}", "tokens": 7 * number % 60}
            first, second = await real.admit(hash_tag=tag, **asked), await own.admit(hash_tag=tag, **asked)
            assert (first.admitted, first.refused_by) == (second.admitted, second.refused_by), number
            assert first.requests_window.remaining == second.requests_window.remaining
            assert first.tokens_window.remaining == second.tokens_window.remaining
            if first.admitted:
                pairs.append((first, second))
            if number % 3 == 2 and pairs:
                one, other = pairs.pop(0)
                await real.settle(one, tokens=5)
                await own.settle(other, tokens=5)
        await real.close()

    if time.time() % 60 > 57:
        time.sleep(4)  # not across a minute: the two are asked one after the other
    asyncio.run(compare())


# --- A Redis that is there and does not help --------------------------------------------------------------------------

READ_ONLY = b"-READONLY You can't write against a read only replica.\r\n"
FULL = b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"
FAULTS: dict[str, tuple[bytes | None, float]] = {
    "mute": (None, 0),
    "slow": (b"*9\r\n", 2),
    "full": (FULL, 0),
    "read-only": (READ_ONLY, 0),
    "nonsense": (b"HTTP/1.1 400 Bad Request\r\n\r\n", 0),
    "hangs up": (b"", 0),
}


async def odd_redis(words: bytes | None, pause_s: float) -> asyncio.Server:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(65_536):
                await asyncio.sleep(pause_s if words is not None else 60)
                if not words:
                    break
                writer.write(words)
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    return await asyncio.start_server(converse, "127.0.0.1", 0)


@pytest.mark.parametrize("fault", FAULTS)
def test_no_call_waits_long_for_a_redis_in_trouble_and_the_rules_still_hold(fault):
    async def run() -> tuple[list[Admission], float, float]:
        server = await odd_redis(*FAULTS[fault])
        limiter = RedisLimiter(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
        scope = Scope("key:1", requests=(50, None, None))
        started = time.monotonic()
        verdicts = await asyncio.gather(
            *(limiter.admit(hash_tag="o", scopes=[scope], call=str(n), tokens=0) for n in range(200))
        )
        together = time.monotonic() - started
        for number in range(50):
            await limiter.admit(hash_tag="o", scopes=[scope], call=f"later {number}", tokens=0)
        later = time.monotonic() - started - together
        await limiter.close()
        server.close()
        return verdicts, together, later

    verdicts, together, later = asyncio.run(run())
    assert sum(verdict.admitted for verdict in verdicts) == 50
    # One after the other, eight at a time, they would wait five seconds.
    assert together < 3, "all of them wait at the same time"
    assert later < 3, "once it is known, hardly anybody waits"


def test_while_redis_is_lost_no_call_asks_it():
    async def run() -> int:
        server = await odd_redis(FULL, 0)
        limiter = RedisLimiter(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
        scope = Scope("key:1", requests=(1000, None, None))
        await limiter.admit(hash_tag="o", scopes=[scope], call="first", tokens=0)
        asked = 0
        admit_script = limiter._admit

        async def counted(**words: Any) -> Any:
            nonlocal asked
            asked += 1
            return await admit_script(**words)

        limiter._admit = counted
        await asyncio.gather(*(limiter.admit(hash_tag="o", scopes=[scope], call=str(n), tokens=0) for n in range(50)))
        await limiter.close()
        server.close()
        return asked

    assert asyncio.run(run()) == 0


def test_the_headers_say_which_window_is_tightest():
    limiter = LocalLimiter(Clock())
    scope = Scope("key:1", requests=(2, 100, None), tokens=(None, 500, None))
    told = dict(limits.told(admit(limiter, scope, call="a", tokens=40)))
    assert (told["x-ratelimit-limit-requests"], told["x-ratelimit-remaining-requests"]) == ("2", "1")
    assert (told["x-ratelimit-limit-tokens"], told["x-ratelimit-remaining-tokens"]) == ("500", "460")
    assert told["x-ratelimit-reset-tokens"] == "3600s"
