"""The code that the guides show: one file each below ``code/``, filled in for the shop that shows it.

Promise: what stands on a page is what was run. The suite runs what needs no other kit than we have installed, and
``python -m tests.clients`` runs every other recipe in the environment of its client; a recipe nobody runs is an error.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

CODE = Path(__file__).resolve().parent / "code"
BLANK = re.compile(r"{{ (\w+) }}")
SUITE = "suite"
ENDINGS = {"sh": "sh", "py": "py.txt", "mjs": "mjs"}  # no .py: what imports other kits is no module of ours
SAID = "This is the sandbox"  # how every answer of the sandbox's models begins


@dataclass(frozen=True, slots=True)
class Words:
    """What is filled in: the shop's own address and names, and a key or its place."""

    base_url: str
    key: str
    model: str
    embedding_model: str
    short_name: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """One piece of code: who proves it, and what it prints when it worked."""

    slug: str
    title: str
    language: str
    proof: str = SUITE  # or the client in tests/clients whose environment it runs in
    prints: str = SAID
    install: str = ""

    @property
    def path(self) -> Path:
        """Where it stands."""
        return CODE / f"{self.slug}.{ENDINGS[self.language]}"

    def text(self, words: Words) -> str:
        """The code, filled in."""
        return BLANK.sub(lambda found: str(getattr(words, found[1])), _read(self.path)).rstrip()


@lru_cache(maxsize=128)
def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


OPENAI, ANTHROPIC, GOOGLE = "pip install openai", "pip install anthropic", "pip install google-genai"
RECIPES = {
    recipe.slug: recipe
    for recipe in (
        Recipe("chat", "curl", "sh"),
        Recipe("chat_openai", "Python", "py", install=OPENAI),
        Recipe("chat_openai_node", "Node", "mjs", "openai_node", install="npm install openai"),
        Recipe("chat_anthropic", "Python", "py", install=ANTHROPIC),
        Recipe("chat_anthropic_node", "Node", "mjs", "anthropic_node", install="npm install @anthropic-ai/sdk"),
        Recipe("chat_gemini", "Python", "py", "google_genai_python", install=GOOGLE),
        Recipe("chat_gemini_node", "Node", "mjs", "google_genai_node", install="npm install @google/genai"),
        Recipe("chat_httpx", "Python, without an SDK", "py", prints=r"charged 0\.\d+ USD", install="pip install httpx"),
        Recipe("responses_openai", "Python, by responses", "py", install=OPENAI),
        Recipe("balance", "curl", "sh", prints="balance_usd"),
        Recipe("headers_of_keys", "curl", "sh", prints=r"(?s)sandbox-mini.+sandbox-mini.+sandbox-mini"),
        Recipe("models", "curl", "sh", prints="sandbox-standard"),
        Recipe("models_openai", "Python", "py", prints="sandbox-standard", install=OPENAI),
        Recipe("embeddings_openai", "Python", "py", prints="2 vectors of 256 numbers", install=OPENAI),
        Recipe("stream", "curl", "sh", prints=r"(?s)chat\.completion\.chunk.+data: \[DONE\]"),
        Recipe("stream_openai", "Python", "py", prints=r"\d+ tokens in, \d+ out", install=OPENAI),
        Recipe("stream_openai_node", "Node", "mjs", "openai_node", install="npm install openai"),
        Recipe("stream_anthropic", "Python", "py", install=ANTHROPIC),
        Recipe("tools_openai", "Python", "py", prints="asked for get_weather", install=OPENAI),
        Recipe("errors_openai", "Python", "py", prints=r"(?s)404 model_not_found.+request req_", install=OPENAI),
        Recipe("headers", "curl", "sh", prints=r"(?s)x-call-id: \d+.+x-output-limit: 60"),
        Recipe("max_cost", "curl", "sh"),
        Recipe("quote", "curl", "sh", prints="usd"),
        Recipe("idempotency", "curl", "sh"),
        Recipe("cache_openai", "Python", "py", prints=r"\d+ tokens in, [1-9]\d* of them from cache", install=OPENAI),
        Recipe("cache_anthropic", "Python", "py", prints=r"read [1-9]\d*", install=ANTHROPIC),
        Recipe("litellm", "LiteLLM", "py", "litellm_sdk", install="pip install litellm"),
        Recipe("langchain", "LangChain", "py", "langchain_sdk", install="pip install langchain-openai"),
        Recipe("pydantic_ai", "Pydantic AI", "py", "pydantic_ai_slim", install="pip install pydantic-ai"),
        Recipe("instructor", "instructor", "py", "instructor_sdk", "city=", install="pip install instructor"),
        Recipe("vercel", "Vercel AI SDK", "mjs", "vercel_ai", install="npm install ai @ai-sdk/openai-compatible"),
        Recipe("llm", "llm", "sh", "llm_cli", install="pip install llm"),
        Recipe("claude_code", "Claude Code", "sh", "claude_code", install="npm install -g @anthropic-ai/claude-code"),
        Recipe("codex", "Codex", "sh", "codex_cli", install="npm install -g @openai/codex"),
    )
}
