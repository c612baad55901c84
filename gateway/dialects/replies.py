"""From events to a whole reply: the one place where deltas are put together again."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from gateway.dialects.expressing import untold
from gateway.dialects.neutral import (
    Broke,
    CallDelta,
    CallStarted,
    Citation,
    Cited,
    Event,
    Finished,
    Json,
    Logprobs,
    MediaMade,
    RefusalDelta,
    Reported,
    Started,
    Stop,
    Tally,
    TextDelta,
    ThinkingDelta,
    Untold,
)


@dataclass
class Block:
    """One part of an answer, whole."""

    kind: str
    text: str = ""
    id: str = ""
    name: str = ""
    signature: str | None = None
    redacted: str | None = None
    citations: list[Citation] = field(default_factory=list)


@dataclass
class Choice:
    """One answer of a reply."""

    blocks: list[Block] = field(default_factory=list)
    stop: Stop | None = None
    sequence: str | None = None
    logprobs: list[Json] = field(default_factory=list)
    by_number: dict[int, Block] = field(default_factory=dict)

    def block(self, number: int, kind: str) -> Block:
        """Find the block of a delta, or open it."""
        block = self.by_number.get(number)
        if block is None or block.kind != kind:
            block = self.by_number[number] = Block(kind)
            self.blocks.append(block)
        return block

    def of(self, kind: str) -> list[Block]:
        """All blocks of one kind, in order."""
        return [block for block in self.blocks if block.kind == kind]

    def text(self, kind: str) -> str:
        """The joined text of all blocks of one kind."""
        return "".join(block.text for block in self.of(kind))


@dataclass
class Reply:
    """A whole reply."""

    started: Started = field(default_factory=Started)
    choices: dict[int, Choice] = field(default_factory=dict)
    tally: Tally | None = None
    broke: Broke | None = None

    def choice(self, number: int) -> Choice:
        """Find an answer by its number, or open it."""
        return self.choices.setdefault(number, Choice())


def collect(events: Iterable[Event]) -> Reply:
    """Put the events of one reply together."""
    reply = Reply()
    for event in events:
        take(reply, event)
    return reply


def take(reply: Reply, event: Event) -> None:
    """Add one event to the reply it belongs to."""
    match event:
        case TextDelta():
            reply.choice(event.choice).block(event.block, "text").text += event.text
        case ThinkingDelta():
            _think(reply.choice(event.choice).block(event.block, "thinking"), event)
        case RefusalDelta():
            reply.choice(event.choice).block(event.block, "refusal").text += event.text
        case CallStarted():
            block = reply.choice(event.choice).block(event.block, "call")
            block.id, block.name = event.id, event.name
        case CallDelta():
            reply.choice(event.choice).block(event.block, "call").text += event.arguments
        case Cited():
            reply.choice(event.choice).block(event.block, "text").citations.append(event.citation)
        case MediaMade():
            block = reply.choice(event.choice).block(event.block, "media")
            block.name, block.text = event.media_type, event.data
        case _:
            _note(reply, event)


def _note(reply: Reply, event: Event) -> None:
    match event:
        case Started():
            reply.started = event
        case Logprobs():
            reply.choice(event.choice).logprobs += event.content
        case Finished():
            choice = reply.choice(event.choice)
            choice.stop, choice.sequence = event.stop, event.sequence
        case Reported():
            reply.tally = event.tally if reply.tally is None else later(reply.tally, event.tally)
        case Broke():
            reply.broke = event
        case Untold():
            untold(event.kind)


def _think(block: Block, event: ThinkingDelta) -> None:
    block.text += event.text
    block.signature = (block.signature or "") + event.signature if event.signature else block.signature
    block.redacted = event.redacted or block.redacted


def later(earlier: Tally, report: Tally) -> Tally:
    """Lay a later report over an earlier one: the last value of each field wins, but a count never goes down."""
    changes: dict[str, object] = {}
    flags = earlier.flags | report.flags
    for name in Tally.__struct_fields__:
        before, now = getattr(earlier, name), getattr(report, name)
        if name == "flags" or now is None or now == before:
            continue
        if type(now) is int and type(before) is int and now < before:
            flags |= {"decreasing"}
        elif now != ():
            changes[name] = now
    return msgspec.structs.replace(earlier, flags=flags, **changes)
