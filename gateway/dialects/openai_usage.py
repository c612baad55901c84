"""Usage blocks in OpenAI's two spellings, from OpenAI and from everyone who imitates it.

Cached tokens are part of the prompt and reasoning is part of the completion, except where the total says otherwise:
the total tells which of three habits a host has, and is believed over their names.
- reasoning beside the completion (xAI): total = prompt + completion + reasoning;
- audio beside the prompt (Mistral's Voxtral): total = prompt + completion + audio;
- thoughts in no field at all (Gemini's compatible address): output = total - prompt.
"""

from collections.abc import Iterable
from decimal import Decimal

from gateway.dialects.counting import Counts, cached, total
from gateway.dialects.neutral import Json, Tally

TICKS_PER_USD = 10**10


def read_usage(usage: Json) -> Tally:
    """Read `prompt_tokens` / `completion_tokens` or `input_tokens` / `output_tokens`, with their details."""
    counts = Counts()
    prompt = counts.part(usage, "prompt_tokens_details") or counts.part(usage, "input_tokens_details")
    completion = counts.part(usage, "completion_tokens_details") or counts.part(usage, "output_tokens_details")
    reasoning = counts.of(completion, "reasoning_tokens")
    audio_in = counts.of(prompt, "audio_tokens")
    given, made = _totals(counts, usage, reasoning=reasoning or 0, audio_in=audio_in or 0)
    return Tally(
        input=given,
        output=made,
        cache_read=_cache_read(counts, usage, prompt),
        cache_write_5m=counts.of(prompt, "cache_write_tokens"),
        reasoning=reasoning,
        audio_in=audio_in,
        audio_out=counts.of(completion, "audio_tokens"),
        image_in=counts.of(prompt, "image_tokens"),
        image_out=counts.of(completion, "image_tokens"),
        audio_seconds=counts.rounded_up(usage, "prompt_audio_seconds"),
        searches=_searches(counts, usage),
        cost_usd=_cost(counts, usage),
        flags=frozenset(counts.flags),
    )


def with_searches(usage: Json, kinds: Iterable[str | None]) -> Json:
    """Add the number of searches, which Responses lists with the output, by kind, and not with the usage."""
    searches = sum(kind == "web_search_call" for kind in kinds)
    return usage | {"searches": searches} if searches else usage


def _totals(counts: Counts, usage: Json, *, reasoning: int, audio_in: int) -> tuple[int | None, int | None]:
    given = counts.of(usage, "prompt_tokens", "input_tokens")
    made = counts.of(usage, "completion_tokens", "output_tokens")
    both = counts.of(usage, "total_tokens")
    if given is None or both is None or both <= given + (made or 0):
        return given, made
    beyond = both - given - (made or 0)
    if made is not None and beyond == reasoning:
        return given, made + reasoning
    if beyond == audio_in:
        return given + audio_in, made
    counts.flags.add("hidden_output")
    return given, both - given


def _cache_read(counts: Counts, usage: Json, prompt: Json) -> int | None:
    read = counts.of(prompt, "cached_tokens")
    return counts.of(usage, "prompt_cache_hit_tokens", "num_cached_tokens") if read is None else read


def _searches(counts: Counts, usage: Json) -> int | None:
    tools = counts.part(usage, "server_tool_use_details") or counts.part(usage, "server_tool_use")
    return total(
        counts.of(usage, "searches"),
        counts.of(tools, "web_search_requests"),
        counts.of(counts.part(usage, "server_side_tool_usage_details"), "web_search_calls"),
    )


def _cost(counts: Counts, usage: Json) -> Decimal | None:
    ticks = usage.get("cost_in_usd_ticks")
    if ticks is not None:
        return counts.dollars(ticks, per=TICKS_PER_USD) or None  # hosts that resell Grok send a 0 that means nothing
    cost = usage.get("cost")
    if type(cost) is dict:
        cost = cost.get("total_cost")
    return counts.dollars(cost)


def merged(earlier: Json, report: Json) -> Json:
    """Lay a later usage block over an earlier one: each is whole, so the later one stands."""
    return report


def write_chat_usage(tally: Tally) -> Json:
    """Write usage as chat completions spell it."""
    given, made = tally.input or 0, tally.output or 0
    return {
        "prompt_tokens": given,
        "completion_tokens": made,
        "total_tokens": given + made,
        "prompt_tokens_details": _input_details(tally),
        "completion_tokens_details": {"reasoning_tokens": tally.reasoning or 0, "audio_tokens": tally.audio_out or 0},
    }


def write_responses_usage(tally: Tally) -> Json:
    """Write usage as Responses spells it."""
    given, made = tally.input or 0, tally.output or 0
    details = _input_details(tally)
    del details["audio_tokens"]
    return {
        "input_tokens": given,
        "input_tokens_details": details,
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": tally.reasoning or 0},
        "total_tokens": given + made,
    }


def _input_details(tally: Tally) -> Json:
    read, minutes, hour = cached(tally)
    return {
        "cached_tokens": read,
        "audio_tokens": tally.audio_in or 0,
        "cache_write_tokens": minutes + hour,
    }
