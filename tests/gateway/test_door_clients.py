"""Real clients at both doors: what their kits send beside conversations, their own types, and their own errors."""

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest
from django.utils import timezone

from accounts import keys, trail
from gateway.models.calls import CallState
from tests.gateway.house import CANONICAL, EXPRESS, House, opened

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.filterwarnings("ignore::ResourceWarning")]
HELLO: Any = [{"role": "user", "content": "Say hello"}]


@pytest.fixture(params=[EXPRESS, CANONICAL])
def house(request: Any) -> Iterator[House]:
    with opened(request.param) as opened_house:
        yield opened_house


def test_openais_kit(house):
    with openai.OpenAI(base_url=f"{house.base}/v1", api_key=house.secret, max_retries=0) as client:
        chat = client.chat.completions.create(model="sandbox-standard", messages=HELLO, max_tokens=20)
        assert chat.usage is not None
        assert chat.usage.completion_tokens == 20
        stream = client.chat.completions.create(model="sandbox-standard", messages=HELLO, max_tokens=20, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == chat.choices[0].message.content
        said = client.responses.create(model="sandbox-standard", input="Say hello", max_output_tokens=20)
        assert said.output_text
        vectors = client.embeddings.create(model="sandbox-embedding", input=["one", "two"])  # base64 on the wire
        assert [len(item.embedding) for item in vectors.data] == [256, 256]
        assert client.moderations.create(input="[flag:violence]").results[0].flagged
        assert "sandbox-standard" in [model.id for model in client.models.list()]
        assert client.models.retrieve("sandbox-standard").id == "sandbox-standard"
        with pytest.raises(openai.NotFoundError) as lost:
            client.models.retrieve("open/weights:free")
        assert lost.value.code == "model_not_found"
        with pytest.raises(openai.NotFoundError):
            client.images.generate(model="sandbox-standard", prompt="A fox")
        with pytest.raises(openai.BadRequestError) as wrong:
            client.embeddings.create(model="sandbox-standard", input="one")
        assert wrong.value.param == "model"
    with (
        openai.OpenAI(base_url=f"{house.base}/v1", api_key="sk-wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.models.list()


def test_anthropics_kit(house):
    with anthropic.Anthropic(base_url=house.base, api_key=house.secret, max_retries=0) as client:
        answer = client.messages.create(model="sandbox-standard", messages=HELLO, max_tokens=20)
        assert answer.usage.output_tokens == 20
        with client.messages.stream(model="sandbox-standard", messages=HELLO, max_tokens=20) as stream:
            assert stream.get_final_text() == answer.content[0].text
        counted = client.messages.count_tokens(model="sandbox-standard", messages=HELLO)
        assert counted.input_tokens == answer.usage.input_tokens
        listed = [model.id for model in client.models.list(limit=1)]
        assert listed == ["sandbox-mini", "sandbox-reasoning", "sandbox-standard"]
        assert client.models.retrieve("sandbox-standard").display_name == "Sandbox Standard"
        with pytest.raises(anthropic.NotFoundError):
            client.messages.create(model="nope", messages=HELLO, max_tokens=20)
        assert httpx.head(house.base + "/", timeout=5).status_code == 200  # the coding agent looks whether we are there
    with (
        anthropic.Anthropic(base_url=house.base, api_key="sk-wrong", max_retries=0) as stranger,
        pytest.raises(anthropic.AuthenticationError),
    ):
        stranger.messages.create(model="sandbox-standard", messages=HELLO, max_tokens=20)


def test_a_reader_who_leaves_is_charged_what_the_provider_counted(house):
    body = {"model": "sandbox-standard", "messages": HELLO, "stream": True}
    with house.client.stream(
        "POST", "/v1/chat/completions", json=body, headers={"authorization": f"Bearer {house.secret}"}
    ) as answer:
        next(answer.iter_bytes())
    [call] = house.settled(1)
    assert call.status == 499 or call.state == CallState.DONE
    assert call.usage_source == "reported"
    assert call.price_nano > 0


def test_a_page_of_a_known_origin_may_read_and_no_other(house, settings):
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.com"]
    body = {"model": "sandbox-standard", "messages": HELLO, "max_tokens": 20}
    known = house.post("/v1/chat/completions", body, origin="https://app.example.com")
    assert known.headers["access-control-allow-origin"] == "https://app.example.com"
    assert "x-charge-usd" in known.headers["access-control-expose-headers"]
    assert "origin" in known.headers["vary"].lower()
    other = house.post("/v1/chat/completions", body, origin="https://evil.example")
    assert "access-control-allow-origin" not in other.headers
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization, x-api-key"}
    preflight = house.ask(
        "OPTIONS", "/v1/chat/completions", origin="https://app.example.com", authorization="", **asked
    )
    assert preflight.status_code == 200
    assert "x-api-key" in preflight.headers["access-control-allow-headers"]


def test_a_revoked_key_reads_nothing_more(house):
    asks = {"model": "sandbox-standard", "messages": HELLO}
    assert house.ask("GET", "/v1/balance").status_code == 200
    assert house.post("/v1/quote", asks).status_code == 200
    keys.revoke(house.key, now=timezone.now(), source=trail.SYSTEM)
    for path in ("/v1/models", "/v1/balance", "/user/monitor"):
        assert house.ask("GET", path).status_code == 401, path
    for path in ("/v1/quote", "/v1/messages/count_tokens"):
        assert house.post(path, asks).status_code == 401, path
    assert house.post("/v1/embeddings", {"model": "sandbox-embedding", "input": "a"}).status_code == 401
