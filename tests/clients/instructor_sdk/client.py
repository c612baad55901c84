"""instructor: typed answers by tools and by JSON schema, with the usage of the answer underneath."""

import instructor
import openai
from cases import BASE_URL, CHAT, EMPTY_KEY, KEY, UNKNOWN, WRONG_KEY, case, check, run, saw
from pydantic import BaseModel


class Weather(BaseModel):
    city: str
    days: int


def asked(key=KEY, model=CHAT, mode=instructor.Mode.TOOLS):
    client = instructor.from_openai(openai.OpenAI(base_url=f"{BASE_URL}/v1", api_key=key, max_retries=0), mode=mode)
    said = {"model": model, "messages": [{"role": "user", "content": "The weather"}], "max_tokens": 200}
    return client.chat.completions.create_with_completion(response_model=Weather, max_retries=0, **said)


def refused_with(kind, **how):
    """It wraps what went wrong in an exception of its own, which names the cause in its chain."""
    try:
        asked(**how)
    except Exception as error:
        chain, seen = [error], error
        while (seen := seen.__cause__ or seen.__context__) is not None:
            chain.append(seen)
        check(any(isinstance(one, kind) for one in chain) or kind.__name__ in str(error), chain)
        return
    raise AssertionError("no error")


@case("structured output")
def structured():
    for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA):
        weather, answer = asked(mode=mode)
        check(isinstance(weather, Weather), mode, weather)
        saw(answer.usage.prompt_tokens, answer.usage.completion_tokens)


@case("wrong key")
def wrong_key():
    refused_with(openai.AuthenticationError, key=WRONG_KEY)


@case("empty balance")
def empty_balance():
    refused_with(openai.APIStatusError, key=EMPTY_KEY)


@case("unknown model")
def unknown_model():
    refused_with(openai.NotFoundError, model=UNKNOWN)


run("instructor", "openai")
