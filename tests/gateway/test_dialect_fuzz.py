"""Whatever bytes arrive, from either side, only the declared errors come out."""

import json
import random
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.pricing.bounds import Bounds
from gateway.dialects import DIALECTS, passing, sse
from gateway.dialects.heading import Heading
from gateway.dialects.neutral import Request
from gateway.dialects.oneshot import ONE_SHOTS, read_request, read_tally
from gateway.errors import GatewayError, Refused, UpstreamMalformed
from gateway.kinds import KINDS, outgoing
from gateway.metering import Meter, estimate_input
from tests.gateway.recordings import exchanges

HEADING = Heading(model="shop", created=1)
SPOKEN = [exchange for exchange in exchanges() if exchange.dialect in DIALECTS]
REPLIES = [exchange for exchange in SPOKEN if exchange.status == 200]
REQUESTS = [exchange for exchange in SPOKEN if exchange.request]
HOSTILE = [None, True, False, 0, -1, 1.5, 2**63, 10**12, "", "x", "12", "\x00", "é\u202e", "[DONE]"]
HOSTILE += [[], {}, [None], [[]], [{}], {"a": 1}]
WORDS = json.dumps(["model", "messages", "contents", "input", "prompt", "role", "content", "parts", "type", "text"])


def take_request(name: str, body: bytes) -> Request | None:
    """Read a client's body and write it to everybody; a refusal is an answer."""
    dialect = DIALECTS[name]
    try:
        request = dialect.read_request(body)
    except Refused as refused:
        assert refused.status == 400
        json.loads(dialect.write_error(refused))
        return None
    assert estimate_input(request) >= 0
    for other in DIALECTS.values():
        try:
            written = other.write_request(request)
        except Refused as refused:
            assert refused.param is not None
            continue
        for kind in ("mistral", "groq", "deepseek"):
            try:
                outgoing(KINDS[kind], written)
            except Refused:
                continue
    json.loads(passing.pass_request(body, dialect=name, request=request, model="up", limit=5))
    return request


def take_reply(name: str, body: bytes) -> None:
    """Read a provider's answer, meter it and write it to everybody; unreadable is an answer."""
    meter = Meter(dialect=name, bounds=Bounds(10_000, 10_000), estimate_input=lambda: 5)
    meter.watch_reply(body)
    settle(meter)
    try:
        events = DIALECTS[name].read_reply(body)
        passing.pass_reply(body, model="shop")
    except UpstreamMalformed:
        return
    for other in DIALECTS.values():
        give(other, events)


def give(dialect, events) -> None:
    with suppress(UpstreamMalformed):
        dialect.write_reply(events, HEADING)
    writer = dialect.EventWriter(HEADING)
    try:
        for event in events:
            writer.write(event)
    except UpstreamMalformed as failed:
        writer.fail(failed)


def take_stream(name: str, body: bytes) -> None:
    """Read, meter, pass and rewrite a provider's stream."""
    meter = Meter(dialect=name, bounds=Bounds(10_000, 10_000), estimate_input=lambda: 5)
    reader, passer, events = DIALECTS[name].EventReader(), passing.Passer(dialect=name, model="shop"), []
    for received in sse.Decoder().feed(body):
        meter.watch(received.data)
        try:
            events += reader.read(received)
            passer.pass_on(received)
        except GatewayError as failed:
            assert failed.status >= 400
            break
    settle(meter)
    for other in DIALECTS.values():
        give(other, events)


def settle(meter: Meter) -> None:
    measured = meter.measured()
    assert not any(line.quantity <= 0 for line in measured.usage.lines)
    assert measured.usage.tokens <= 20_000


