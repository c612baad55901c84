"""How the sandbox counts, so that anyone can count along with a pencil.

Input: text, one token for every four bytes of UTF-8 begun; a message, 4 more; the answer's opening, 3; an image, 256;
a file or sound, one for every 1,000 bytes of its base64 begun; tools, their compact JSON as text. Output: every piece
of a streamed answer is one token (reasoning included); a tool call is its name and its arguments as text.

Cached: a request whose opening (tools, system and messages, whole messages only) was seen before under the same key
and model has those tokens cached when they are at least 64, rounded down to a multiple of 32. Anthropic's rules differ:
only what stands before a ``cache_control`` mark is written to the cache, and read the second time.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import msgspec

MESSAGE_TOKENS = 4
OPENING_TOKENS = 3
IMAGE_TOKENS = 256
LEAST_CACHED_TOKENS = 64
CACHED_STEP_TOKENS = 32
REMEMBERED = 20_000


def count(text: str) -> int:
    """Tokens of a text."""
    return -(-len(text.encode("utf-8", "replace")) // 4)


def count_json(value: Any) -> int:
    """Tokens of a value as compact JSON."""
    return -(-len(msgspec.json.encode(value)) // 4)


def count_media(base64: str) -> int:
    """Tokens of a file or sound."""
    return -(-len(base64) // 1000)


@dataclass(slots=True)
class Piece:
    """A whole message, the system prompt or the tools: what a cache knows again. ``mark`` is Anthropic's, if any."""

    value: Any
    tokens: int
    mark: str = ""


@dataclass(slots=True)
class Tokens:
    """What a request used. Input holds cached and written; output holds reasoning."""

    input: int = 0
    cached: int = 0
    written_5m: int = 0
    written_1h: int = 0
    output: int = 0
    reasoning: int = 0
    images: int = 0
    audio: int = 0

    def as_dict(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass
class Memory:
    """Openings seen before, the oldest forgotten first."""

    seen: OrderedDict[bytes, None] = field(default_factory=OrderedDict)

    def known(self, owner: str, pieces: list[Piece]) -> int:
        """Tokens of the longest opening known; all openings of this request are known from now on."""
        known = total = 0
        for key, piece in zip(_openings(owner, pieces), pieces, strict=True):
            total += piece.tokens
            if self._meet(key):
                known = total
        return known // CACHED_STEP_TOKENS * CACHED_STEP_TOKENS if known >= LEAST_CACHED_TOKENS else 0

    def marked(self, owner: str, pieces: list[Piece]) -> tuple[int, int, int]:
        """Anthropic's way: tokens read from the cache, written to it for five minutes, and for an hour."""
        read = total = written_5m = written_1h = 0
        for key, piece in zip(_openings(owner, pieces), pieces, strict=True):
            total += piece.tokens
            if not piece.mark:
                continue
            if self._meet(key):
                read, written_5m, written_1h = total, 0, 0
            elif piece.mark == "1h":
                written_1h = total - read - written_5m
            else:
                written_5m = total - read - written_1h
        return read, written_5m, written_1h

    def _meet(self, key: bytes) -> bool:
        met = key in self.seen
        self.seen[key] = None
        self.seen.move_to_end(key)
        while len(self.seen) > REMEMBERED:
            self.seen.popitem(last=False)
        return met


def _openings(owner: str, pieces: list[Piece]) -> list[bytes]:
    running = blake2b(owner.encode("utf-8", "replace"), digest_size=16)
    keys = []
    for piece in pieces:
        running.update(msgspec.json.encode(piece.value, order="sorted"))
        keys.append(running.digest())
    return keys
