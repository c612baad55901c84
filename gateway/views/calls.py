"""One view for each front door where work is done; what it costs and whose words it speaks stand in ``doorway``."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from gateway.views.dispatch import CallView
from gateway.views.schema import described, path_parameter

HELLO = [{"role": "user", "content": "Say hello"}]
CHAT = {"model": "sandbox-standard", "messages": HELLO, "max_tokens": 60}
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "Say hello"}]}]}
CONTENT = {"content": {"parts": [{"text": "A text to embed."}]}}
MODEL = path_parameter("model", "The model's id; it may hold slashes.")


class ChatView(CallView):
    """A conversation in OpenAI's words."""

    @described("chat_completions", "OpenAI", body="OpenAI's chat completions, streamed or whole.", example=CHAT)
    def post(self, request: Request) -> Any:
        """Chat."""


class PlainChatView(CallView):
    """The same under its short name."""

    @described("chat", "Compatible paths", body="OpenAI's chat completions under a short path.", example=CHAT)
    def post(self, request: Request) -> Any:
        """Chat."""


class ProxyChatView(CallView):
    """The same where resellers of older kinds expect it."""

    @described("ai_proxy_chat", "Compatible paths", body="OpenAI's chat completions.", example=CHAT)
    def post(self, request: Request) -> Any:
        """Chat."""


class CompletionsView(CallView):
    """A text that goes on."""

    @described(
        "completions",
        "OpenAI",
        body="OpenAI's older completions.",
        example={"model": "sandbox-standard", "prompt": "Say hello", "max_tokens": 60},
    )
    def post(self, request: Request) -> Any:
        """Complete a text."""


class ResponsesView(CallView):
    """A response in OpenAI's newer words."""

    @described(
        "responses",
        "OpenAI",
        body="OpenAI's Responses; nothing is stored here.",
        example={"model": "sandbox-standard", "input": "Say hello", "max_output_tokens": 60},
    )
    def post(self, request: Request) -> Any:
        """Respond."""


class EmbeddingsView(CallView):
    """Vectors of texts."""

    @described(
        "embeddings",
        "OpenAI",
        body="OpenAI's embeddings, as numbers or base64.",
        example={"model": "sandbox-embedding", "input": ["one text", "another"]},
    )
    def post(self, request: Request) -> Any:
        """Embed texts."""


class ModerationsView(CallView):
    """Whether a text is in order."""

    @described("moderations", "OpenAI", body="OpenAI's moderations.", example={"input": "A harmless text."})
    def post(self, request: Request) -> Any:
        """Judge texts."""


class RerankView(CallView):
    """Which document answers a question best."""

    @described(
        "rerank",
        "OpenAI",
        body="Cohere's and Jina's rerank.",
        example={"model": "sandbox-rerank", "query": "a red fox", "documents": ["a blue fox", "a red fox ran"]},
    )
    def post(self, request: Request) -> Any:
        """Order documents."""


class QuoteView(CallView):
    """What a call would cost."""

    @described(
        "quote",
        "Money",
        body="The very body of a call; it is priced and never sent. Worst case: what would be held.",
        example=CHAT,
        parameters=[
            OpenApiParameter(
                "for", description="The path the body is meant for; `/v1/chat/completions` unless another is named."
            )
        ],
    )
    def post(self, request: Request) -> Any:
        """Price a call before it is made."""


class MessagesView(CallView):
    """A conversation in Anthropic's words."""

    @described("messages", "Anthropic", body="Anthropic's messages, streamed or whole.", example=CHAT)
    def post(self, request: Request) -> Any:
        """Converse."""


class CountTokensView(CallView):
    """How long a request is."""

    @described(
        "count_tokens",
        "Anthropic",
        body="Anthropic's count of tokens; free.",
        example={"model": "sandbox-standard", "messages": HELLO},
    )
    def post(self, request: Request) -> Any:
        """Count tokens."""


class GenerateView(CallView):
    """Gemini's verbs that make something, all of one address but for the verb."""

    @described("generate_content", "Gemini", body="Gemini's generateContent.", example=CONTENTS, parameters=[MODEL])
    def post(self, request: Request, model: str) -> Any:
        """Generate."""


class StreamView(CallView):
    """The same, event by event."""

    @described(
        "stream_generate_content",
        "Gemini",
        body="Gemini's stream: server-sent events with `?alt=sse`, else one JSON array that grows.",
        example=CONTENTS,
        parameters=[MODEL, OpenApiParameter("alt", description="`sse` for server-sent events.")],
    )
    def post(self, request: Request, model: str) -> Any:
        """Generate, streamed."""


class GeminiCountView(CallView):
    """How long is this, in Google's words."""

    @described(
        "gemini_count_tokens", "Gemini", body="Gemini's countTokens; free.", example=CONTENTS, parameters=[MODEL]
    )
    def post(self, request: Request, model: str) -> Any:
        """Count tokens."""


class EmbedView(CallView):
    """A vector of one text."""

    @described("embed_content", "Gemini", body="Gemini's embedContent.", example=CONTENT, parameters=[MODEL])
    def post(self, request: Request, model: str) -> Any:
        """Embed a text."""


class BatchEmbedView(CallView):
    """Vectors of many texts."""

    @described(
        "batch_embed_contents",
        "Gemini",
        body="Gemini's batchEmbedContents.",
        example={"requests": [{"model": "models/sandbox-embedding", **CONTENT}]},
        parameters=[MODEL],
    )
    def post(self, request: Request, model: str) -> Any:
        """Embed texts."""
