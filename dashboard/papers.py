"""A monthly statement on paper and in a spreadsheet.

Promise: both say the same sums as the page, exact to the last digit; the rows of the spreadsheet between its first and
its last add up from the one balance to the other. The PDF is text that a machine can read as well as a person.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from fpdf import FPDF
from fpdf.fonts import FontFace

from accounts.models import Organization
from analytics.statements import Movement, Statement, following
from billing import details, money
from billing.receipts import plain
from dashboard import payment_words
from dashboard.files import usd

COLUMNS = ("part", "date", "what", "count", "amount_usd", "reference")
NOT_ITEMISED = "charges"
GREY = (84, 94, 105)
LINE = (225, 228, 232)
EXPLAINED = (
    "This is a statement of your prepaid balance, in US dollars of credit. What was paid, and the tax in it, is on the"
    " receipts. Months begin and end at midnight UTC."
)


@dataclass(frozen=True, slots=True)
class Paper:
    """What stands at the head of a statement."""

    number: str
    storefront: str
    support: str
    made_out_to: tuple[str, ...]
    account: str
    first_day: date
    last_day: date
    is_over: bool
    drawn_up_at: datetime


def paper(organization: Organization, statement: Statement, *, now: datetime) -> Paper:
    """Fill in the head."""
    storefront = organization.storefront
    end = following(statement.month)
    return Paper(
        number=f"{organization.public_id}-{statement.month:%Y-%m}",
        storefront=storefront.name,
        support=storefront.support_email or storefront.support_url,
        made_out_to=tuple(details.made_out_to(organization, details.of(organization))),
        account=organization.public_id,
        first_day=statement.month,
        last_day=end - timedelta(days=1),
        is_over=now.astimezone(UTC).date() >= end,
        drawn_up_at=now.astimezone(UTC),
    )


def rows(statement: Statement, movements: Iterable[Movement]) -> Iterator[tuple[Any, ...]]:
    """The lines of the spreadsheet: opening balance, single movements, charges by model, closing balance."""
    last_day = following(statement.month) - timedelta(days=1)
    yield ("opening balance", statement.month, "", None, usd(statement.opening_nano), "")
    for one in movements:
        moment = one.at.astimezone(UTC).replace(microsecond=0)
        yield ("movement", moment, one.words, 1, usd(one.amount_nano), one.reference)
    for line in statement.lines(NOT_ITEMISED):
        yield ("charges", last_day, line.name or "Calls", line.count, usd(line.amount), "")
    yield ("closing balance", last_day, "", None, usd(statement.closing_nano), "")


# --- The PDF ----------------------------------------------------------------------------------------------------------


def pdf(head: Paper, statement: Statement, movements: Iterable[Movement]) -> bytes:
    """Draw it."""
    page = FPDF(format="A4")
    page.set_title(plain(f"Statement {head.number}"))
    page.set_author(plain(head.storefront))
    page.set_creation_date(head.drawn_up_at)
    page.set_margins(22, 20, 22)
    page.set_auto_page_break(auto=True, margin=20)
    page.add_page()
    _head(page, head)
    _summary(page, statement)
    _charges(page, statement)
    _movements(page, movements)
    _tokens(page, statement)
    page.ln(6)
    _small(page, EXPLAINED)
    if head.support:
        _small(page, f"Questions: {head.support}")
    return bytes(page.output())


def _head(page: FPDF, head: Paper) -> None:
    page.set_font("helvetica", style="B", size=18)
    page.cell(0, 10, plain(head.storefront), new_x="LMARGIN", new_y="NEXT")
    title = f"Statement, {head.first_day:%B %Y}" + ("" if head.is_over else " so far")
    page.set_font("helvetica", size=13)
    page.cell(0, 8, plain(title), new_x="LMARGIN", new_y="NEXT")
    page.ln(3)
    page.set_font("helvetica", size=10)
    for line in head.made_out_to:
        page.cell(0, 5, plain(line), new_x="LMARGIN", new_y="NEXT")
    page.ln(3)
    _small(page, f"Number {head.number}")
    drawn_up = f"{_day(head.drawn_up_at)} {head.drawn_up_at:%H:%M} UTC"
    _small(page, f"{_day(head.first_day)} to {_day(head.last_day)}, drawn up {drawn_up}")
    page.ln(4)


def _small(page: FPDF, text: str) -> None:
    page.set_font("helvetica", size=8.5)
    page.set_text_color(*GREY)
    page.multi_cell(0, 4.5, plain(text), align="L", new_x="LMARGIN", new_y="NEXT")
    page.set_text_color(0, 0, 0)


def _table(
    page: FPDF, title: str, columns: dict[str, tuple[int, str]], lines: list[list[str]], total: str = ""
) -> None:
    """Draw a table; a column is its name, its share of the width, and L or R for its side; the total's line is bold."""
    if not lines:
        return
    page.ln(5)
    page.set_font("helvetica", style="B", size=11)
    page.cell(0, 7, plain(title), new_x="LMARGIN", new_y="NEXT")
    page.set_font("helvetica", size=9)
    page.set_draw_color(*LINE)
    with page.table(
        col_widths=tuple(width for width, _ in columns.values()),
        text_align=tuple("RIGHT" if side == "R" else "LEFT" for _, side in columns.values()),
        borders_layout="HORIZONTAL_LINES",
        line_height=6,
        headings_style=FontFace(emphasis="", color=GREY),
        repeat_headings=1,
    ) as table:
        table.row(list(columns))
        for line in lines:
            bold = FontFace(emphasis="BOLD") if line[0] == total else None
            table.row([plain(cell) for cell in line], style=bold)