def mutated(value, chance: random.Random):
    """Change one place somewhere inside."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        name = chance.choice(list(value))
        roll = chance.random()
        if roll < 0.1:
            return {key: inner for key, inner in value.items() if key != name}
        if roll < 0.15:
            return value | {chance.choice(json.loads(WORDS)): chance.choice(HOSTILE)}
        return value | {name: mutated(value[name], chance)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        place = chance.randrange(len(value))
        if chance.random() < 0.1:
            return value[:place] + value[place + 1 :]
        return [*value[:place], mutated(value[place], chance), *value[place + 1 :]]
    return chance.choice(HOSTILE)


def scrambled(body: bytes, chance: random.Random) -> bytes:
    """Flip, cut, double or drop bytes."""
    place, length = chance.randrange(len(body) + 1), chance.randrange(1, 9)
    roll = chance.random()
    if roll < 0.25:
        return body[:place]
    if roll < 0.5:
        return body[:place] + bytes(chance.randrange(256) for _ in range(length)) + body[place + length :]
    if roll < 0.75:
        return body[:place] + body[place + length :]
    return body[:place] + body[place : place + 40] + body[place:]


def mutated_stream(body: bytes, chance: random.Random) -> bytes:
    events = [event for event in sse.Decoder().feed(body) if event.data]
    place = chance.randrange(len(events))
    try:
        changed = json.dumps(mutated(json.loads(events[place].data), chance)).encode()
    except json.JSONDecodeError:
        changed = b"[DONE]"
    pieces = [event.raw for event in events]
    pieces[place] = sse.event(changed, name=events[place].name)
    return b"".join(pieces)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_ten_thousand_mutated_replies(seed):
    chance = random.Random(seed)
    for _ in range(1000):
        exchange = chance.choice(REPLIES)
        if exchange.is_stream:
            body = exchange.body[:20_000]
            take_stream(exchange.dialect, chance.choice([mutated_stream, scrambled])(body, chance))
        elif chance.random() < 0.7:
            take_reply(exchange.dialect, json.dumps(mutated(json.loads(exchange.body), chance)).encode())
        else:
            take_reply(exchange.dialect, scrambled(exchange.body, chance))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_five_thousand_mutated_requests(seed):
    chance = random.Random(seed)
    accepted = 0
    for _ in range(1000):
        exchange = chance.choice(REQUESTS)
        if chance.random() < 0.8:
            source = {"model": "m", **exchange.request}
            for _ in range(chance.randrange(1, 4)):
                source = mutated(source, chance)
            body = json.dumps(source).encode()
        else:
            body = scrambled(json.dumps(exchange.request).encode(), chance)
        accepted += take_request(exchange.dialect, body) is not None
    assert accepted > 100


@given(st.sampled_from(sorted(DIALECTS)), st.binary(max_size=300))
def test_any_bytes_as_a_request(name, body):
    assert take_request(name, body) is None


@given(st.sampled_from(sorted(DIALECTS)), st.binary(max_size=300))
def test_any_bytes_as_a_reply(name, body):
    take_reply(name, body)
    take_stream(name, b"data: " + body + b"\n\n")


@given(st.sampled_from(sorted(DIALECTS)), st.integers(400, 599), st.binary(max_size=300))
def test_any_bytes_as_an_error(name, status, body):
    assert DIALECTS[name].read_error(status, {"retry-after": "soon"}, body).status == status


MEMBERS = """error code message type details param metadata raw reason status violations quotaId retryDelay choices
delta content tool_calls index function name arguments id finish_reason usage output item text role candidates parts
functionCall args finishReason thoughtSignature stop_reason response annotations""".split()  # noqa: SIM905
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(MEMBERS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=200)
@given(st.sampled_from(sorted(DIALECTS)), JSON)
def test_any_json_from_a_provider(name, source):
    body = json.dumps(source).encode()
    answer = DIALECTS[name].read_error(429, {}, body)
    assert answer.retry_after_s is None or answer.retry_after_s >= 0
    take_reply(name, body)
    take_stream(name, b"event: x\ndata: " + body + b"\n\ndata: " + body + b"\n\n")


@given(st.sampled_from(sorted(ONE_SHOTS)), JSON)
def test_any_json_as_a_one_shot_request(kind, source):
    body = json.dumps({"model": "m", "input": source, "documents": source, "query": "q"}).encode()
    try:
        read_request(kind, body)
    except Refused as refused:
        assert refused.status == 400
    try:
        read_tally(body)
    except UpstreamMalformed:
        return
