"""Gemini's usage: thoughts stand beside the candidates, tool prompts beside the prompt, cached tokens inside it."""

from gateway.dialects.counting import Counts, cached, total
from gateway.dialects.neutral import Json, Tally


def merged(earlier: Json, report: Json) -> Json:
    """Lay a later usage block over an earlier one; every chunk counts from the beginning, but may leave fields out."""
    return earlier | {name: value for name, value in report.items() if value is not None}


def read_usage(usage: Json) -> Tally:
    """Read a `usageMetadata` block."""
    counts = Counts()
    given, made, from_cache = (
        _by_modality(counts, usage, f"{name}TokensDetails") for name in ("prompt", "candidates", "cache")
    )
    thoughts = counts.of(usage, "thoughtsTokenCount")
    prompt = counts.of(usage, "promptTokenCount")
    return Tally(
        input=None if prompt is None else total(prompt, counts.of(usage, "toolUsePromptTokenCount")),
        output=total(counts.of(usage, "candidatesTokenCount"), thoughts),
        cache_read=counts.of(usage, "cachedContentTokenCount"),
        reasoning=thoughts,
        audio_in=given.get("AUDIO"),
        audio_cached=from_cache.get("AUDIO"),
        audio_out=made.get("AUDIO"),
        image_in=given.get("IMAGE"),
        image_cached=from_cache.get("IMAGE"),
        image_out=made.get("IMAGE"),
        video_in=given.get("VIDEO"),
        searches=counts.of(usage, "searches"),
        service_tier=usage["serviceTier"][:40] if type(usage.get("serviceTier")) is str else None,
        flags=frozenset(counts.flags),
    )


def with_searches(usage: Json, candidates: list[Json]) -> Json:
    """Add the number of searches, which Gemini lists with the candidates and not with the usage."""
    searches = 0
    for candidate in candidates:
        grounding = candidate.get("groundingMetadata")
        queries = grounding.get("webSearchQueries") if type(grounding) is dict else None
        searches += len(queries) if type(queries) is list else 0
    return usage | {"searches": searches} if searches else usage


def _by_modality(counts: Counts, usage: Json, name: str) -> dict[str, int]:
    details = usage.get(name)
    found: dict[str, int] = {}
    for detail in details if type(details) is list else []:
        if type(detail) is dict and type(detail.get("modality")) is str:
            found[detail["modality"]] = found.get(detail["modality"], 0) + (counts.of(detail, "tokenCount") or 0)
    return found


def write_usage(tally: Tally) -> Json:
    """Write usage with the thoughts beside the candidates."""
    given, made, thoughts = tally.input or 0, tally.output or 0, min(tally.reasoning or 0, tally.output or 0)
    return {
        "promptTokenCount": given,
        "candidatesTokenCount": made - thoughts,
        "totalTokenCount": given + made,
        **({"thoughtsTokenCount": thoughts} if thoughts else {}),
        **({"cachedContentTokenCount": cached(tally)[0]} if tally.cache_read else {}),
    }
