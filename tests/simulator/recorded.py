"""Every recorded answer of a real provider once more through the real gateway, charged exactly.

    python -m tests.simulator.recorded [--database sqlite|postgresql] [--cuts 0]

A server that serves recorded bytes stands in for the provider; whole answers at once, streams in single bytes. What is
charged must be what the usage that people wrote down beside each recording costs; a table says which recording used and
cost what. Each stream is then broken off after ``--cuts`` of its bytes (0: after every byte): every such call must be
settled, within its hold, and free when nothing was delivered.
"""

import argparse
import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.simulator.servers import gateway
from tests.simulator.worlds import say, world

INPUT_NANO, OUTPUT_NANO = 3_750, 18_750
FRONTS = {
    "openai_chat": "/v1/chat/completions",
    "openai_completions": "/v1/completions",
    "openai_responses": "/v1/responses",
    "anthropic_messages": "/v1/messages",
}
AT_ONCE = 16


def answers() -> list[Any]:
    """The recordings of calls that were answered, with what they used."""
    from tests.gateway.recordings import exchanges

    spoken = [one for one in exchanges() if one.dialect in {*FRONTS, "gemini"} and one.status == 200]
    return [
        one
        for one in spoken
        if one.expected and "input" in one.expected and "output" in one.expected and "cachedContents" not in one.url
    ]


