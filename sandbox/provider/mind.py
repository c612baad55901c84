"""What the sandbox thinks and says: the same question, the same words, to the token.

Promise: an answer depends on the model and the request alone. It obeys the limit of tokens, stop sequences, schemas and
tool choice; left free it calls a tool only when the user's last words name it or ask for "the tool", so that no agent
pointed here by mistake runs commands nobody asked for.
"""

from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random
from typing import Any

import msgspec

from sandbox.provider.examples import example
from sandbox.provider.faults import Knobs
from sandbox.provider.models import Model
from sandbox.provider.tokens import OPENING_TOKENS, Piece, count

DEFAULT_TOKENS = 4_096
MOST_CALLS = 32
OPENING = "This is the sandbox, answering as it always does:"
REFUSAL = "I am sorry, but I cannot help with that."
SUBJECTS = (
    "the gate",
    "a small boat",
    "the old road",
    "our ledger",
    "the harbour",
    "a patient clerk",
    "the north wind",
)
VERBS = ("opens", "counts", "carries", "follows", "remembers", "measures", "settles", "returns")
OBJECTS = ("every coin", "the morning tide", "a long letter", "the last account", "two lanterns", "a quiet street")
TIMES = ("at dawn", "before noon", "in good order", "without haste", "once again", "to the last cent", "by lamplight")


@dataclass(slots=True)
class Tool:
    """A function the caller offers."""

    name: str
    schema: Any


@dataclass(slots=True)
class Ask:
    """A request of any dialect, as the mind sees it."""

    model: Model
    knobs: Knobs
    pieces: list[Piece]
    last_words: str = ""
    last_is_user: bool = True
    max_tokens: int | None = None
    stops: list[str] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    choice: str = "auto"  # auto, none, required, or a tool's name after "="
    parallel: bool = True
    schema: Any = None
    reasons: bool = False
    answers: int = 1
    images: int = 0
    audio: int = 0

    @property
    def input_tokens(self) -> int:
        return sum(piece.tokens for piece in self.pieces) + OPENING_TOKENS


@dataclass(slots=True)
class Call:
    """One use of a tool; the pieces of its arguments joined are JSON."""

    id: str
    name: str
    arguments: str

    @property
    def tokens(self) -> int:
        return count(self.name) + count(self.arguments)


@dataclass(slots=True)
class Thought:
    """One answer, in pieces of one token each."""

    reasoning: list[str]
    words: list[str]
    calls: list[Call]
    ending: str  # stop, length, tool, refusal, stop_sequence
    stopped_by: str | None = None

    @property
    def text(self) -> str:
        return "".join(self.words)

    @property
    def tokens(self) -> int:
        return len(self.reasoning) + len(self.words) + sum(call.tokens for call in self.calls)


def think(ask: Ask, index: int = 0) -> Thought:
    """Answer number ``index`` to the request."""
    seed = _seed(ask, index)
    rng = Random(seed)  # noqa: S311 - the same words every time are the point
    budget = min(ask.max_tokens or DEFAULT_TOKENS, ask.model.output_tokens)
    reasoning = _reasoning(rng)[:budget] if ask.reasons else []
    left = budget - len(reasoning)
    calls = _calls(ask, seed)
    if calls and sum(call.tokens for call in calls) <= left:
        return Thought(reasoning, [], calls, "tool")
    words = _words(ask, rng, seed, left)
    if ask.knobs.has("refusal"):
        words = _split(REFUSAL)
        return Thought(reasoning, words[:left], [], "refusal" if len(words) <= left else "length")
    words, stopped_by = _stopped(words, ask.stops)
    if stopped_by is not None and len(words) <= left:
        return Thought(reasoning, words, [], "stop_sequence", stopped_by)
    full = len(words) > left or ask.knobs.has("fill")
    return Thought(reasoning, words[:left], [], "length" if full else "stop")


def _seed(ask: Ask, index: int) -> int:
    said = msgspec.json.encode([ask.model.name, index, [piece.value for piece in ask.pieces]], order="sorted")
    return int.from_bytes(blake2b(said, digest_size=8).digest(), "big")


def _words(ask: Ask, rng: Random, seed: int, budget: int) -> list[str]:
    if ask.schema is not None:
        text = msgspec.json.encode(example(ask.schema, seed)).decode()
        return [text[at : at + 4] for at in range(0, len(text), 4)]
    wanted = budget if ask.knobs.has("fill") else ask.knobs.number("tokens", 24 + rng.randrange(40))
    return _prose(rng, int(min(wanted, budget + 1)), whole=not ask.knobs.has("tokens", "fill"))


def _prose(rng: Random, wanted: int, *, whole: bool) -> list[str]:
    """Sentences of at least so many tokens; exactly so many unless the last sentence should be whole."""
    words = _split(OPENING)
    while len(words) < wanted:
        parts = (rng.choice(SUBJECTS), rng.choice(VERBS), rng.choice(OBJECTS), rng.choice(TIMES))
        sentence = " ".join(parts)
        words += _split(f" {sentence[0].upper()}{sentence[1:]}.")
    return words if whole else words[:wanted]


def _reasoning(rng: Random) -> list[str]:
    question = f"Let me think: who {rng.choice(VERBS)} {rng.choice(OBJECTS)} {rng.choice(TIMES)}?"
    return _split(f"{question} It must be {rng.choice(SUBJECTS)}.")


def _split(text: str) -> list[str]:
    """Words with the space before them, as tokenizers cut."""
    first, *rest = text.split(" ")
    return [*([first] if first else []), *(f" {word}" for word in rest)]


def _stopped(words: list[str], stops: list[str]) -> tuple[list[str], str | None]:
    text = "".join(words)
    found = [(at, stop) for stop in stops if stop and (at := text.find(stop)) >= 0]
    if not found:
        return words, None
    at, stop = min(found)
    kept: list[str] = []
    for word in words:
        if len(word) >= at:
            kept += [word[:at]] if at else []
            break
        kept.append(word)
        at -= len(word)
    return kept, stop


def _calls(ask: Ask, seed: int) -> list[Call]:
    wanted = _wanted(ask)
    if not wanted:
        return []
    most = ask.knobs.number("parallel", 2 if "parallel" in ask.last_words.lower() else 1)
    times = int(min(most, MOST_CALLS)) if ask.parallel else 1
    chosen = [wanted[turn % len(wanted)] for turn in range(times)]
    return [_call(tool, seed + turn) for turn, tool in enumerate(chosen)]


def _wanted(ask: Ask) -> list[Tool]:
    """The tools to call, in order; none when the request does not ask for any."""
    if not ask.tools or ask.choice == "none":
        return []
    if ask.choice.startswith("="):
        return [tool for tool in ask.tools if tool.name == ask.choice[1:]]
    if ask.choice == "required":
        return ask.tools
    named = [tool for tool in ask.tools if tool.name in ask.last_words]
    asked = ask.last_is_user and ("tool" in ask.last_words.lower() or bool(named))
    return (named or ask.tools) if asked else []


def _call(tool: Tool, seed: int) -> Call:
    value = example(tool.schema or {"type": "object"}, seed)
    arguments = msgspec.json.encode(value if isinstance(value, dict) else {"value": value}).decode()
    return Call(f"{seed % 2**64:016x}", tool.name, arguments)
