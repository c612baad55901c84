"""The door outwards against providers that behave, stall, break off, lie and flood, over real sockets."""

import asyncio
import gzip
import time

import pytest

from gateway.upstream import (
    Broken,
    Caps,
    ConnectFailed,
    Request,
    TimedOut,
    Timeouts,
    TooLarge,
    Unsendable,
    Upstream,
    UpstreamError,
)
from tests.gateway.raw_upstream import LAST_CHUNK, SSE_HEAD, chunk, plain, raw_upstream

SECRET = "sk-canary-0123456789"
PATIENT = Timeouts(connect_s=10, first_byte_s=20, idle_s=20, total_s=40)
SHORT = Timeouts(connect_s=0.5, first_byte_s=0.4, idle_s=0.4, total_s=5)
SMALL = Caps(header_bytes=8_000, event_bytes=20_000, body_bytes=100_000)


def ask(url, **given):
    given = {"timeouts": PATIENT, "caps": SMALL, "allow_private": True, "provider": "raw", **given}
    headers = (("Authorization", f"Bearer {SECRET}"), ("Content-Type", "application/json"))
    return Request(
        method="POST", url=f"{url}/v1/chat?key={SECRET}", **{"headers": headers, "body": b'{"model":"m"}', **given}
    )


def told(error):
    """Everything an exception says or remembers, as a logger that walks it would print it."""
    words, seen = [], set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        words.append(f"{error!r} {error} {vars(error)}")
        error = error.__cause__ or error.__context__
    return " ".join(words)


def against(behaviour, story, **upstream):
    async def run():
        async with raw_upstream(behaviour) as provider, Upstream(**upstream) as client:
            return await story(client, provider)

    return asyncio.run(run())


async def read_out(client, request, *, streamed=True, into=None):
    if not streamed:
        return await client.whole(request)
    async with await client.stream(request) as stream:
        async for piece in stream:
            if into is not None:
                into.append(piece)
    return None


def failure_of(behaviour, *, streamed=True, **given):
    """Which error a behaviour ends in; whatever it is, it keeps the secret."""

    async def story(client, provider):
        with pytest.raises(UpstreamError) as caught:
            await read_out(client, ask(provider.url, **given), streamed=streamed)
        assert SECRET not in told(caught.value)
        return caught.value

    return against(behaviour, story)


async def answers(talk):
    await talk.say(plain(b'{"ok":true}', headers=b"X-Request-Id: r1\r\n"))


async def never_answers(talk):
    await talk.until_hung_up()


async def streams_and_stalls(talk):
    await talk.say(SSE_HEAD, chunk(b"data: 1\n\n"))
    await talk.until_hung_up()


def test_a_whole_answer_comes_with_status_and_lower_case_headers():
    async def story(client, provider):
        return await client.whole(ask(provider.url)), provider.heads[0], provider.bodies[0]

    answer, head, body = against(answers, story)
    assert (answer.status, answer.body, answer.headers["x-request-id"]) == (200, b'{"ok":true}', "r1")
    assert body == b'{"model":"m"}'
    names = sorted(line.split(b":")[0].lower() for line in head.split(b"\r\n")[1:-2])
    assert names == [b"accept-encoding", b"authorization", b"content-length", b"content-type", b"host"]
    assert b"identity" in head


def test_a_stream_gives_headers_before_any_byte_and_bytes_as_they_come():
    gate = asyncio.Event()

    async def one_by_one(talk):
        await talk.say(SSE_HEAD)
        await gate.wait()
        await talk.say(chunk(b"data: 1\n\n"))
        await asyncio.sleep(0.05)
        await talk.say(chunk(b"data: 2\n\n"), LAST_CHUNK)

    async def story(client, provider):
        async with await client.stream(ask(provider.url)) as stream:
            assert stream.status == 200
            gate.set()
            return [piece async for piece in stream]

    assert against(one_by_one, story) == [b"data: 1\n\n", b"data: 2\n\n"]


@pytest.mark.parametrize("status", ["204 No Content", "404 Not Found", "429 Too Many", "500 Oh", "529 Overloaded"])
def test_a_status_is_an_answer_and_no_error(status):
    async def says(talk):
        await talk.say(plain(b"", status=status))

    async def story(client, provider):
        return (await client.whole(ask(provider.url))).status

    assert against(says, story) == int(status[:3])


def test_bodies_of_megabytes_go_out_whole_and_without_a_warning():
    async def story(client, provider):
        await client.whole(ask(provider.url, body=b"x" * 5_000_000))
        return len(provider.bodies[0])

    assert against(answers, story) == 5_000_000


# --- connections ---


