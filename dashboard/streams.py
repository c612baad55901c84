"""Answers that are written while they are read: files of any length in little memory, on either kind of server.

Promise: rows are made one batch after another, in a thread of the database's, and nothing is collected; a reader who
leaves ends the making.
"""

import json
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import chain, islice
from typing import Any, cast

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse

PIECES = 200  # rows written at once


class Download(StreamingHttpResponse):
    """A file that is made on the way."""

    def __init__(self, pieces: Iterable[str], *, name: str, content_type: str) -> None:
        super().__init__(_joined(pieces), content_type=content_type)
        self["Content-Disposition"] = f'attachment; filename="{name}"'
        self["Cache-Control"] = "no-store"
        self["X-Content-Type-Options"] = "nosniff"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The same pieces without holding up the event loop."""
        pieces = cast("Iterator[bytes]", self.streaming_content)
        while True:
            piece = await sync_to_async(_next)(pieces)
            if piece is None:
                return
            yield piece


def csv_file(pieces: Iterator[str], *, name: str) -> Download:
    """A CSV file; the mark at its beginning tells spreadsheets that it is UTF-8."""
    return Download(chain(["\ufeff"], pieces), name=f"{name}.csv", content_type="text/csv; charset=utf-8")


def json_file(rows: Iterable[dict[str, Any]], *, name: str) -> Download:
    """A JSON array, one row a line."""
    return Download(_array(rows), name=f"{name}.json", content_type="application/json")


def _array(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    opening = "[\n"
    for row in rows:
        yield opening + json.dumps(row, default=str)
        opening = ",\n"
    yield "[]\n" if opening == "[\n" else "\n]\n"


def _joined(pieces: Iterable[str]) -> Iterator[str]:
    source = iter(pieces)
    while batch := list(islice(source, PIECES)):
        yield "".join(batch)


def _next(pieces: Iterator[bytes]) -> bytes | None:
    return next(pieces, None)


def json_sections(sections: Iterable[tuple[str, Iterable[dict[str, Any]]]], *, name: str) -> Download:
    """A JSON object of named arrays, one row a line."""
    return Download(_object(sections), name=f"{name}.json", content_type="application/json")


def _object(sections: Iterable[tuple[str, Iterable[dict[str, Any]]]]) -> Iterator[str]:
    opening = "{\n"
    for name, rows in sections:
        yield f"{opening}{json.dumps(name)}: "
        yield from (piece.rstrip("\n") if piece.endswith("]\n") else piece for piece in _array(rows))
        opening = ",\n"
    yield "{}\n" if opening == "{\n" else "\n}\n"
