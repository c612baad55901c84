"""How the payment sandbox answers: keys, errors, parameters, idempotency, lists, expansion, and faults on demand."""

import base64
import concurrent.futures
import http.client
import json
import time
from urllib.parse import urlencode

import pytest
import stripe

from sandbox.stripe.api import account_id
from sandbox.stripe.running import running_stripe


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
    return client_for(box)


def client_for(box, key=None, **more):
    more = {"max_network_retries": 0, **more}
    return stripe.StripeClient(key or box.key, base_addresses={"api": box.url}, **more)


def ask(box, method, path, params=None, *, key=None, raw=None, **headers):
    """One request without the library: status, headers, body."""
    connection = http.client.HTTPConnection(box.url.removeprefix("http://"), timeout=20)
    body = raw if raw is not None else urlencode(params or {})
    sent = {"Authorization": f"Bearer {key or box.key}", "Content-Type": "application/x-www-form-urlencoded"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, body, sent)
        with connection.getresponse() as answer:
            told = {name.lower(): value for name, value in answer.headers.items()}
            return answer.status, told, json.loads(answer.read())
    finally:
        connection.close()


INTENT = {"amount": 1000, "currency": "usd"}
PAID = {**INTENT, "confirm": True, "off_session": True, "payment_method": "pm_card_visa"}


# --- keys and accounts ---


def test_only_a_key_of_ours_comes_in(box):
    for key in ("sk_test_wrong", "rk_test_sandbox_restricted", "sk_live_sandbox", " "):
        with pytest.raises(stripe.AuthenticationError) as refused:
            client_for(box, key).v1.customers.list()
        assert refused.value.http_status == 401
        assert key.strip() == "" or key not in str(refused.value)
    status, headers, body = ask(box, "GET", "/v1/customers", Authorization="")
    assert (status, body["error"]["type"]) == (401, "invalid_request_error")
    assert headers["request-id"].startswith("req_")
    basic = base64.b64encode(f"{box.key}:".encode()).decode()
    assert ask(box, "GET", "/v1/customers", Authorization=f"Basic {basic}")[0] == 200
    assert ask(box, "GET", "/v1/customers", Authorization="Basic !!!")[0] == 401


def test_each_key_is_an_account_of_its_own(box, client):
    other = client_for(box, "sk_test_other")
    assert box.add_key("sk_test_other") == account_id("sk_test_other")
    mine = client.v1.customers.create(params={"email": "a@example.com"})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        other.v1.customers.retrieve(mine.id)
    assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")
    assert other.v1.customers.list().data == []
    accounts = {client.v1.accounts.retrieve_current().id, other.v1.accounts.retrieve_current().id}
    assert accounts == {box.account, account_id("sk_test_other")}
    with pytest.raises(stripe.PermissionError):
        client.v1.accounts.retrieve(account_id("sk_test_other"))
    with pytest.raises(stripe.PermissionError):
        client.v1.customers.list(options={"stripe_account": "acct_somebody"})


# --- parameters ---


@pytest.mark.parametrize(
    ("path", "params", "code", "param"),
    [
        ("/v1/payment_intents", {**INTENT, "colour": "red"}, "parameter_unknown", "colour"),
        ("/v1/payment_intents", {**INTENT, "shipping[colour]": "red"}, "parameter_unknown", "shipping[colour]"),
        ("/v1/payment_intents", {**INTENT, "payment_method_types[0]": "card"}, "parameter_unknown", None),
        ("/v1/payment_intents", {"currency": "usd"}, "parameter_missing", "amount"),
        ("/v1/payment_intents", {**INTENT, "amount": ""}, "parameter_missing", "amount"),
        ("/v1/payment_intents", {**INTENT, "amount": "10.5"}, "parameter_invalid_integer", "amount"),
        ("/v1/payment_intents", {**INTENT, "amount": "\uff11000"}, "parameter_invalid_integer", "amount"),
        ("/v1/payment_intents", {**INTENT, "amount": "9" * 40}, "parameter_invalid_integer", "amount"),
        ("/v1/payment_intents", {**INTENT, "amount": -5}, "parameter_invalid_integer", "amount"),
        ("/v1/payment_intents", {**INTENT, "amount": 49}, "amount_too_small", "amount"),
        ("/v1/payment_intents", {**INTENT, "amount": 100_000_000}, "amount_too_large", "amount"),
        ("/v1/payment_intents", {**INTENT, "currency": "xyz"}, None, "currency"),
        ("/v1/payment_intents", {"amount": 1234, "currency": "kwd"}, "invalid_charge_amount", "amount"),
        ("/v1/payment_intents", {**INTENT, "confirm": "yes"}, None, "confirm"),
        ("/v1/payment_intents", {**INTENT, "customer": "cus_none"}, "resource_missing", "customer"),
        ("/v1/payment_intents", {**INTENT, "metadata[a][b]": "c"}, None, "metadata[a]"),
        ("/v1/payment_intents", {**INTENT, "metadata[" + "k" * 41 + "]": "v"}, None, "metadata[" + "k" * 40 + "]"),
        ("/v1/payment_intents", {**INTENT, "expand[0]": "colour"}, "property_not_expandable", "expand"),
        ("/v1/payment_intents", {**INTENT, "amount[0]": "1"}, None, "amount[0]"),
        ("/v1/checkout/sessions", {"mode": "payment"}, "parameter_missing", "success_url"),
        ("/v1/checkout/sessions", {"success_url": "http://a.b/"}, "parameter_missing", "line_items"),
        ("/v1/checkout/sessions", {"success_url": "javascript:alert(1)"}, "url_invalid", "success_url"),
        ("/v1/refunds", {}, None, None),
        ("/v1/nowhere", {}, None, None),
    ],
)
def test_what_cannot_be_is_told_with_its_parameter(box, path, params, code, param):
    status, headers, body = ask(box, "POST", path, params)
    error = body["error"]
    assert status == (404 if path == "/v1/nowhere" else 400), body
    assert (error["type"], error.get("code")) == ("invalid_request_error", code)
    assert param is None or error["param"] == param
    assert headers["request-id"] in error["request_log_url"]


