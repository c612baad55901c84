"""LiteLLM as a library: OpenAI's words by chat, Anthropic's by messages."""

import json

import litellm
from cases import (
    BASE_URL,
    CHAT,
    EMBEDDING,
    EMPTY_KEY,
    IMAGE,
    IMAGE_TOKENS,
    KEY,
    UNKNOWN,
    WEATHER,
    WRONG_KEY,
    case,
    check,
    refused,
    run,
    saw,
)

TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}]
FORMAT = {"type": "json_schema", "json_schema": {"name": "weather", "strict": True, "schema": WEATHER}}
PICTURE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}}


def said(words, *, model=f"openai/{CHAT}", key=KEY, base=f"{BASE_URL}/v1", **more):
    messages = [{"role": "user", "content": words}] if isinstance(words, str) or "role" not in words[0] else words
    return litellm.completion(
        model=model, messages=messages, api_base=base, api_key=key, max_tokens=200, num_retries=0, max_retries=0, **more
    )


def counted(answer):
    saw(answer.usage.prompt_tokens, answer.usage.completion_tokens)


@case("chat")
def chat():
    answer = said("Say hello")
    check(answer.choices[0].message.content.startswith("This is the sandbox"), answer)
    counted(answer)


@case("stream")
def stream():
    chunks = list(said("Count", stream=True, stream_options={"include_usage": True}))
    whole = litellm.stream_chunk_builder(chunks)
    check(whole.choices[0].message.content.startswith("This is the sandbox"), whole)
    counted(whole)


@case("tool")
def tool():
    answer = said("Use the tool get_weather", tools=TOOLS)
    call = answer.choices[0].message.tool_calls[0]
    check(set(json.loads(call.function.arguments)) == {"city", "days"}, answer)
    counted(answer)
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    question = {"role": "user", "content": "Use the tool get_weather"}
    after = said([question, answer.choices[0].message.model_dump(exclude_none=True), result], tools=TOOLS)
    check(after.choices[0].message.content, after)


@case("tools in parallel")
def parallel():
    answer = said("Use the tool get_weather, in parallel", tools=TOOLS)
    check(len(answer.choices[0].message.tool_calls) == 2, answer)
    counted(answer)


@case("structured output")
def structured():
    answer = said("The weather", response_format=FORMAT)
    check(set(json.loads(answer.choices[0].message.content)) == {"city", "days"}, answer)


@case("image")
def image():
    answer = said([{"type": "text", "text": "What is it?"}, PICTURE])
    check(answer.usage.prompt_tokens > IMAGE_TOKENS, answer.usage)
    counted(answer)


@case("embeddings")
def embeddings():
    where = {"api_base": f"{BASE_URL}/v1", "api_key": KEY}
    answer = litellm.embedding(
        model=f"openai/{EMBEDDING}", input=["one text", "another"], encoding_format="float", **where
    )
    check(len(answer.data) == 2, answer)


@case("messages")
def messages():
    claude = {"model": f"anthropic/{CHAT}", "base": BASE_URL}
    answer = said("Say hello", **claude)
    check(answer.choices[0].message.content.startswith("This is the sandbox"), answer)
    counted(answer)
    called = said("Use the tool get_weather", tools=TOOLS, **claude)
    check(called.choices[0].message.tool_calls[0].function.name == "get_weather", called)
    whole = litellm.stream_chunk_builder(list(said("Count", stream=True, **claude)))
    check(whole.choices[0].message.content, whole)
    refused(lambda: said("Hello", key=WRONG_KEY, **claude), litellm.AuthenticationError, 401)


@case("wrong key")
def wrong_key():
    refused(lambda: said("Hello", key=WRONG_KEY), litellm.AuthenticationError, 401)


@case("empty balance")
def empty_balance():
    refused(lambda: said("Hello", key=EMPTY_KEY), litellm.APIError, 402)


@case("unknown model")
def unknown_model():
    refused(lambda: said("Hello", model=f"openai/{UNKNOWN}"), litellm.NotFoundError, 404)


run("litellm", "openai")
