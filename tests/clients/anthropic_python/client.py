"""Anthropic's own SDK for Python, which speaks the newer of its two versions."""

import json

import anthropic
from cases import (
    BASE_URL,
    CHAT,
    EMPTY_KEY,
    IMAGE,
    IMAGE_TOKENS,
    KEY,
    THINKING,
    UNKNOWN,
    WEATHER,
    WRONG_KEY,
    case,
    check,
    refused,
    run,
    saw,
)

client = anthropic.Anthropic(base_url=BASE_URL, api_key=KEY, max_retries=0)
TOOLS = [{"name": "get_weather", "description": "The weather", "input_schema": WEATHER}]


def said(words, **more):
    return {"model": CHAT, "max_tokens": 200, "messages": [{"role": "user", "content": words}], **more}


def counted(answer, headers=None):
    usage = answer.usage
    cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    saw(usage.input_tokens + cached, usage.output_tokens, headers=headers)


@case("chat")
def chat():
    raw = client.messages.with_raw_response.create(**said("Say hello", system="Be brief"))
    answer = raw.parse()
    check(answer.content[0].text and answer.model == CHAT and answer.stop_reason == "end_turn", answer)
    counted(answer, raw.headers)


@case("stream")
def stream():
    with client.messages.stream(**said("Count")) as events:
        text = "".join(events.text_stream)
        final = events.get_final_message()
    check(text.startswith("This is the sandbox") and final.content[0].text == text, final)
    counted(final)


@case("tool")
def tool():
    question = said("Use the tool get_weather", tools=TOOLS)
    answer = client.messages.create(**question)
    call = next(block for block in answer.content if block.type == "tool_use")
    check(answer.stop_reason == "tool_use" and set(call.input) == {"city", "days"}, answer)
    counted(answer)
    turns = [
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in answer.content]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}]},
    ]
    after = client.messages.create(**{**question, "messages": [*question["messages"], *turns]})
    check(after.content[0].text, after)
    counted(after)


@case("tools in parallel")
def parallel():
    with client.messages.stream(**said("Use the tool get_weather, in parallel", tools=TOOLS)) as events:
        final = events.get_final_message()
    check(len([block for block in final.content if block.type == "tool_use" and block.input]) == 2, final)
    counted(final)


@case("structured output")
def structured():
    shape = {"format": {"type": "json_schema", "schema": WEATHER}}
    answer = client.messages.create(**said("The weather", output_config=shape))
    check(set(json.loads(answer.content[0].text)) == {"city", "days"}, answer)
    counted(answer)


@case("image")
def image():
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": IMAGE}}
    answer = client.messages.create(**said([picture, {"type": "text", "text": "What is it?"}]))
    check(answer.usage.input_tokens > IMAGE_TOKENS, answer.usage)
    counted(answer)


@case("thinking")
def thinking():
    answer = client.messages.create(**said("Why?", model=THINKING, max_tokens=3000, thinking={"type": "adaptive"}))
    check(answer.content[0].type == "thinking" and answer.content[0].signature, answer)
    counted(answer)


@case("count tokens")
def count_tokens():
    question = said("Say hello")
    del question["max_tokens"]
    check(client.messages.count_tokens(**question).input_tokens > 0)


@case("models")
def models():
    check(CHAT in {model.id for model in client.models.list()})


@case("wrong key")
def wrong_key():
    other = client.with_options(api_key=WRONG_KEY)
    refused(lambda: other.messages.create(**said("Hello")), anthropic.AuthenticationError, 401)


@case("empty balance")
def empty_balance():
    other = client.with_options(api_key=EMPTY_KEY)
    refused(lambda: other.messages.create(**said("Hello")), anthropic.APIStatusError, 402)


@case("unknown model")
def unknown_model():
    refused(lambda: client.messages.create(**said("Hello", model=UNKNOWN)), anthropic.NotFoundError, 404)


run("anthropic")
