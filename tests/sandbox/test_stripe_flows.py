"""The longer ways through the payment sandbox, with the real client: what comes after a payment, and what stops one."""

import pytest
import stripe

from sandbox.stripe import routes
from sandbox.stripe.running import Refused, running_stripe
from tests.sandbox.test_stripe_sdk import paid_intent, session_of

ON_SESSION = {"amount": 1000, "currency": "usd", "confirm": True, "return_url": "http://127.0.0.1:9/back"}


@pytest.fixture(scope="module")
def running():
    with running_stripe() as box:
        yield box


@pytest.fixture
def box(running):
    running.reset()
    return running


@pytest.fixture
def client(box):
    return stripe.StripeClient(box.key, base_addresses={"api": box.url}, max_network_retries=0)


def kinds(box):
    return [event["type"] for event in box.events()]


# --- payment intents ---


def test_an_intent_is_confirmed_after_its_cardholder_was_asked(box, client):
    params = {**ON_SESSION, "payment_method": "pm_card_authenticationRequired"}
    intent = client.v1.payment_intents.create(params=params)
    assert intent.status == "requires_action"
    assert intent.next_action.redirect_to_url.return_url == "http://127.0.0.1:9/back"
    box.authenticate(intent.id, ok=False)
    refused = client.v1.payment_intents.retrieve(intent.id)
    assert refused.status == "requires_payment_method"
    assert refused.last_payment_error.code == "payment_intent_authentication_failure"
    again = {"payment_method": "pm_card_authenticationRequired", "return_url": "http://127.0.0.1:9/back"}
    client.v1.payment_intents.confirm(intent.id, params=again)
    box.authenticate(intent.id)
    paid = client.v1.payment_intents.retrieve(intent.id, params={"expand": ["latest_charge"]})
    assert paid.status == "succeeded"
    assert paid.latest_charge.payment_method_details.card.three_d_secure.result == "authenticated"


def test_a_card_with_no_money_is_declined_after_the_authentication_too(box, client):
    name = "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds"
    intent = client.v1.payment_intents.create(params={**ON_SESSION, "payment_method": name})
    with pytest.raises(Refused) as refused:
        box.authenticate(intent.id)
    assert refused.value.error["decline_code"] == "insufficient_funds"
    assert client.v1.payment_intents.retrieve(intent.id).status == "requires_payment_method"


def test_an_intent_is_cancelled_once_and_a_paid_one_never(client):
    open_ = client.v1.payment_intents.create(params={"amount": 500, "currency": "usd"})
    cancelled = client.v1.payment_intents.cancel(open_.id, params={"cancellation_reason": "abandoned"})
    assert (cancelled.status, cancelled.cancellation_reason) == ("canceled", "abandoned")
    for id_ in (open_.id, paid_intent(client).id):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            client.v1.payment_intents.cancel(id_)
        assert refused.value.code == "payment_intent_unexpected_state"
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.payment_intents.confirm(id_, params={"payment_method": "pm_card_visa"})


def test_a_card_of_another_customer_or_one_that_was_spent_is_refused(client):
    customer = client.v1.customers.create(params={"payment_method": "pm_card_visa"})
    card = client.v1.customers.payment_methods.list(customer.id).data[0].id
    with pytest.raises(stripe.InvalidRequestError, match="belongs to a different Customer"):
        paid_intent(client, card=card)
    client.v1.payment_methods.detach(card)
    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        paid_intent(client, card=card)
    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        client.v1.payment_methods.attach(card, params={"customer": customer.id})


def test_a_card_declined_by_its_bank_cannot_be_saved_either(client):
    customer = client.v1.customers.create(params={})
    with pytest.raises(stripe.CardError) as refused:
        client.v1.payment_methods.attach("pm_card_visa_chargeDeclined", params={"customer": customer.id})
    assert refused.value.code == "card_declined"
    number = {"type": "card", "card": {"number": "4000000000000341", "exp_month": 1, "exp_year": 2040, "cvc": "1"}}
    card = client.v1.payment_methods.create(params=number)
    client.v1.payment_methods.attach(card.id, params={"customer": customer.id})
    with pytest.raises(stripe.CardError):
        paid_intent(client, card=card.id, customer=customer.id)
    with pytest.raises(stripe.CardError) as refused:
        client.v1.payment_methods.create(
            params={"type": "card", "card": {**number["card"], "number": "4111111111111111"}}
        )
    assert refused.value.code == "incorrect_number"


def test_a_setup_makes_a_card_fit_for_payments_without_its_owner(box, client):
    customer = client.v1.customers.create(params={})
    params = {"customer": customer.id, "usage": "off_session"}
    setup = client.v1.setup_intents.create(params=params)
    confirm = {"payment_method": "pm_card_authenticationRequiredOnSetup", "return_url": "http://127.0.0.1:9/"}
    assert client.v1.setup_intents.confirm(setup.id, params=confirm).status == "requires_action"
    box.authenticate(setup.id)
    ready = client.v1.setup_intents.retrieve(setup.id)
    assert ready.status == "succeeded"
    assert paid_intent(client, card=ready.payment_method, customer=customer.id).status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.setup_intents.cancel(setup.id)