@pytest.mark.parametrize(
    "raw", [b"\xff\xfe=1", b"a[b=1", b"]=1", b"&".join([b"a=1"] * 2000), b"[=]", b"a" + b"[b]" * 40 + b"=1"]
)
def test_a_form_that_cannot_be_read_is_400(box, raw):
    assert ask(box, "POST", "/v1/customers", raw=raw)[0] == 400


def test_a_body_without_end_is_refused(box):
    assert ask(box, "POST", "/v1/customers", raw=b"name=" + b"a" * (1024 * 1024))[0] == 413


def test_metadata_is_merged_and_unset(client):
    customer = client.v1.customers.create(params={"metadata": {"a": "1", "b": "2"}})
    changed = client.v1.customers.update(customer.id, params={"metadata": {"a": "", "c": "3"}})
    assert changed.metadata.to_dict() == {"b": "2", "c": "3"}
    assert client.v1.customers.update(customer.id, params={"metadata": ""}).metadata.to_dict() == {}


def test_a_version_that_is_none_is_refused_and_a_good_one_given_back(box):
    assert (
        ask(box, "GET", "/v1/customers", Stripe_Version="2026-10-28.endive")[1]["stripe-version"] == "2026-10-28.endive"
    )
    assert ask(box, "GET", "/v1/customers", Stripe_Version="latest")[0] == 400


# --- lists and expansion ---


def test_lists_are_walked_in_both_directions(client):
    made = [client.v1.customers.create(params={"name": str(number)}).id for number in range(7)]
    newest_first = made[::-1]
    page = client.v1.customers.list(params={"limit": 3})
    assert ([one.id for one in page.data], page.has_more) == (newest_first[:3], True)
    page = client.v1.customers.list(params={"limit": 3, "starting_after": newest_first[2]})
    assert [one.id for one in page.data] == newest_first[3:6]
    page = client.v1.customers.list(params={"limit": 2, "ending_before": newest_first[5]})
    assert ([one.id for one in page.data], page.has_more) == (newest_first[3:5], True)
    assert [one.id for one in client.v1.customers.list(params={"limit": 2}).auto_paging_iter()] == newest_first
    for wrong in ({"limit": 0}, {"limit": 101}, {"starting_after": "cus_none"}):
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.customers.list(params=wrong)


def test_lists_are_filtered(box, client):
    customer = client.v1.customers.create(params={"email": "a@example.com"})
    client.v1.payment_intents.create(params={**PAID, "customer": customer.id})
    client.v1.payment_intents.create(params=PAID)
    assert len(client.v1.payment_intents.list(params={"customer": customer.id}).data) == 1
    assert len(client.v1.customers.list(params={"email": "a@example.com"}).data) == 1
    assert client.v1.customers.list(params={"email": "b@example.com"}).data == []
    now = int(time.time())
    box.advance(1000)
    client.v1.payment_intents.create(params=PAID)
    assert len(client.v1.payment_intents.list(params={"created": {"gte": now + 500}}).data) == 1
    assert len(client.v1.payment_intents.list(params={"created": {"lt": now + 500}}).data) == 2
    kinds = {event.type for event in client.v1.events.list(params={"types": ["charge.succeeded"]})}
    assert kinds == {"charge.succeeded"}


def test_ids_are_expanded_where_they_stand(client):
    intent = client.v1.payment_intents.create(params={**PAID, "expand": ["latest_charge.balance_transaction"]})
    assert intent.latest_charge.balance_transaction.amount == 1000
    listed = client.v1.charges.list(params={"expand": ["data.payment_intent"]})
    assert listed.data[0].payment_intent.id == intent.id


# --- idempotency ---


