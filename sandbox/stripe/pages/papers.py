"""Receipts and invoices, to look at and to keep."""

from datetime import UTC, datetime
from html import escape

from sandbox.stripe.api import Answer
from sandbox.stripe.currencies import text
from sandbox.stripe.invoices import pdf
from sandbox.stripe.pages.layout import BANNER, page, row
from sandbox.stripe.world import Object, World


def _day(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%-d %B %Y")


def receipt(world: World, charge: Object) -> Answer:
    """The receipt of a charge, with what was given back since."""
    currency = charge["currency"]
    rows = row("Date", _day(charge["created"])) + row("Payment", charge["payment_intent"] or charge["id"])
    rows += row("Status", charge["status"])
    for refund in world.all("refund", charge=charge["id"]):
        rows += row(f"Refunded on {_day(refund['created'])} ({refund['status']})", text(-refund["amount"], currency))
    if charge["disputed"]:
        rows += row("Disputed", "yes")
    left = charge["amount_captured"] - charge["amount_refunded"]
    rows += row("Paid", text(left, currency), kind="sum")
    body = f'<div class="panel"><div class="total">{escape(text(charge["amount"], currency))}</div>{rows}</div>'
    return page("Receipt", body, narrow=True)


def invoice(body: Object) -> Answer:
    """The hosted page of an invoice."""
    currency = body["currency"]
    lines = "".join(
        row(f"{line['description']}, {line['quantity']}", text(line["amount"], currency))
        for line in body["lines"]["data"]
    )
    off = sum(one["amount"] for one in body["total_discount_amounts"])
    tax = sum(one["amount"] for one in body["total_taxes"])
    rows = row("Subtotal", text(body["subtotal"], currency), kind="soft")
    rows += row("Discount", text(-off, currency), kind="soft") if off else ""
    rows += row("Tax", text(tax, currency), kind="soft") if tax else ""
    rows += row("Total", text(body["total"], currency), kind="sum")
    inside = (
        f'<div class="panel">{row("Number", body["number"])}{row("Date", _day(body["created"]))}'
        f"{row('Billed to', body['customer_email'] or 'a guest')}{row('Status', body['status'])}</div>"
        f'<div class="panel">{lines}{rows}</div>'
        f'<p><a class="button" href="{escape(body["invoice_pdf"])}">Download PDF</a></p>'
    )
    return page("Invoice", inside, narrow=True)


def invoice_pdf(body: Object) -> Answer:
    """The same on paper."""
    currency = body["currency"]
    lines = [
        BANNER,
        "",
        f"Invoice {body['number']}",
        _day(body["created"]),
        f"Billed to: {body['customer_email'] or 'a guest'}",
        "",
    ]
    lines += [
        f"{line['description']} x {line['quantity']}: {text(line['amount'], currency)}"
        for line in body["lines"]["data"]
    ]
    lines += ["", f"Total: {text(body['total'], currency)}", f"Paid: {text(body['amount_paid'], currency)}"]
    headers = {
        "content-type": "application/pdf",
        "content-disposition": f'attachment; filename="invoice-{body["number"]}.pdf"',
    }
    return Answer(200, pdf(lines), headers)
