"""The clients and the cases each has: the list the command runs by and the suite checks the scripts against.

A case a client has no way to express (embeddings at Anthropic, say) is not in its list and shows as a dash.
"""

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ERRORS = ("wrong key", "empty balance", "unknown model")
TALK = ("chat", "stream", "tool", "tools in parallel", "structured output", "image")


@dataclass(frozen=True, slots=True)
class Client:
    """One client: its folder, what its environment is made with, and what its script tries."""

    name: str
    title: str
    language: str  # python, node, or agent: a program from npm that a Python script drives
    cases: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where its script and its pinned versions are."""
        return HERE / self.name

    @property
    def script(self) -> Path:
        """What runs inside its environment."""
        return self.folder / ("client.mjs" if self.language == "node" else "client.py")

    @property
    def pins(self) -> Path:
        """The versions its environment is made of."""
        return self.folder / ("requirements.txt" if self.language == "python" else "package.json")


OPENAI = (*TALK, "embeddings", "responses", "completions", "models", *ERRORS)
ANTHROPIC = (*TALK, "thinking", "count tokens", "models", *ERRORS)
GOOGLE = (*TALK, "embeddings", "count tokens", "models", *ERRORS)

CLIENTS = (
    Client("openai_python", "openai for Python", "python", OPENAI),
    Client("openai_node", "openai for Node", "node", OPENAI),
    Client("anthropic_python", "anthropic for Python", "python", ANTHROPIC),
    Client("anthropic_node", "@anthropic-ai/sdk", "node", ANTHROPIC),
    Client("google_genai_python", "google-genai for Python", "python", GOOGLE),
    Client("google_genai_node", "@google/genai", "node", GOOGLE),
    Client("litellm_sdk", "LiteLLM SDK", "python", (*TALK, "embeddings", "messages", *ERRORS)),
    Client("langchain_sdk", "LangChain", "python", (*TALK, "embeddings", "responses", "messages", *ERRORS)),
    Client("pydantic_ai_slim", "Pydantic AI", "python", (*TALK, "responses", "messages", *ERRORS)),
    Client("instructor_sdk", "instructor", "python", ("structured output", *ERRORS)),
    Client("llm_cli", "llm", "python", ("chat", "stream", "structured output", "image", *ERRORS)),
    Client("vercel_ai", "Vercel AI SDK", "node", (*TALK, "embeddings", "responses", "messages", *ERRORS)),
    Client("claude_code", "Claude Code", "agent", ("chat", "wrong key", "empty balance", "unknown model")),
    Client("codex_cli", "Codex", "agent", ("chat", "wrong key", "empty balance", "unknown model")),
)
