"""What our own side says at the head of an answer it writes: the model's public name, and when."""

from msgspec import Struct


class Heading(Struct, frozen=True, kw_only=True):
    """How an answer is announced to the client."""

    model: str
    created: int
    wants_usage: bool = True
