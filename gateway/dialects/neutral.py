"""The neutral form: what every dialect is read into and written from, so that no two dialects ever meet.

A request is its messages and its settings; a reply, whole or streamed, is a list of events, so billing has one path.
`None` always means "not said". What only one dialect has a word for stays out of this form and is named in
`Request.foreign`: it travels untouched when the provider speaks the client's dialect and is refused by name when not.

Three rules keep the form small. Thinking that a provider signed is a `Thinking` part directly before the part it
belongs to, whoever signed it. Results of tools stand in messages of the role `tool`, one part for each. Arguments of a
tool call are the JSON text the model wrote, not an object, because they may be unfinished or wrong.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Literal

from msgspec import Struct, field
from msgspec.structs import replace

Json = dict[str, Any]
Role = Literal["system", "developer", "user", "assistant", "tool"]
CacheMark = Literal["5m", "1h"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Stop = Literal["end", "stop_sequence", "length", "tool_calls", "blocked", "refusal", "pause", "context_window", "error"]


# Fields that never change an answer, though only one dialect knows them: how long to cache, whom to watch for abuse.
HINTS = frozenset(
    {
        "client_metadata",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "stream_options",
        "stream_options.include_obfuscation",
    }
)


# What a message is made of


class Text(Struct, frozen=True, tag=True):
    """Words."""

    text: str
    cache: CacheMark | None = None
    citations: tuple["Citation", ...] = ()


class Image(Struct, frozen=True, tag=True):
    """A picture: an address, or base64 data with its media type."""

    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    detail: str | None = None
    cache: CacheMark | None = None


class Audio(Struct, frozen=True, tag=True):
    """A sound: base64 data with its media type."""

    data: str
    media_type: str
    cache: CacheMark | None = None


class File(Struct, frozen=True, tag=True):
    """A document: an address, base64 data, or the id a provider gave it."""

    url: str | None = None
    data: str | None = None
    file_id: str | None = None
    media_type: str | None = None
    name: str | None = None
    cache: CacheMark | None = None


class Thinking(Struct, frozen=True, tag=True):
    """Reasoning, with the signature its provider wants back; `redacted` is reasoning nobody may read."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None


class Refusal(Struct, frozen=True, tag=True):
    """The model declines, in a place of its own."""

    text: str


class ToolCall(Struct, frozen=True, tag=True):
    """The model asks for a function; `arguments` is JSON text as it wrote it."""

    id: str
    name: str
    arguments: str
    cache: CacheMark | None = None


class ToolResult(Struct, frozen=True, tag=True):
    """What a function answered."""

    call_id: str
    content: tuple["Part", ...]
    is_error: bool = False
    cache: CacheMark | None = None


Part = Text | Image | Audio | File | Thinking | Refusal | ToolCall | ToolResult


class Citation(Struct, frozen=True):
    """Where words come from: a page on the web, or (`source`) a place only its own dialect can name."""

    url: str | None = None
    title: str | None = None
    quoted: str | None = None
    start: int | None = None
    end: int | None = None
    source: Json | None = None


class Message(Struct, frozen=True):
    """One turn."""

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None


# What a request asks for besides


class Tool(Struct, frozen=True):
    """A function the model may call."""

    name: str
    description: str | None = None
    parameters: Json | None = None
    strict: bool | None = None
    cache: CacheMark | None = None


class ToolChoice(Struct, frozen=True):
    """Whether and which; `one` names the function."""

    mode: Literal["auto", "none", "any", "one"]
    name: str | None = None


class Format(Struct, frozen=True):
    """The shape of the answer; `name` is a label that only OpenAI's dialects carry."""

    kind: Literal["text", "json", "schema"]
    schema: Json | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


class Reasoning(Struct, frozen=True):
    """How hard to think: by word or by tokens; `adaptive` leaves it to the model; `summary` asks to see it."""

    effort: Effort | None = None
    budget_tokens: int | None = None
    adaptive: bool = False
    summary: str | None = None


