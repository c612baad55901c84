"""The sandbox answers recorded requests with every field that the real companies answered with.

What may be missing is listed with its reason; what the sandbox has beyond an old recording is newer and allowed.
"""

import json

import pytest

from tests.gateway.recordings import Exchange, exchanges

MAY_BE_MISSING = {
    "obfuscation",  # padding against eavesdroppers; the sandbox has no need of it
    "image_gen",  # hosted tools
    "context",  # of reasoning: not offered
    "mode",
    "generate_summary",  # the old name of summary
    "encrypted_content",  # comes when asked for
    "thoughtsTokenCount",  # where the model of the recording thought unasked
    "thoughtSignature",
    "image_tokens",  # of hosted tools; of prompts they are told, see test_provider_sdks
    "text_tokens",
    "text",  # where the model said something before it called a tool
}
DIALECTS = ("openai_chat", "openai_completions", "openai_responses", "anthropic_messages", "gemini", "embeddings")
MODELS = {"embeddings": "sandbox-embedding", "moderations": "sandbox-moderation"}
PATHS = {
    "openai_chat": "/v1/chat/completions",
    "openai_completions": "/v1/completions",
    "openai_responses": "/v1/responses",
    "embeddings": "/v1/embeddings",
    "moderations": "/v1/moderations",
}
OWN = {"openai", "anthropic", "gemini"}
ELSEWHERE = ("openai_compat", "advisor", "cached_content")  # another dialect, a hosted tool, Google's explicit caches


def fields(value):
    """All names of fields, wherever they stand."""
    if isinstance(value, dict):
        return set(value) | set().union(*map(fields, value.values()), set())
    return set().union(*map(fields, value), set()) if isinstance(value, list) else set()


def said(body: bytes, *, is_stream):
    if not is_stream:
        return json.loads(body)
    lines = body.decode().replace("\r\n", "\n").split("\n")
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ") and line[6:] != "[DONE]"]


def recorded() -> list[Exchange]:
    """What the three companies themselves answered with 200, to requests the sandbox can be asked again."""
    own = [one for one in exchanges(*DIALECTS, "moderations") if one.provider in OWN and one.request]
    return [one for one in own if one.status == 200 and not any(part in one.name for part in ELSEWHERE)]


def path(exchange: Exchange) -> str:
    if exchange.dialect == "gemini":
        verb = exchange.url.rpartition(":")[2]
        return f"/v1beta/models/sandbox-standard:{verb}"
    if exchange.dialect == "anthropic_messages":
        return "/v1/messages/count_tokens" if "count_tokens" in exchange.url else "/v1/messages"
    return PATHS[exchange.dialect]


def asked_again(exchange: Exchange):
    """The recorded request, for a model of ours, made to call a tool where the recording called one."""
    body = dict(exchange.request)
    called = b'"tool_calls"' in exchange.body or b'"tool_use"' in exchange.body
    if exchange.dialect != "gemini":
        thought = b'"reasoning"' in exchange.body and exchange.dialect == "openai_responses"
        body["model"] = MODELS.get(exchange.dialect, "sandbox-reasoning" if thought else "sandbox-standard")
    if called and exchange.dialect == "openai_chat":
        body["tool_choice"] = "required"
    if called and exchange.dialect == "anthropic_messages" and body.get("tools"):
        body["tool_choice"] = {"type": "any"}
    if b"functionCall" in exchange.body:
        body["toolConfig"] = {"functionCallingConfig": {"mode": "ANY"}}
    return body


@pytest.mark.parametrize("exchange", recorded(), ids=lambda exchange: exchange.name)
def test_every_field_of_a_recording_is_answered_with(provider, exchange):
    answer = provider.ask(path(exchange), asked_again(exchange), anthropic_version="2023-06-01")
    assert answer.status == 200, answer.body
    real = fields(said(exchange.body, is_stream=exchange.is_stream))
    ours = fields(said(answer.body, is_stream=exchange.is_stream))
    assert real - ours - MAY_BE_MISSING == set()