def test_a_deleted_customer_takes_no_more_payments_and_keeps_its_past(client):
    customer = client.v1.customers.create(params={"payment_method": "pm_card_visa"})
    intent = paid_intent(client, customer=customer.id)
    assert client.v1.customers.delete(customer.id).deleted is True
    with pytest.raises(stripe.InvalidRequestError):
        paid_intent(client, customer=customer.id)
    assert client.v1.payment_intents.retrieve(intent.id).customer == customer.id
    assert client.v1.customers.retrieve(customer.id).deleted is True
    assert client.v1.customers.list().data == []


# --- refunds and disputes ---


def test_a_refund_that_takes_its_time_arrives_fails_or_is_called_back(box, client):
    ended = {}
    for what in ("arrives", "fails", "canceled"):
        intent = paid_intent(client, card="pm_card_pendingRefund")
        refund = client.v1.refunds.create(params={"payment_intent": intent.id})
        assert refund.status == "pending"
        if what == "canceled":
            client.v1.refunds.cancel(refund.id)
        else:
            box.refund(refund.id, succeeds=what == "arrives")
        charge = client.v1.charges.retrieve(intent.latest_charge)
        ended[what] = (client.v1.refunds.retrieve(refund.id).status, charge.amount_refunded, charge.refunded)
    assert ended == {
        "arrives": ("succeeded", 1000, True),
        "fails": ("failed", 0, False),
        "canceled": ("canceled", 0, False),
    }
    assert kinds(box).count("refund.failed") == 1


def test_a_refund_can_fail_long_after_it_succeeded_and_be_made_again(box, client):
    intent = paid_intent(client, card="pm_card_refundFail")
    first = client.v1.refunds.create(params={"payment_intent": intent.id})
    assert first.status == "succeeded"
    box.advance(200)
    failed = client.v1.refunds.retrieve(first.id, params={"expand": ["failure_balance_transaction"]})
    assert (failed.status, failed.failure_balance_transaction.amount) == ("failed", 1000)
    assert client.v1.refunds.create(params={"payment_intent": intent.id}).amount == 1000


def test_what_was_never_paid_is_not_refunded(client):
    with pytest.raises(stripe.CardError) as declined:
        paid_intent(client, card="pm_card_visa_chargeDeclined")
    intent = declined.value.error.payment_intent.id
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.refunds.create(params={"payment_intent": intent})
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.refunds.create(params={"charge": "ch_none"})


def test_a_dispute_follows_a_partial_refund_and_evidence_decides_it(box, client):
    intent = paid_intent(client)
    client.v1.refunds.create(params={"payment_intent": intent.id, "amount": 400})
    dispute = box.dispute(payment_intent=intent.id, amount=600, reason="product_not_received")
    assert (dispute["amount"], dispute["reason"]) == (600, "product_not_received")
    evidence = {"evidence": {"uncategorized_text": "winning_evidence"}}
    assert client.v1.disputes.update(dispute["id"], params=evidence).status == "won"
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.disputes.close(dispute["id"])
    with pytest.raises(Refused):
        box.dispute(payment_intent=intent.id)


def test_an_inquiry_takes_nothing_until_it_becomes_a_dispute(box, client):
    intent = paid_intent(client, card="pm_card_createDisputeInquiry")
    dispute = client.v1.disputes.list(params={"payment_intent": intent.id}).data[0]
    assert (dispute.status, dispute.is_charge_refundable, dispute.balance_transactions) == (
        "warning_needs_response",
        True,
        [],
    )
    box.do("escalate", dispute=dispute.id)
    assert client.v1.disputes.close(dispute.id).status == "lost"
    assert [one.net for one in client.v1.disputes.retrieve(dispute.id).balance_transactions] == [-2500]
    assert kinds(box)[-3:] == [
        "charge.dispute.updated",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.closed",
    ]


# --- checkout ---


def test_two_sessions_for_one_order_can_both_be_paid(box, client):
    sessions = [session_of(client, client_reference_id="order-1") for _ in range(2)]
    for session in sessions:
        box.pay(session.id)
    intents = {client.v1.checkout.sessions.retrieve(session.id).payment_intent for session in sessions}
    assert len(intents) == 2
    for session in sessions:
        with pytest.raises(Refused):
            box.pay(session.id)
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.checkout.sessions.expire(session.id)


def test_an_expired_session_takes_its_open_intent_with_it(box, client):
    session = session_of(client)
    with pytest.raises(Refused):
        box.pay(session.id, card="visa_chargeDeclined")
    expired = client.v1.checkout.sessions.expire(session.id, params={"expand": ["payment_intent"]})
    assert (expired.status, expired.payment_intent.status) == ("expired", "canceled")
    with pytest.raises(Refused):
        box.pay(session.id)
    assert kinds(box)[-1] == "checkout.session.expired"


