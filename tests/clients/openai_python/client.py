"""OpenAI's own SDK for Python: chat, responses, older completions and embeddings."""

import json

import openai
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

client = openai.OpenAI(base_url=f"{BASE_URL}/v1", api_key=KEY, max_retries=0)
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}]
FORMAT = {"type": "json_schema", "json_schema": {"name": "weather", "strict": True, "schema": WEATHER}}
PICTURE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}}


def said(words, **more):
    return {"model": CHAT, "messages": [{"role": "user", "content": words}], "max_tokens": 200, **more}


@case("chat")
def chat():
    raw = client.chat.completions.with_raw_response.create(**said("Say hello"))
    answer = raw.parse()
    check(answer.choices[0].message.content and answer.model == CHAT, answer)
    saw(answer.usage.prompt_tokens, answer.usage.completion_tokens, headers=raw.headers)


@case("stream")
def stream():
    chunks = list(client.chat.completions.create(**said("Count", stream=True, stream_options={"include_usage": True})))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    check(text.startswith("This is the sandbox") and chunks[-1].usage, chunks[-1])
    saw(chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens)
    quiet = list(client.chat.completions.create(**said("Count", stream=True)))
    check(all(chunk.choices and chunk.usage is None for chunk in quiet), quiet[-1])


@case("tool")
def tool():
    question = said("Use the tool get_weather", tools=TOOLS)
    answer = client.chat.completions.create(**question)
    saw(answer.usage.prompt_tokens, answer.usage.completion_tokens)
    call = answer.choices[0].message.tool_calls[0]
    check(
        answer.choices[0].finish_reason == "tool_calls"
        and set(json.loads(call.function.arguments)) == {"city", "days"},
        answer,
    )
    message = answer.choices[0].message.model_dump(exclude_none=True)
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    after = client.chat.completions.create(**{**question, "messages": [*question["messages"], message, result]})
    check(after.choices[0].message.content, after)
    saw(after.usage.prompt_tokens, after.usage.completion_tokens)


@case("tools in parallel")
def parallel():
    chunks = client.chat.completions.create(**said("Use the tool get_weather, in parallel", tools=TOOLS, stream=True))
    calls = {}
    for chunk in chunks:
        for part in chunk.choices[0].delta.tool_calls or []:
            calls[part.index] = calls.get(part.index, "") + (part.function.arguments or "")
    check(len(calls) == 2 and all(json.loads(text) for text in calls.values()), calls)


@case("structured output")
def structured():
    answer = client.chat.completions.create(**said("The weather", response_format=FORMAT))
    check(set(json.loads(answer.choices[0].message.content)) == {"city", "days"}, answer)
    saw(answer.usage.prompt_tokens, answer.usage.completion_tokens)


@case("image")
def image():
    answer = client.chat.completions.create(**said([{"type": "text", "text": "What is it?"}, PICTURE]))
    check(answer.usage.prompt_tokens > IMAGE_TOKENS, answer.usage)
    saw(answer.usage.prompt_tokens, answer.usage.completion_tokens)


@case("embeddings")
def embeddings():
    answer = client.embeddings.create(model=EMBEDDING, input=["one text", "another"])
    check(len(answer.data) == 2 and isinstance(answer.data[0].embedding[0], float), answer.usage)
    saw(answer.usage.prompt_tokens, 0)


@case("responses")
def responses():
    answer = client.responses.create(model=CHAT, input="Say hello", max_output_tokens=200)
    check(answer.output_text.startswith("This is the sandbox"), answer)
    saw(answer.usage.input_tokens, answer.usage.output_tokens)
    with client.responses.stream(model=CHAT, input="Say hello again", max_output_tokens=200) as events:
        kinds = [event.type for event in events]
        final = events.get_final_response()
    check(kinds[0] == "response.created" and kinds[-1] == "response.completed", kinds)
    saw(final.usage.input_tokens, final.usage.output_tokens)
    tools = [{"type": "function", "name": "get_weather", "parameters": WEATHER, "strict": True}]
    called = client.responses.create(model=CHAT, input="Use the tool", tools=tools)
    check(json.loads(next(item for item in called.output if item.type == "function_call").arguments), called)
    saw(called.usage.input_tokens, called.usage.output_tokens)


@case("completions")
def completions():
    answer = client.completions.create(model=CHAT, prompt="Once upon a time", max_tokens=40)
    check(answer.choices[0].text, answer)
    saw(answer.usage.prompt_tokens, answer.usage.completion_tokens)
    text = "".join(
        chunk.choices[0].text for chunk in client.completions.create(model=CHAT, prompt="Twice", stream=True)
    )
    check(text, text)


@case("models")
def models():
    check({CHAT, EMBEDDING} <= {model.id for model in client.models.list()})
    check(client.models.retrieve(CHAT).id == CHAT)


@case("wrong key")
def wrong_key():
    other = client.with_options(api_key=WRONG_KEY)
    refused(lambda: other.chat.completions.create(**said("Hello")), openai.AuthenticationError, 401)


@case("empty balance")
def empty_balance():
    other = client.with_options(api_key=EMPTY_KEY)
    refused(lambda: other.chat.completions.create(**said("Hello")), openai.APIStatusError, 402)
    refused(lambda: other.chat.completions.create(**said("Hello", stream=True)), openai.APIStatusError, 402)


@case("unknown model")
def unknown_model():
    refused(lambda: client.chat.completions.create(**said("Hello", model=UNKNOWN)), openai.NotFoundError, 404)


run("openai")
