"""Every object the payment sandbox serves, field by field, against Stripe's typed classes and published samples."""

import json
import typing
from pathlib import Path

import pytest
import stripe

from sandbox.stripe.running import running_stripe

SAMPLES = json.loads((Path(__file__).parents[1] / "payloads" / "stripe" / "objects.json").read_text())
CLASSES = {
    "account": stripe.Account,
    "balance": stripe.Balance,
    "balance_transaction": stripe.BalanceTransaction,
    "billing_portal.session": stripe.billing_portal.Session,
    "charge": stripe.Charge,
    "checkout.session": stripe.checkout.Session,
    "coupon": stripe.Coupon,
    "customer": stripe.Customer,
    "discount": stripe.Discount,
    "dispute": stripe.Dispute,
    "event": stripe.Event,
    "invoice": stripe.Invoice,
    "invoice_payment": stripe.InvoicePayment,
    "item": stripe.LineItem,
    "line_item": stripe.InvoiceLineItem,
    "payment_intent": stripe.PaymentIntent,
    "payment_method": stripe.PaymentMethod,
    "price": stripe.Price,
    "product": stripe.Product,
    "promotion_code": stripe.PromotionCode,
    "refund": stripe.Refund,
    "setup_intent": stripe.SetupIntent,
    "tax_rate": stripe.TaxRate,
    "webhook_endpoint": stripe.WebhookEndpoint,
}
LISTED = """
account balance balance_transactions charges checkout/sessions coupons customers disputes events invoices
invoice_payments payment_intents prices products promotion_codes refunds setup_intents webhook_endpoints
""".split()  # noqa: SIM905 - eighteen names read best as lines of words
# what Stripe leaves out too, unless it is asked for by expand or applies to the object
ABSENT = {
    "account": "company deleted future_requirements groups individual requirements tos_acceptance",
    "balance": "instant_available issuing",
    "charge": "level3 refunds transfer",
    "charge.outcome": "rule",
    "charge.payment_method_details.card": (
        "capture_before description electronic_commerce_indicator iin issuer moto setup_credential_usage "
        "stored_credential_usage transaction_link_id"
    ),
    "charge.payment_method_details.us_bank_account": "expected_debit_date",
    "checkout.session": "line_items",
    "checkout.session.automatic_tax.liability": "account",
    "checkout.session.total_details": "breakdown",
    "coupon": "currency_options deleted",
    "customer": "cash_balance deleted invoice_credit_balance sources subscriptions tax tax_ids",
    "discount": "deleted",
    "event": "account context",
    "event.data": "previous_attributes",
    "invoice": "deleted payments",
    "invoice.automatic_tax.liability": "account",
    "invoice.issuer": "account",
    "payment_method.card": "description iin issuer",
    "price": "currency_options deleted tiers",
    "product": "deleted",
    "promotion_code.restrictions": "currency_options",
    "refund.destination_details.crypto": "reference",
    "webhook_endpoint": "deleted secret",
}
# what an older version had, and the samples still show
GONE = {"invoice": "subscription"}
# a block that stands for one kind of its siblings: only its own kind is there
ONE_OF = {
    "payment_method",
    "charge.payment_method_details",
    "payment_intent.last_payment_error",
    "setup_intent.last_setup_error",
    "refund.destination_details",
    "refund.destination_details.card",
    "payment_intent.next_action",
    "payment_intent.amount_details",
    "payment_intent.amount_details.tip",
    "payment_intent.payment_method_options",
    "setup_intent.payment_method_options",
    "checkout.session.payment_method_options",
    "invoice_payment.payment",
    "setup_intent.next_action",
    "dispute.payment_method_details",
    "account.business_profile",
    "account.capabilities",
    "account.controller",
    "account.settings",
    "account.settings.dashboard",
    "balance.available",
    "balance.pending",
    "balance.available.source_types",
    "balance.pending.source_types",
    "balance.refund_and_dispute_prefunding",
    "dispute.evidence.enhanced_evidence",
    "dispute.evidence_details.enhanced_eligibility",
    "charge.fraud_details",
    "charge.radar_options",
}


@pytest.fixture(scope="module")
def served():
    """At least one object of every kind, as the API tells it."""
    with running_stripe() as box:
        client = stripe.StripeClient(box.key, base_addresses={"api": box.url})
        found: dict[str, list[dict]] = {}
        for answer in _live(box, client):
            _collect(json.loads(answer.last_response.body), found)
        for path in LISTED:
            answer = json.loads(json.dumps(client.raw_request("get", f"/v1/{path}").data))
            _collect(answer, found)
        for event in found["event"]:
            _collect(event["data"]["object"], found)
        yield found