class Recorder:
    """A provider that says what was recorded: ``/N/...`` is recording N, ``/N-C/...`` its first C bytes."""

    def __init__(self, recordings: list[Any]) -> None:
        self._recordings = recordings
        self.port = 0
        self.server: Any = None

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (int(line[15:]) for line in head.split(b"\r\n") if line.lower()[:15] == b"content-length:"), 0
            )
            await reader.readexactly(length)
            number, _, cut = head.split(b"/", 2)[1].partition(b"-")
            await self._say(self._recordings[int(number)], int(cut) if cut else None, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _say(self, recording: Any, cut: int | None, writer: asyncio.StreamWriter) -> None:
        kind = b"text/event-stream" if recording.is_stream else b"application/json"
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: " + kind + b"\r\n\r\n")
        body = recording.body if cut is None else recording.body[:cut]
        if recording.is_stream and cut is None:
            for place in range(len(body)):
                writer.write(body[place : place + 1])
                if place % 16 == 0:
                    await asyncio.sleep(0)
        else:
            writer.write(body)
        await writer.drain()


@contextmanager
def recorder(recordings: list[Any]) -> Iterator[Recorder]:
    """Serve in a thread until the block ends."""
    made, ready, loop = Recorder(recordings), threading.Event(), asyncio.new_event_loop()

    async def serve() -> None:
        server = made.server = await asyncio.start_server(made.converse, "127.0.0.1", 0)
        made.port = server.sockets[0].getsockname()[1]
        ready.set()

    loop.create_task(serve())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield made
    finally:
        loop.call_soon_threadsafe(made.server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def sell(names: list[str], port: int) -> str:
    """A model for each of these parts of the recorder's address, and a customer; returns the secret."""
    from django.utils import timezone

    from accounts import trail
    from accounts.opening import default_storefront
    from billing import pricebook, wallets
    from gateway.models import AIModel, Credential, Provider, Route
    from gateway.seed import stock
    from tests import factories

    front = default_storefront()
    stock(front, sandbox_url="http://127.0.0.1:9", now=timezone.now())
    rates = [{"direction": "input", "price": "3"}, {"direction": "output", "price": "15"}]
    rates += [{"direction": "input", "modality": modality, "price": "3"} for modality in ("audio", "image", "video")]
    searches = {"modality": "search", "unit": "search", "price": "0"}  # what is compared is tokens
    rates += [{"direction": direction, **searches} for direction in ("input", "output")]
    for name in names:
        seller = Provider.objects.create(
            slug=f"r{name}", name=name, kind="sandbox", base_url=f"http://127.0.0.1:{port}/{name}", may_be_private=True
        )
        Credential.objects.create(provider=seller, secret="sk-recorded")
        limits = {"max_output_tokens": 200_000, "default_output_tokens": 100}
        model = AIModel.objects.create(slug=f"r{name}", name=name, **limits)
        Route.objects.create(model=model, provider=seller, upstream_model="recorded")
        pricebook.publish_card(
            body={"provider": seller.slug, "model": "recorded", "rates": rates},
            effective_from=timezone.now(),
            note="",
            source=trail.SYSTEM,
        )
    organization = factories.make_organization(storefront=front)
    wallets.credit(organization, 10**15, "proof", trail.SYSTEM)
    return str(factories.make_key(organization)[1])


def question(recording: Any, name: str) -> tuple[str, dict[str, Any]]:
    """A question long enough for what the answer says it read."""
    words, limit = "x" * (recording.expected["input"] + 64), recording.expected["output"] + 64
    said = [{"role": "user", "content": words}]
    match recording.dialect:
        case "gemini":
            verb = "streamGenerateContent?alt=sse" if recording.is_stream else "generateContent"
            body = {"contents": [{"role": "user", "parts": [{"text": words}]}]}
            return f"/v1beta/models/r{name}:{verb}", {**body, "generationConfig": {"maxOutputTokens": limit}}
        case "openai_responses":
            body = {"input": words, "max_output_tokens": limit}
        case "openai_completions":
            body = {"prompt": words, "max_tokens": limit}
        case _:
            body = {"messages": said, "max_tokens": limit}
    return FRONTS[recording.dialect], {"model": f"r{name}", "stream": recording.is_stream, **body}


async def ask_all(base: str, secret: str, asked: list[tuple[Any, str]]) -> list[int]:
    """Ask for each; the calls' numbers."""
    import httpx

    gate = asyncio.Semaphore(AT_ONCE)

    async def one(client: Any, recording: Any, name: str) -> int:
        path, body = question(recording, name)
        async with (
            gate,
            client.stream("POST", base + path, json=body, headers={"authorization": f"Bearer {secret}"}) as answer,
        ):
            await answer.aread()
            return int(answer.headers.get("x-call-id", 0))

    async with httpx.AsyncClient(timeout=120) as client:
        return list(await asyncio.gather(*(one(client, *each) for each in asked)))


def recorded(*, cuts: int) -> int:
    """All recordings; returns how many things were wrong."""
    from billing import audit
    from billing.models import Hold
    from gateway.health import Health
    from gateway.models import Call

    def never_rest() -> None:
        Health.failed = lambda self, route, **_: None  # type: ignore[method-assign,assignment]

    found = answers()
    broken = [
        (one, number, cut)
        for number, one in enumerate(found)
        if one.is_stream
        for cut in range(0, len(one.body), max(1, len(one.body) // cuts) if cuts else 1)
    ]
    with recorder(found) as outside:
        names = [str(number) for number in range(len(found))] + [f"{number}-{cut}" for _, number, cut in broken]
        secret = sell(names, outside.port)
        house = gateway(arm=never_rest).wait()
        try:
            numbers = asyncio.run(ask_all(house.base, secret, [(one, str(n)) for n, one in enumerate(found)]))
            asyncio.run(ask_all(house.base, secret, [(one, f"{number}-{cut}") for one, number, cut in broken]))
        finally:
            house.stop()
    calls, wrong = Call.unscoped.in_bulk(), 0
    for one, number in zip(found, numbers, strict=True):
        wrong += _line(one, calls.get(number))
    outside_hold = sum(not 0 <= hold.charged_nano <= hold.held_nano for hold in Hold.unscoped.all())
    left_open = Hold.unscoped.filter(outcome__isnull=True).count()
    missing = len(found) + len(broken) - len(calls)
    findings = audit.run().findings
    for finding in findings[:10]:
        say(f"FINDING {finding}")
    say(
        f"{len(found)} recordings, {wrong} wrong; {len(broken)} streams broken off, {left_open} open, {outside_hold}"
        f" outside their hold, {missing} missing; audit: {len(findings)} findings"
    )
    return wrong + left_open + outside_hold + missing + len(findings)


def _line(recording: Any, call: Any) -> int:
    """One line of the table; 1 when it is wrong."""
    given, made = recording.expected["input"], recording.expected["output"]
    wanted = given * INPUT_NANO + made * OUTPUT_NANO if made else 0
    got = call.price_nano if call else None
    good = got == wanted and (not made or (call.input_tokens, call.output_tokens) == (given, made))
    say(f"{recording.name:<62} in {given:>7} out {made:>6} charge {got} {'' if good else f'WRONG, should be {wanted}'}")
    return int(not good)


def main() -> int:
    """The long version."""
    parser = argparse.ArgumentParser(description="Recorded answers, charged exactly.")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--cuts", type=int, default=0)
    arguments = parser.parse_args()
    with world(arguments.database):
        return 1 if recorded(cuts=arguments.cuts) else 0


if __name__ == "__main__":
    raise SystemExit(main())
