"""Usage: what one request consumed, in buckets that never overlap.

A bucket is direction x modality x cache class x unit. Whoever fills it in has already told cached from uncached and
reasoning from text; here a bucket named twice, a negative quantity or an unknown word is refused. Lines are kept in
one canonical order, so equal usage is equal however it was reported.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from billing.pricing.reading import MAX_QUANTITY, Fields, Malformed, listed

DIRECTIONS = ("input", "output")
MODALITIES = ("text", "audio", "image", "video", "reasoning", "search", "request", "file")
CACHES = ("none", "read", "write_5m", "write_1h")
TEXT_ANSWER = ("text", "reasoning")
UNITS = ("token", "character", "second", "image", "search", "request")


class Bucket(NamedTuple):
    """One kind of consumption, the key under which prices are found."""

    direction: str
    modality: str = "text"
    cache: str = "none"
    unit: str = "token"

    def __str__(self) -> str:
        """Name the bucket in words, as receipts and errors do."""
        cache = "" if self.cache == "none" else f" (cache {self.cache.replace('_', ' ')})"
        return f"{self.direction} {self.modality} {self.unit}{cache}"


def check_bucket(bucket: Bucket, *, where: str) -> None:
    """Refuse words outside the vocabulary and combinations that cannot occur."""
    for word, vocabulary, name in zip(bucket, (DIRECTIONS, MODALITIES, CACHES, UNITS), Bucket._fields, strict=True):
        if word not in vocabulary:
            msg = f"{where}: {name!r} must be one of {', '.join(vocabulary)}."
            raise Malformed(msg)
    if bucket.direction == "output" and bucket.cache != "none":
        msg = f"{where}: output is never cached, so its cache must be none."
        raise Malformed(msg)
    if bucket.direction == "input" and bucket.modality == "reasoning":
        msg = f"{where}: reasoning is output, never input."
        raise Malformed(msg)


def read_bucket(fields: Fields) -> Bucket:
    """Take the four words of a bucket out of an object."""
    bucket = Bucket(
        fields.choice("direction", DIRECTIONS),
        fields.choice("modality", MODALITIES, "text"),
        fields.choice("cache", CACHES, "none"),
        fields.choice("unit", UNITS, "token"),
    )
    check_bucket(bucket, where=fields.where)
    return bucket


def fallback(bucket: Bucket) -> Bucket | None:
    """Name the bucket whose price holds when this one has none: reasoning as text, cached as not cached."""
    return _FALLBACKS.get(bucket)


ALL_BUCKETS = frozenset(
    Bucket(direction, modality, cache, unit)
    for direction in DIRECTIONS
    for modality in MODALITIES
    for cache in (CACHES if direction == "input" else CACHES[:1])
    for unit in UNITS
    if (direction, modality) != ("input", "reasoning")
)
_FALLBACKS = {
    bucket: bucket._replace(modality="text") if bucket.modality == "reasoning" else bucket._replace(cache="none")
    for bucket in ALL_BUCKETS
    if bucket.modality == "reasoning" or bucket.cache != "none"
}


@dataclass(frozen=True, slots=True)
class Line:
    """A bucket and how much of it was consumed."""

    bucket: Bucket
    quantity: int

    def __post_init__(self) -> None:
        """Refuse what cannot be consumed."""
        if self.bucket not in ALL_BUCKETS:
            check_bucket(self.bucket, where="A usage line")
        if type(self.quantity) is not int or not 0 <= self.quantity <= MAX_QUANTITY:
            msg = f"The quantity of {self.bucket} must be a whole number from 0 to {MAX_QUANTITY}."
            raise Malformed(msg)

    @property
    def is_tokens(self) -> bool:
        """Say whether the line counts tokens."""
        return self.bucket.unit == "token"


@dataclass(frozen=True, slots=True)
class Usage:
    """All lines of one request, each bucket once, in canonical order."""

    lines: tuple[Line, ...]

    def __post_init__(self) -> None:
        """Put the lines in order and refuse a bucket named twice."""
        if len(self.lines) < 2:
            return
        lines = sorted(self.lines, key=_bucket_of)
        for earlier, later in pairwise(lines):
            if earlier.bucket == later.bucket:
                msg = f"Usage names {later.bucket} twice; each bucket may appear once."
                raise Malformed(msg)
        object.__setattr__(self, "lines", tuple(lines))

    @classmethod
    def of(cls, quantities: Iterable[tuple[Bucket, int]]) -> "Usage":
        """Make usage from buckets and quantities."""
        return cls(tuple([Line(bucket, quantity) for bucket, quantity in quantities]))

    @classmethod
    def from_json(cls, source: object) -> "Usage":
        """Read a list of lines, strictly."""
        return cls(tuple(_read_line(item, where) for where, item in listed(source, where="usage")))

    def to_json(self) -> list[dict[str, object]]:
        """Write the lines in canonical order, every field named."""
        return [dict(zip(_FIELDS, (*line.bucket, line.quantity), strict=True)) for line in self.lines]

    @property
    def input_tokens(self) -> int:
        """Count all input tokens, cached ones included: what context tiers go by."""
        return sum([line.quantity for line in self.lines if line.is_tokens and line.bucket.direction == "input"])

    @property
    def tokens(self) -> int:
        """Count all tokens of the request, in and out."""
        return sum([line.quantity for line in self.lines if line.is_tokens])

    @property
    def is_empty(self) -> bool:
        """Say whether nothing at all was consumed."""
        return not any(line.quantity for line in self.lines)


_FIELDS = (*Bucket._fields, "quantity")


def _bucket_of(line: Line) -> Bucket:
    return line.bucket


def _read_line(source: object, where: str) -> Line:
    fields = Fields(source, where=where)
    line = Line(read_bucket(fields), fields.integer("quantity"))
    fields.done()
    return line
