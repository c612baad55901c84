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
CANARIES = (KEY, SUPPLIER, "canary balance", COST, "ratio", "markup", "multiplier")
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


@pytest.fixture
def supplier():
    """A provider that says back what it should not: ``/400/v1/...`` answers as ``ANSWERS`` says."""
    loop, ready, found = asyncio.new_event_loop(), threading.Event(), []

    async def converse(reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lengths = [line[15:] for line in head.split(b"\r\n") if line.lower()[:15] == b"content-length:"]
            await reader.readexactly(int(lengths[0]))
            status, answer = ANSWERS[head.split(b"/", 2)[1].decode()]
            body = json.dumps(answer).encode()
            start = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\ncontent-type: application/json\r\n"
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
def test_nothing_of_ours_is_in_any_byte_a_customer_gets_or_a_log_keeps(supplier, caplog):
    said = []
    with open_house() as house, caplog.at_level(logging.DEBUG):
        rates = [{"direction": name, "price": COST} for name in ("input", "output")]
        for name in ANSWERS:
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
        for name in ANSWERS:
            chat = {"model": f"m-{name}", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 20}
            for streamed in (False, True):
                for path in ("/v1/chat/completions", "/v1/messages"):
                    answer = house.post(path, {**chat, "stream": streamed})
                    said.append(f"{answer.status_code} {answer.headers} {answer.text}")
        _, manager = factories.make_key(house.organization, kind="management", scopes=["billing:read"])
        headers = {"authorization": f"Bearer {manager}"}
        calls = f"{house.base}/api/v1/organizations/{house.organization.public_id}/calls"
        addresses = [calls, *(f"{calls}/{call.pk}/receipt" for call in Call.unscoped.all())]
        for address in addresses:
            answer = httpx.get(address, headers=headers, timeout=20)
            assert answer.status_code == 200
            said.append(answer.text)
    assert len(said) > 40
    assert any(text.startswith("200") for text in said)
    whole = "\n".join(said).lower()
    assert [canary for canary in CANARIES if canary.lower() in whole] == []
    assert [record.getMessage() for record in caplog.records if KEY in record.getMessage()] == []