def test_connections_are_used_again_after_whole_answers_and_read_out_streams():
    async def either(talk):
        await talk.say(SSE_HEAD, chunk(b"data: 1\n\n"), LAST_CHUNK)

    async def story(client, provider):
        for _ in range(10):
            await client.whole(ask(provider.url))
            await read_out(client, ask(provider.url))
        return provider.connections

    assert against(either, story) == 1


def test_after_a_cancelled_stream_the_next_call_gets_a_clean_connection():
    async def by_turns(talk):
        if b"stall" in talk.body:
            await streams_and_stalls(talk)
        else:
            await answers(talk)

    async def story(client, provider):
        for _ in range(5):
            stalled = await client.stream(ask(provider.url, body=b"stall"))
            assert await anext(stalled) == b"data: 1\n\n"
            stalled.close()
            assert (await client.whole(ask(provider.url))).body == b'{"ok":true}'
        return provider.connections

    assert against(by_turns, story) == 6  # five dropped, and the one good one kept all along


def test_a_connection_the_provider_closed_in_between_is_not_used():
    async def once(talk):
        await answers(talk)
        talk.writer.close()

    async def story(client, provider):
        for _ in range(20):
            await client.whole(ask(provider.url))
            await asyncio.sleep(0.01)
        return provider.connections

    assert against(once, story) == 20


def test_an_answer_nobody_asked_for_is_given_to_nobody():
    """Bytes after an answer (a second one, sent ahead to meet the next caller) die with their connection."""
    stray = plain(b'{"ok":"somebody else\'s"}')

    async def says_too_much(talk):
        await talk.say(plain(talk.body) + stray)

    async def says_more_later(talk):
        await talk.say(plain(talk.body))
        await asyncio.sleep(0.05)
        await talk.say(stray)

    async def story(client, provider):
        for number in range(5):
            body = b"%d" % number
            assert (await client.whole(ask(provider.url, body=body))).body == body
            await asyncio.sleep(0.1)
        return provider.connections

    assert against(says_too_much, story) == 5
    assert against(says_more_later, story) == 5


def test_what_comes_before_an_answer_is_not_the_answer():
    async def hints(talk):
        await talk.say(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        await answers(talk)

    async def story(client, provider):
        return (await client.whole(ask(provider.url))).status

    assert against(hints, story) == 200


def test_a_pool_is_bounded_and_waiting_for_it_counts_as_connecting():
    async def story(client, provider):
        holding = await client.stream(ask(provider.url))
        with pytest.raises(TimedOut) as caught:
            await client.whole(ask(provider.url, timeouts=Timeouts(connect_s=0.2, first_byte_s=3)))
        elsewhere = await client.stream(ask(provider.url, provider="another row"))
        elsewhere.close()
        holding.close()
        return caught.value.which, caught.value.sent

    assert against(streams_and_stalls, story, connections_per_pool=1) == ("connect", False)


def test_pools_nobody_uses_make_room():
    async def story(client, provider):
        for number in range(6):
            await client.whole(ask(provider.url, provider=f"row {number}"))
        return len(client._pools)

    assert against(answers, story, pools=2) == 2


def test_closing_closes_what_is_kept_alive():
    async def run():
        async with raw_upstream(answers) as provider:
            async with Upstream() as client:
                await client.whole(ask(provider.url))
            await asyncio.sleep(0.1)
            return len(provider.hung_up_at)

    assert asyncio.run(run()) == 1


# --- cancelling ---


@pytest.mark.parametrize("behaviour", [never_answers, streams_and_stalls])
@pytest.mark.parametrize("streamed", [True, False])
def test_cancelling_closes_the_socket_within_200_ms(behaviour, streamed):
    async def story(client, provider):
        task = asyncio.create_task(read_out(client, ask(provider.url, timeouts=Timeouts()), streamed=streamed))
        await asyncio.sleep(0.2)
        started_at = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.2)
        return provider.hung_up_at[0] - started_at

    assert against(behaviour, story) < 0.2


# --- patience ---


@pytest.mark.parametrize("streamed", [True, False])
def test_no_head_is_a_late_first_byte(streamed):
    failure = failure_of(never_answers, streamed=streamed, timeouts=SHORT)
    assert (type(failure), failure.which, failure.sent) == (TimedOut, "first_byte", True)


def test_a_head_without_a_body_is_a_late_first_byte_too():
    async def only_a_head(talk):
        await talk.say(SSE_HEAD)
        await talk.until_hung_up()

    assert failure_of(only_a_head, timeouts=SHORT).which == "first_byte"


def test_silence_in_the_middle_is_idle_and_within_its_time():
    started_at = time.monotonic()
    assert failure_of(streams_and_stalls, timeouts=SHORT).which == "idle"
    assert 0.4 <= time.monotonic() - started_at < 3