def _summary(page: FPDF, statement: Statement) -> None:
    closing = "Closing balance"
    lines = [["Opening balance", money.dollars(statement.opening_nano)]]
    lines += [[section.title, signed(section.total_nano)] for section in statement.sections]
    lines += [[closing, money.dollars(statement.closing_nano)]]
    _table(page, "Balance", {" ": (3, "L"), "USD": (1, "R")}, lines, total=closing)


def _charges(page: FPDF, statement: Statement) -> None:
    columns = {"Model": (6, "L"), "Calls": (2, "R"), "USD": (3, "R")}
    lines = [
        [line.name or "Calls", f"{line.count:,}", money.dollars(line.amount)] for line in statement.lines(NOT_ITEMISED)
    ]
    _table(page, "Charges for calls", columns, lines)


def _movements(page: FPDF, movements: Iterable[Movement]) -> None:
    columns = {"When (UTC)": (3, "L"), "What": (4, "L"), "Reference": (5, "L"), "USD": (3, "R")}
    lines = [
        [f"{_day(one.at)} {one.at.astimezone(UTC):%H:%M}", one.words, one.reference, signed(one.amount_nano)]
        for one in movements
    ]
    _table(page, "Other movements", columns, lines)


def _tokens(page: FPDF, statement: Statement) -> None:
    counts = ("Opening", "Given", "Used", "Lapsed", "Closing")
    columns = {"Counted in": (5, "L"), **dict.fromkeys(counts, (2, "R"))}
    lines = [
        [
            payment_words.unit(heap.unit),
            *(f"{one:,}" for one in (heap.opening, heap.given, heap.used, heap.lapsed, heap.closing)),
        ]
        for heap in statement.tokens
    ]
    _table(page, "Tokens of grants", columns, lines)


def _day(moment: date) -> str:
    """A day without a leading nought."""
    at = moment.astimezone(UTC) if isinstance(moment, datetime) else moment
    return f"{at.day} {at:%b %Y}"


def signed(nano: int) -> str:
    """An amount with its sign."""
    return ("+" if nano > 0 else "") + money.dollars(nano)
