"""The pages of the payment sandbox, used as a customer and an operator use them: forms and redirects over HTTP."""

import http.client
import re
from urllib.parse import urlencode, urlsplit

import pytest
import stripe

from sandbox.stripe.pages.layout import BANNER
from sandbox.stripe.running import running_stripe


class Seen:
    """A page as it came."""

    def __init__(self, answer, body):
        self.status = answer.status
        self.headers = {name.lower(): value for name, value in answer.headers.items()}
        self.text = body.decode("utf-8", "replace")
        self.body = body

    @property
    def leads_to(self):
        return self.headers.get("location")


def visit(url, form=None, **headers):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    sent = {"Host": parts.netloc, "Origin": f"http://{parts.netloc}", "Sec-Fetch-Site": "same-origin"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    sent["Content-Type"] = "application/x-www-form-urlencoded"
    try:
        method, body = ("GET", None) if form is None else ("POST", urlencode(form))
        connection.request(method, target, body, {name: value for name, value in sent.items() if value})
        with connection.getresponse() as answer:
            return Seen(answer, answer.read())
    finally:
        connection.close()


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


def session_of(client, amount=2500, currency="usd", **more):
    price = {"currency": currency, "unit_amount": amount, "product_data": {"name": "<b>Credit</b>"}}
    params = {
        "mode": "payment",
        "success_url": "http://shop.localhost:8000/ok?s={CHECKOUT_SESSION_ID}",
        "cancel_url": "http://shop.localhost:8000/back",
        "line_items": [{"quantity": 1, "price_data": price}],
        **more,
    }
    return client.v1.checkout.sessions.create(params=params)


def codes(client):
    for name, percent in (("HALF", 50), ("ALL", 100)):
        coupon = client.v1.coupons.create(params={"percent_off": percent, "duration": "once"})
        promotion = {"type": "coupon", "coupon": coupon.id}
        client.v1.promotion_codes.create(params={"promotion": promotion, "code": name, "max_redemptions": 1})


PAY = {"do": "pay", "email": "alice@example.com", "way": "pm_card_visa"}


def test_a_customer_pays_and_is_sent_back_with_the_session(client):
    session = session_of(client)
    page = visit(session.url)
    assert page.status == 200
    assert "$25.00" in page.text
    assert "&lt;b&gt;Credit&lt;/b&gt;" in page.text
    paid = visit(session.url, PAY)
    assert (paid.status, paid.leads_to) == (303, f"http://shop.localhost:8000/ok?s={session.id}")
    told = client.v1.checkout.sessions.retrieve(session.id)
    assert (told.payment_status, told.customer_details.email) == ("paid", "alice@example.com")
    assert "complete" in visit(session.url).text


def test_every_page_has_the_banner_and_a_policy_of_its_own(box, client):
    customer = client.v1.customers.create(params={"payment_method": "pm_card_visa"})
    session = session_of(client, customer=customer.id, invoice_creation={"enabled": True})
    url = session.url
    portal = client.v1.billing_portal.sessions.create(params={"customer": customer.id}).url
    box.pay(session.id)
    intent = client.v1.payment_intents.list().data[0]
    receipt = client.v1.charges.retrieve(intent.latest_charge).receipt_url
    invoice = client.v1.invoices.list().data[0]
    pages = (url, portal, receipt, invoice.hosted_invoice_url, f"{box.url}/control", f"{box.url}/events")
    for address in pages:
        page = visit(address)
        assert page.status == 200, address
        assert BANNER in page.text
        policy = page.headers["content-security-policy"]
        nonce = re.search(r"'nonce-([\w-]+)'", policy).group(1)
        assert f'<style nonce="{nonce}">' in page.text
        assert "default-src 'none'" in policy
        assert "<script" not in page.text
        assert "style=" not in page.text.replace("<style ", "")
        assert page.headers["x-frame-options"] == "DENY"
    pdf = visit(invoice.invoice_pdf)
    assert pdf.body.startswith(b"%PDF-1.4")
    assert BANNER.encode() in pdf.body


def test_a_form_may_lead_to_the_shop_and_nowhere_else(client):
    policy = visit(session_of(client).url).headers["content-security-policy"]
    assert "form-action 'self' http://shop.localhost:8000;" in policy


def test_declined_then_authenticated(client):
    session = session_of(client)
    declined = visit(session.url, {**PAY, "way": "pm_card_visa_chargeDeclined"})
    assert declined.status == 402
    assert "Your card was declined." in declined.text
    asked = visit(session.url, {**PAY, "way": "pm_card_authenticationRequired"})
    challenge = asked.leads_to
    assert "/authenticate/pi_" in challenge
    assert "$25.00" in visit(challenge).text
    failed = visit(challenge, {"do": "fail"})
    assert failed.status == 402
    assert "authentication failed" in failed.text
    visit(session.url, {**PAY, "way": "pm_card_authenticationRequired"})
    assert visit(challenge, {"do": "ok"}).leads_to.endswith(session.id)
    assert client.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"
    assert visit(challenge, {"do": "ok"}).leads_to.endswith(session.id)
    assert len([one for one in client.v1.charges.list() if one.status == "succeeded"]) == 1


def test_codes_and_tax_are_worked_out_on_the_page(client):
    codes(client)
    session = session_of(client, amount=1999, allow_promotion_codes=True, automatic_tax={"enabled": True})
    assert session.automatic_tax.status == "requires_location_inputs"
    assert "Choose a country first" in visit(session.url, PAY).text
    assert "invalid" in visit(session.url, {"do": "code", "code": "NONE"}).text
    visit(session.url, {"do": "code", "code": "half"})
    assert "$11.89" in visit(session.url, {"do": "country", "country": "DE"}).text
    visit(session.url, PAY)
    told = client.v1.checkout.sessions.retrieve(session.id)
    details = told.total_details
    assert (told.amount_subtotal, details.amount_discount, details.amount_tax, told.amount_total) == (
        1999,
        1000,
        190,
        1189,
    )
    other = session_of(client, allow_promotion_codes=True)
    assert "invalid" in visit(other.url, {"do": "code", "code": "HALF"}).text  # used up


def test_a_code_for_all_of_it_needs_no_payment(client):
    codes(client)
    session = session_of(client, allow_promotion_codes=True)
    assert "$0.00" in visit(session.url, {"do": "code", "code": "ALL"}).text
    visit(session.url, {"do": "pay", "email": "alice@example.com"})
    told = client.v1.checkout.sessions.retrieve(session.id)
    assert (told.status, told.payment_status, told.payment_intent) == ("complete", "no_payment_required", None)
    assert (told.amount_subtotal, told.amount_total) == (2500, 0)
    assert client.v1.payment_intents.list().data == []


@pytest.mark.parametrize(
    ("currency", "amount", "shown"), [("jpy", 500, "¥500"), ("kwd", 1230, "KWD 1.230"), ("eur", 50, "€0.50")]
)
def test_amounts_are_shown_with_the_decimals_of_their_currency(client, currency, amount, shown):
    session = session_of(client, amount, currency)
    assert shown in visit(session.url).text
    visit(session.url, PAY)
    assert client.v1.charges.list().data[0].amount == amount


def test_a_saved_card_is_offered_and_only_to_its_owner(client):
    customer, other = (client.v1.customers.create(params={"email": f"{who}@example.com"}) for who in "ab")
    first = session_of(client, customer=customer.id, payment_intent_data={"setup_future_usage": "off_session"})
    visit(first.url, PAY)
    card = client.v1.customers.payment_methods.list(customer.id).data[0]
    second = session_of(client, customer=customer.id)
    assert card.id in visit(second.url).text
    assert visit(second.url, {**PAY, "way": card.id}).status == 303
    foreign = session_of(client, customer=other.id)
    assert card.id not in visit(foreign.url).text
    refused = visit(foreign.url, {**PAY, "way": card.id})
    assert refused.status == 400
    assert "somebody else" in refused.text


def test_abandoned_sessions_expire_and_are_never_paid(box, client):
    left, pressed = session_of(client), session_of(client)
    visit(pressed.url, {"do": "expire"})
    box.advance(90_000)
    for session in (left, pressed):
        told = client.v1.checkout.sessions.retrieve(session.id)
        assert (told.status, told.payment_status) == ("expired", "unpaid")
        late = visit(session.url, PAY)
        assert late.status == 200
        assert "Nothing was charged" in late.text
    assert client.v1.charges.list().data == []


def test_saving_a_card_without_paying(client):
    customer = client.v1.customers.create(params={})
    params = {"mode": "setup", "currency": "usd", "customer": customer.id, "success_url": "http://shop.localhost/"}
    session = client.v1.checkout.sessions.create(params=params)
    assert visit(session.url, {**PAY, "way": "pm_card_visa_chargeDeclined"}).status == 402
    challenge = visit(session.url, {**PAY, "way": "pm_card_authenticationRequiredOnSetup"}).leads_to
    assert visit(challenge, {"do": "ok"}).status == 303
    told = client.v1.checkout.sessions.retrieve(session.id, params={"expand": ["setup_intent"]})
    assert (told.status, told.setup_intent.status) == ("complete", "succeeded")
    charge = {"amount": 500, "currency": "usd", "customer": customer.id, "confirm": True, "off_session": True}
    paid = client.v1.payment_intents.create(params={**charge, "payment_method": told.setup_intent.payment_method})
    assert paid.status == "succeeded"  # set up once, its owner is not asked again


def test_the_portal_adds_removes_and_prefers_cards(client):
    customer = client.v1.customers.create(params={"email": "alice@example.com"})
    params = {"customer": customer.id, "return_url": "http://shop.localhost:8000/"}
    url = client.v1.billing_portal.sessions.create(params=params).url
    for card in ("visa", "mastercard"):
        visit(url, {"do": "add", "card": card})
    assert visit(url, {"do": "add", "card": "visa_chargeDeclined"}).status == 400
    newest, oldest = client.v1.customers.payment_methods.list(customer.id).data
    assert (newest.card.brand, oldest.card.brand) == ("mastercard", "visa")
    assert default_of(client, customer) == oldest.id
    visit(url, {"first": newest.id})
    assert default_of(client, customer) == newest.id
    visit(url, {"remove": newest.id})
    assert [one.id for one in client.v1.customers.payment_methods.list(customer.id)] == [oldest.id]
    assert default_of(client, customer) is None
    stranger = client.v1.customers.create(params={"payment_method": "pm_card_visa"})
    foreign = client.v1.customers.payment_methods.list(stranger.id).data[0].id
    assert visit(url, {"remove": foreign}).status == 400
    assert len(client.v1.customers.payment_methods.list(stranger.id).data) == 1


def default_of(client, customer):
    return client.v1.customers.retrieve(customer.id).invoice_settings.default_payment_method


def test_the_control_page_pulls_every_string(box, client):
    control = f"{box.url}/control"
    session = session_of(client)
    visit(session.url, {**PAY, "way": "pm_card_bankDebit"})
    intent = client.v1.checkout.sessions.retrieve(session.id).payment_intent
    assert f"arrive {intent}" in visit(control).text
    visit(control, {"do": f"arrive {intent}"})
    assert client.v1.payment_intents.retrieve(intent).status == "succeeded"
    charge = client.v1.charges.list().data[0].id
    visit(control, {"do": f"dispute {charge}"})
    dispute = client.v1.disputes.list().data[0]
    visit(control, {"do": f"won {dispute.id}"})
    assert client.v1.disputes.retrieve(dispute.id).status == "won"
    visit(control, {"do": "fault", "what": "429", "times": "1"})
    assert "429" in visit(control).text
    with pytest.raises(stripe.RateLimitError):
        client.v1.customers.list()
    for what in ("duplicate", "delay", "drop", "hold", "old", "secret"):
        assert visit(control, {"do": "order", "what": what, "number": "2"}).status == 200
    for wrong in (
        {"do": "nothing"},
        {"do": "order", "what": "x"},
        {"do": "advance", "seconds": "x"},
        {"do": "won du_x"},
    ):
        assert visit(control, wrong).status == 400
    visit(control, {"do": "clear"})
    event = client.v1.events.list().data[0]
    assert visit(f"{box.url}/events", {"do": f"resend {event.id}"}).status == 200
    visit(control, {"do": "reset"})
    assert client.v1.charges.list().data == []


def test_other_sites_and_strangers_move_nothing(box, client):
    session = session_of(client)
    elsewhere = {"Origin": "http://evil.example", "Sec_Fetch_Site": "cross-site"}
    for headers in (elsewhere, {**elsewhere, "Origin": None}, {**elsewhere, "Sec_Fetch_Site": None}):
        assert visit(session.url, PAY, **headers).status == 403
        assert visit(f"{box.url}/control", {"do": "reset"}, **headers).status == 403
    assert visit(f"{box.url}/control", Host="evil.example").status == 403
    assert client.v1.checkout.sessions.retrieve(session.id).status == "open"


@pytest.mark.parametrize(
    "path", ["pay/cs_none", "pay/", "pay", "receipts/ch_none", "nowhere", "pay/../control", "a/b/c/d", "%00"]
)
def test_what_leads_nowhere_says_so(box, path):
    page = visit(f"{box.url}/{path}")
    assert page.status == 404
    assert BANNER in page.text
