"""The chapters of the guides, in the order they are read, each with the headings that its side navigation names."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chapter:
    """One page."""

    slug: str
    title: str
    lead: str
    sections: tuple[tuple[str, str], ...]

    @property
    def template(self) -> str:
        """What draws it."""
        return f"guides/{self.slug}.html"


CHAPTERS = (
    Chapter(
        "quick-start",
        "Quick start",
        "A key, two lines changed, and the client you already use calls every model.",
        (
            ("key", "Get a key"),
            ("call", "Make a call"),
            ("node", "From Node"),
            ("other", "With other SDKs"),
            ("cost", "See what it cost"),
        ),
    ),
    Chapter(
        "authentication",
        "Authentication",
        "One secret in a header. What a key may do is decided on its own page.",
        (("headers", "Three headers"), ("keeping", "Keeping a key"), ("bounds", "What a key may do")),
    ),
    Chapter(
        "models",
        "Models",
        "Which there are, what they cost you, and which endpoint each belongs to.",
        (("list", "The list"), ("endpoints", "Endpoints"), ("tools", "Tools"), ("embeddings", "Embeddings")),
    ),
    Chapter(
        "streaming",
        "Streaming",
        "The answer as it is written, with its usage at the end.",
        (("openai", "OpenAI's words"), ("anthropic", "Anthropic's words"), ("ends", "How a stream ends")),
    ),
    Chapter(
        "errors",
        "Errors",
        "Each is told in the words of the API you spoke, with a code to act on and a sentence to read.",
        (("handling", "In your code"), ("codes", "Every code"), ("again", "Trying again")),
    ),
    Chapter(
        "limits",
        "Limits and headers",
        "What every answer says about itself, and what you may ask for beside a body.",
        (
            ("answers", "What answers say"),
            ("max-cost", "The most a call may cost"),
            ("quote", "What would it cost?"),
            ("idempotency", "Sending twice, paying once"),
            ("rates", "Rate limits"),
        ),
    ),
    Chapter(
        "billing",
        "Billing rules",
        "Credit first, calls after; what failed is free, and every cent is explained.",
        (("hold", "Held, used, freed"), ("rules", "What is charged when"), ("counted", "What is counted")),
    ),
    Chapter(
        "caching",
        "Prompt caching",
        "What a model remembers of the last prompt costs a fraction. You see how much it was.",
        (("openai", "By itself"), ("anthropic", "Where you mark it"), ("prices", "What it costs")),
    ),
    Chapter(
        "sdks",
        "SDKs and frameworks",
        "Copy, run, and put your own question in. Each piece of code here was run against this gateway.",
        (
            ("openai", "OpenAI"),
            ("anthropic", "Anthropic"),
            ("google", "Google Gen AI"),
            ("litellm", "LiteLLM"),
            ("langchain", "LangChain"),
            ("pydantic-ai", "Pydantic AI"),
            ("instructor", "instructor"),
            ("vercel", "Vercel AI SDK"),
            ("llm", "llm on the command line"),
            ("bare", "Without an SDK"),
        ),
    ),
    Chapter(
        "agents",
        "Coding agents",
        "Give your agent a key of its own, with a cap: then it cannot run away with your credit.",
        (("claude-code", "Claude Code"), ("codex", "Codex"), ("others", "Anything else"), ("cap", "A cap for it")),
    ),
)
BY_SLUG = {chapter.slug: chapter for chapter in CHAPTERS}
