"""Pydantic AI's agents over chat, responses and messages: tools that really run, and typed answers."""

import base64

import openai
from anthropic import AsyncAnthropic
from cases import (
    BASE_URL,
    CHAT,
    EMPTY_KEY,
    IMAGE,
    IMAGE_TOKENS,
    KEY,
    UNKNOWN,
    WRONG_KEY,
    case,
    check,
    refused,
    run,
    saw,
)
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, NativeOutput
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

LIMIT = {"max_tokens": 300}


class Weather(BaseModel):
    city: str
    days: int


def provider(key=KEY):
    return OpenAIProvider(openai_client=AsyncOpenAI(base_url=f"{BASE_URL}/v1", api_key=key, max_retries=0))


def agent(key=KEY, model=CHAT, **more):
    return Agent(OpenAIChatModel(model, provider=provider(key)), model_settings=LIMIT, **more)


def claude():
    client = AsyncAnthropic(base_url=BASE_URL, api_key=KEY, max_retries=0)
    return AnthropicModel(CHAT, provider=AnthropicProvider(anthropic_client=client))


def counted(result):
    usage = result.usage() if callable(result.usage) else result.usage
    saw(usage.input_tokens, usage.output_tokens)


def called(one, words):
    asked = []

    @one.tool_plain
    def get_weather(city: str, days: int) -> str:
        """The weather."""
        asked.append((city, days))
        return "sunny"

    check(one.run_sync(words).output, words)
    return asked


@case("chat")
def chat():
    result = agent().run_sync("Say hello")
    check(result.output.startswith("This is the sandbox"), result.output)
    counted(result)


@case("stream")
def stream():
    result = agent().run_stream_sync("Count")
    check("".join(result.stream_text(delta=True)).startswith("This is the sandbox"))


@case("tool")
def tool():
    check(len(called(agent(), "Use the tool get_weather")) == 1)


@case("tools in parallel")
def parallel():
    check(len(called(agent(), "Use the tool get_weather, in parallel")) == 2)


@case("structured output")
def structured():
    for shape in (Weather, NativeOutput(Weather)):
        result = agent(output_type=shape).run_sync("The weather")
        check(isinstance(result.output, Weather), result.output)
        counted(result)


@case("image")
def image():
    picture = BinaryContent(data=base64.b64decode(IMAGE), media_type="image/png")
    result = agent().run_sync(["What is it?", picture])
    usage = result.usage() if callable(result.usage) else result.usage
    check(usage.input_tokens > IMAGE_TOKENS, usage)
    counted(result)


@case("responses")
def responses():
    one = Agent(OpenAIResponsesModel(CHAT, provider=provider()), model_settings=LIMIT)
    counted(one.run_sync("Say hello"))
    check(len(called(one, "Use the tool get_weather")) == 1)


@case("messages")
def messages():
    one = Agent(claude(), model_settings=LIMIT)
    counted(one.run_sync("Say hello"))
    check(len(called(one, "Use the tool get_weather")) == 1)
    typed = Agent(claude(), model_settings=LIMIT, output_type=Weather).run_sync("The weather")
    check(isinstance(typed.output, Weather), typed.output)


@case("wrong key")
def wrong_key():
    error = refused(lambda: agent(WRONG_KEY).run_sync("Hello"), ModelHTTPError, 401)
    check(isinstance(error.__cause__, openai.AuthenticationError), error.__cause__)


@case("empty balance")
def empty_balance():
    refused(lambda: agent(EMPTY_KEY).run_sync("Hello"), ModelHTTPError, 402)


@case("unknown model")
def unknown_model():
    refused(lambda: agent(model=UNKNOWN).run_sync("Hello"), ModelHTTPError, 404)


run("pydantic-ai-slim", "openai", "anthropic")
