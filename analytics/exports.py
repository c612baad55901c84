"""Answers as CSV, streamed row by row, safe to open in a spreadsheet.

Promise: a text that a spreadsheet would take for a formula (it begins with = + - @, a tab or a line's end, also after
spaces or as a full-width look-alike) is written with an apostrophe before it; numbers stay numbers, negative ones too.
Nothing is collected: a row is written as it is read.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from analytics.reports import Figures
from billing.money import usd_text

DANGEROUS = re.compile(r"[\s\u200b\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20\u2212|%]|[\t\r\n\x00]")


class _Echo:
    """A file that hands back what is written to it."""

    def write(self, text: str) -> str:
        return text


def rows(columns: Sequence[str], lines: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yield the lines of a CSV file."""
    writer = csv.writer(_Echo())
    yield writer.writerow([cell(name) for name in columns])
    for line in lines:
        yield writer.writerow([cell(value) for value in line])


def cell(value: Any) -> Any:
    """One value as a spreadsheet may have it."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        text = str(float(value)) if isinstance(value, Fraction) else _text(value)
        return f"'{text}" if not isinstance(value, Fraction) and DANGEROUS.match(text) else text
    return value


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, (date, datetime)) else str(value)


FIGURES = (
    *("requests", "errors", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "revenue_usd"),
    *("cost_usd", "profit_usd", "margin_on_price", "markup_on_cost", "unrecovered_usd", "cache_savings_usd"),
    "requests_of_unknown_cost",
)


def report(names: Sequence[str], found: Mapping[tuple[Any, ...], Figures]) -> Iterator[str]:
    """A report of ``analytics.reports.by`` as CSV."""
    return rows((*names, *FIGURES), ((*key, *_figures(figures)) for key, figures in found.items()))


def _figures(figures: Figures) -> tuple[Any, ...]:
    return (
        *(figures.requests, figures.errors, figures.input_tokens, figures.cached_tokens, figures.output_tokens),
        *(figures.reasoning_tokens, _usd(figures.charge_nano), _usd(figures.cost_nano), _usd(figures.profit_nano)),
        *(figures.margin, figures.markup, _usd(figures.unrecovered_nano), _usd(figures.cache_savings_nano)),
        figures.unknown_cost,
    )


def _usd(nano: int) -> Decimal:
    return Decimal(usd_text(nano))
