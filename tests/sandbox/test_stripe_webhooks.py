"""Webhooks of the payment sandbox: signed for each endpoint, retried, and wrong, late, doubled or held when ordered."""

import concurrent.futures

import pytest
import stripe

from sandbox.stripe.running import running_stripe
from tests.sandbox.test_stripe_sdk import Hook

PAID = {
    "amount": 1000,
    "currency": "usd",
    "confirm": True,
    "off_session": True,
    "payment_method": "pm_card_visa",
}


@pytest.fixture(scope="module")
def running():
    with running_stripe() as box:
        yield box


@pytest.fixture
def box(running):
    running.reset()
    running.do("setting", first_retry_s=0.05)
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
def endpoint(client, hook):
    return listen(client, hook, "payment_intent.succeeded")


def listen(client, hook, *kinds):
    return client.v1.webhook_endpoints.create(params={"url": hook.url, "enabled_events": list(kinds)})


def test_each_endpoint_hears_what_it_asked_for_under_its_own_secret(box, client, hook):
    other = Hook()
    first, second = (
        listen(client, hook, "charge.*"),
        listen(client, other, "payment_intent.succeeded", "customer.created"),
    )
    client.v1.payment_intents.create(params=PAID)
    assert box.settle()
    assert sorted(hook.kinds(first.secret)) == ["charge.succeeded", "charge.updated"]
    assert other.kinds(second.secret) == ["payment_intent.succeeded"]
    with pytest.raises(stripe.SignatureVerificationError):
        other.kinds(first.secret)
    with pytest.raises(AttributeError):
        _ = client.v1.webhook_endpoints.retrieve(first.id).secret  # shown once
    other.close()


def test_a_refused_delivery_is_tried_again_until_it_is_taken(box, client, hook, endpoint):
    hook.answers = [500, 302, 404]
    client.v1.payment_intents.create(params=PAID)
    _until(lambda: box.deliveries()[0]["state"] == "delivered")
    assert len(hook.came) == 4
    assert len({event.id for event in hook.verified(endpoint.secret)}) == 1
    event = client.v1.events.list(params={"type": "payment_intent.succeeded"}).data[0]
    assert event.pending_webhooks == 0
    box.resend(event.id)
    assert box.settle()
    assert len(hook.came) == 5


def _until(true, *, patience_s=10):
    import time

    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_two_signatures_while_a_secret_is_replaced(box, client, hook, endpoint):
    new = box.rotate(endpoint.id)
    client.v1.payment_intents.create(params=PAID)
    assert box.settle()
    assert hook.came[0][1].count("v1=") == 2
    assert hook.kinds(endpoint.secret) == hook.kinds(new) == ["payment_intent.succeeded"]


@pytest.mark.parametrize("forgery", ["secret", "body", "missing", "empty", "empty_key", "v0"])
def test_forgeries_are_refused_by_the_library_and_not_sent_again(box, client, hook, endpoint, forgery):
    box.order(forge=forgery, times=1)
    hook.answers = [400]
    client.v1.payment_intents.create(params=PAID)
    assert box.settle()
    with pytest.raises(stripe.SignatureVerificationError):
        hook.verified(endpoint.secret)
    assert box.deliveries()[0]["state"] == "failed"


def test_an_old_timestamp_is_out_of_tolerance(box, client, hook, endpoint):
    box.order(age_s=301, times=1)
    client.v1.payment_intents.create(params=PAID)
    assert box.settle()
    with pytest.raises(stripe.SignatureVerificationError, match="tolerance"):
        hook.verified(endpoint.secret)
    body, header = hook.came[0]
    assert stripe.Webhook.construct_event(body, header, endpoint.secret, tolerance=400).livemode is False


def test_copies_drops_and_delays_as_ordered(box, client, hook, endpoint):
    box.order(types=["payment_intent.*"], duplicates=9, at_once=True, times=1)
    client.v1.payment_intents.create(params=PAID)
    assert box.settle()
    assert (len(hook.came), len({event.id for event in hook.verified(endpoint.secret)})) == (10, 1)
    box.order(drop=True, times=1)
    client.v1.payment_intents.create(params=PAID)
    box.order(delay_s=0.5, times=1)
    client.v1.payment_intents.create(params=PAID)
    assert len(hook.came) == 10
    assert box.settle()
    assert len(hook.came) == 11
    client.v1.payment_intents.create(params=PAID)
    assert box.settle()
    assert len(hook.came) == 12


def test_held_webhooks_come_in_the_order_that_is_wanted(box, client, hook):
    endpoint = listen(client, hook, "*")
    box.order(hold=True)
    client.v1.payment_intents.create(params=PAID)
    told = [event["id"] for event in box.events()]
    assert len(told) == 4
    assert box.settle()
    assert hook.came == []
    assert box.release(events=told[::-1]) == {"released": 4}
    assert [event.id for event in hook.verified(endpoint.secret)] == told[::-1]
    client.v1.payment_intents.create(params=PAID)
    box.release(seed=7)
    shuffled = [event.type for event in hook.verified(endpoint.secret)[4:]]
    assert sorted(shuffled) == sorted(event.type for event in hook.verified(endpoint.secret)[:4])


def test_the_webhook_can_come_before_the_answer(box, client, hook, endpoint):
    box.fault("webhook_first", method="POST", path="/v1/payment_intents")
    intent = client.v1.payment_intents.create(params=PAID)
    assert [event.data.object.id for event in hook.verified(endpoint.secret)] == [intent.id]


def test_events_of_our_own_making_are_signed_like_any_other(box, client, hook, endpoint):
    box.send("payment_intent.succeeded", {"id": "pi_1", "object": "payment_intent", "amount": 5})
    box.send("payment_intent.succeeded", {"id": "pi_2"}, orders={"event": {"livemode": True, "account": "acct_other"}})
    box.order(changes={"amount_received": 1}, times=1)
    client.v1.payment_intents.create(params=PAID)
    assert box.settle()
    first, second, third = sorted(hook.verified(endpoint.secret), key=lambda event: str(event.data.object.id)[:4])
    assert first.data.object.amount == 5
    assert (second.livemode, second.account) == (True, "acct_other")
    assert (third.data.object.amount, third.data.object.amount_received) == (1000, 1)


def test_nothing_is_delivered_to_other_machines(client):
    for url in (
        "http://example.com/hook",
        "http://10.0.0.1/hook",
        "http://169.254.169.254/",
        "https://127.0.0.1/hook",
        "file:///etc/passwd",
        "http://[::ffff:10.0.0.1]/",
        "http://127.0.0.1.example.com/",
        "http://127.0.0.1:99999/",
        "http://",
    ):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            client.v1.webhook_endpoints.create(params={"url": url, "enabled_events": ["*"]})
        assert refused.value.param == "url"


def test_a_disabled_or_deleted_endpoint_hears_nothing(box, client, hook, endpoint):
    client.v1.webhook_endpoints.update(endpoint.id, params={"disabled": True})
    client.v1.payment_intents.create(params=PAID)
    client.v1.webhook_endpoints.update(endpoint.id, params={"disabled": False})
    box.order(hold=True, times=1)
    client.v1.payment_intents.create(params=PAID)
    client.v1.webhook_endpoints.delete(endpoint.id)
    box.release()
    assert box.settle()
    assert hook.came == []


def test_a_hundred_payments_at_once_are_all_told_once(box, client, hook, endpoint):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        intents = set(pool.map(lambda _: client.v1.payment_intents.create(params=PAID).id, range(100)))
    assert box.settle()
    heard = [event.data.object.id for event in hook.verified(endpoint.secret)]
    assert (len(heard), set(heard)) == (100, intents)
