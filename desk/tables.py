"""Tables and charts of the desk: said once in Python, shown as a page, a chart with its words, and a CSV file.

Promise: what a page shows and what its export holds are the same rows; an export carries the exact value of a cell and
goes through ``analytics.exports``, which disarms texts that a spreadsheet would run. A chart never stands alone: it has
a sentence and the same numbers as a table.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django.http import StreamingHttpResponse

from analytics import exports
from billing.money import dollars, usd_text
from desk import words

GOOD, BAD, SOFT = "good", "bad", "soft"


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in one place: words for people, the exact value for files, and where it leads."""

    text: str
    raw: Any = None
    link: str = ""
    note: str = ""
    tone: str = ""
    links: tuple[tuple[str, str], ...] = ()  # things to do, instead of one way to lead


@dataclass(frozen=True, slots=True)
class Column:
    """A column's name in files, its heading, whether its cells are figures, and whether only files have it."""

    name: str
    title: str
    number: bool = False
    file_only: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings."""

    slug: str
    title: str
    columns: tuple[Column, ...]
    rows: Sequence[Sequence[Cell]]
    empty: str
    note: str = ""
    export: str = ""
    older: str = ""

    @property
    def headings(self) -> list[Column]:
        """The columns a page shows."""
        return [column for column in self.columns if not column.file_only]

    @property
    def lines(self) -> Iterator[list[tuple[Column, Cell]]]:
        """Each row with its columns, as the template needs them."""
        for row in self.rows:
            yield [pair for pair in zip(self.columns, row, strict=True) if not pair[0].file_only]


@dataclass(frozen=True, slots=True)
class Series:
    """One line or one set of bars; ``values`` are plain numbers for the drawing, ``cells`` the words for the table."""

    name: str
    values: Sequence[float]
    cells: Sequence[str]
    kind: str = "bar"
    axis: str = "y"


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing with its sentence and its table."""

    slug: str
    title: str
    summary: str
    labels: Sequence[str]
    series: Sequence[Series]
    unit: str = "$"
    right_unit: str = "%"

    @property
    def script_id(self) -> str:
        """Under which the script finds its data."""
        return f"chart-{self.slug}"

    @property
    def data(self) -> dict[str, Any]:
        """What the script draws."""
        return {
            "labels": list(self.labels),
            "unit": self.unit,
            "rightUnit": self.right_unit,
            "series": [
                {"name": one.name, "values": list(one.values), "kind": one.kind, "axis": one.axis}
                for one in self.series
            ],
        }

    @property
    def lines(self) -> list[tuple[str, list[str]]]:
        """The same numbers as rows."""
        return [(label, [one.cells[place] for one in self.series]) for place, label in enumerate(self.labels)]


@dataclass(frozen=True, slots=True)
class Card:
    """One figure with what it is called, what it was, and the rows behind it."""

    title: str
    value: str
    note: str = ""
    link: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to look at, and where."""

    sentence: str
    link: str
    tone: str = BAD


@dataclass(slots=True)
class Parts:
    """What a page is made of, in this order."""

    warnings: list[Notice] = field(default_factory=list)
    cards: list[Card] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


# --- Cells ------------------------------------------------------------------------------------------------------------


def text(value: str, *, link: str = "", note: str = "", tone: str = "") -> Cell:
    """Words."""
    return Cell(value or words.DASH, value, link, note, tone)


def money(nano: int | None, *, link: str = "", note: str = "", tone: str = "") -> Cell:
    """Dollars; the file has them exact."""
    raw = None if nano is None else Decimal(usd_text(nano))
    return Cell(words.money(nano), raw, link, note, tone or (BAD if nano is not None and nano < 0 else ""))


def exact(nano: int | None, *, link: str = "", note: str = "") -> Cell:
    """Dollars to the last digit, as a receipt has them."""
    if nano is None:
        return Cell(words.DASH)
    return Cell(dollars(nano), Decimal(usd_text(nano)), link, note, BAD if nano < 0 else "")


def count(number: int | None, *, link: str = "", note: str = "", tone: str = "") -> Cell:
    """A whole number."""
    return Cell(words.count(number), number, link, note, tone)


def share(value: Fraction | None, *, link: str = "", note: str = "", tone: str = "", signed: bool = False) -> Cell:
    """A part of something, in per cent; the file has the part itself."""
    return Cell(words.percent(value, signed=signed), value, link, note, tone)


def moment(when: datetime | None, *, link: str = "") -> Cell:
    """A moment in UTC."""
    return Cell(words.moment(when), when, link)


def deeds(*links: tuple[str, str]) -> Cell:
    """What can be done to a row; files have nothing of it."""
    return Cell("", None, links=tuple(links))


def as_file(table: Table, *, name: str) -> StreamingHttpResponse:
    """The table as a CSV file."""
    lines = ([cell.raw for cell in row] for row in table.rows)
    response = StreamingHttpResponse(
        exports.rows([column.name for column in table.columns], lines), content_type="text/csv; charset=utf-8"
    )
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response