class Request(Struct, frozen=True, kw_only=True):
    """One request of a client."""

    model: str
    messages: tuple[Message, ...]
    stream: bool = False
    wants_usage: bool = True
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    tools: tuple[Tool, ...] = ()
    server_tools: tuple[str, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    format: Format | None = None
    reasoning: Reasoning | None = None
    service_tier: str | None = None
    user: str | None = None
    metadata: Mapping[str, str] | None = None
    cache: CacheMark | None = None
    cache_key: str | None = None
    foreign: tuple[str, ...] = ()


# What a reply is made of


class Started(Struct, frozen=True, tag=True):
    """The provider began to answer."""

    id: str = ""
    model: str = ""
    created: int = 0


class TextDelta(Struct, frozen=True, tag=True):
    """Some words; deltas of one `block` belong to one part."""

    text: str
    block: int = 0
    choice: int = 0


class ThinkingDelta(Struct, frozen=True, tag=True):
    """Some reasoning."""

    text: str = ""
    block: int = 0
    choice: int = 0
    signature: str | None = None
    redacted: str | None = None


class RefusalDelta(Struct, frozen=True, tag=True):
    """Some words of a refusal."""

    text: str
    block: int = 0
    choice: int = 0


class CallStarted(Struct, frozen=True, tag=True):
    """The model begins a tool call."""

    id: str
    name: str
    block: int = 0
    choice: int = 0


class CallDelta(Struct, frozen=True, tag=True):
    """Some of a tool call's arguments."""

    arguments: str
    block: int = 0
    choice: int = 0


class Cited(Struct, frozen=True, tag=True):
    """A source for the text of `block`."""

    citation: Citation
    block: int = 0
    choice: int = 0


class MediaMade(Struct, frozen=True, tag=True):
    """A picture or sound in the answer."""

    media_type: str
    data: str
    block: int = 0
    choice: int = 0


class Logprobs(Struct, frozen=True, tag=True):
    """Likelihoods of tokens, in OpenAI's form (the only one that has it)."""

    content: list[Json]
    choice: int = 0


class Finished(Struct, frozen=True, tag=True):
    """One answer is complete, and why."""

    stop: Stop
    choice: int = 0
    sequence: str | None = None


class Reported(Struct, frozen=True, tag=True):
    """The provider says what it counted so far; later reports are cumulative."""

    tally: "Tally"


class Broke(Struct, frozen=True, tag=True):
    """The provider failed inside an answer that began well."""

    status: int
    message: str
    code: str | None = None


class Untold(Struct, frozen=True, tag=True):
    """Something in the answer that only its own dialect can say; between two dialects it is an error, not a silence."""

    kind: str
    text: str = ""


class Ended(Struct, frozen=True, tag=True):
    """The provider's own mark of the end; without it an answer is cut off."""


Event = (
    Started
    | TextDelta
    | ThinkingDelta
    | RefusalDelta
    | CallStarted
    | CallDelta
    | Cited
    | MediaMade
    | Logprobs
    | Finished
    | Reported
    | Broke
    | Untold
    | Ended
)


class Tally(Struct, frozen=True, kw_only=True):
    """What a provider says it counted, brought to one convention: totals contain their parts.

    `input` holds cached, written, audio and image tokens; `output` holds reasoning, audio and image tokens. A field
    nobody reported is None. `flags` name what was odd; the numbers themselves are only whole and not negative here,
    metering weighs them. `others` are models that answered inside the same reply and are not in the totals.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None
    audio_in: int | None = None
    audio_cached: int | None = None
    audio_out: int | None = None
    image_in: int | None = None
    image_cached: int | None = None
    image_out: int | None = None
    video_in: int | None = None
    audio_seconds: int | None = None
    searches: int | None = None
    search_units: int | None = None
    service_tier: str | None = None
    speed: str | None = None
    cost_usd: Decimal | None = None
    others: tuple[tuple[str, "Tally"], ...] = ()
    flags: frozenset[str] = field(default_factory=frozenset)


# Small questions several dialects ask


def marked(request: Request) -> bool:
    """Say whether anything in the request carries a prompt-caching mark."""
    return (
        request.cache is not None
        or any(tool.cache for tool in request.tools)
        or any(part.cache for _, part in parts_of(request) if not isinstance(part, (Thinking, Refusal)))
    )


def without_hints(request: Request) -> tuple[Request, tuple[str, ...]]:
    """Take off what can change the price or the bookkeeping of an answer but never the answer, and name it.

    Writers refuse these like everything else they cannot say. Whoever would rather answer without them asks here, and
    tells the client what was left out.
    """
    names = [name for name in request.foreign if name in HINTS]
    if marked(request):
        names.append("cache_control")
    if request.cache_key is not None:
        names.append("prompt_cache_key")
    plain = replace(
        request,
        cache=None,
        cache_key=None,
        foreign=tuple(name for name in request.foreign if name not in HINTS),
        tools=tuple(replace(tool, cache=None) for tool in request.tools),
        messages=tuple(
            replace(message, parts=tuple(_unmarked(part) for part in message.parts)) for message in request.messages
        ),
    )
    return plain, tuple(names)


def _unmarked(part: Part) -> Part:
    if isinstance(part, ToolResult):
        return replace(part, cache=None, content=tuple(_unmarked(inner) for inner in part.content))
    return part if isinstance(part, (Thinking, Refusal)) else replace(part, cache=None)


def parts_of(request: Request) -> Iterator[tuple[Message, Part]]:
    """Walk every part of every message, results of tools included."""
    for message in request.messages:
        for part in message.parts:
            yield message, part
            if isinstance(part, ToolResult):
                for inner in part.content:
                    yield message, inner


def joined_text(parts: tuple[Part, ...]) -> str | None:
    """Join parts that are nothing but plain words; None when there is anything else to say."""
    if all(type(part) is Text and part.cache is None and not part.citations for part in parts):
        return "".join(part.text for part in parts if isinstance(part, Text))
    return None
