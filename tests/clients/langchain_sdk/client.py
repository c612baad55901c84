"""LangChain's chat models of OpenAI and Anthropic, and its embeddings. It streams without asking for usage."""

import anthropic
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
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

TOOL = {"type": "function", "function": {"name": "get_weather", "description": "The weather", "parameters": WEATHER}}
SHAPE = {"title": "weather", "description": "The weather", **WEATHER}
PICTURE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}}


def opened(key=KEY, model=CHAT, **more):
    return ChatOpenAI(base_url=f"{BASE_URL}/v1", api_key=key, model=model, max_tokens=200, max_retries=0, **more)


def claude(key=KEY):
    return ChatAnthropic(base_url=BASE_URL, api_key=key, model=CHAT, max_tokens=200, max_retries=0)


def counted(answer):
    saw(answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"])


def tools_of(model):
    first = HumanMessage("Use the tool get_weather")
    answer = model.bind_tools([TOOL]).invoke([first])
    check(set(answer.tool_calls[0]["args"]) == {"city", "days"}, answer)
    counted(answer)
    result = ToolMessage("sunny", tool_call_id=answer.tool_calls[0]["id"])
    after = model.bind_tools([TOOL]).invoke([first, answer, result])
    check(after.text, after)


@case("chat")
def chat():
    answer = opened().invoke("Say hello")
    check(answer.text.startswith("This is the sandbox"), answer)
    counted(answer)


@case("stream")
def stream():
    check("".join(chunk.text for chunk in opened().stream("Count")).startswith("This is the sandbox"))


@case("tool")
def tool():
    tools_of(opened())


@case("tools in parallel")
def parallel():
    answer = opened().bind_tools([TOOL]).invoke("Use the tool get_weather, in parallel")
    check(len(answer.tool_calls) == 2, answer)
    counted(answer)


@case("structured output")
def structured():
    for way in ("json_schema", "function_calling"):
        found = opened().with_structured_output(SHAPE, method=way).invoke("The weather")
        check(set(found) == {"city", "days"}, way, found)


@case("image")
def image():
    answer = opened().invoke([HumanMessage([{"type": "text", "text": "What is it?"}, PICTURE])])
    check(answer.usage_metadata["input_tokens"] > IMAGE_TOKENS, answer)
    counted(answer)


@case("embeddings")
def embeddings():
    maker = OpenAIEmbeddings(
        base_url=f"{BASE_URL}/v1", api_key=KEY, model=EMBEDDING, check_embedding_ctx_length=False, max_retries=0
    )
    check(len(maker.embed_documents(["one text", "another"])) == 2)


@case("responses")
def responses():
    answer = opened(use_responses_api=True).invoke("Say hello")
    check(answer.text.startswith("This is the sandbox"), answer)
    counted(answer)
    tools_of(opened(use_responses_api=True))


@case("messages")
def messages():
    answer = claude().invoke("Say hello")
    check(answer.text.startswith("This is the sandbox"), answer)
    counted(answer)
    check("".join(chunk.text for chunk in claude().stream("Count")).startswith("This is the sandbox"))
    tools_of(claude())
    refused(lambda: claude(WRONG_KEY).invoke("Hello"), anthropic.AuthenticationError, 401)


@case("wrong key")
def wrong_key():
    refused(lambda: opened(WRONG_KEY).invoke("Hello"), openai.AuthenticationError, 401)


@case("empty balance")
def empty_balance():
    refused(lambda: opened(EMPTY_KEY).invoke("Hello"), openai.APIStatusError, 402)


@case("unknown model")
def unknown_model():
    refused(lambda: opened(model=UNKNOWN).invoke("Hello"), openai.NotFoundError, 404)


run("langchain-core", "langchain-openai", "langchain-anthropic")