def _live(box, client):
    """A little of everything that can happen."""
    v1 = client.v1
    v1.webhook_endpoints.create(params={"url": "http://127.0.0.1:9/hook", "enabled_events": ["*"]})
    customer = v1.customers.create(
        params={"email": "a@example.com", "address": {"country": "DE"}, "payment_method": "pm_card_visa"}
    ).id
    coupon = v1.coupons.create(params={"percent_off": 25, "duration": "once"})
    v1.promotion_codes.create(params={"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "QUARTER"})
    price = {"currency": "usd", "unit_amount": 2000, "product_data": {"name": "Credit"}}
    given = {
        "mode": "payment",
        "success_url": "http://127.0.0.1:9/",
        "line_items": [{"quantity": 2, "price_data": price}],
        "customer": customer,
        "automatic_tax": {"enabled": True},
        "allow_promotion_codes": True,
        "invoice_creation": {"enabled": True},
        "payment_intent_data": {"setup_future_usage": "off_session"},
    }
    session = v1.checkout.sessions.create(params=given)
    box.pay(session.id, code="QUARTER")
    expand = ["line_items", "total_details.breakdown"]
    yield v1.checkout.sessions.retrieve(session.id, params={"expand": expand})
    later = v1.checkout.sessions.create(params={**given, "invoice_creation": {"enabled": False}})
    box.pay(later.id, card="bankDebit")
    v1.checkout.sessions.create(params={"mode": "setup", "currency": "usd", "success_url": "http://127.0.0.1:9/"})
    plain = {"amount": 500, "currency": "usd", "confirm": True, "off_session": True}
    for card in ("pm_card_visa", "pm_card_createDispute", "pm_card_stablecoin"):
        intent = v1.payment_intents.create(params={**plain, "payment_method": card})
        if card != "pm_card_createDispute":
            v1.refunds.create(params={"payment_intent": intent.id, "amount": 100})
    for card in ("visa_chargeDeclined", "authenticationRequired"):
        with pytest.raises(stripe.CardError):
            v1.payment_intents.create(params={**plain, "payment_method": f"pm_card_{card}"})
    setup = {"customer": customer, "confirm": True, "return_url": "http://127.0.0.1:9/"}
    v1.setup_intents.create(params={**setup, "payment_method": "pm_card_mastercard"})
    v1.setup_intents.create(params={**setup, "payment_method": "pm_card_authenticationRequired"})
    with pytest.raises(stripe.CardError):
        v1.setup_intents.create(params={**setup, "payment_method": "pm_card_visa_chargeDeclined"})
    yield v1.billing_portal.sessions.create(params={"customer": customer})
    update = {"type": "payment_method_update"}
    yield v1.billing_portal.sessions.create(params={"customer": customer, "flow_data": update})


def _collect(answer, found):
    """Every object inside an answer, by its kind."""
    if isinstance(answer, dict):
        kind = answer.get("object")
        if isinstance(kind, str) and kind in CLASSES and not answer.get("deleted"):
            found.setdefault(kind, []).append(answer)
        for value in answer.values():
            _collect(value, found)
    elif isinstance(answer, list):
        for value in answer:
            _collect(value, found)


def _faults(kind, body, cls, *, sample=None):
    """What is missing, what nobody knows, and what is null that never is."""
    fields = {name: hint for name, hint in cls.__annotations__.items() if name.islower() and name[0] != "_"}
    absent = set(ABSENT.get(kind, "").split())
    for name, hint in fields.items():
        if name not in body:
            if name not in absent and kind not in ONE_OF:
                yield f"{kind}.{name} is missing"
        elif body[name] is None and not _may_be_null(hint):
            yield f"{kind}.{name} is null"
    for name in body:
        if name not in fields and name not in (sample or ()) and name not in _aliases(cls):
            yield f"{kind}.{name} is nothing Stripe knows"
    for name, inner in getattr(cls, "_inner_class_types", {}).items():
        values = body.get(name)
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, dict) and not isinstance(value.get("object"), str):
                yield from _faults(f"{kind}.{name}", value, inner)


def _aliases(cls):
    return set(getattr(cls, "_field_remappings", {}).values()) | set(getattr(cls, "_field_remappings", {}))


def _may_be_null(hint):
    text = str(hint)
    return "Optional" in text or "None" in text or type(None) in typing.get_args(hint)


@pytest.mark.parametrize("kind", CLASSES)
def test_every_field_of_the_typed_class_is_there_and_no_other(served, kind):
    bodies = served.get(kind)
    assert bodies, f"the sandbox never served a {kind}"
    faults = sorted({one for body in bodies for one in _faults(kind, body, CLASSES[kind], sample=SAMPLES.get(kind))})
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("kind", sorted(set(SAMPLES) & set(CLASSES)))
def test_every_field_of_the_published_sample_is_there(served, kind):
    allowed = {*ABSENT.get(kind, "").split(), *GONE.get(kind, "").split()}
    bodies = served[kind]
    sample = set(SAMPLES[kind]) - allowed
    if kind == "payment_method":
        bodies = [body for body in bodies if body["type"] == "card"]
    assert sorted({name for body in bodies for name in sample - set(body)}) == []
