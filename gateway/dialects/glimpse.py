"""What the meter sees of a passing event: how much was said, and the rare things that need a second look."""

from typing import Any, NamedTuple

import msgspec

from gateway.dialects.neutral import CallDelta, CallStarted, Event, Json, RefusalDelta, TextDelta, ThinkingDelta, Untold


class Glimpse(NamedTuple):
    """One event that holds more than words."""

    text: str = ""
    usage: Json | None = None
    finish: str | None = None
    failed: bool = False
    ended: bool = False


Seen = str | Glimpse  # nearly every event is only words, so those are not wrapped
ENDED = Glimpse(ended=True)
ODD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def said(event: Event) -> str:
    """The words a neutral event delivers, whatever they are for."""
    match event:
        case TextDelta() | RefusalDelta() | ThinkingDelta():
            return event.text
        case CallDelta():
            return event.arguments
        case CallStarted():
            return event.name
        case Untold():
            return event.text
    return ""


def strings(value: Any) -> str:
    """All words in an odd answer, for an estimate; a shape nobody expected is still something delivered."""
    found, waiting = [], [value]
    while waiting:
        item = waiting.pop()
        if type(item) is str:
            found.append(item)
        elif type(item) is list:
            waiting.extend(item)
        elif type(item) is dict:
            waiting.extend(item.values())
    return "".join(found)