@pytest.mark.parametrize("streamed", [True, False])
def test_drop_by_drop_ends_at_the_total(streamed):
    async def drips(talk):
        await talk.say(SSE_HEAD)
        while True:
            await talk.say(chunk(b": still here\n\n"))
            await asyncio.sleep(0.05)

    failure = failure_of(drips, streamed=streamed, timeouts=Timeouts(first_byte_s=1, idle_s=1, total_s=0.5))
    assert failure.which == "total"


def test_a_reader_that_takes_its_time_is_not_taken_for_a_silent_provider():
    async def three(talk):
        await talk.say(SSE_HEAD, chunk(b"data: 1\n\n"))
        await asyncio.sleep(0.1)
        await talk.say(chunk(b"data: 2\n\n"), LAST_CHUNK)

    async def story(client, provider):
        pieces = []
        quick = Timeouts(first_byte_s=2, idle_s=0.3, total_s=20)
        async with await client.stream(ask(provider.url, timeouts=quick)) as stream:
            async for piece in stream:
                pieces.append(piece)
                await asyncio.sleep(0.7)
        return pieces

    assert against(three, story) == [b"data: 1\n\n", b"data: 2\n\n"]


def test_an_address_nobody_answers_at_is_a_late_connection():
    import socket

    with socket.socket() as full:  # a listener whose queue is full never finishes the handshake
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())

        async def run():
            async with Upstream() as client:
                with pytest.raises(TimedOut) as caught:
                    await client.whole(ask(url, timeouts=Timeouts(connect_s=0.3, first_byte_s=2)))
                return caught.value

        failure = asyncio.run(run())
        for filler in fillers:
            filler.close()
    assert (failure.which, failure.sent) == ("connect", False)


# --- breaking off ---


def test_nobody_listening_is_a_failed_connection():
    async def run():
        async with Upstream() as client:
            with pytest.raises(ConnectFailed) as caught:
                await client.whole(ask("http://127.0.0.1:1"))
            return caught.value

    failure = asyncio.run(run())
    assert not failure.sent
    assert SECRET not in told(failure)


BREAKS = {
    "hangs up without a word": (b"", False, False),
    "resets without a word": (b"", True, False),
    "half a status line": (b"HTTP/1.", False, False),
    "half the headers": (b"HTTP/1.1 200 OK\r\nContent-Le", False, False),
    "no http": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", False, False),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\nok", False, False),
    "a length of words": (b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok", False, False),
    "less than announced": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", False, True),
    "a chunk cut short": (SSE_HEAD + b"9\r\ndata", False, True),
    "no last chunk": (SSE_HEAD + chunk(b"data: 1\n\n"), False, True),
    "reset in the body": (SSE_HEAD + chunk(b"data: 1\n\n"), True, True),
    "a chunk of no size": (SSE_HEAD + b"zz\r\ndata: 1\n\n\r\n", False, True),
}


@pytest.mark.parametrize("what", BREAKS)
@pytest.mark.parametrize("streamed", [True, False])
def test_an_answer_that_breaks_off_is_broken(what, streamed):
    words, reset, answered = BREAKS[what]

    async def breaks_off(talk):
        await talk.say(words)
        await asyncio.sleep(0.05)
        if reset:
            talk.reset()
        else:
            talk.writer.close()

    failure = failure_of(breaks_off, streamed=streamed)
    assert type(failure) is Broken
    assert failure.sent
    if what != "a chunk of no size":  # it may be noticed with the head or after it
        assert failure.answered is answered


def test_a_stream_cut_at_any_byte_gives_what_came_and_then_breaks():
    whole = SSE_HEAD + b"".join(chunk(b"data: %d\n\n" % n) for n in range(12)) + LAST_CHUNK

    async def story(client, provider):
        for cut in range(len(SSE_HEAD), len(whole)):
            came = []
            with pytest.raises(Broken):
                await read_out(client, ask(provider.url, body=b"%d" % cut), into=came)
            assert b"".join(b"data: %d\n\n" % n for n in range(12)).startswith(b"".join(came))

    async def cuts(talk):
        await talk.say(whole[: int(talk.body)])
        talk.writer.close()

    against(cuts, story)


def test_a_redirect_is_an_answer_and_nobody_goes_there():
    async def run():
        async with raw_upstream(answers) as elsewhere:

            async def redirects(talk):
                location = b"Location: %s/steal\r\nSet-Cookie: a=b\r\n" % elsewhere.url.encode()
                await talk.say(plain(b"", status="307 Temporary Redirect", headers=location))

            async with raw_upstream(redirects) as provider, Upstream() as client:
                statuses = [(await client.whole(ask(provider.url))).status for _ in range(3)]
                assert not any(b"cookie" in head.lower() for head in provider.heads)
                return statuses, elsewhere.connections

    assert asyncio.run(run()) == ([307, 307, 307], 0)


