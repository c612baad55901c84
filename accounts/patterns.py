"""Which models a key may call, as a few patterns in which ``*`` stands for anything: ``gpt-*``, ``*/claude-*``.

Promise: no regular expressions, so nobody's pattern can make a call slow; matching costs at most the length of the
pattern times the length of the name, and both are capped. An empty list allows every model.
"""

import re

from django.core.exceptions import ValidationError

MOST_PATTERNS = 50
MOST_STARS = 4
SHAPE = re.compile(r"[A-Za-z0-9._:/@+*-]{1,120}\Z")


def clean(patterns: object) -> list[str]:
    """Return the patterns once each, or say what is wrong with one."""
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        raise ValidationError({"allowed_models": "Must be a list of model names, in which * may stand for anything."})
    if len(patterns) > MOST_PATTERNS:
        raise ValidationError({"allowed_models": f"{MOST_PATTERNS} patterns are the most."})
    return list(dict.fromkeys(_clean_one(pattern) for pattern in patterns))


def _clean_one(pattern: str) -> str:
    pattern = re.sub(r"\*+", "*", pattern)
    if not SHAPE.match(pattern):
        message = (
            f"'{pattern[:40]}' is not a model pattern: up to 120 letters, digits and . _ : / @ + - with * for anything."
        )
        raise ValidationError({"allowed_models": message})
    if pattern.count("*") > MOST_STARS:
        raise ValidationError({"allowed_models": f"'{pattern[:40]}' has too many stars; {MOST_STARS} are the most."})
    return pattern


def matches(pattern: str, name: str) -> bool:
    """Whether the whole name fits the pattern: its head, its tail, and the pieces between in order."""
    head, *pieces = pattern.split("*")
    if not pieces:
        return pattern == name
    tail = pieces.pop()
    position, end = len(head), len(name) - len(tail)
    if position > end or not name.startswith(head) or not name.endswith(tail):
        return False
    for piece in pieces:
        found = name.find(piece, position, end)
        if found < 0:
            return False
        position = found + len(piece)
    return True


def allow(patterns: list[str], name: str) -> bool:
    """Whether a key with these patterns may call the model."""
    return not patterns or any(matches(pattern, name) for pattern in patterns)


def within(child: list[str], parent: list[str]) -> bool:
    """Whether everything the child's patterns allow is allowed by one of the parent's.

    A star in the child can become anything, so only a star of the parent may stand where it stands: reading the
    child's pattern as if it were a name asks exactly that.
    """
    if not parent:
        return True
    return bool(child) and all(any(matches(outer, inner) for outer in parent) for inner in child)
