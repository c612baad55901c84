"""Form encoding as Stripe reads it, ``a[b][0]=c``, and the check of what came in against what an address accepts.

A shape is a plain dictionary: a name (with ``!`` when it must be there) to a kind. Kinds are ``text``, ``whole``,
``decimal``, ``flag``, ``time``, ``map`` (metadata), ``any``, a choice ``one|other``, a list ``[kind]`` or a shape.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from sandbox.stripe.problems import Problem, invalid, missing, unknown

Shape = Mapping[str, Any]
Params = dict[str, Any]

LONGEST_TEXT = 5000
MOST_FIELDS = 1000
DEEPEST = 8
_NAME = re.compile(r"^([^\[\]]+)((?:\[[^\[\]]*\])*)$")
LIST = {
    "limit": "whole",
    "starting_after": "text",
    "ending_before": "text",
    "created": "range",
}


def decode(raw: str) -> Params:
    """The tree a form describes."""
    tree: Params = {}
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        raise Problem(400, "The request's form encoding cannot be read.") from None
    for name, value in pairs:
        match = _NAME.match(name)
        if match is None:
            raise unknown(name[:200])
        steps = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])]
        if len(steps) > DEEPEST:
            raise unknown(name[:200])
        _plant(tree, steps, value, name)
    return tree


def _plant(tree: Params, steps: list[str], value: str, name: str) -> None:
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        place = step or str(len(tree))
        if following is None:
            tree[place] = value
            return
        branch = tree.setdefault(place, {})
        if not isinstance(branch, dict):
            raise invalid(name[:200], f"Invalid object: {name[:200]}")
        tree = branch


def check(shape: Shape, given: Any, *, at: str = "") -> Params:
    """What was given, in the kinds the shape names; the first thing that is wrong is told."""
    if not isinstance(given, dict):
        raise invalid(at, "Invalid object")
    kinds = {name.rstrip("!"): kind for name, kind in shape.items()}
    for name in given:
        if name not in kinds:
            raise unknown(_named(at, str(name)[:200]))
    for name in shape:
        if name.endswith("!") and given.get(name[:-1]) in (None, ""):
            raise missing(_named(at, name[:-1]))
    return {name: _value(kinds[name], value, _named(at, name)) for name, value in given.items()}


def _named(at: str, name: str) -> str:
    return f"{at}[{name}]" if at else name


def _value(kind: Any, value: Any, at: str) -> Any:
    if isinstance(kind, Mapping):
        return None if value == "" else check(kind, value, at=at)
    if isinstance(kind, list):
        return _several(kind[0], value, at)
    if kind == "any":
        return value
    if kind == "map":
        return _map(value, at)
    if kind == "range" and isinstance(value, dict):
        return check({"gt": "whole", "gte": "whole", "lt": "whole", "lte": "whole"}, value, at=at)
    if not isinstance(value, str):
        raise invalid(at, "Invalid string: an object or a list was sent")
    return _plain(kind, value, at)


def _several(kind: Any, value: Any, at: str) -> list[Any] | None:
    if value in ("", {}):
        return None
    if not isinstance(value, dict) or not all(place.isdecimal() for place in value):
        raise invalid(at, "Invalid array")
    return [_value(kind, value[place], f"{at}[{place}]") for place in sorted(value, key=int)]


def _plain(kind: str, value: str, at: str) -> Any:
    if kind == "text":
        if len(value) > LONGEST_TEXT:
            raise invalid(at, f"Invalid string: must be at most {LONGEST_TEXT} characters", code="parameter_invalid")
        return value or None
    if kind in {"whole", "range", "time"}:
        if re.fullmatch(r"-?\d{1,18}", value, re.ASCII) is None:
            raise invalid(at, f"Invalid integer: {value[:100]}", code="parameter_invalid_integer")
        return int(value)
    if kind == "decimal":
        if re.fullmatch(r"\d{1,12}(\.\d{1,12})?", value, re.ASCII) is None:
            raise invalid(at, f"Invalid decimal: {value[:100]}")
        return float(value)
    if kind == "flag":
        if value not in {"true", "false"}:
            raise invalid(at, f"Invalid boolean: {value[:100]}")
        return value == "true"
    choices = kind.split("|")
    if value not in choices:
        raise invalid(at, f"Invalid {at}: must be one of {', '.join(choices)}")
    return value


def _map(value: Any, at: str) -> dict[str, str] | None:
    if value == "":
        return None
    if not isinstance(value, dict):
        raise invalid(at, "Invalid object")
    for name, text in value.items():
        if not isinstance(text, str):
            raise invalid(f"{at}[{name[:40]}]", "Metadata values must be strings")
        if len(name) > 40 or len(text) > 500:
            raise invalid(f"{at}[{name[:40]}]", "Metadata: names up to 40 and values up to 500 characters")
    return dict(value)


def merged(old: dict[str, str], new: dict[str, str] | None) -> dict[str, str]:
    """Metadata after an update: an empty value removes one name, an empty map removes all."""
    if new is None:
        return {}
    kept = {**old, **new}
    if len(kept) > 50:
        raise invalid("metadata", "You can only have 50 metadata keys.")
    return {name: value for name, value in kept.items() if value != ""}
