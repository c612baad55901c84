"""JSON as strict as money deserves: no duplicate keys, no NaN, no characters a database cannot keep.

Promise: a body that is too long, too deep, or not JSON is refused with one sentence before anything reads it; the cap
holds whatever Content-Length says.
"""

import json
from typing import IO, Any

from django.conf import settings
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import JSONParser

DEEPEST = 32
LONGEST_COMPLAINT = 200


class BodyTooLarge(APIException):
    """The body is longer than pages and the management API ever need."""

    status_code = 413
    default_code = "too_large"
    default_detail = "The body is too large."


class StrictJSONParser(JSONParser):
    """Read a JSON body or say in one sentence what is wrong with it."""

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None) -> Any:
        """Parse the body."""
        return loads(capped(stream))


def capped(stream: IO[bytes]) -> bytes:
    """Read a body up to the installation's cap."""
    most: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    body = stream.read(most + 1)
    if len(body) > most:
        message = f"The body is too large; {most} bytes are the most."
        raise BodyTooLarge(message)
    return body


def loads(body: bytes) -> Any:
    """Parse JSON bytes strictly."""
    try:
        parsed = json.loads(body.decode("utf-8"), object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        message = "The body is not valid UTF-8."
        raise ParseError(message) from error
    except RecursionError as error:
        message = "The body is nested too deeply."
        raise ParseError(message) from error
    except ValueError as error:
        message = f"The body is not valid JSON: {str(error)[:LONGEST_COMPLAINT]}"
        raise ParseError(message) from error
    _check(parsed, 0)
    return parsed


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        message = "a key appears twice in one object"
        raise ValueError(message)
    return found


def _no_constant(name: str) -> None:
    message = f"{name} is not a number"
    raise ValueError(message)


def _check(value: Any, depth: int) -> None:
    if depth > DEEPEST:
        message = f"The body is nested deeper than {DEEPEST} levels."
        raise ParseError(message)
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key)
            _check(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth + 1)


def _check_text(text: str) -> None:
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        message = "The body holds a character that cannot be stored (NUL or a lone surrogate)."
        raise ParseError(message)
