"""Metering: watches an answer go by and knows what it used; it decides nothing and changes nothing.

A `Meter` is fed in one of three ways: the data of raw events (`watch`) where bytes pass untouched, neutral events
(`note`) where they are rewritten, or a whole answer (`watch_reply`). All three end in the same sums, so a call costs
the same however it travelled. What a provider reports is weighed, not believed: the last value of a field wins, a count
never goes down, and one that is impossible, or beyond what the request could have used, gives way to an estimate from
what was delivered. The result is billing's `Usage`: buckets that never overlap, for `pricing` to price.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Literal

from msgspec import Struct, structs

from billing.pricing.bounds import Bounds
from billing.pricing.usage import Bucket, Usage
from gateway.dialects import DIALECTS
from gateway.dialects.glimpse import Glimpse, said
from gateway.dialects.neutral import (
    Audio,
    Broke,
    Ended,
    Event,
    File,
    Finished,
    Image,
    Json,
    Reported,
    Request,
    Tally,
    Text,
    Thinking,
    ToolCall,
    parts_of,
)
from gateway.dialects.reading import written
from gateway.dialects.replies import later
from gateway.errors import UpstreamMalformed

Source = Literal["reported", "partly", "estimated"]

# Estimates, where a provider reports nothing: four ASCII letters to a token, about one token for a character of other
# scripts, and never less than one for each piece of a stream, since nobody sends less than a token at a time.
TOKENS_IN_A_PICTURE = 1000
TOKENS_AROUND_A_MESSAGE = 4
BASE64_IN_A_SOUND_TOKEN = 1200
BASE64_IN_A_FILE_TOKEN = 60
MOST_SEARCHES = 100  # in one call; a provider that reports more is not believed
MOST_SECONDS = 86_400


class Measured(Struct, frozen=True, kw_only=True):
    """What one answer used, as far as anybody can know."""

    usage: Usage
    source: Source
    flags: frozenset[str] = frozenset()
    tally: Tally | None = None
    cost_usd: Decimal | None = None
    others: Mapping[str, Usage] = MappingProxyType({})
    delivered_bytes: int = 0
    finish: str | None = None
    complete: bool = False
    failed: bool = False


class Meter:
    """Watches one answer of a provider."""

    def __init__(self, *, dialect: str, bounds: Bounds, estimate_input: Callable[[], int]) -> None:
        self._dialect = DIALECTS[dialect]
        self._glimpse = self._dialect.glimpse
        self._bounds = bounds
        self._estimate_input = estimate_input
        self._block: Json = {}
        self._flags: set[str] = set()
        self._weight = 0
        self._pieces = 0
        self.tally: Tally | None = None
        self.delivered_bytes = 0
        self.finish: str | None = None
        self.complete = False
        self.failed = False

    def watch(self, data: bytes) -> None:
        """Watch the data of one raw event go by."""
        if not data:
            return
        try:
            seen = self._glimpse(data)
        except UpstreamMalformed:
            self._flags.add("malformed_event")
            self._deliver(data.decode(errors="replace"))
            return
        if isinstance(seen, str):
            if seen:
                self._deliver(seen)
        else:
            self._look(seen)

    def _look(self, seen: Glimpse) -> None:
        if seen.text:
            self._deliver(seen.text)
        if seen.usage:
            self._block = self._dialect.merged(self._block, seen.usage)
            self._report(self._dialect.read_usage(self._block))
        self.finish = seen.finish or self.finish
        self.failed = self.failed or seen.failed
        self.complete = self.complete or seen.ended

    def watch_reply(self, body: bytes) -> None:
        """Watch a whole answer go by."""
        try:
            events = self._dialect.read_reply(body)
        except UpstreamMalformed:
            self._flags.add("malformed_event")
            self._deliver(body.decode(errors="replace"))
            return
        for event in events:
            self.note(event)

    def note(self, event: Event) -> None:
        """Watch a neutral event go by."""
        match event:
            case Reported():
                self._report(event.tally)
            case Finished():
                self.finish = event.stop
            case Broke():
                self.failed = True
            case Ended():
                self.complete = True
            case _:
                text = said(event)
                if text:
                    self._deliver(text)

    def _deliver(self, text: str) -> None:
        letters = len(text)
        size = letters if text.isascii() else len(text.encode(errors="replace"))
        self.delivered_bytes += size
        self._weight += 4 * size - letters
        self._pieces += 1

    def _report(self, tally: Tally) -> None:
        self.tally = tally if self.tally is None else later(self.tally, tally)

    def measured(self) -> Measured:
        """Say what was used so far; asking changes nothing, and a later answer replaces an earlier one."""
        tally = self.tally or Tally()
        flags = set(self._flags) | tally.flags
        tally, pieces_are_told = _pieces_in_range(tally, flags)
        given, given_is_told = self._input(tally.input, flags)
        made, made_is_told = self._output(tally.output, flags)
        usage, odd = partition(tally, given=given, made=made)
        return Measured(
            usage=usage,
            source="reported"
            if given_is_told and made_is_told and pieces_are_told
            else "partly"
            if given_is_told or made_is_told
            else "estimated",
            flags=frozenset(flags | odd),
            tally=self.tally,
            cost_usd=tally.cost_usd,
            others={model: _whole(other) for model, other in tally.others},
            delivered_bytes=self.delivered_bytes,
            finish=self.finish,
            complete=self.complete,
            failed=self.failed,
        )

    def _input(self, told: int | None, flags: set[str]) -> tuple[int, bool]:
        if told and told <= self._bounds.input_tokens:
            return told, True
        if told:
            flags.add("input_out_of_range")
        estimate = min(self._estimate_input(), self._bounds.input_tokens)
        if told == 0 and estimate:
            flags.add("input_understated")
        return estimate, not estimate and told is not None

    def _output(self, told: int | None, flags: set[str]) -> tuple[int, bool]:
        if told and told <= self._bounds.output_tokens:
            return told, True
        if told:
            flags.add("output_out_of_range")
        if not self._pieces and not told:
            return 0, self.tally is not None
        if told == 0:
            flags.add("output_understated")
        return min(self.estimated_output, self._bounds.output_tokens), False

    @property
    def estimated_output(self) -> int:
        """Estimate the tokens of what was delivered so far."""
        return min(max(-(-self._weight // 12), self._pieces), self.delivered_bytes)


def estimate_input(request: Request) -> int:
    """Estimate the tokens of a request, for when its provider does not say."""
    weight = tokens = 0
    for message, part in parts_of(request):
        if part is message.parts[0]:
            tokens += TOKENS_AROUND_A_MESSAGE
        match part:
            case Text() | Thinking():
                weight += _weight(part.text)
            case ToolCall():
                weight += _weight(part.name) + _weight(part.arguments)
            case Image():
                tokens += TOKENS_IN_A_PICTURE
            case Audio():
                tokens += len(part.data) // BASE64_IN_A_SOUND_TOKEN + 1
            case File():
                tokens += len(part.data or "") // BASE64_IN_A_FILE_TOKEN + 1
    for tool in request.tools:
        weight += _weight(tool.name) + _weight(tool.description or "") + 3 * len(written(tool.parameters))
    return tokens - (-weight // 12)


def estimate_text(texts: Iterable[str]) -> int:
    """Estimate the tokens of plain texts."""
    return -(-sum(_weight(text) for text in texts) // 12)


def _weight(text: str) -> int:
    return 3 * len(text) if text.isascii() else 4 * len(text.encode(errors="replace")) - len(text)


# From totals with parts inside to buckets that never overlap


def partition(tally: Tally, *, given: int, made: int) -> tuple[Usage, frozenset[str]]:
    """Split totals into buckets whose sum is exactly the totals, whatever the parts claim."""
    flags: set[str] = set()
    quantities = _input_buckets(tally, given, flags) | _output_buckets(tally, made, flags) | _counted_apart(tally)
    return Usage.of((bucket, quantity) for bucket, quantity in quantities.items() if quantity), frozenset(flags)


class _Share:
    """A total that parts are taken out of; a part that asks for more than is left gets the rest, and a flag."""

    def __init__(self, total: int, flags: set[str], flag: str) -> None:
        self.left = total
        self._flags = flags
        self._flag = flag

    def take(self, asked: int | None) -> int:
        taken = min(asked or 0, self.left)
        if asked and taken < asked:
            self._flags.add(self._flag)
        self.left -= taken
        return taken


def _input_buckets(tally: Tally, given: int, flags: set[str]) -> dict[Bucket, int]:
    if not (tally.cache_read or tally.cache_write_5m or tally.cache_write_1h or _has_media(tally)):
        return {Bucket("input"): given}
    fresh = _Share(given, flags, "cache_over_input")
    read = fresh.take(tally.cache_read)
    minutes, hour = fresh.take(tally.cache_write_5m), fresh.take(tally.cache_write_1h)
    cached = _Share(read, flags, "part_over_input")
    buckets = {
        Bucket("input", cache="write_5m"): minutes,
        Bucket("input", cache="write_1h"): hour,
    }
    for modality, told, told_cached in (
        ("audio", tally.audio_in, tally.audio_cached),
        ("image", tally.image_in, tally.image_cached),
        ("video", tally.video_in, None),
    ):
        from_cache = min(told_cached or 0, told or 0, cached.left)
        plain = min((told or 0) - from_cache, fresh.left)
        fresh.left -= plain
        # what does not fit among the fresh tokens must have been among the cached ones
        buckets[Bucket("input", modality)] = plain
        buckets[Bucket("input", modality, "read")] = cached.take((told or 0) - plain)
    return buckets | {Bucket("input"): fresh.left, Bucket("input", cache="read"): cached.left}


def _has_media(tally: Tally) -> bool:
    return bool(tally.audio_in or tally.image_in or tally.video_in or tally.audio_cached or tally.image_cached)


def _output_buckets(tally: Tally, made: int, flags: set[str]) -> dict[Bucket, int]:
    if not (tally.audio_out or tally.image_out or tally.reasoning):
        return {Bucket("output"): made}
    words = _Share(made, flags, "part_over_output")
    return {
        Bucket("output", "audio"): words.take(tally.audio_out),
        Bucket("output", "image"): words.take(tally.image_out),
        Bucket("output", "reasoning"): words.take(tally.reasoning),
        Bucket("output"): words.left,
    }


def _counted_apart(tally: Tally) -> dict[Bucket, int]:
    if not (tally.audio_seconds or tally.searches or tally.search_units):
        return {}
    return {
        Bucket("input", "audio", "none", "second"): 0 if tally.audio_in else tally.audio_seconds or 0,
        Bucket("output", "search", "none", "search"): tally.searches or 0,
        Bucket("input", "search", "none", "search"): tally.search_units or 0,
    }


def _pieces_in_range(tally: Tally, flags: set[str]) -> tuple[Tally, bool]:
    """What is not counted in tokens is bounded too: more of it than any call has is not believed."""
    bounds = {"searches": MOST_SEARCHES, "search_units": MOST_SEARCHES, "audio_seconds": MOST_SECONDS}
    over = {name: most for name, most in bounds.items() if (getattr(tally, name) or 0) > most}
    if not over:
        return tally, True
    flags.update(f"{name}_out_of_range" for name in over)
    return structs.replace(tally, **over), False


def _whole(tally: Tally) -> Usage:
    return partition(tally, given=tally.input or 0, made=tally.output or 0)[0]
