"""The payment sandbox as the real Stripe client sees it: each flow over HTTP, webhooks verified by the library."""

import asyncio
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import stripe

from sandbox.stripe.running import Refused, running_stripe


class Hook:
    """A receiver of webhooks: what came, and what it answers."""

    def __init__(self):
        self.came: list[tuple[bytes, str | None]] = []
        self.answers: list[int] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.came.append((body, self.headers.get("Stripe-Signature")))
                self.send_response(hook.answers.pop(0) if hook.answers else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def verified(self, secret):
        return [stripe.Webhook.construct_event(body, header, secret) for body, header in self.came]

    def kinds(self, secret):
        return [event.type for event in self.verified(secret)]


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


@pytest.fixture
def hook():
    receiver = Hook()
    yield receiver
    receiver.close()


@pytest.fixture
def secret(client, hook):
    params = {"url": hook.url, "enabled_events": ["*"]}
    return client.v1.webhook_endpoints.create(params=params).secret


def session_of(client, amount=1000, currency="usd", **more):
    price = {"currency": currency, "unit_amount": amount, "product_data": {"name": "Credit"}}
    params = {
        "mode": "payment",
        "success_url": "http://127.0.0.1:9/ok?session={CHECKOUT_SESSION_ID}",
        "cancel_url": "http://127.0.0.1:9/cancelled",
        "line_items": [{"quantity": 1, "price_data": price}],
        **more,
    }
    return client.v1.checkout.sessions.create(params=params)


def test_a_session_is_paid_and_told_of_with_signatures_the_library_accepts(box, client, hook, secret):
    customer = client.v1.customers.create(params={"email": "alice@example.com", "metadata": {"organization": "7"}})
    session = session_of(client, customer=customer.id, client_reference_id="order-1", metadata={"order": "1"})
    assert (session.status, session.payment_status, session.amount_total) == ("open", "unpaid", 1000)
    assert session.payment_intent is None
    box.pay(session.id)
    assert box.settle()
    paid = client.v1.checkout.sessions.retrieve(
        session.id, params={"expand": ["line_items", "payment_intent.latest_charge.balance_transaction"]}
    )
    assert (paid.status, paid.payment_status, paid.metadata["order"]) == ("complete", "paid", "1")
    assert paid.client_reference_id == "order-1"
    charge = paid.payment_intent.latest_charge
    assert (charge.amount_captured, charge.balance_transaction.fee, charge.balance_transaction.net) == (1000, 59, 941)
    assert paid.line_items.data[0].amount_total == 1000
    assert set(hook.kinds(secret)) >= {
        "customer.created",
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.completed",
    }
    body, header = hook.came[-1]
    assert client.construct_event(body, header, secret).livemode is False
    with pytest.raises(stripe.SignatureVerificationError):
        client.construct_event(body + b" ", header, secret)
    with pytest.raises(stripe.SignatureVerificationError):
        client.construct_event(body, header, "whsec_other")


def test_a_declined_card_leaves_the_session_open_and_the_same_intent_is_paid_next(box, client):
    session = session_of(client)
    with pytest.raises(Refused) as refused:
        box.pay(session.id, card="visa_chargeDeclinedInsufficientFunds")
    assert refused.value.status == 402
    assert refused.value.error["decline_code"] == "insufficient_funds"
    tried = client.v1.checkout.sessions.retrieve(session.id, params={"expand": ["payment_intent"]})
    assert tried.status == "open"
    assert tried.payment_intent.status == "requires_payment_method"
    assert tried.payment_intent.last_payment_error.decline_code == "insufficient_funds"
    box.pay(session.id, card="mastercard")
    paid = client.v1.checkout.sessions.retrieve(session.id)
    assert (paid.payment_intent, paid.payment_status) == (tried.payment_intent.id, "paid")
    charges = client.v1.charges.list(params={"payment_intent": paid.payment_intent})
    assert [charge.status for charge in charges] == ["succeeded", "failed"]


def test_money_that_arrives_later_completes_first_and_is_paid_then(box, client, hook, secret):
    session = session_of(client)
    box.pay(session.id, card="bankDebit")
    waiting = client.v1.checkout.sessions.retrieve(session.id, params={"expand": ["payment_intent"]})
    assert (waiting.status, waiting.payment_status) == ("complete", "unpaid")
    assert waiting.payment_intent.status == "processing"
    box.money(waiting.payment_intent.id)
    assert client.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"
    other = session_of(client)
    box.pay(other.id, card="bankDebitFails")
    box.advance(200)
    assert box.settle()
    failed = client.v1.checkout.sessions.retrieve(other.id, params={"expand": ["payment_intent"]})
    assert (failed.payment_status, failed.payment_intent.status) == ("unpaid", "requires_payment_method")
    about = [(e.type.removeprefix("checkout.session."), e.data.object.id) for e in hook.verified(secret)]
    assert ("async_payment_succeeded", session.id) in about
    assert ("async_payment_failed", other.id) in about


def test_off_session_charges_are_made_or_refused_with_402(client):
    customer = client.v1.customers.create(params={})
    card = client.v1.payment_methods.attach("pm_card_visa", params={"customer": customer.id})
    params = {"amount": 2000, "currency": "usd", "customer": customer.id, "confirm": True, "off_session": True}
    paid = client.v1.payment_intents.create(params={**params, "payment_method": card.id})
    assert (paid.status, paid.amount_received) == ("succeeded", 2000)
    for name, code, reason in (
        ("pm_card_authenticationRequired", "authentication_required", "authentication_required"),
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeCustomerFail", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", None),
    ):
        with pytest.raises(stripe.CardError) as refused:
            client.v1.payment_intents.create(params={**params, "payment_method": name})
        assert (refused.value.http_status, refused.value.code) == (402, code)
        assert refused.value.error.decline_code == reason
        left = client.v1.payment_intents.retrieve(refused.value.error.payment_intent.id)
        assert left.status == "requires_payment_method"


