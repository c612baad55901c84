"""The door outwards against the sandbox provider: each of its faults ends as it should, in time and little memory."""

import asyncio
import json
import subprocess
import sys
import textwrap
import time

import pytest

from gateway.upstream import Broken, Caps, Request, TimedOut, Timeouts, TooLarge, Upstream, UpstreamError
from tests.sandbox.conftest import running_provider


@pytest.fixture(scope="module")
def provider():
    with running_provider() as running:
        yield running


PATIENT = Timeouts(connect_s=10, first_byte_s=20, idle_s=20, total_s=40)
QUICK = Timeouts(connect_s=2, first_byte_s=1, idle_s=1, total_s=20)
KIB = 1024


def request(provider, model, *, streamed, **given):
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": streamed}
    headers = (("Authorization", f"Bearer {provider.key}"), ("Content-Type", "application/json"))
    given = {"timeouts": PATIENT, "allow_private": True, "provider": "sandbox", **given}
    url = f"{provider.url}/v1/chat/completions"
    return Request(method="POST", url=url, headers=headers, body=json.dumps(body).encode(), **given)


def outcome(provider, model, *, streamed, **given):
    """The status and body of an answer, or the error it ended in."""

    async def run():
        async with Upstream() as client:
            asking = request(provider, model, streamed=streamed, **given)
            try:
                if not streamed:
                    answer = await client.whole(asking)
                    return answer.status, answer.body
                async with await client.stream(asking) as stream:
                    return stream.status, b"".join([piece async for piece in stream])
            except UpstreamError as error:
                return error

    return asyncio.run(run())


ENDS_IN_AN_ERROR = {
    "first-byte=9": TimedOut,
    "stall=3": TimedOut,
    "cut=200": Broken,
    "gzip-bomb=64": TooLarge,
    "endless": TooLarge,
    "blank-lines": TooLarge,
    "no-newline": TooLarge,
    "giant-event=64": TooLarge,
    "big-header=70000": TooLarge,
}


@pytest.mark.parametrize("fault", ENDS_IN_AN_ERROR)
@pytest.mark.parametrize("streamed", [True, False])
def test_what_cannot_be_used_is_an_error_of_the_right_kind(provider, fault, streamed):
    caps = Caps(header_bytes=64 * KIB, event_bytes=256 * KIB, body_bytes=2_048 * KIB)
    expected = ENDS_IN_AN_ERROR[fault]
    timeouts = QUICK if expected is TimedOut else PATIENT
    started_at = time.monotonic()
    failure = outcome(provider, f"sandbox-standard+{fault}", streamed=streamed, caps=caps, timeouts=timeouts)
    assert type(failure) is expected
    assert time.monotonic() - started_at < 15


IS_AN_ANSWER = {
    "status=429": 429,
    "status=500": 500,
    "status=529": 529,
    "status=401": 401,
    "status=402": 402,
    "redirect": 307,
    "empty": 204,
    "html": 200,
    "malformed": 200,
    "latin1": 200,
    "bom": 200,
    "cr-only": 200,
    "eof=200": 200,
    "midline=2": 200,
    "no-done": 200,
    "error-first": 200,
    "no-usage": 200,
    "usage=2e63": 200,
}


@pytest.mark.parametrize("fault", IS_AN_ANSWER)
@pytest.mark.parametrize("streamed", [True, False])
def test_what_is_only_odd_comes_through_as_it_is(provider, fault, streamed):
    status, body = outcome(provider, f"sandbox-standard+{fault}", streamed=streamed)
    assert status == IS_AN_ANSWER[fault]
    assert body or status in {204, 307}


def test_hanging_up_reaches_the_provider_at_once(provider):
    """The provider itself says when it noticed, and what it charges for what was delivered by then."""

    async def run():
        async with Upstream() as client:
            asking = request(provider, "sandbox-standard+tokens=500+slow=0.02", streamed=True)
            stream = await client.stream(asking)
            identity = stream.headers["x-request-id"]
            await anext(stream)
            stream.close()
        return identity

    identity = asyncio.run(run())
    assert provider.last_entry("sandbox-standard")["id"] == identity
    entry = provider.control(f"books/{identity}")
    assert entry["outcome"] == "client_gone"
    assert entry["billed"]["output"] < 50


FLOOD = """
    import asyncio, json, sys
    from pathlib import Path
    from gateway.upstream import Request, Timeouts, Upstream, UpstreamError

    url, key = sys.argv[1:]

    def kib(name):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))

    async def one(client, fault, streamed):
        messages = [{"role": "user", "content": "x"}]
        body = {"model": f"sandbox-standard+{fault}", "messages": messages, "stream": streamed}
        asking = Request(
            method="POST", url=url + "/v1/chat/completions", body=json.dumps(body).encode(), allow_private=True,
            headers=(("Authorization", f"Bearer {key}"),), timeouts=Timeouts(idle_s=20),
        )
        try:
            if streamed:
                async with await client.stream(asking) as stream:
                    async for piece in stream:
                        pass
            else:
                await client.whole(asking)
        except UpstreamError as error:
            return type(error).__name__
        return "survived"

    async def main():
        async with Upstream() as client:
            await one(client, "tokens=5", True)
            before = kib("VmRSS")
            ends = [
                await one(client, fault, True)
                for _ in range(2)
                for fault in ("endless", "blank-lines", "no-newline", "giant-event=200", "gzip-bomb=200", "big-header")
            ]
            print(json.dumps({"ends": sorted(set(ends)), "grown_kib": kib("VmHWM") - before}))

    asyncio.run(main())
"""


@pytest.mark.slow
def test_floods_end_in_little_memory(provider):
    """200 MB in one event, 200 MB in a bomb and three endless streams, twice: at most 32 MB more than before."""
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FLOOD), provider.url, provider.key],
        capture_output=True,
        text=True,
        check=True,
    )
    seen = json.loads(finished.stdout)
    assert seen["ends"] == ["TooLarge"]
    assert seen["grown_kib"] <= 32 * KIB
