"""What we write is what the vendors' own clients expect: every recorded answer, in every frame, through their types."""

import json

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from gateway.dialects import DIALECTS, sse
from gateway.dialects.heading import Heading
from gateway.dialects.neutral import Broke, CallStarted, Untold
from gateway.errors import InsufficientCredits
from tests.gateway.test_dialect_recordings import ANSWERS, events_of, named
from tests.gateway.test_dialect_streams import EVENTS

HEADING = Heading(model="shop-model", created=1_763_000_000)
WHOLE = {
    "openai_chat": TypeAdapter(ChatCompletion),
    "openai_completions": TypeAdapter(Completion),
    "openai_responses": TypeAdapter(Response),
    "anthropic_messages": TypeAdapter(Message),
}
PIECES = {
    "openai_chat": TypeAdapter(ChatCompletionChunk),
    "openai_responses": TypeAdapter(ResponseStreamEvent),
    "anthropic_messages": TypeAdapter(RawMessageStreamEvent),
}


def validate_whole(name, events):
    WHOLE[name].validate_python(json.loads(DIALECTS[name].write_reply(events, HEADING)))


def validate_pieces(name, events):
    writer = DIALECTS[name].EventWriter(HEADING)
    received = sse.Decoder().feed(b"".join(writer.write(event) for event in events))
    assert received
    for event in received:
        if not event.is_done:
            PIECES[name].validate_python(json.loads(event.data))


@pytest.mark.parametrize("name", sorted(PIECES))
def test_thoughts_words_and_calls(name):
    validate_whole(name, EVENTS)
    validate_pieces(name, EVENTS)


@pytest.mark.slow
@named([exchange for exchange in ANSWERS if "cachedContents" not in exchange.url])
@pytest.mark.parametrize("name", sorted(WHOLE))
def test_recorded_answers(exchange, name):
    events = events_of(exchange)
    if any(isinstance(event, Broke | Untold) for event in events):
        return
    if name == "openai_completions" and any(isinstance(event, CallStarted) for event in events):
        return
    validate_whole(name, events)
    if name in {"openai_chat", "anthropic_messages"}:  # legacy pieces fit no type of OpenAI's; Responses' union is slow
        validate_pieces(name, events)


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_an_error_has_the_shape_the_clients_read(name):
    source = json.loads(DIALECTS[name].write_error(InsufficientCredits("Top up first."), request_id="req_1"))
    assert source["error"]["message"] == "Top up first."
