"""Anthropic's usage: input is only what was neither read from nor written to a cache, so totals are sums.

A stream reports twice or more: `message_start` the input side with an output of a few tokens, `message_delta` the
output so far and sometimes a corrected input side. The last value of each field wins; deltas are never added up.
"""

from gateway.dialects.counting import Counts, cached, total
from gateway.dialects.neutral import Json, Tally


def merged(earlier: Json, report: Json) -> Json:
    """Lay a later usage block over an earlier one, field by field, since a later one may leave fields out."""
    return earlier | {name: value for name, value in report.items() if value is not None}


def read_usage(usage: Json) -> Tally:
    """Read one usage block, or several merged."""
    counts = Counts()
    fresh = counts.of(usage, "input_tokens")
    read = counts.of(usage, "cache_read_input_tokens")
    written_5m, written_1h = _writes(counts, usage)
    tools = counts.part(usage, "server_tool_use")
    return Tally(
        input=None if fresh is None else total(fresh, read, written_5m, written_1h),
        output=counts.of(usage, "output_tokens"),
        cache_read=read,
        cache_write_5m=written_5m,
        cache_write_1h=written_1h,
        reasoning=counts.of(counts.part(usage, "output_tokens_details"), "thinking_tokens"),
        searches=counts.of(tools, "web_search_requests"),
        service_tier=_word(usage, "service_tier"),
        speed=_word(usage, "speed"),
        others=_others(counts, usage),
        flags=frozenset(counts.flags),
    )


def _writes(counts: Counts, usage: Json) -> tuple[int | None, int | None]:
    split = counts.part(usage, "cache_creation")
    whole, hour = counts.of(usage, "cache_creation_input_tokens"), counts.of(split, "ephemeral_1h_input_tokens")
    if whole is None:
        return counts.of(split, "ephemeral_5m_input_tokens"), hour
    return max(0, whole - (hour or 0)), hour


def _word(usage: Json, name: str) -> str | None:
    value = usage.get(name)
    return value[:40] if type(value) is str else None


def _others(counts: Counts, usage: Json) -> tuple[tuple[str, Tally], ...]:
    iterations = usage.get("iterations")
    if type(iterations) is not list:
        return ()
    found = []
    for part in iterations:
        if type(part) is dict and type(part.get("model")) is str and part.get("type") != "message":
            other = read_usage(part | {"iterations": None})
            counts.flags |= other.flags
            found.append((part["model"][:200], other))
    return tuple(found)


def write_usage(tally: Tally) -> Json:
    """Write usage with the cached parts beside the input."""
    read, minutes, hour = cached(tally)
    return {
        "input_tokens": (tally.input or 0) - read - minutes - hour,
        "cache_creation_input_tokens": minutes + hour,
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": minutes, "ephemeral_1h_input_tokens": hour},
        "output_tokens": tally.output or 0,
    }
