"""The companies we can buy from: one frozen row each. A company that differs only in address and key is only a row."""

from gateway.kinds.kind import Kind, Way
from gateway.kinds.quirks import (
    DEVELOPER_IS_SYSTEM,
    LIMIT_BY_OLD_NAME,
    ONE_ANSWER_WITHOUT_LOGPROBS,
    SEED_IS_RANDOM_SEED,
    SHORT_CALL_IDS,
    THINKING_ONLY_WITH_TOOLS,
    THINKING_STAYS_HOME,
    USAGE_COMES_UNASKED,
)

CHAT = {"openai_chat": Way("/chat/completions")}
EMBEDDINGS = {"embeddings": Way("/embeddings")}
COMPLETIONS = {"openai_completions": Way("/completions")}
RESPONSES = {"openai_responses": Way("/responses")}
MODERATIONS = {"moderations": Way("/moderations")}
RERANK = {"rerank": Way("/rerank")}
MESSAGES = {
    "anthropic_messages": Way("/messages", auth="anthropic"),
    "count_tokens": Way("/messages/count_tokens", auth="anthropic"),
}
GENERATE = {
    "gemini": Way(
        "/models/{model}:generateContent", stream_path="/models/{model}:streamGenerateContent?alt=sse", auth="google"
    ),
    "gemini_count_tokens": Way("/models/{model}:countTokens", auth="google"),
    "gemini_embed": Way("/models/{model}:embedContent", auth="google"),
    "gemini_batch_embed": Way("/models/{model}:batchEmbedContents", auth="google"),
}
# what a host of open models wants written the older way
OLDER_WAYS = (DEVELOPER_IS_SYSTEM, LIMIT_BY_OLD_NAME, THINKING_STAYS_HOME)


def _under(prefix: str, ways: dict[str, Way]) -> dict[str, Way]:
    return {
        name: Way(prefix + way.path, prefix + way.stream_path if way.stream_path else None, way.auth)
        for name, way in ways.items()
    }


ROWS = (
    Kind(
        slug="openai",
        name="OpenAI",
        base_url="https://api.openai.com/v1",
        speaks={**CHAT, **RESPONSES, **COMPLETIONS, **EMBEDDINGS, **MODERATIONS},
        quirks=(THINKING_STAYS_HOME,),
    ),
    Kind(
        slug="azure",
        name="Azure OpenAI",
        base_url="",  # https://{resource}.openai.azure.com/openai/v1, or .../openai/deployments/{model}?api-version=...
        auth="api-key",
        speaks={**CHAT, **RESPONSES, **EMBEDDINGS},
        quirks=(THINKING_STAYS_HOME,),
    ),
    Kind(
        slug="anthropic",
        name="Anthropic",
        base_url="https://api.anthropic.com/v1",
        auth="anthropic",
        speaks=MESSAGES,
        passes={"anthropic-version": r"\d{4}-\d{2}-\d{2}", "anthropic-beta": r"[a-z0-9][a-z0-9,. -]{0,500}"},
    ),
    Kind(
        slug="gemini",
        name="Google Gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta",
        auth="google",
        speaks={**GENERATE, "embeddings": Way("/openai/embeddings", auth="bearer")},
    ),
    Kind(
        slug="xai",
        name="xAI",
        base_url="https://api.x.ai/v1",
        speaks={**CHAT, **RESPONSES},
        quirks=(DEVELOPER_IS_SYSTEM, THINKING_STAYS_HOME),
    ),
    Kind(
        slug="mistral",
        name="Mistral",
        base_url="https://api.mistral.ai/v1",
        speaks={**CHAT, **EMBEDDINGS, **MODERATIONS},
        quirks=(*OLDER_WAYS, USAGE_COMES_UNASKED, SEED_IS_RANDOM_SEED, SHORT_CALL_IDS),
    ),
    Kind(
        slug="cohere",
        name="Cohere",
        base_url="https://api.cohere.ai/compatibility/v1",
        speaks={**CHAT, **EMBEDDINGS},
        quirks=OLDER_WAYS,
    ),
    Kind(
        slug="cohere_rerank",
        name="Cohere rerank",
        base_url="https://api.cohere.com/v2",
        speaks=RERANK,
    ),
    Kind(
        slug="deepseek",
        name="DeepSeek",
        base_url="https://api.deepseek.com",
        speaks={**CHAT, **RESPONSES, "anthropic_messages": Way("/anthropic/v1/messages", auth="x-api-key")},
        quirks=(DEVELOPER_IS_SYSTEM, LIMIT_BY_OLD_NAME, THINKING_ONLY_WITH_TOOLS),
    ),
    Kind(
        slug="groq",
        name="Groq",
        base_url="https://api.groq.com/openai/v1",
        speaks=CHAT,
        quirks=(DEVELOPER_IS_SYSTEM, THINKING_STAYS_HOME, ONE_ANSWER_WITHOUT_LOGPROBS),
    ),
    Kind(
        slug="together",
        name="Together",
        base_url="https://api.together.ai/v1",
        speaks={**CHAT, **COMPLETIONS, **EMBEDDINGS, **RERANK},
        quirks=OLDER_WAYS,
    ),
    Kind(
        slug="fireworks",
        name="Fireworks",
        base_url="https://api.fireworks.ai/inference/v1",
        speaks={**CHAT, **COMPLETIONS, **EMBEDDINGS},
        quirks=OLDER_WAYS,
    ),
    Kind(
        slug="deepinfra",
        name="DeepInfra",
        base_url="https://api.deepinfra.com/v1/openai",
        speaks={**CHAT, **COMPLETIONS, **EMBEDDINGS},
        quirks=OLDER_WAYS,
    ),
    Kind(
        slug="openrouter",
        name="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        speaks={**CHAT, **RESPONSES, **EMBEDDINGS, **RERANK},
    ),
    Kind(
        slug="cometapi",
        name="CometAPI",
        base_url="https://api.cometapi.com",
        speaks={
            **_under("/v1", {**CHAT, **RESPONSES, **EMBEDDINGS}),
            **_under("/v1", {"anthropic_messages": Way("/messages", auth="x-api-key")}),
            **_under("/v1beta", GENERATE),
        },
    ),
    Kind(
        slug="openai_compatible",
        name="Any OpenAI-compatible address",
        base_url="",
        speaks={**CHAT, **COMPLETIONS, **EMBEDDINGS, **RERANK, **MODERATIONS},
        quirks=(LIMIT_BY_OLD_NAME, DEVELOPER_IS_SYSTEM),
    ),
    Kind(
        slug="sandbox",
        name="Sandbox",
        base_url="",
        speaks={
            **_under("/v1", {**CHAT, **RESPONSES, **COMPLETIONS, **EMBEDDINGS, **RERANK, **MODERATIONS, **MESSAGES}),
            **_under("/v1beta", GENERATE),
        },
    ),
)
