"""What is asked and what comes back: frozen values, and the two-method interface that tests put their own behind."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from msgspec import Struct

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait. The first byte (of the body) and the total count from the start, connecting included."""

    connect_s: float = 10
    first_byte_s: float = 120
    idle_s: float = 60
    total_s: float = 900


@dataclass(frozen=True, slots=True)
class Caps:
    """How much to accept. The body counts as the caller gets it, decompressed."""

    header_bytes: int = 64 * KIB
    event_bytes: int = MIB
    body_bytes: int = 32 * MIB


class Request(Struct, frozen=True):
    """One wire request. ``provider`` names the pool of connections; ``allow_private`` comes from the provider's row."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    provider: str = ""
    timeouts: Timeouts = Timeouts()
    caps: Caps = Caps()
    allow_private: bool = False


class Answer(Struct, frozen=True):
    """A whole answer; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Stream(Protocol):
    """An answer under way: status and headers are there, the body comes by ``async for``."""

    status: int
    headers: Mapping[str, str]

    def __aiter__(self) -> AsyncIterator[bytes]: ...
    def close(self) -> None:
        """Stop here: an answer that has not ended loses its connection, at once. Harmless when called again."""
        ...


class Transport(Protocol):
    """What the relay needs of the world outside; tests put their own."""

    async def whole(self, request: Request) -> Answer: ...
    async def stream(self, request: Request) -> Stream: ...
    async def close(self) -> None: ...