def test_proxies_of_the_environment_are_not_asked(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async def story(client, provider):
        return (await client.whole(ask(provider.url))).status

    assert against(answers, story) == 200


# --- caps ---


def test_headers_have_a_cap_one_by_one_and_together():
    async def one_large(talk):
        await talk.say(plain(b"ok", headers=b"X-Large: " + b"a" * 64_000 + b"\r\n"))

    async def many(talk):
        await talk.say(plain(b"ok", headers=b"".join(b"X-%d: %s\r\n" % (n, b"a" * 190) for n in range(60))))

    async def too_many(talk):
        await talk.say(plain(b"ok", headers=b"".join(b"X-%d: a\r\n" % n for n in range(5_000))))

    for behaviour in (one_large, many, too_many):
        failure = failure_of(behaviour)
        assert (type(failure), failure.what) == (TooLarge, "header")


def test_an_event_has_a_cap_however_it_is_cut():
    async def grows(talk):
        await talk.say(SSE_HEAD, chunk(b"data: small\n\n"))
        while True:
            await talk.say(chunk(b"x" * 1_000))

    assert failure_of(grows).what == "event"


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 4096])
def test_events_that_end_are_not_added_up(end, size):
    events = (b"data: " + b"x" * 90 + end) * 700

    async def many(talk):
        pieces = [chunk(events[start : start + size]) for start in range(0, len(events), size)]
        await talk.say(SSE_HEAD, *[b"".join(pieces[at : at + 500]) for at in range(0, len(pieces), 500)], LAST_CHUNK)

    async def story(client, provider):
        async with await client.stream(ask(provider.url, caps=Caps(event_bytes=9_000, body_bytes=100_000))) as stream:
            return b"".join([piece async for piece in stream])

    assert against(many, story) == events


def test_a_body_has_a_cap_announced_or_not():
    async def announces(talk):
        await talk.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        await talk.until_hung_up()

    async def blank_lines(talk):
        await talk.say(SSE_HEAD)
        while True:
            await talk.say(chunk(b"\n" * 5_000))

    for behaviour in (announces, blank_lines):
        for streamed in (True, False):
            assert failure_of(behaviour, streamed=streamed).what == "body"


def test_what_comes_compressed_unasked_is_unpacked_under_the_same_cap():
    async def packed(talk):
        headers = b"Content-Encoding: gzip\r\n"
        body = {b"fair": gzip.compress(b"fair " * 1_000), b"bomb": gzip.compress(b"\0" * 30_000_000)}[talk.body]
        await talk.say(plain(body, headers=headers))

    async def story(client, provider):
        fair = await client.whole(ask(provider.url, body=b"fair"))
        with pytest.raises(TooLarge) as caught:
            await client.whole(ask(provider.url, body=b"bomb"))
        return fair.body, caught.value.what

    assert against(packed, story) == (b"fair " * 1_000, "body")


@pytest.mark.parametrize("body", [gzip.compress(b"x" * 5_000)[:-20], b"no gzip at all"], ids=["cut short", "no gzip"])
def test_compression_that_does_not_work_out_is_broken(body):
    async def packed(talk):
        await talk.say(plain(body, headers=b"Content-Encoding: gzip\r\n"))

    assert type(failure_of(packed)) is Broken


def test_compression_nobody_asked_for_is_broken():
    async def packed(talk):
        await talk.say(plain(b"whatever", headers=b"Content-Encoding: br\r\n"))

    assert type(failure_of(packed)) is Broken


# --- what cannot be sent ---


@pytest.mark.parametrize(
    "headers",
    [
        (("Authorization", f"Bearer {SECRET}\r\nX-Evil: 1"),),
        (("Authorization", f"Bearer {SECRET}\n"),),
        (("X-Evil\r\nX", SECRET),),
        (("X-Nul", f"{SECRET}\0"),),
        (("Content-Length", "3"), ("Authorization", SECRET)),
        (("transfer-encoding", "chunked"), ("Authorization", SECRET)),
        (("Host", "elsewhere.example"), ("Authorization", SECRET)),
        (("Connection", "close, authorization"), ("Authorization", SECRET)),
    ],
)
def test_headers_that_would_say_more_than_one_thing_are_not_sent(headers):
    async def story(client, provider):
        with pytest.raises(Unsendable) as caught:
            await client.whole(ask(provider.url, headers=headers))
        assert SECRET not in told(caught.value)
        return provider.heads

    assert against(answers, story) == []


def test_header_bytes_of_any_kind_come_through_as_text():
    async def odd(talk):
        await talk.say(plain(b"ok", headers=b"X-Odd: caf\xe9 \xff\r\n"))

    async def story(client, provider):
        return (await client.whole(ask(provider.url))).headers["x-odd"]

    assert against(odd, story) == "caf\xe9 \xff"
