"""Strict reading of what people and other programs write: cards, plans, usage, modifiers.

Every field is asked for by name with its bounds; a field nobody asked for is refused, because a misspelt limit that
is silently dropped is a limit that does not hold. Numbers that are money, prices or ratios are decimal strings,
quantities are integers, and nothing is a float.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TypeVar

from billing.money import MAX_PLACES, BadAmount, nano_from_usd, parse_decimal

MAX_QUANTITY = 10**12
MAX_TEXT = 200
MAX_ITEMS = 500

T = TypeVar("T")


class Malformed(ValueError):
    """Something is not written as the pricing vocabulary says; the message names the place and the remedy."""


class Fields:
    """One JSON object while it is read; `done()` refuses whatever was not asked for."""

    __slots__ = ("_left", "where")

    def __init__(self, source: object, *, where: str) -> None:
        """Take the object to read, and the words by which errors name it."""
        if not isinstance(source, Mapping):
            msg = f"{where} must be an object with named fields."
            raise Malformed(msg)
        self.where = where
        self._left: dict[object, object] = dict(source)

    def has(self, name: str) -> bool:
        """Say whether a field is there and not yet read; a field that is null counts as absent."""
        return self._left.get(name) is not None

    def take(self, name: str) -> object:
        """Take a required field as it is."""
        value = self._left.pop(name, None)
        if value is None:
            msg = f"{self.where} needs the field {name!r}."
            raise Malformed(msg)
        return value

    def text(self, name: str) -> str:
        """Take a required short text."""
        value = self.take(name)
        if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not value.isprintable():
            msg = f"{self.where}: {name!r} must be a printable text of 1 to {MAX_TEXT} characters."
            raise Malformed(msg)
        return value

    def choice(self, name: str, among: tuple[str, ...], default: str | None = None) -> str:
        """Take one of a few words."""
        if default is not None and not self.has(name):
            self._left.pop(name, None)
            return default
        value = self.take(name)
        if not isinstance(value, str) or value not in among:
            msg = f"{self.where}: {name!r} must be one of {', '.join(among)}."
            raise Malformed(msg)
        return value

    def integer(self, name: str, *, least: int = 0, most: int = MAX_QUANTITY) -> int:
        """Take a required whole number within bounds; `true` is not a number."""
        value = self.take(name)
        if type(value) is not int or not least <= value <= most:
            msg = f"{self.where}: {name!r} must be a whole number from {least} to {most}."
            raise Malformed(msg)
        return value

    def flag(self, name: str) -> bool:
        """Take an optional yes or no; absent is no."""
        value = self._left.pop(name, None)
        if value is not None and not isinstance(value, bool):
            msg = f"{self.where}: {name!r} must be true or false."
            raise Malformed(msg)
        return bool(value)

    def decimal(self, name: str, *, most: int, above_zero: bool = False) -> Fraction:
        """Take a required decimal string, exactly."""
        return decimal(self.take(name), where=f"{self.where}: {name!r}", most=most, above_zero=above_zero)

    def is_text(self, name: str) -> bool:
        """Say whether a field not yet read is a text, where both ways of writing are known."""
        return isinstance(self._left.get(name), str)

    def percent(self, name: str, *, least: int = 0, most: int) -> Fraction:
        """Take a required percentage as a share of one, of few enough places to be written either way.

        Only where `least` is below zero may it have a minus sign.
        """
        value, limit, sign = self.take(name), most, 1
        if least < 0 and isinstance(value, str) and value.startswith("-"):
            value, limit, sign = value[1:], -least, -1
        share = decimal(value, where=f"{self.where}: {name!r}", most=limit) * Fraction(sign, 100)
        if (share * 10**MAX_PLACES).denominator != 1:
            msg = f"{self.where}: {name!r} may have at most {MAX_PLACES - 2} decimal places."
            raise Malformed(msg)
        return share

    def usd(self, name: str, *, most: int) -> int:
        """Take a required amount of dollars, as nano-USD."""
        try:
            return nano_from_usd(self.decimal(name, most=most))
        except BadAmount as reason:
            msg = f"{self.where}: {name!r}: {reason}"
            raise Malformed(msg) from reason

    def optional(self, name: str, reader: Callable[[str], T]) -> T | None:
        """Take a field with the reader given, or None when it is absent."""
        if self.has(name):
            return reader(name)
        self._left.pop(name, None)
        return None

    def items(self, name: str) -> list[tuple[str, object]]:
        """Take an optional list, each item with the words by which errors name it."""
        if not self.has(name):
            self._left.pop(name, None)
            return []
        return listed(self.take(name), where=f"{self.where}.{name}")

    def pairs(self, name: str) -> list[tuple[str, object]]:
        """Take an optional object with free keys, such as model names, as pairs in the order of the keys."""
        value = self._left.pop(name, None)
        return [] if value is None else named(value, where=f"{self.where}.{name}")

    def done(self) -> None:
        """Refuse what is left over."""
        if self._left:
            unknown = ", ".join(sorted(repr(name) for name in self._left))
            msg = f"{self.where} does not know the field {unknown}."
            raise Malformed(msg)


def decimal(value: object, *, where: str, most: int, above_zero: bool = False) -> Fraction:
    """Read one decimal string within bounds."""
    if not isinstance(value, str):
        msg = f'{where} must be a decimal number written as a string, such as "3.75".'
        raise Malformed(msg)
    try:
        number = parse_decimal(value)
    except BadAmount as reason:
        msg = f"{where}: {reason}"
        raise Malformed(msg) from reason
    if number > most or (above_zero and number == 0):
        msg = f"{where} must be {'more than 0' if above_zero else 'at least 0'} and at most {most}."
        raise Malformed(msg)
    return number


def listed(value: object, *, where: str) -> list[tuple[str, object]]:
    """Read a list of bounded length, each item with its place."""
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        msg = f"{where} must be a list of at most {MAX_ITEMS} items."
        raise Malformed(msg)
    return [(f"{where}[{index}]", item) for index, item in enumerate(value)]


def named(value: object, *, where: str) -> list[tuple[str, object]]:
    """Read an object of bounded size with short text keys, as pairs sorted by key."""
    if not isinstance(value, Mapping) or len(value) > MAX_ITEMS:
        msg = f"{where} must be an object with at most {MAX_ITEMS} entries."
        raise Malformed(msg)
    for key in value:
        if not isinstance(key, str) or not 0 < len(key) <= MAX_TEXT or not key.isprintable():
            msg = f"{where}: every name must be a printable text of 1 to {MAX_TEXT} characters."
            raise Malformed(msg)
    return sorted(value.items())
