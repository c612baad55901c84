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
from analytics.statements import Movement, Section, Statement, following
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
    _movements(page, list(movements))
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
    _small(
        page, f"{head.first_day:%d %B %Y} to {head.last_day:%d %B %Y}, drawn up {head.drawn_up_at:%d %B %Y %H:%M} UTC"
    )
    page.ln(4)


def _small(page: FPDF, text: str) -> None:
    page.set_font("helvetica", size=8.5)
    page.set_text_color(*GREY)
    page.multi_cell(0, 4.5, plain(text), new_x="LMARGIN", new_y="NEXT")
    page.set_text_color(0, 0, 0)


def _table(page: FPDF, title: str, columns: tuple[str, ...], widths: tuple[int, ...], lines: list[list[str]]) -> None:
    page.ln(5)
    page.set_font("helvetica", style="B", size=11)
    page.cell(0, 7, plain(title), new_x="LMARGIN", new_y="NEXT")
    page.set_font("helvetica", size=9)
    page.set_draw_color(*LINE)
    align = ("LEFT", *("RIGHT" for _ in columns[1:])) if len(columns) < 4 else ("LEFT", "LEFT", "LEFT", "RIGHT")
    with page.table(
        width=166,
        col_widths=widths,
        text_align=align,
        borders_layout="HORIZONTAL_LINES",
        line_height=6,
        headings_style=FontFace(emphasis="", color=GREY),
        repeat_headings=1,
    ) as table:
        for line in [list(columns), *lines]:
            table.row([plain(cell) for cell in line])


def _summary(page: FPDF, statement: Statement) -> None:
    lines = [["Opening balance", money.dollars(statement.opening_nano)]]
    lines += [[section.title, signed(section)] for section in statement.sections]
    lines += [["Closing balance", money.dollars(statement.closing_nano)]]
    _table(page, "Balance", ("", "USD"), (3, 1), lines)


def _charges(page: FPDF, statement: Statement) -> None:
    lines = [
        [line.name or "Calls", f"{line.count:,}", money.dollars(line.amount)] for line in statement.lines(NOT_ITEMISED)
    ]
    if lines:
        _table(page, "Charges for calls", ("Model", "Calls", "USD"), (6, 2, 3), lines)


def _movements(page: FPDF, movements: list[Movement]) -> None:
    lines = [
        [f"{one.at.astimezone(UTC):%d %b %Y %H:%M}", one.words, one.reference, money.dollars(one.amount_nano)]
        for one in movements
    ]
    if lines:
        _table(page, "Other movements", ("When (UTC)", "What", "Reference", "USD"), (3, 4, 5, 3), lines)


def _tokens(page: FPDF, statement: Statement) -> None:
    lines = [
        [payment_words.unit(heap.unit), *(f"{one:,}" for one in (heap.opening, heap.given)), f"{heap.closing:,}"]
        for heap in statement.tokens
    ]
    if lines:
        _table(page, "Tokens of grants", ("Counted in", "Opening", "Given", "Closing"), (5, 3, 3, 3), lines)


def signed(section: Section) -> str:
    """A part's sum with its sign."""
    return ("+" if section.total_nano > 0 else "") + money.dollars(section.total_nano)
