"""Invoices of paid sessions: made, finalized and paid in one breath, with a page and a PDF to look at."""

from typing import Any

from sandbox.stripe.blanks import blank
from sandbox.stripe.forms import Params
from sandbox.stripe.world import Object, World, new_id


def paid_by(world: World, session: Object) -> Object:
    """The invoice of a session whose money is there."""
    customer = world.get("customer", session["customer"]) if session["customer"] else {}
    id_ = new_id("in")
    total = session["amount_total"]
    number = customer.get("next_invoice_sequence", 1)
    details = session["customer_details"] or {}
    data = session["invoice_creation"]["invoice_data"]
    body = blank(
        "invoice",
        id=id_,
        account_country="US",
        account_name="Payment sandbox",
        amount_due=total,
        amount_overpaid=0,
        amount_paid=total,
        amount_remaining=0,
        amount_shipping=0,
        attempt_count=1 if total else 0,
        attempted=True,
        auto_advance=False,
        automatic_tax={"disabled_reason": None, **session["automatic_tax"]},
        billing_reason="manual",
        collection_method="charge_automatically",
        created=world.now,
        currency=session["currency"],
        customer=session["customer"],
        customer_address=details.get("address"),
        customer_email=details.get("email"),
        customer_name=details.get("name"),
        customer_tax_exempt="none",
        customer_tax_ids=[],
        default_tax_rates=[],
        description=data["description"],
        discounts=[],
        effective_at=world.now,
        ending_balance=0,
        footer=data["footer"],
        hosted_invoice_url=f"{world.here}/invoices/{id_}",
        invoice_pdf=f"{world.here}/invoices/{id_}/pdf",
        issuer={"type": "self"},
        lines={
            "object": "list",
            "data": [_line(world, id_, line) for line in session["_lines"]],
            "has_more": False,
            "url": f"/v1/invoices/{id_}/lines",
        },
        metadata=dict(data["metadata"] or {}),
        number=f"{customer.get('invoice_prefix', 'GUEST')}-{number:04d}",
        payment_settings={"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        period_end=world.now,
        period_start=world.now,
        post_payment_credit_notes_amount=0,
        pre_payment_credit_notes_amount=0,
        starting_balance=0,
        status="paid",
        status_transitions={
            "finalized_at": world.now,
            "marked_uncollectible_at": None,
            "paid_at": world.now,
            "voided_at": None,
        },
        subtotal=session["amount_subtotal"],
        subtotal_excluding_tax=session["amount_subtotal"] - _inside(session),
        total=total,
        total_excluding_tax=total - session["total_details"]["amount_tax"],
        total_pretax_credit_amounts=[],
        total_discount_amounts=_discounts(session),
        total_taxes=[_tax(one) for line in session["_lines"] for one in line["taxes"]],
        _payments=[],
    )
    if session["payment_intent"]:
        body["_payments"] = [_payment(world, body, session["payment_intent"])]
    if customer:
        customer["next_invoice_sequence"] = number + 1
        world.put(customer)
    world.add(body)
    for kind in ("created", "finalized", "paid", "payment_succeeded"):
        world.tell(f"invoice.{kind}", body)
    for payment in body["_payments"]:
        world.add(payment)
        world.tell("invoice_payment.paid", payment)
    return body


def _inside(session: Object) -> int:
    lines = session["_lines"]
    return sum(line["amount_tax"] for line in lines if line["price"]["tax_behavior"] == "inclusive")


def _discounts(session: Object) -> list[Object]:
    found = session["total_details"]["_breakdown"]["discounts"]
    return [{"amount": one["amount"], "discount": one["discount"]["id"]} for one in found]


def _tax(tax: Object) -> Object:
    return {
        "amount": tax["amount"],
        "tax_behavior": "inclusive" if tax["rate"]["inclusive"] else "exclusive",
        "tax_rate_details": {"tax_rate": tax["rate"]["id"]},
        "taxability_reason": tax["taxability_reason"],
        "taxable_amount": tax["taxable_amount"],
        "type": "tax_rate_details",
    }


def _line(world: World, invoice: str, line: Object) -> Object:
    price = line["price"]
    details: dict[str, Any] = {"price": price["id"], "product": price["product"]}
    return blank(
        "line_item",
        id=new_id("il"),
        amount=line["amount_subtotal"],
        currency=line["currency"],
        description=line["description"],
        discount_amounts=[{"amount": one["amount"], "discount": one["discount"]["id"]} for one in line["discounts"]],
        discountable=True,
        discounts=[one["discount"]["id"] for one in line["discounts"]],
        invoice=invoice,
        metadata={},
        period={"end": world.now, "start": world.now},
        pretax_credit_amounts=[],
        pricing={
            "price_details": details,
            "type": "price_details",
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        quantity=line["quantity"],
        quantity_decimal=str(line["quantity"]),
        subtotal=line["amount_subtotal"],
        taxes=[_tax(one) for one in line["taxes"]],
    )


def _payment(world: World, invoice: Object, intent: str) -> Object:
    return {
        "id": new_id("inpay"),
        "object": "invoice_payment",
        "amount_paid": invoice["amount_paid"],
        "amount_requested": invoice["amount_due"],
        "created": world.now,
        "currency": invoice["currency"],
        "invoice": invoice["id"],
        "is_default": True,
        "livemode": False,
        "payment": {"payment_intent": intent, "type": "payment_intent"},
        "status": "paid",
        "status_transitions": {"canceled_at": None, "paid_at": world.now},
    }


def retrieve(world: World, params: Params, *, id: str) -> Object:
    """An invoice."""
    return world.get("invoice", id)


def pdf(lines: list[str]) -> bytes:
    """A page of plain lines, as the smallest PDF that opens everywhere."""
    shown = [line.encode("cp1252", "replace").decode("cp1252") for line in lines]
    escaped = [line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)") for line in shown]
    text = "BT /F1 12 Tf 16 TL 60 780 Td " + " ".join(f"({line}) Tj T*" for line in escaped) + " ET"
    stream = text.encode("cp1252")
    fonts = b"<< /Font << /F1 5 0 R >> >>"
    parts = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources %s >>" % fonts,
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    out, places = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, part)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = b"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % len(out)
    return out + b"xref\n0 6\n0000000000 65535 f \n" + table + trailer
