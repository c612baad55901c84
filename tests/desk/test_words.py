"""Figures are written exactly enough, and a file holds what the page shows, disarmed."""

from decimal import Decimal
from fractions import Fraction

import pytest

from desk import tables, words
from desk.tables import Column, Table


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (None, words.DASH),
        (0, "$0.00"),
        (1, "$0.000000001"),
        (9_999_999, "$0.009999999"),
        (-5_000_000, "-$0.005"),
        (14_999_999, "$0.01"),
        (15_000_000, "$0.02"),
        (-1_234_567_890_000, "-$1,234.57"),
        (2**63 - 1, "$9,223,372,036.85"),
    ],
)
def test_money(nano: int | None, text: str) -> None:
    assert words.money(nano) == text


def test_shares_and_changes() -> None:
    assert words.percent(Fraction(2235, 10000)) == "22.4 %"
    assert words.percent(Fraction(-1, 100000)) == "0.0 %"
    assert words.percent(Fraction(1, 25), signed=True) == "+4.0 %"
    assert words.change(3, 0) == words.DASH
    assert words.change(0, -4) == "+100.0 %"


def test_spans() -> None:
    assert [words.span(one) for one in (5, 65, 7_300, 200_000)] == ["5 s", "1 min", "2 h", "2 days"]


def test_a_file_holds_exact_values_and_no_formula() -> None:
    columns = (Column("name", "Name"), Column("usd", "Dollars", number=True), Column("share", "Share", file_only=True))
    row = [tables.text('=HYPERLINK("x")'), tables.money(-1_234_567_891), tables.share(Fraction(1, 4))]
    table = Table("one", "One", columns, [row], "", export="?csv=one")
    file = tables.as_file(table, name="x")
    written = b"".join(file.streaming_content).decode().splitlines()  # type: ignore[arg-type]  # it is streamed
    assert written == ["name,usd,share", '"\'=HYPERLINK(""x"")",-1.234567891,0.25']
    assert [column.name for column in table.headings] == ["name", "usd"]
    assert row[1].raw == Decimal("-1.234567891")