def test_money_for_a_session_fails_and_a_later_attempt_succeeds(box, client):
    session = session_of(client)
    intent = box.pay(session.id, card="bankDebitFails")["payment_intent"]
    box.money(intent, succeeds=False)
    client.v1.payment_intents.confirm(
        intent, params={"payment_method": "pm_card_visa", "return_url": "http://127.0.0.1:9/"}
    )
    assert client.v1.payment_intents.retrieve(intent).status == "succeeded"
    assert client.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"
    told = [kind for kind in kinds(box) if kind.startswith("checkout")]
    assert [kind.rpartition("session.")[2] for kind in told] == [
        "completed",
        "async_payment_failed",
        "async_payment_succeeded",
    ]


def test_codes_hold_for_whom_and_how_often_they_are_meant(box, client):
    customer, other = (client.v1.customers.create(params={}).id for _ in range(2))
    coupon = client.v1.coupons.create(params={"amount_off": 300, "currency": "usd", "duration": "once"})
    promotion = {"type": "coupon", "coupon": coupon.id}
    code = {"promotion": promotion, "code": "MINE", "customer": customer, "restrictions": {"minimum_amount": 800}}
    made = client.v1.promotion_codes.create(params=code)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.promotion_codes.create(params=code)
    for wrong in (
        {"customer": other},
        {"customer": customer, "amount": 700},
        {"customer": customer, "currency": "eur"},
    ):
        session = session_of(client, **{"allow_promotion_codes": True, **wrong})
        with pytest.raises(Refused):
            box.pay(session.id, code="MINE")
    session = session_of(client, allow_promotion_codes=True, customer=customer)
    assert box.pay(session.id, code="mine")["amount_total"] == 700
    paid = client.v1.checkout.sessions.retrieve(session.id, params={"expand": ["discounts.promotion_code"]})
    assert paid.discounts[0].promotion_code.times_redeemed == 1
    client.v1.promotion_codes.update(made.id, params={"active": False})
    with pytest.raises(Refused):
        box.pay(session_of(client, allow_promotion_codes=True, customer=customer).id, code="MINE")
    direct = session_of(client, discounts=[{"coupon": coupon.id}])
    assert (direct.amount_subtotal, direct.amount_total) == (1000, 700)


def test_an_invoice_comes_with_the_payment_and_names_it(box, client):
    session = session_of(client, invoice_creation={"enabled": True, "invoice_data": {"description": "Thanks"}})
    box.pay(session.id)
    paid = client.v1.checkout.sessions.retrieve(session.id)
    invoice = client.v1.invoices.retrieve(paid.invoice, params={"expand": ["payments"]})
    assert (invoice.status, invoice.amount_paid, invoice.description) == ("paid", 1000, "Thanks")
    assert invoice.payments.data[0].payment.payment_intent == paid.payment_intent
    by_intent = {"payment": {"type": "payment_intent", "payment_intent": paid.payment_intent}}
    assert client.v1.invoice_payments.list(params=by_intent).data[0].invoice == invoice.id
    assert invoice.customer == paid.customer is not None
    assert "invoice.paid" in kinds(box)


@pytest.mark.parametrize(
    ("currency", "amount", "code"),
    [("jpy", 49, "amount_too_small"), ("kwd", 1234, "invalid_charge_amount"), ("usd", 100_000_000, "amount_too_large")],
)
def test_totals_that_cannot_be_charged_are_refused(client, currency, amount, code):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        session_of(client, amount, currency)
    assert refused.value.code == code


# --- what is accepted ---

PARAMS = {
    "/v1/checkout/sessions": stripe.params.checkout.SessionCreateParams,
    "/v1/coupons": stripe.params.CouponCreateParams,
    "/v1/customers": stripe.params.CustomerCreateParams,
    "/v1/customers/{id}": stripe.params.CustomerUpdateParams,
    "/v1/disputes/{id}": stripe.params.DisputeUpdateParams,
    "/v1/payment_intents": stripe.params.PaymentIntentCreateParams,
    "/v1/payment_intents/{id}": stripe.params.PaymentIntentUpdateParams,
    "/v1/payment_intents/{id}/confirm": stripe.params.PaymentIntentConfirmParams,
    "/v1/payment_methods": stripe.params.PaymentMethodCreateParams,
    "/v1/promotion_codes": stripe.params.PromotionCodeCreateParams,
    "/v1/refunds": stripe.params.RefundCreateParams,
    "/v1/setup_intents": stripe.params.SetupIntentCreateParams,
    "/v1/setup_intents/{id}/confirm": stripe.params.SetupIntentConfirmParams,
    "/v1/webhook_endpoints": stripe.params.WebhookEndpointCreateParams,
    "/v1/billing_portal/sessions": stripe.params.billing_portal.SessionCreateParams,
}


@pytest.mark.parametrize("path", PARAMS)
def test_nothing_is_accepted_that_stripe_would_not_accept(path):
    route = next(one for one in routes.ROUTES if (one.method, one.path) == ("POST", path))
    ours = {name.rstrip("!") for name in route.shape}
    assert ours - set(PARAMS[path].__annotations__) == set()
