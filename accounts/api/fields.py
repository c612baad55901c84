"""Fields that take a value as it is or not at all: no text for numbers, no numbers for text, no floats for money.

Promise: what is accepted is exactly what was sent; what is unknown is refused by name.
"""

import re
from collections.abc import Mapping
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.models.bounds import LARGEST_NANO

NANO = 1_000_000_000
USD = re.compile(r"(\d{1,10})(?:\.(\d{1,9}))?\Z", re.ASCII)
MOST_NAMED = 5
LONGEST_NAMED = 60


class StrictSerializer(serializers.Serializer[Any]):
    """A serializer that refuses fields it does not know, and fields that only we write."""

    def to_internal_value(self, data: Any) -> Any:
        """Name the strangers before reading anything."""
        if isinstance(data, Mapping):
            writable = {name for name, field in self.fields.items() if not field.read_only}
            strangers = [str(name) for name in data if name not in writable]
            if strangers:
                raise serializers.ValidationError(
                    {name[:LONGEST_NAMED]: [self._refusal(name)] for name in strangers[:MOST_NAMED]}
                )
        return super().to_internal_value(data)

    def _refusal(self, name: str) -> str:
        return "This field cannot be written." if name in self.fields else "This field is not known here."


class Text(serializers.CharField):
    """Text that was sent as text."""

    def to_internal_value(self, data: Any) -> str:
        """Refuse numbers and everything else that could be read as text."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Whole(serializers.IntegerField):
    """A whole number that was sent as one: not "12", not 12.0, not true."""

    def to_internal_value(self, data: Any) -> int:
        """Refuse everything that is not an integer already."""
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return int(super().to_internal_value(data))


@extend_schema_field({"type": "boolean"})
class YesNo(serializers.Field[bool, Any, bool, Any]):
    """True or false, and nothing that resembles them."""

    default_error_messages = {"invalid": "Must be true or false."}

    def to_internal_value(self, data: Any) -> bool:
        """Take a boolean."""
        if not isinstance(data, bool):
            self.fail("invalid")
        return bool(data)

    def to_representation(self, value: bool) -> bool:  # noqa: FBT001 - the framework's signature
        """As it is."""
        return value


@extend_schema_field({"type": "string", "pattern": r"^[0-9]{1,10}(\.[0-9]{1,9})?$", "example": "12.50"})
class Usd(serializers.Field[int, Any, str, Any]):
    """Money as a decimal string of USD with up to nine digits after the point; nano-USD inside, exact both ways."""

    default_error_messages = {
        "invalid": 'Must be text with an amount of USD such as "12.50", up to nine digits after the point.',
        "too_much": "This is more than any account can hold.",
    }

    def to_internal_value(self, data: Any) -> int:
        """Read the text into nano-USD without rounding."""
        match = USD.match(data) if isinstance(data, str) else None
        if match is None:
            self.fail("invalid")
        amount_nano = int(match[1]) * NANO + int((match[2] or "").ljust(9, "0"))
        if amount_nano > LARGEST_NANO:
            self.fail("too_much")
        return amount_nano

    def to_representation(self, value: int) -> str:
        """Write nano-USD with at least two digits after the point and no needless zeros."""
        whole, rest = divmod(value, NANO)
        return f"{whole}.{f'{rest:09d}'.rstrip('0').ljust(2, '0')}"


class Future(serializers.DateTimeField):
    """A moment that has not passed."""

    def to_internal_value(self, value: Any) -> Any:
        """Read ISO 8601 text; anything else, or the past, is refused."""
        if not isinstance(value, str):
            self.fail("invalid", format="YYYY-MM-DDThh:mm[:ss][Z]")
        try:
            moment = super().to_internal_value(value)
        except OverflowError:  # the far end of the calendar moved into another zone
            self.fail("overflow")
        if moment <= timezone.now():
            message = "This moment has passed."
            raise serializers.ValidationError(message)
        return moment