def test_refunds_never_exceed_what_was_captured(box, client, hook, secret):
    intent = paid_intent(client)
    for amount in (300, 200):
        client.v1.refunds.create(params={"payment_intent": intent.id, "amount": amount})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create(params={"payment_intent": intent.id, "amount": 501})
    assert (refused.value.http_status, refused.value.param) == (400, "amount")
    rest = client.v1.refunds.create(params={"payment_intent": intent.id})
    assert rest.amount == 500
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create(params={"payment_intent": intent.id})
    assert refused.value.code == "charge_already_refunded"
    charge = client.v1.charges.retrieve(intent.latest_charge, params={"expand": ["refunds"]})
    assert (charge.refunded, charge.amount_refunded, len(charge.refunds.data)) == (True, 1000, 3)
    assert box.settle()
    assert hook.kinds(secret).count("charge.refunded") == 3


def paid_intent(client, amount=1000, card="pm_card_visa", **more):
    params = {"amount": amount, "currency": "usd", "payment_method": card, "confirm": True, "off_session": True}
    return client.v1.payment_intents.create(params={**params, **more})


def test_disputes_take_the_money_and_give_it_back_when_won(box, client):
    for won, net in ((True, 0), (False, -2500)):
        intent = paid_intent(client)
        dispute = box.dispute(payment_intent=intent.id)
        with pytest.raises(stripe.InvalidRequestError) as refused:
            client.v1.refunds.create(params={"payment_intent": intent.id})
        assert refused.value.code == "charge_disputed"
        box.decide(dispute["id"], won=won)
        ended = client.v1.disputes.retrieve(dispute["id"])
        assert ended.status == ("won" if won else "lost")
        assert sum(one.net for one in ended.balance_transactions) == net


@pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning")  # the library's own
def test_the_async_client_works_as_well(box):
    async def talk():
        transport = stripe.HTTPXClient()
        client = stripe.StripeClient(box.key, base_addresses={"api": box.url}, http_client=transport)
        customer = await client.v1.customers.create_async(params={"name": "Zoë"})
        name = (await client.v1.customers.retrieve_async(customer.id)).name
        await transport.close_async()
        return name

    assert asyncio.run(talk()) == "Zoë"
