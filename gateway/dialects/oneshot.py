"""Requests that are no conversation: embeddings (OpenAI's and Gemini's), rerank, moderations.

Client and provider speak the same words here, so bodies pass through `passing` and no neutral form exists: a request is
read for what admission needs (the model, the texts it is about), an answer for its usage. Each is a row of `ONE_SHOTS`.
"""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from gateway.dialects.counting import Counts
from gateway.dialects.neutral import Json, Tally
from gateway.dialects.openai_usage import read_usage
from gateway.dialects.passing import rewritten
from gateway.dialects.reading import array, mapping, members, need, refuse, reply_members, string, whole

MOST_INPUTS = 2048


class OneShot(Struct, frozen=True):
    """What one such request is about."""

    model: str
    texts: tuple[str, ...] = ()
    token_ids: int = 0
    pictures: int = 0
    documents: int = 0  # of the texts, those that the first one is weighed against


class Shape(Struct, frozen=True):
    """How one such request is read."""

    about: Callable[[Json], OneShot]
    default_model: str | None = None


def read_request(kind: str, body: bytes, *, model: str = "") -> OneShot:
    """Read a client's body; Gemini's names its model in the address."""
    shape = ONE_SHOTS[kind]
    source = members(body)
    if model:
        source["model"] = model
    elif "model" not in source and shape.default_model is not None:
        source["model"] = shape.default_model
    return shape.about(source)


def write_request(kind: str, body: bytes, *, model: str) -> bytes:
    """Make the provider's body out of the client's; `model` is the name there."""
    if kind == "gemini_batch_embed":
        requests = [item | {"model": f"models/{model}"} for item in members(body)["requests"]]
        return rewritten(body, {"requests": requests})
    if kind == "gemini_embed":
        return rewritten(body, {"model": f"models/{model}"})
    return rewritten(body, {"model": model})


def read_tally(body: bytes) -> Tally:
    """Read what an answer reports, in OpenAI's words or in Cohere's billed units."""
    source = reply_members(body)
    usage = source.get("usage")
    tally = read_usage(usage) if type(usage) is dict else Tally()
    counts = Counts()
    billed = counts.part(counts.part(source, "meta"), "billed_units")
    if billed:
        given = counts.of(billed, "input_tokens")
        return Tally(
            input=tally.input if given is None else given,
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
    question = need(source, "query", string)
    return OneShot(need(source, "model", string), (question, *texts), documents=len(texts))


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


def _embed_content(source: Json) -> OneShot:
    texts: list[str] = []
    pictures = _content(source, "content", texts)
    return OneShot(source["model"], tuple(texts), pictures=pictures)


def _embed_contents(source: Json) -> OneShot:
    requests = array(need(source, "requests", _any), "requests")
    if not 1 <= len(requests) <= MOST_INPUTS:
        refuse("requests", f"a list of 1 to {MOST_INPUTS}")
    texts: list[str] = []
    pictures = sum(
        _content(mapping(request, f"requests[{index}]"), f"requests[{index}].content", texts)
        for index, request in enumerate(requests)
    )
    return OneShot(source["model"], tuple(texts), pictures=pictures)


def _content(source: Json, where: str, texts: list[str]) -> int:
    """Take the texts out of one content; what is no text is counted as a picture."""
    content = mapping(source.get("content"), where)
    parts = [mapping(part, f"{where}.parts") for part in array(content.get("parts"), f"{where}.parts")]
    found = [string(part["text"], f"{where}.parts") for part in parts if "text" in part]
    texts.extend(found)
    return len(parts) - len(found)


ONE_SHOTS = {
    "embeddings": Shape(_embeddings),
    "rerank": Shape(_rerank),
    "moderations": Shape(_moderations, default_model="omni-moderation-latest"),
    "gemini_embed": Shape(_embed_content),
    "gemini_batch_embed": Shape(_embed_contents),
}
