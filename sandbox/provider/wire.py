"""What every dialect shares on the way out: who is answering what, and events as bytes."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from sandbox.provider.mind import Ask, Thought
from sandbox.provider.tokens import Tokens

ENCODER = msgspec.json.Encoder()
MISSING: Any = object()


@dataclass(slots=True)
class Event:
    """Bytes of a stream, and how many tokens of the answer they deliver."""

    data: bytes
    tokens: int = 0


@dataclass(slots=True)
class Reply:
    """An answer before it is written down in anybody's format."""

    id: str
    model: str
    ask: Ask
    thoughts: list[Thought]
    tokens: Tokens
    stream: bool = False
    with_usage: bool = True
    detail: Any = None  # what a dialect wants to remember of the request

    @property
    def created_at(self) -> int:
        return int(time.time())


def data(value: Any) -> bytes:
    """An event without a name."""
    return b"data: " + ENCODER.encode(value) + b"\n\n"


def named(name: str, value: Any) -> bytes:
    """An event with a name."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), ENCODER.encode(value))


def pieces(text: str) -> Iterator[str]:
    """A tool's arguments in the small pieces they are streamed in."""
    yield from (text[at : at + 8] for at in range(0, len(text), 8))
