"""Requests that are no conversation: embeddings, rerank, moderations.

Client and provider speak the same words here, so bodies pass through `passing` and no neutral form exists: a request is
read for what admission needs (the model, the texts it is about), an answer for its usage. Each is a row of `ONE_SHOTS`.
"""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from gateway.dialects.counting import Counts
from gateway.dialects.neutral import Json, Tally
from gateway.dialects.openai_usage import read_usage
from gateway.dialects.reading import array, mapping, members, need, refuse, reply_members, string, whole

MOST_INPUTS = 2048


class OneShot(Struct, frozen=True):
    """What one such request is about."""

    model: str
    texts: tuple[str, ...] = ()
    token_ids: int = 0
    pictures: int = 0


class Shape(Struct, frozen=True):
    """How one such request is read."""

    path: str
    about: Callable[[Json], OneShot]
    default_model: str | None = None
    is_free: bool = False


def read_request(kind: str, body: bytes) -> OneShot:
    """Read a client's body."""
    shape = ONE_SHOTS[kind]
    source = members(body)
    if "model" not in source and shape.default_model is not None:
        source["model"] = shape.default_model
    return shape.about(source)


def read_tally(body: bytes) -> Tally:
    """Read what an answer reports, in OpenAI's words or in Cohere's billed units."""
    source = reply_members(body)
    usage = source.get("usage")
    tally = read_usage(usage) if type(usage) is dict else Tally()
    counts = Counts()
    billed = counts.part(counts.part(source, "meta"), "billed_units")
    if billed:
        return Tally(
            input=counts.of(billed, "input_tokens"),
            output=counts.of(billed, "output_tokens"),
            image_in=counts.of(billed, "image_tokens"),
            search_units=counts.of(billed, "search_units"),
            flags=frozenset(counts.flags),
        )
    return tally if tally.output is not None else Tally(input=tally.input, cost_usd=tally.cost_usd, flags=tally.flags)


def _embeddings(source: Json) -> OneShot:
    texts, token_ids, pictures = _inputs(need(source, "input", _any))
    return OneShot(need(source, "model", string), texts, token_ids, pictures)


def _moderations(source: Json) -> OneShot:
    texts, token_ids, pictures = _inputs(need(source, "input", _any))
    if token_ids:
        refuse("input", "a string, a list of strings or a list of parts")
    return OneShot(need(source, "model", string), texts, 0, pictures)


def _rerank(source: Json) -> OneShot:
    documents = array(need(source, "documents", _any), "documents")
    if not 1 <= len(documents) <= MOST_INPUTS:
        refuse("documents", f"a list of 1 to {MOST_INPUTS}")
    texts = [
        string(item.get("text") if type(item) is dict else item, f"documents[{i}]") for i, item in enumerate(documents)
    ]
    if source.get("top_n") is not None:
        whole(source["top_n"], "top_n")
    return OneShot(need(source, "model", string), (need(source, "query", string), *texts))


def _any(value: Any, where: str) -> Any:
    return value


def _inputs(value: Any) -> tuple[tuple[str, ...], int, int]:
    if type(value) is str:
        return (value,), 0, 0
    items = array(value, "input")
    if not items:
        refuse("input", "a string or a list of at least one")
    if all(type(item) is int for item in items):
        return (), len(items), 0
    if len(items) > MOST_INPUTS:
        refuse("input", f"a list of at most {MOST_INPUTS}")
    texts: list[str] = []
    token_ids = pictures = 0
    for index, item in enumerate(items):
        where = f"input[{index}]"
        if type(item) is list:
            token_ids += sum(1 for token in item if whole(token, where) >= 0)
        elif type(item) is dict:
            pictures += _part(item, where, texts)
        else:
            texts.append(string(item, where))
    return tuple(texts), token_ids, pictures


def _part(item: Json, where: str, texts: list[str]) -> int:
    if need(item, "type", string, where + ".") == "text":
        texts.append(need(item, "text", string, where + "."))
        return 0
    mapping(item.get("image_url"), where + ".image_url")
    return 1


ONE_SHOTS = {
    "embeddings": Shape("embeddings", _embeddings),
    "rerank": Shape("rerank", _rerank),
    "moderations": Shape("moderations", _moderations, default_model="omni-moderation-latest", is_free=True),
}
