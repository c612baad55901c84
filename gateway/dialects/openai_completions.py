"""OpenAI's legacy completions: one prompt in, text out; modelled like its neighbours, it meets only neutral.

A prompt is one turn of the user. What only text models did (several prompts, token ids, echo, suffix) is foreign.
Answers differ from chat completions in one member, so they are read by the same reader.
"""

from collections.abc import Iterable
from typing import Any

from gateway.dialects.answers import broken
from gateway.dialects.expressing import inexpressible, refuse_cache_marks, refuse_unexpressed, set_members, untold
from gateway.dialects.heading import Heading
from gateway.dialects.neutral import (
    Broke,
    Ended,
    Event,
    Finished,
    Json,
    Message,
    Reported,
    Request,
    Started,
    Text,
    TextDelta,
    joined_text,
)
from gateway.dialects.openai_chat.glimpse import glimpse
from gateway.dialects.openai_chat.read_requests import read_n, read_stop
from gateway.dialects.openai_chat.replies import WORDS, EventReader, read_reply
from gateway.dialects.openai_errors import error_object, read_error, write_error
from gateway.dialects.openai_usage import merged, read_usage, write_chat_usage
from gateway.dialects.reading import (
    any_whole,
    boolean,
    mapping,
    maybe,
    members,
    need,
    number,
    refuse,
    strangers,
    string,
    whole,
    written,
)
from gateway.dialects.replies import collect
from gateway.dialects.sse import DONE, event
from gateway.errors import GatewayError

__all__ = [
    "EventReader",
    "EventWriter",
    "glimpse",
    "merged",
    "read_error",
    "read_reply",
    "read_request",
    "read_usage",
    "write_error",
    "write_reply",
    "write_request",
]

LABEL = "completions"
FIELDS = frozenset(
    "model prompt stream stream_options max_tokens temperature top_p frequency_penalty presence_penalty "
    "seed stop n user".split()
)
UNEXPRESSED = (
    "top_k",
    "logprobs",
    "top_logprobs",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "format",
    "reasoning",
    "service_tier",
    "metadata",
)


def read_request(body: bytes) -> Request:
    """Read a client's body."""
    source = members(body)
    foreign = strangers(source, FIELDS)
    options = maybe(source, "stream_options", mapping) or {}
    foreign += strangers(options, {"include_usage"}, "stream_options.")
    limit = maybe(source, "max_tokens", whole)
    if limit == 0:
        refuse("max_tokens", "at least 1")
    return Request(
        model=need(source, "model", string),
        messages=(Message("user", (Text(_read_prompt(source, foreign)),)),),
        stream=maybe(source, "stream", boolean) or False,
        wants_usage=maybe(options, "include_usage", boolean, "stream_options.") or False,
        max_output_tokens=limit,
        temperature=maybe(source, "temperature", number),
        top_p=maybe(source, "top_p", number),
        frequency_penalty=maybe(source, "frequency_penalty", number),
        presence_penalty=maybe(source, "presence_penalty", number),
        seed=maybe(source, "seed", any_whole),
        stop=read_stop(source),
        n=read_n(source),
        user=maybe(source, "user", string),
        foreign=tuple(foreign),
    )


def _read_prompt(source: Json, foreign: list[str]) -> str:
    prompt: Any = source.get("prompt")
    if type(prompt) is str:
        return prompt
    if type(prompt) is not list or not prompt:
        refuse("prompt", "a string or a list")
    texts = [item for item in prompt if type(item) is str]
    if len(texts) != len(prompt) and not all(type(item) is int or type(item) is list for item in prompt):
        refuse("prompt", "a string, a list of strings, or token ids")
    if len(prompt) > 1 or not texts:
        foreign.append("prompt")
    return "\n".join(texts)


def write_request(request: Request) -> bytes:
    """Write a provider's body; a stream always asks for usage."""
    refuse_unexpressed(request, UNEXPRESSED, to=LABEL)
    refuse_cache_marks(request, to=LABEL)
    message = request.messages[0]
    prompt = joined_text(message.parts)
    if len(request.messages) > 1 or message.role != "user" or message.name is not None or prompt is None:
        inexpressible("messages", to=LABEL)
    stream = {"stream": True, "stream_options": {"include_usage": True}} if request.stream else {}
    return written(
        {
            "model": request.model,
            "prompt": prompt,
            **stream,
            **set_members(
                max_tokens=request.max_output_tokens,
                temperature=request.temperature,
                top_p=request.top_p,
                frequency_penalty=request.frequency_penalty,
                presence_penalty=request.presence_penalty,
                seed=request.seed,
                stop=list(request.stop) or None,
                n=request.n,
                user=request.user,
            ),
        }
    )


def write_reply(events: Iterable[Event], heading: Heading) -> bytes:
    """Write a whole answer; reasoning has no place in this dialect and was not asked for."""
    reply = collect(events)
    choices = []
    for number_of, choice in sorted(reply.choices.items()):
        if choice.of("call") or choice.of("media"):
            untold("a tool call")
        text = choice.text("text") + choice.text("refusal")
        choices.append(_choice(number_of, text, WORDS[choice.stop or "end"]))
    usage = {"usage": write_chat_usage(reply.tally)} if reply.tally else {}
    return written(_chunk(reply.started, heading, choices) | usage)


def _choice(index: int, text: str, reason: str | None) -> Json:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": reason}


def _chunk(started: Started, heading: Heading, choices: list[Json]) -> Json:
    head = {"id": started.id or "cmpl", "object": "text_completion", "created": started.created or heading.created}
    return {**head, "model": heading.model, "choices": choices}


class EventWriter:
    """Writes a streamed answer."""

    def __init__(self, heading: Heading) -> None:
        self._heading = heading
        self._started = Started()

    def write(self, told: Event) -> bytes:
        """Write one event; some have nothing to say in this dialect."""
        match told:
            case Started():
                self._started = told
            case TextDelta():
                return self._chunk([_choice(told.choice, told.text, None)])
            case Finished():
                return self._chunk([_choice(told.choice, "", WORDS[told.stop])])
            case Reported() if self._heading.wants_usage:
                return self._chunk([], usage=write_chat_usage(told.tally))
            case Broke():
                return self.fail(broken(told))
            case Ended():
                return event(DONE)
        return b""

    def fail(self, error: GatewayError) -> bytes:
        """End the answer with an error of our own."""
        return event(written({"error": error_object(error)}))

    def _chunk(self, choices: list[Json], **members_of: Any) -> bytes:
        return event(written(_chunk(self._started, self._heading, choices) | members_of))
