"""A value that a JSON schema accepts: what a tool is called with, and what a structured answer says.

Promise: the same schema and seed give the same value; recursion ends; what JSON Schema can say and this cannot (a
regular expression beyond the common ones, ``not``) gives a plain value instead of an error.
"""

import re
from random import Random
from typing import Any

DEEPEST = 6
MOST_ITEMS = 100
MOST_CHARACTERS = 10_000
WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "haven", "inlet", "jetty", "kelp", "lagoon")
FORMATS = {
    "date": "2026-01-15",
    "date-time": "2026-01-15T09:30:00Z",
    "time": "09:30:00Z",
    "duration": "PT15M",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "3f2b1c9e-8d4a-4b6f-9a57-2c1d0e8f7a6b",
}
CANDIDATES = (
    "abc",
    "ABC",
    "123",
    "2026-01-15",
    "a1b2c3",
    "AB-123",
    "someone@example.com",
    "+15550100",
    "12:30",
    "#a1b2c3",
)


def example(schema: Any, seed: int) -> Any:
    """A value for the schema; upper-case type names, as Gemini writes them, are understood."""
    return _value(schema, schema, Random(seed), 0)  # noqa: S311 - made up on purpose


def _value(schema: Any, root: Any, rng: Random, depth: int) -> Any:
    if not isinstance(schema, dict):
        return None if schema is False else rng.choice(WORDS)
    schema = _resolved(schema, root, rng, depth)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return rng.choice(schema["enum"])
    kind = _kind(schema)
    if kind == "object":
        return _object(schema, root, rng, depth)
    if kind == "array":
        return _array(schema, root, rng, depth)
    return _scalar(kind, schema, rng)


def _scalar(kind: str, schema: dict[str, Any], rng: Random) -> Any:
    match kind:
        case "integer" | "number":
            return _number(kind, schema, rng)
        case "boolean":
            return rng.random() < 0.5
        case "null":
            return None
        case _:
            return _string(schema, rng)


def _resolved(schema: dict[str, Any], root: Any, rng: Random, depth: int) -> dict[str, Any]:
    """Follow references and choose among alternatives, the simplest where things get deep."""
    for _ in range(20):
        if "$ref" in schema:
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**_referred(str(schema["$ref"]), root), **rest}
        elif schema.get("allOf"):
            parts = schema["allOf"]
            schema = _merged([{key: value for key, value in schema.items() if key != "allOf"}, *parts], root)
        elif choices := schema.get("anyOf") or schema.get("oneOf"):
            rest = {key: value for key, value in schema.items() if key not in {"anyOf", "oneOf"}}
            simple = [choice for choice in choices if isinstance(choice, dict) and choice.get("type") == "null"]
            chosen = simple[0] if simple and depth >= DEEPEST else choices[0]
            schema = _merged([rest, chosen], root)
        else:
            break
    return schema


def _merged(parts: list[Any], root: Any) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for part in parts:
        if not isinstance(part, dict):
            continue
        whole = {**_referred(str(part["$ref"]), root), **part} if "$ref" in part else part
        for key, value in whole.items():
            if key == "properties":
                merged[key] = {**merged.get(key, {}), **value}
            elif key == "required":
                merged[key] = [*merged.get(key, []), *value]
            elif key != "$ref" or "$ref" not in part:
                merged[key] = value
    return merged


def _referred(reference: str, root: Any) -> dict[str, Any]:
    found = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        found = found.get(name, {}) if isinstance(found, dict) and name else found
    return found if isinstance(found, dict) else {}


def _kind(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    if isinstance(kind, str):
        return kind.lower()
    if "properties" in schema or "required" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def _object(schema: dict[str, Any], root: Any, rng: Random, depth: int) -> dict[str, Any]:
    properties = schema.get("properties") or {}
    required = [name for name in schema.get("required") or [] if isinstance(name, str)]
    names = required if depth >= DEEPEST else [*properties, *(name for name in required if name not in properties)]
    if depth > 4 * DEEPEST:  # a schema that requires itself for ever has no value: end with the nearest thing
        return {}
    return {name: _value(properties.get(name, {}), root, rng, depth + 1) for name in names}


def _array(schema: dict[str, Any], root: Any, rng: Random, depth: int) -> list[Any]:
    fixed = [_value(item, root, rng, depth + 1) for item in schema.get("prefixItems") or []]
    least = min(int(schema.get("minItems") or 0), MOST_ITEMS)
    most = schema.get("maxItems")
    wanted = max(least, 0 if depth >= DEEPEST else 1 + rng.randrange(2))
    wanted = wanted if most is None else min(wanted, int(most))
    items = schema.get("items", {})
    more = [] if items is False else [_value(items, root, rng, depth + 1) for _ in range(wanted - len(fixed))]
    if schema.get("uniqueItems"):
        more = [item for index, item in enumerate(more) if item not in more[:index]]
    return [*fixed, *more]


def _number(kind: str, schema: dict[str, Any], rng: Random) -> int | float:
    step = schema.get("multipleOf") or (1 if kind == "integer" else 0.5)
    least = _bound(schema.get("minimum"), schema.get("exclusiveMinimum"), step)
    most = _bound(schema.get("maximum"), schema.get("exclusiveMaximum"), -step)
    if least is None:
        least = 1 if most is None else min(1, most)
    if most is None or most > least + 20 * step:
        most = least + 20 * step
    lowest = -(-least // step)
    highest = max(most // step, lowest)
    value = rng.randint(int(lowest), int(highest)) * step
    return int(value) if kind == "integer" else float(value)


def _bound(inside: Any, outside: Any, step: float) -> Any:
    """A limit that may be reached, made of one that may not where that is what is given."""
    exclusive = isinstance(outside, int | float) and not isinstance(outside, bool)
    return outside + step if inside is None and exclusive else inside


def _string(schema: dict[str, Any], rng: Random) -> str:
    if schema.get("format") in FORMATS:
        return FORMATS[schema["format"]]
    if pattern := schema.get("pattern"):
        return _matching(str(pattern))
    text = rng.choice(WORDS)
    least = min(int(schema.get("minLength") or 0), MOST_CHARACTERS)
    while len(text) < least:
        text += " " + rng.choice(WORDS)
    most = schema.get("maxLength")
    return text if most is None else text[: int(most)]


def _matching(pattern: str) -> str:
    try:
        return next((text for text in CANDIDATES if re.search(pattern, text)), CANDIDATES[0])
    except re.error:
        return CANDIDATES[0]
