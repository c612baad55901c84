"""The figures in a plan's or card's JSON, as fields somebody can edit without meeting the JSON.

Promise: a field stands for one number in the body, by its path; what the form does not name stays as it is, and the
pricing engine reads the result as strictly as everything else.
"""

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from billing.pricing import Card, Malformed
from desk.words import DASH

NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?\Z")
LEFT_OUT = frozenset({"version", "quantum_nano", "threshold", "unit_value"})
METHODS = {
    "cost_plus": "cost times {multiplier}",
    "flat_token": "every token the same: ${price} a million",
    "adjusted_token": "dear tokens count more, times {multiplier}",
    "unit_price": "prices of its own by unit",
    "fixed_list": "a price list of its own",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One number, by its path in the body."""

    path: str
    label: str
    value: str


def fields(body: Any) -> list[Field]:
    """Every number somebody may want to change."""
    return [Field("/".join(path), label, value) for path, label, value in _walk(body, (), "")]


def with_fields(body: Any, sent: Mapping[str, Any]) -> Any:
    """The body with the numbers a form sent."""
    changed = copy.deepcopy(body)
    for one in fields(body):
        value = sent.get(f"figure:{one.path}")
        if value is not None and value.strip() != one.value:
            place = changed
            *way, last = one.path.split("/")
            for step in way:
                place = place[int(step) if isinstance(place, list) else step]
            key: Any = int(last) if isinstance(place, list) else last
            was_whole = isinstance(place[key], int)
            written = value.strip()
            place[key] = (
                int(written)
                if was_whole and written.isascii() and written.isdigit() and len(written) <= 18
                else written
            )
    return changed


def _walk(value: Any, path: tuple[str, ...], label: str) -> Iterator[tuple[tuple[str, ...], str, str]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name not in LEFT_OUT:
                yield from _walk(item, (*path, name), _joined(label, name))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            named = item if isinstance(item, Mapping) else {}
            words = [one for one in named.values() if isinstance(one, str) and not NUMBER.match(one)]
            yield from _walk(item, (*path, str(place)), _joined(label, " ".join(words)))
    elif not isinstance(value, bool) and isinstance(value, (int, str)) and NUMBER.match(str(value)):
        yield path, label, str(value)


def _joined(label: str, name: str) -> str:
    return f"{label}: {name.replace('_', ' ')}" if label else name.replace("_", " ").capitalize()


def method(body: Mapping[str, Any]) -> str:
    """How a plan prices, in words."""
    told = METHODS.get(str(body.get("method")), str(body.get("method")))
    return told.format(multiplier=body.get("multiplier", "?"), price=body.get("price", "?"))


def text_rates(body: Mapping[str, Any]) -> tuple[str, str, str]:
    """A card's prices of plain text: input, read from a cache, output; a dash for what it does not name."""
    try:
        rates = Card.from_json(body).to_json().get("rates", [])
    except Malformed:
        rates = []
    assert isinstance(rates, list)
    found = dict.fromkeys(("input", "cached", "output"), DASH)
    for rate in rates:
        if rate.get("modality", "text") != "text" or set(rate) - {
            "direction",
            "cache",
            "modality",
            "unit",
            "price",
            "per",
        }:
            continue
        cache = rate.get("cache", "none")
        name = "cached" if cache == "read" else rate["direction"] if cache in {"none", "", None} else ""
        if name in found:
            found[name] = f"${rate['price']}"
    return found["input"], found["cached"], found["output"]
