"""A receipt as a PDF: what was bought, from whom, for how much, and what it was worth in credit.

Promise: one page of text that a machine can read as well as a person, drawn from the payment's rows alone; names with
letters that the built-in fonts do not have are written in the nearest they have.
"""

import unicodedata

from fpdf import FPDF

from billing import details, money, statements
from billing.models import Payment


def pdf(payment: Payment) -> bytes:
    """Draw it."""
    organization, storefront = payment.organization, payment.organization.storefront
    page = FPDF(format="A4")
    page.set_title(plain(f"Receipt {payment.public_id}"))
    page.set_author(plain(storefront.name))
    page.set_creation_date(payment.created_at)
    page.add_page()
    page.set_margins(25, 25, 25)
    page.set_xy(25, 25)
    _heading(page, storefront.name)
    page.set_font("helvetica", size=11)
    for text in (
        f"Receipt {payment.public_id}",
        f"{payment.created_at:%d %B %Y}, {payment.created_at:%H:%M} UTC",
        f"For {', '.join(details.made_out_to(organization, details.of(organization)))}",
        f"Account {organization.public_id}",
        *((f"Questions: {storefront.support_email}",) if storefront.support_email else ()),
    ):
        page.multi_cell(0, 7, plain(text), new_x="LMARGIN", new_y="NEXT")
    page.ln(8)
    for line in statements.receipt_lines(payment):
        page.set_font("helvetica", style="B" if line.text == "Paid" else "", size=11)
        page.cell(110, 9, plain(line.text), border="B")
        page.cell(50, 9, plain(line.amount), border="B", align="R", new_x="LMARGIN", new_y="NEXT")
    page.ln(8)
    page.set_font("helvetica", size=10)
    credit = money.dollars(payment.credited_nano + payment.promo_nano)
    page.multi_cell(0, 6, plain(f"Credit added: {credit}. Payment reference: {payment.outside_id}"))
    if payment.sandbox:
        page.ln(4)
        page.multi_cell(0, 6, "This is play money of the payment sandbox; no real money was taken.")
    return bytes(page.output())


def _heading(page: FPDF, text: str) -> None:
    page.set_font("helvetica", style="B", size=18)
    page.cell(0, 12, plain(text), new_x="LMARGIN", new_y="NEXT")


def plain(text: str) -> str:
    """In the letters of the built-in fonts."""
    composed = unicodedata.normalize("NFC", text)
    kept = composed.encode("latin-1", "replace").decode("latin-1")
    if kept == composed:
        return kept
    bare = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return bare.encode("latin-1", "replace").decode("latin-1")
