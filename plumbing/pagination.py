"""Every list is read in pages that hold still: a cursor instead of a page number.

Promise: rows that arrive while somebody reads neither repeat nor hide others; a cursor or limit that is not ours is a
400 with a sentence, never a guess.
"""

import re
from typing import Any

from django.utils.dateparse import parse_datetime
from rest_framework import pagination
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request

SHAPE = re.compile(r"[A-Za-z0-9+/=]{0,200}\Z")
FOREIGN_CURSOR = "This cursor is not one of ours; take next or previous from a page as they stand."


class CursorPagination(pagination.CursorPagination):
    """Newest first, fifty at a time, two hundred at most."""

    ordering = ("-created_at", "-id")
    page_size_query_param = "limit"
    max_page_size = 200

    def get_page_size(self, request: Request) -> int:
        """The page size asked for, if it is a number in range."""
        asked = request.query_params.get("limit")
        if asked is None:
            return self.page_size or self.max_page_size
        if not (asked.isascii() and asked.isdigit() and len(asked) <= 4 and 1 <= int(asked) <= self.max_page_size):
            raise ValidationError({"limit": [f"Must be a whole number from 1 to {self.max_page_size}."]})
        return int(asked)

    def decode_cursor(self, request: Request) -> pagination.Cursor | None:
        """Read the cursor; its position must be one of our moments."""
        if not SHAPE.match(request.query_params.get(self.cursor_query_param, "")):
            raise ValidationError({"cursor": [FOREIGN_CURSOR]})
        try:
            cursor = super().decode_cursor(request)
        except (NotFound, ValueError) as error:
            raise ValidationError({"cursor": [FOREIGN_CURSOR]}) from error
        if cursor is not None and not _is_moment(cursor.position):
            raise ValidationError({"cursor": [FOREIGN_CURSOR]})
        return cursor

    def get_paginated_response_schema(self, schema: Any) -> Any:
        """The page's envelope, where links are absent on the first and last page."""
        described = super().get_paginated_response_schema(schema)
        described["required"] = ["next", "previous", "results"]
        return described


def _is_moment(position: Any) -> bool:
    try:
        return position is None or parse_datetime(str(position)) is not None
    except ValueError:  # the right shape, and no such day
        return False