def test_a_key_answers_the_same_again_and_only_for_the_same(box, client):
    first = client.v1.payment_intents.create(params=PAID, options={"idempotency_key": "order-1"})
    again = client.v1.payment_intents.create(params=PAID, options={"idempotency_key": "order-1"})
    assert again.id == first.id
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.last_response.headers
    assert len(client.v1.charges.list().data) == 1
    with pytest.raises(stripe.IdempotencyError) as refused:
        client.v1.payment_intents.create(params={**PAID, "amount": 2000}, options={"idempotency_key": "order-1"})
    assert refused.value.http_status == 400
    box.add_key("sk_test_other")
    other = client_for(box, "sk_test_other")
    assert other.v1.payment_intents.create(params=PAID, options={"idempotency_key": "order-1"}).id != first.id


def test_refusals_by_the_bank_and_500s_are_replayed_and_bad_parameters_are_not(box, client):
    declined = {**PAID, "payment_method": "pm_card_visa_chargeDeclined"}
    intents = set()
    for _ in range(2):
        with pytest.raises(stripe.CardError) as refused:
            client.v1.payment_intents.create(params=declined, options={"idempotency_key": "declined"})
        intents.add(refused.value.error.payment_intent.id)
    assert len(intents) == 1
    box.fault("500")
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            client.v1.payment_intents.create(params=PAID, options={"idempotency_key": "broken"})
    assert len(client.v1.charges.list().data) == 1
    for params, works in (({**PAID, "colour": "red"}, False), (PAID, True)):
        status, headers, _ = ask(box, "POST", "/v1/payment_intents", _flat(params), Idempotency_Key="typo")
        assert (status == 200, "idempotent-replayed" in headers) == (works, False)


def _flat(params):
    return {name: str(value).lower() if isinstance(value, bool) else value for name, value in params.items()}


def test_a_second_request_while_the_first_runs_is_409(box):
    box.fault("slow", seconds=1, method="POST", path="/v1/payment_intents")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(ask, box, "POST", "/v1/payment_intents", _flat(PAID), Idempotency_Key="twice")
        time.sleep(0.4)
        status, headers, body = ask(box, "POST", "/v1/payment_intents", _flat(PAID), Idempotency_Key="twice")
        assert (status, body["error"]["code"]) == (409, "idempotency_key_in_use")
        assert headers["stripe-should-retry"] == "true"
        assert first.result()[0] == 200


def test_twenty_submits_with_one_key_charge_once(box, client):
    retrying = client_for(box, max_network_retries=10)

    def submit(_):
        return retrying.v1.payment_intents.create(params=PAID, options={"idempotency_key": "burst"}).id

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert len(set(pool.map(submit, range(20)))) == 1
    assert len(client.v1.charges.list().data) == 1


# --- faults ---


def test_an_answer_that_is_lost_is_found_again_by_its_key(box, client):
    for what in ("cut", "timeout"):
        more = {"seconds": 0.2} if what == "timeout" else {}
        box.fault(what, method="POST", path="/v1/payment_intents", **more)
        with pytest.raises(stripe.APIConnectionError):
            client.v1.payment_intents.create(params=PAID, options={"idempotency_key": what})
        found = client.v1.payment_intents.create(params=PAID, options={"idempotency_key": what})
        assert found.last_response.headers["Idempotent-Replayed"] == "true"
    assert len(client.v1.charges.list().data) == 2


def test_the_library_tries_again_where_stripe_says_so_and_nowhere_else(box):
    patient = client_for(box, max_network_retries=3)
    box.fault("409", method="POST", times=2)
    assert patient.v1.payment_intents.create(params=PAID).status == "succeeded"
    for what in ("cut", "500", "429"):  # an answer that breaks off is no reason for it either
        box.fault(what, method="POST")
        with pytest.raises(stripe.StripeError):
            patient.v1.payment_intents.create(params={**PAID, "amount": 700})
        box.clear()


def test_faults_of_each_kind_look_like_stripes(box, client):
    for what, error, done in (
        ("500", stripe.APIError, 0),
        ("500_after", stripe.APIError, 1),
        ("429", stripe.RateLimitError, 1),
        ("402", stripe.CardError, 1),
    ):
        box.fault(what)
        with pytest.raises(error):
            client.v1.payment_intents.create(params=PAID)
        assert len(client.v1.charges.list().data) == done
    box.fault("429", path="/v1/refunds*", times=2)
    client.v1.payment_intents.create(params=PAID)
    for _ in range(2):
        with pytest.raises(stripe.RateLimitError):
            client.v1.refunds.list()
    assert client.v1.refunds.list().data == []


def test_the_control_answers_only_to_its_key(box):
    for headers in ({}, {"X_Sandbox_Control": ""}, {"X_Sandbox_Control": "wrong"}):
        assert ask(box, "POST", "/_control/reset", **headers)[0] == 404
    for raw in (b"[]", b"{", b'{"what": 7}', b'{"what": "500", "key": 3}'):
        assert ask(box, "POST", "/_control/fault", raw=raw, X_Sandbox_Control=box.control_key)[0] == 400
