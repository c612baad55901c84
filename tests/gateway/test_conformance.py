"""One table, generated from the addresses: the same work gives the same answer and the same charge at every front door,
at both doors, streamed and whole; and no address reaches a provider without a charge or an explicit free rule.

An address that is new joins the table by existing: without a line in ``WORK`` or ``LOOKS`` the first test fails.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from django.urls import URLPattern

from billing.models import Hold
from gateway.doorway import FRONTS, VERBS
from gateway.fair_billing import Rule
from gateway.models import Attempt, Departure
from gateway.urls import urlpatterns
from tests.gateway.house import CANONICAL, EXPRESS, House, opened

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.filterwarnings("ignore::ResourceWarning")]

LIMIT = 20  # every answer is longer: so the same work is the same number of tokens whatever the words were
HELLO = [{"role": "user", "content": "Say hello"}]
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "Say hello"}]}]}
LIMITED = {**CONTENTS, "generationConfig": {"maxOutputTokens": LIMIT}}
CHAT = {"model": "sandbox-standard", "messages": HELLO, "max_tokens": LIMIT}
TEXT = "This is the sandbox"


@dataclass(frozen=True)
class Work:
    """What is asked at an address: the body, and how a stream is asked for, if it can be."""

    path: str
    body: dict[str, Any]
    same_as: str = ""  # doors whose answers say the same words and cost the same
    streams: bool = False
    rule: str = "used"


# The address as the URL list writes it -> the work done there.
WORK: dict[str, Work] = {
    "v1/chat/completions": Work("/v1/chat/completions", CHAT, "talk", streams=True),
    "v1/chat": Work("/v1/chat", CHAT, "talk", streams=True),
    "ai-proxy/v1/chat/completions": Work("/ai-proxy/v1/chat/completions", CHAT, "talk", streams=True),
    "v1/completions": Work(
        "/v1/completions",
        {"model": "sandbox-standard", "prompt": "Say hello", "max_tokens": LIMIT},
        "completion",
        streams=True,
    ),
    "v1/responses": Work(
        "/v1/responses",
        {"model": "sandbox-standard", "input": "Say hello", "max_output_tokens": LIMIT},
        "talk",
        streams=True,
    ),
    "v1/messages": Work("/v1/messages", CHAT, "talk", streams=True),
    "generateContent": Work("/v1beta/models/sandbox-standard:generateContent", LIMITED, "talk"),
    "streamGenerateContent": Work("/v1beta/models/sandbox-standard:streamGenerateContent", LIMITED, "talk"),
    "v1/embeddings": Work("/v1/embeddings", {"model": "sandbox-embedding", "input": "A text."}, "embedding"),
    "embedContent": Work(
        "/v1beta/models/sandbox-embedding:embedContent", {"content": {"parts": [{"text": "A text."}]}}, "embedding"
    ),
    "batchEmbedContents": Work(
        "/v1beta/models/sandbox-embedding:batchEmbedContents",
        {"requests": [{"model": "models/sandbox-embedding", "content": {"parts": [{"text": "A text."}]}}]},
        "embedding",
    ),
    "v1/moderations": Work("/v1/moderations", {"input": "A text."}),
    "v1/rerank": Work("/v1/rerank", {"model": "sandbox-rerank", "query": "a fox", "documents": ["a fox", "an owl"]}),
    "v1/messages/count_tokens": Work(
        "/v1/messages/count_tokens", {"model": "sandbox-standard", "messages": HELLO}, rule=Rule.COUNTING_IS_FREE
    ),
    "countTokens": Work("/v1beta/models/sandbox-standard:countTokens", CONTENTS, rule=Rule.COUNTING_IS_FREE),
}
# Addresses where nothing is sent anywhere; the method, and what a well-meant request carries.
LOOKS: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "v1/quote": ("POST", "/v1/quote", CHAT),
    "v1/models": ("GET", "/v1/models", None),
    "v1/models/<path:model_id>": ("GET", "/v1/models/sandbox-standard", None),
    "v1beta/models": ("GET", "/v1beta/models", None),
    "v1beta/models/<path:model_id>": ("GET", "/v1beta/models/sandbox-standard", None),
    "ai-proxy/v1/models": ("GET", "/ai-proxy/v1/models", None),
    "models/simple": ("GET", "/models/simple", None),
    "v1/balance": ("GET", "/v1/balance", None),
    "v1/register": ("POST", "/v1/register", {"email": "new@example.com"}),
    "ai-proxy/": ("GET", "/ai-proxy/", None),
    "ai-proxy/v1/auth": ("GET", "/ai-proxy/v1/auth", None),
    "user/balance": ("GET", "/user/balance", None),
    "user/monitor": ("GET", "/user/monitor", None),
    "user/limit": ("GET", "/user/limit", None),
    "admin/create_user": ("POST", "/admin/create_user", {"email": "other@example.com"}),
    "admin/add_credits": ("POST", "/admin/add_credits", {"api_key": "key_none", "credits": 1}),
    "admin/balance": ("GET", "/admin/balance", None),
    "admin/monitor": ("GET", "/admin/monitor", None),
    "admin/limit": ("POST", "/admin/limit", {"api_key": "key_none", "rate_limits": {}}),
    **{
        f"{prefix}/<path:path>": ("POST", f"/{prefix}/nothing/here", CHAT)
        for prefix in ("v1", "v1beta", "ai-proxy", "user", "models")
    },
}
# What differs between two calls or two doors by nature; everything else is the same, byte for byte.
OF_THE_CALL = {"x-call-id", "x-request-id", "date", "server", "transfer-encoding", "content-length"}
OF_DJANGO = {
    *("x-frame-options", "vary", "content-security-policy", "referrer-policy", "cross-origin-opener-policy"),
    "strict-transport-security",
}


def addresses() -> Iterator[str]:
    for entry in urlpatterns:
        assert isinstance(entry, URLPattern)
        written = str(entry.pattern)
        verb = re.search(r":(\w+)\$$", written)
        yield verb[1] if verb else written


def test_every_address_has_a_line_and_every_front_an_address():
    assert set(addresses()) == set(WORK) | set(LOOKS)
    assert {f"/{name}" for name in WORK if "/" in name} | {"/v1/quote"} == set(FRONTS)
    assert {name for name in WORK if "/" not in name} == set(VERBS)


@pytest.fixture(params=[EXPRESS, CANONICAL])
def house(request) -> Iterator[House]:
    with opened(request.param) as opened_house:
        yield opened_house


def plain(answer: httpx.Response) -> str:
    """An answer without what is new in every call: ids and times."""
    text = re.sub(r"[0-9a-f]{8}0000[0-9a-f]{6,}", "ID", answer.text)
    text = re.sub(r'"(created|created_at|completed_at)":\d+', r'"\1":0', text)
    return re.sub(r'"(obfuscation|responseId)":"[^"]*"', r'"\1":""', text)


def headers(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in OF_THE_CALL | OF_DJANGO}


def variants(work: Work) -> Iterator[tuple[str, dict[str, Any]]]:
    yield work.path, work.body
    if work.streams:
        yield work.path, {**work.body, "stream": True}
    if "streamGenerate" in work.path:
        yield f"{work.path}?alt=sse", work.body


def test_the_table(capsys):
    """The whole table at both doors; told as it was found."""
    lines: dict[str, list[tuple[str, str, dict[str, str], tuple[Any, ...]]]] = {}
    for door in (EXPRESS, CANONICAL):
        with opened(door) as house:
            _warm(house)
            for name, work in WORK.items():
                lines.setdefault(name, []).extend(_done(house, door, work))
    shown = []
    for name, found in lines.items():
        express = [line for line in found if line[0] == EXPRESS]
        canonical = [line for line in found if line[0] == CANONICAL]
        for (_, said, told, row), (_, other_said, other_told, other_row) in zip(express, canonical, strict=True):
            assert said == other_said, name
            assert told == other_told, name
            assert row == other_row, name
        whole, *streamed = express
        if WORK[name].same_as:
            assert all(line[3][1:] == whole[3][1:] for line in streamed), name
        shown.append(f"  {name:30} {whole[3][1]:>10} nano-USD, {len(express)} ways, {WORK[name].rule}")
    for group in {work.same_as for work in WORK.values()} - {""}:
        prices = {name: lines[name][0][3][1] for name, work in WORK.items() if work.same_as == group}
        assert len(set(prices.values())) == 1, (group, prices)
    with capsys.disabled():
        print("\nthe conformance table: both doors say and charge the same\n" + "\n".join(shown))  # noqa: T201 - the proof


def _warm(house: House) -> None:
    """The sandbox remembers prompts it has seen: each is asked once before it is compared, so all find it warm."""
    for work in WORK.values():
        for path, body in variants(work):
            assert house.post(path, body).status_code == 200, path


def _done(house: House, door: str, work: Work) -> Iterator[tuple[str, str, dict[str, str], tuple[Any, ...]]]:
    for path, body in variants(work):
        before = len(house.calls())
        answer = house.post(path, body)
        assert answer.status_code == 200, (path, answer.text)
        call = house.settled(before + 1)[before]
        hold = Hold.unscoped.get(pk=call.pk)
        assert call.billing_rule == work.rule, path
        assert (hold.charged_nano or 0) == call.price_nano, path
        assert call.price_nano <= call.hold_nano, path
        assert (
            Departure.unscoped.filter(call_id=call.pk).count() == 1 == Attempt.unscoped.filter(call_id=call.pk).count()
        )
        free = work.rule != "used" or call.model_asked == "sandbox-moderation"
        assert (call.price_nano == 0) == free, f"{path} reached a provider without a charge or a free rule"
        row = (call.streamed, call.price_nano, call.cost_nano, call.usage, call.usage_source, call.state)
        yield door, plain(answer), headers(answer), row


def test_what_only_looks_reaches_nobody(shared_house):
    for method, path, body in LOOKS.values():
        answer = shared_house.ask(method, path, body)
        assert answer.status_code < 500, answer.text
    assert not Departure.unscoped.exists()
    assert not Hold.unscoped.exists()


def test_a_body_without_end_is_cut_off(house):
    """Sent in pieces and without a length: 413 at either door, whatever is still to come."""

    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 1024 * 1024

    for path in ("/v1/messages", "/v1/embeddings", "/admin/limit"):
        try:
            answer = house.client.post(path, content=pieces(), headers={"authorization": f"Bearer {house.secret}"})
        except httpx.TransportError:  # the server may hang up on whoever goes on sending
            continue
        assert answer.status_code in {413, 403}, path


@pytest.fixture
def shared_house() -> Iterator[House]:
    with opened() as house:
        yield house


# --- Bad input, at every door ---------------------------------------------------------------------------------------

DEEP = b'{"model":"sandbox-standard","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
BAD_BODIES: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{model",
    "a list": b"[]",
    "text": b'"hello"',
    "a duplicate key": b'{"model":"sandbox-standard","model":"x","input":"a","messages":[]}',
    "a duplicate key inside": b'{"model":"sandbox-standard","messages":[{"role":"user","role":"x","content":"a"}]}',
    "NaN": b'{"model":"sandbox-standard","messages":[],"temperature":NaN}',
    "infinity": b'{"model":"sandbox-standard","messages":[],"temperature":1e999}',
    "a nesting bomb": DEEP,
    "a giant integer": b'{"model":"sandbox-standard","messages":[],"max_tokens":' + b"9" * 5000 + b"}",
    "invalid UTF-8": b'{"model":"\xff\xfe"}',
    "a lone surrogate": b'{"model":"\\ud800","input":"a","messages":[]}',
    "UTF-16": '{"model":"sandbox-standard"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"model":"sandbox-standard"}',
    "null everywhere": b'{"model":null,"messages":null,"input":null,"contents":null,"prompt":null,"query":null}',
    "wrong types": b'{"model":1,"messages":{},"input":{},"contents":"x","prompt":{},"query":[],"documents":1,'
    b'"requests":1,"content":3}',
    "a chosen address": b'{"model":"sandbox-standard","messages":[],"base_url":"http://169.254.169.254/","input":"a"}',
    "a NUL in the model": b'{"model":"sandbox\\u0000standard","messages":[{"role":"user","content":"a"}],"input":"a"}',
    "a CRLF in the model": b'{"model":"a\\r\\nx-injected: 1","messages":[{"role":"user","content":"a"}],"input":"a"}',
}


def shaped(answer: httpx.Response, path: str) -> bool:
    """Whether the error has the shape of its dialect."""
    body = answer.json()
    error = body["error"]
    if path.startswith("/v1/messages"):
        return body["type"] == "error" and set(error) == {"type", "message"}
    if re.search(r":(generate|stream|count|embed|batch)\w*\Z", path.partition("?")[0]) or path.startswith("/v1beta/"):
        return set(error) == {"code", "message", "status"} and error["code"] == answer.status_code
    return set(error) == {"message", "type", "param", "code"}


def test_bad_bodies_are_refused_in_the_doors_own_words(house):
    for work in [*WORK.values(), Work("/v1/quote", CHAT)]:
        for what, body in BAD_BODIES.items():
            answer = house.post(work.path, body)
            where = f"{what} at {work.path}: {answer.status_code} {answer.text[:200]}"
            assert answer.status_code in {400, 404}, where
            assert answer.headers["content-type"] == "application/json", where
            assert shaped(answer, work.path), where
            assert answer.json()["error"]["message"], where
    assert not Departure.unscoped.exists()
    assert not Hold.unscoped.exists()


ODD_NUMBERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/v1/chat/completions", {**CHAT, "n": 99_999}),
    ("/v1/chat/completions", {**CHAT, "n": 0}),
    ("/v1/chat/completions", {**CHAT, "n": -1}),
    ("/v1/chat/completions", {**CHAT, "max_tokens": 0}),
    ("/v1/chat/completions", {**CHAT, "max_tokens": -5}),
    ("/v1/chat/completions", {**CHAT, "max_tokens": 1.5}),
    ("/v1/chat/completions", {**CHAT, "stream": "true"}),
    ("/v1/messages", {**CHAT, "max_tokens": 0}),
    ("/v1/responses", {"model": "sandbox-standard", "input": "a", "max_output_tokens": 0}),
    (WORK["generateContent"].path, {**CONTENTS, "generationConfig": {"candidateCount": 99_999}}),
    (WORK["generateContent"].path, {**CONTENTS, "generationConfig": {"maxOutputTokens": -1}}),
    ("/v1/rerank", {"model": "sandbox-rerank", "query": "a", "documents": ["b"], "top_n": -1}),
    ("/v1/embeddings", {"model": "sandbox-embedding", "input": []}),
)


def test_numbers_out_of_range_are_the_senders_to_mend(house):
    for path, body in ODD_NUMBERS:
        for asked in (path, f"/v1/quote?for={path}"):
            answer = house.post(asked, body)
            assert answer.status_code == 400, (asked, body, answer.status_code, answer.text[:200])
            assert shaped(answer, asked), asked
    assert not [call for call in house.calls() if call.price_nano]


def test_framing_methods_and_odd_paths(house):
    chat = json.dumps(CHAT).encode()
    odd = [
        ("POST", "/v1/chat/completions", chat, {"content-encoding": "gzip"}, 415),
        ("POST", "/v1/chat/completions", chat, {"content-encoding": "zstd"}, 415),
        ("POST", "/v1/messages", b" " * (33 * 1024 * 1024), {}, 413),
        ("GET", "/v1/chat/completions", b"", {}, 405),
        ("DELETE", "/v1/messages", b"", {}, 405),
        ("PUT", "/v1beta/models/sandbox-standard:generateContent", b"{}", {}, 405),
        ("POST", "/v1/models", chat, {}, 405),
        ("POST", "/v1/chat/completions/", chat, {}, 404),
        ("POST", "/v1//chat/completions", chat, {}, 404),
        ("POST", "/v1/chat/../chat/completions", chat, {}, None),
        ("POST", "/v1beta/models/sandbox-standard:deleteEverything", b"{}", {}, 405),
        ("POST", "/v1beta/models/:generateContent", b"{}", {}, 405),
        ("POST", "/v1/audio/speech", b"{}", {}, 404),
        ("POST", "/v1/images/generations", b"{}", {}, 404),
        ("GET", "/v1/realtime", b"", {}, 404),
        ("POST", "/v1/tts", b"{}", {}, 404),
        ("POST", "/v1/music", b"{}", {}, 404),
        ("POST", "/v1/chat/completions", chat, {"authorization": ""}, 422),
        ("POST", "/v1/chat/completions", chat, {"authorization": "Bearer sk-nonsense"}, 401),
        ("POST", "/v1/chat/completions?api_key=sk-x", chat, {}, 400),
        ("POST", "/v1/chat/completions", chat, {"host": "evil.example"}, 421),
        ("GET", "/v1/models", b"", {"authorization": ""}, 422),
        ("GET", "/user/balance", b"", {"authorization": "Bearer sk-nonsense"}, 401),
    ]
    for method, path, body, sent, status in odd:
        answer = house.ask(method, path, body or None, **sent)
        where = f"{method} {path} {sent}: {answer.status_code} {answer.text[:200]}"
        if status is not None:
            assert answer.status_code == status, where
        assert answer.status_code < 500, where
        if status not in {None, 421, 200}:
            assert shaped(answer, path), where
    assert all(call.billing_rule == "used" for call in house.calls())


def test_a_key_is_read_from_each_of_the_three_headers(shared_house):
    for name in ("authorization", "x-api-key", "x-goog-api-key"):
        secret = f"Bearer {shared_house.secret}" if name == "authorization" else shared_house.secret
        sent = {"authorization": "", name: secret}
        assert shared_house.post("/v1/chat/completions", CHAT, **sent).status_code == 200
        assert shared_house.ask("GET", "/v1/models", **sent).status_code == 200


def test_a_stream_without_alt_is_one_array_and_says_the_same(house):
    path = WORK["streamGenerateContent"].path
    array = house.post(path, LIMITED).json()
    events = house.post(f"{path}?alt=sse", LIMITED).text
    told = [json.loads(line.removeprefix("data: ")) for line in events.splitlines() if line.startswith("data: ")]

    def words(chunks: list[dict[str, Any]]) -> str:
        return "".join(part.get("text", "") for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"])

    assert words(array) == words(told)
    assert TEXT in words(array)
