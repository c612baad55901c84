"""Our key, our supplier, our purchase price and our balance there never reach a customer or a log."""

import asyncio
import json
import logging
import threading

import httpx
import pytest
from django.utils import timezone

from accounts import trail
from billing import pricebook
from gateway.models import AIModel, Call, Credential, Provider, Route
from tests import factories
from tests.gateway.houses import open_house, until_seen

KEY, SUPPLIER, UPSTREAM = "sk-canary-upstream-key-0123456789", "canary-supplier", "canary-upstream-name"
BALANCE, COST = "$1234.56 canary balance", "7.770777"
CANARIES = (KEY, SUPPLIER, "canary balance", COST, 'ratio"', "_ratio", "markup", "multiplier")
ANSWERS = {
    "400": (400, {"error": {"message": f"Bad request for key {KEY}", "type": "invalid_request_error"}}),
    "401": (401, {"error": {"message": f"Incorrect API key provided: {KEY}.", "type": "invalid_request_error"}}),
    "402": (402, {"error": {"message": f"Your credit is too low: {BALANCE}", "type": "billing"}}),
    "429": (429, {"error": {"message": f"Limit of {SUPPLIER} for {KEY}", "type": "requests"}}),
    "500": (500, {"error": {"message": f"trace: {KEY} {SUPPLIER}", "type": "server_error"}}),
    "200": (
        200,
        {
            "id": "x",
            "object": "chat.completion",
            "created": 1,
            "model": UPSTREAM,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "cost": 7.770777},
        },
    ),
}
CHUNK = {
    "id": "x",
    "object": "chat.completion.chunk",
    "model": UPSTREAM,
    "choices": [{"index": 0, "delta": {"role": "assistant", "content": "hi"}, "finish_reason": None}],
}
END = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "cost": 7.770777}}
LATE = {"error": {"message": f"Incorrect API key provided: {KEY}; {BALANCE}", "type": "server_error", "code": 500}}
STREAMS = {"200": [CHUNK, CHUNK | END], "late": [CHUNK, LATE], "first": [LATE], "cut": [CHUNK]}
MESSAGES = [{"role": "user", "content": "hi"}]
DOORS = {
    "/v1/chat/completions": {"messages": MESSAGES, "max_tokens": 20},
    "/v1/chat": {"messages": MESSAGES, "max_tokens": 20},
    "/ai-proxy/v1/chat/completions": {"messages": MESSAGES, "max_tokens": 20},
    "/v1/completions": {"prompt": "hi", "max_tokens": 20},
    "/v1/responses": {"input": "hi", "max_output_tokens": 20},
    "/v1/messages": {"messages": MESSAGES, "max_tokens": 20},
    "/v1/messages/count_tokens": {"messages": MESSAGES},
    "/v1/embeddings": {"input": "hi"},
    "/v1/moderations": {"input": "hi"},
    "/v1/rerank": {"query": "hi", "documents": ["a", "b"]},
    "/v1/quote": {"messages": MESSAGES, "max_tokens": 20},
}
GEMINI = ("generateContent", "streamGenerateContent?alt=sse", "streamGenerateContent", "countTokens")
ALWAYS = {"/v1/chat/completions", "/v1/messages"}
SEEN = ("/v1/models", "/models/simple", "/v1/balance", "/user/balance", "/user/monitor", "/user/limit", "/health")


@pytest.fixture
def supplier():
    """A provider that says back what it should not: ``/400/v1/...`` answers as ``ANSWERS`` says."""
    loop, ready, found = asyncio.new_event_loop(), threading.Event(), []

    async def converse(reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lengths = [line[15:] for line in head.split(b"\r\n") if line.lower()[:15] == b"content-length:"]
            asked, name = await reader.readexactly(int(lengths[0])), head.split(b"/", 2)[1].decode()
            status, answer = ANSWERS.get(name, ANSWERS["200"])
            body, kind = json.dumps(answer).encode(), "application/json"
            if name in STREAMS and json.loads(asked).get("stream"):
                body = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in STREAMS[name])
                body, kind = body + b"data: [DONE]\n\n" * (name == "200"), "text/event-stream"
            start = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\ncontent-type: {kind}\r\n"
            writer.write((start + f"x-supplier-key: {KEY}\r\nconnection: close\r\n\r\n").encode() + body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def serve():
        server = await asyncio.start_server(converse, "127.0.0.1", 0)
        found.extend((server.sockets[0].getsockname()[1], server))
        ready.set()

    loop.create_task(serve())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    assert ready.wait(10)
    yield found[0]
    loop.call_soon_threadsafe(found[1].close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("express", [True, False])
def test_nothing_of_ours_is_in_any_byte_a_customer_gets_or_a_log_keeps(supplier, caplog, settings, express):
    settings.EXPRESS_DOOR = express
    said, names = [], [*ANSWERS, *(name for name in STREAMS if name not in ANSWERS)]
    with open_house() as house, caplog.at_level(logging.DEBUG):
        rates = [{"direction": name, "price": COST} for name in ("input", "output")]
        for name in names:
            base = f"http://127.0.0.1:{supplier}/{name}"
            provider = Provider.objects.create(
                slug=f"{SUPPLIER}-{name}", name=SUPPLIER, kind="sandbox", base_url=base, may_be_private=True
            )
            Credential.objects.create(provider=provider, secret=KEY)
            model = AIModel.objects.create(slug=f"m-{name}", name=f"m-{name}")
            Route.objects.create(model=model, provider=provider, upstream_model=UPSTREAM)
            card = {"provider": provider.slug, "model": UPSTREAM, "rates": rates}
            pricebook.publish_card(body=card, effective_from=timezone.now(), note="", source=trail.SYSTEM)
        until_seen(timezone.now())
        for name in names:
            asked = [(path, {"model": f"m-{name}", **body}) for path, body in DOORS.items()]
            asked += [
                (path, body | {"stream": True}) for path, body in asked if "max_tokens" in body or "input" in body
            ]
            contents = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
            asked += [(f"/v1beta/models/m-{name}:{verb}", contents) for verb in GEMINI]
            everywhere = name in {"400", "200", "late"}
            for path, body in asked if everywhere else [one for one in asked if one[0] in ALWAYS]:
                answer = house.post(path, body)
                said.append(f"{answer.status_code} {answer.headers} {answer.text}")
        sent = {"authorization": f"Bearer {house.secret}"}
        for path in SEEN:
            answer = httpx.get(house.base + path, headers=sent, timeout=20)
            assert answer.status_code == 200, path
            said.append(f"200 {answer.headers} {answer.text}")
        _, manager = factories.make_key(house.organization, kind="management", scopes=["billing:read"])
        headers = {"authorization": f"Bearer {manager}"}
        calls = f"{house.base}/api/v1/organizations/{house.organization.public_id}/calls"
        addresses = [calls, *(f"{calls}/{call.pk}/receipt" for call in Call.unscoped.all())]
        for address in addresses:
            answer = httpx.get(address, headers=headers, timeout=20)
            assert answer.status_code == 200
            said.append(answer.text)
    assert len(said) > 100
    assert sum(text.startswith("200") for text in said) > 40
    whole = "\n".join(said).lower()
    assert [canary for canary in CANARIES if canary.lower() in whole] == []
    assert [record.getMessage() for record in caplog.records if KEY in record.getMessage()] == []
