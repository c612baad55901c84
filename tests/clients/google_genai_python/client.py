"""Google's own SDK for Python, which asks below /v1 or /v1beta as it likes."""

import json

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
from google import genai
from google.genai import errors, types


def opened(key):
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=BASE_URL))


client = opened(KEY)
TOOL = types.Tool(function_declarations=[types.FunctionDeclaration(name="get_weather", parameters_json_schema=WEATHER)])


def said(words, *, by=client, model=CHAT, **config):
    options = types.GenerateContentConfig(max_output_tokens=200, **config)
    return by.models.generate_content(model=model, contents=words, config=options)


def counted(usage):
    saw(usage.prompt_token_count, (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0))


def by_hand(**config):
    never = types.AutomaticFunctionCallingConfig(disable=True)
    return {"tools": [TOOL], "automatic_function_calling": never, **config}


@case("chat")
def chat():
    answer = said("Say hello", system_instruction="Be brief")
    check(answer.text.startswith("This is the sandbox"), answer)
    headers = answer.sdk_http_response.headers
    usage = answer.usage_metadata
    saw(
        usage.prompt_token_count,
        usage.candidates_token_count,
        headers={name.lower(): headers[name] for name in headers},
    )


@case("stream")
def stream():
    chunks = list(client.models.generate_content_stream(model=CHAT, contents="Count"))
    check(
        "".join(chunk.text or "" for chunk in chunks).startswith("This is the sandbox") and len(chunks) > 1, chunks[-1]
    )
    counted(chunks[-1].usage_metadata)


@case("tool")
def tool():
    answer = said("Use the tool get_weather", **by_hand())
    check(set(answer.function_calls[0].args) == {"city", "days"}, answer.function_calls[0].args)
    counted(answer.usage_metadata)
    question = types.Content(role="user", parts=[types.Part(text="Use the tool get_weather")])
    result = types.Part.from_function_response(name="get_weather", response={"result": "sunny"})
    turns = [question, answer.candidates[0].content, types.Content(role="user", parts=[result])]
    after = said(turns, **by_hand())
    check(after.text, after)
    counted(after.usage_metadata)


@case("tools in parallel")
def parallel():
    answer = said("Use the tool get_weather, in parallel", **by_hand())
    check(len(answer.function_calls) == 2, answer)
    counted(answer.usage_metadata)


@case("structured output")
def structured():
    answer = said("The weather", response_mime_type="application/json", response_json_schema=WEATHER)
    check(set(json.loads(answer.text)) == {"city", "days"}, answer)
    counted(answer.usage_metadata)


@case("image")
def image():
    import base64

    answer = said([types.Part.from_bytes(data=base64.b64decode(IMAGE), mime_type="image/png"), "What is it?"])
    check(answer.usage_metadata.prompt_token_count > IMAGE_TOKENS, answer.usage_metadata)
    counted(answer.usage_metadata)


@case("embeddings")
def embeddings():
    answer = client.models.embed_content(model=EMBEDDING, contents=["one text", "another"])
    check(len(answer.embeddings) == 2 and isinstance(answer.embeddings[0].values[0], float), len(answer.embeddings))


@case("count tokens")
def count_tokens():
    check(client.models.count_tokens(model=CHAT, contents="Say hello").total_tokens > 0)


@case("models")
def models():
    check(f"models/{CHAT}" in {model.name for model in client.models.list()})


@case("wrong key")
def wrong_key():
    refused(lambda: said("Hello", by=opened(WRONG_KEY)), errors.ClientError, 401)


@case("empty balance")
def empty_balance():
    refused(lambda: said("Hello", by=opened(EMPTY_KEY)), errors.ClientError, 402)


@case("unknown model")
def unknown_model():
    refused(lambda: said("Hello", model=UNKNOWN), errors.ClientError, 404)


run("google-genai")
