"""Webhooks at the door: forgeries, edges of the signature, duplicates side by side, events nobody can handle."""

import gzip
import json
import threading
import time
from typing import Any

import pytest
from django.core import mail
from django.db import connections
from django.test import Client

from accounts import trail
from billing import inbox, settling
from billing.models import InboxEvent, Payment
from tests import factories
from tests.billing.payment_stage import CENT, SECRET, Till, configure, emptied, proven, sign

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _shop_with_keys(settings):
    configure(settings)


@pytest.fixture
def till(organization) -> Till:
    return Till(organization)


def v1(header: str) -> str:
    return header.partition("v1=")[2]


BODY_OF = {"session": lambda till: json.dumps(till.session()).encode()}
NOW = time.time()

# name -> (signature for a body, what the body becomes)
FORGED: dict[str, Any] = {
    "no header": lambda body: ("", body),
    "only a time": lambda body: (f"t={int(time.time())}", body),
    "an empty signature": lambda body: (f"t={int(time.time())},v1=", body),
    "only a signature": lambda body: (f"v1={v1(sign(body))}", body),
    "signed with the empty secret": lambda body: (sign(body, secret=""), body),
    "signed with a space": lambda body: (sign(body, secret=" "), body),
    "signed with None": lambda body: (sign(body, secret="None"), body),
    "signed with null": lambda body: (sign(body, secret="null"), body),
    "signed with undefined": lambda body: (sign(body, secret="undefined"), body),
    "signed with whsec_": lambda body: (sign(body, secret="whsec_"), body),
    "signed with a secret cut short": lambda body: (sign(body, secret=SECRET[:-1]), body),
    "signed with a secret in capitals": lambda body: (sign(body, secret=SECRET.upper()), body),
    "signed with a newline behind the secret": lambda body: (sign(body, secret=SECRET + "\n"), body),
    "signed with the API key": lambda body: (sign(body, secret="sk_test_made_up"), body),
    "v0 alone": lambda body: (sign(body).replace("v1=", "v0="), body),
    "V1 in capitals": lambda body: (sign(body).replace("v1=", "V1="), body),
    "too old": lambda body: (sign(body, at=time.time() - 301), body),
    "from the future": lambda body: (sign(body, at=time.time() + 301), body),
    "a time of its own choice": lambda body: (f"t={int(time.time()) + 1},v1={v1(sign(body, at=time.time()))}", body),
    "two times": lambda body: (f"t=1,{sign(body)}", body),
    "a negative time": lambda body: (sign(body).replace("t=", "t=-"), body),
    "a time in other digits": lambda body: (f"t=\u0661\u0662,v1={v1(sign(body))}", body),
    "a time that never ends": lambda body: (f"t={'9' * 400},v1={v1(sign(body))}", body),
    "a signature cut short": lambda body: (sign(body)[:-1], body),
    "a signature in capitals": lambda body: (f"t={int(time.time())},v1={v1(sign(body)).upper()}", body),
    "a signature of zeros": lambda body: (f"t={int(time.time())},v1={'0' * 64}", body),
    "one space more": lambda body: (sign(body), body + b" "),
    "the same JSON written anew": lambda body: (sign(body), json.dumps(json.loads(body), indent=1).encode()),
    "another amount": lambda body: (sign(body), body.replace(b"2000", b"9000")),
    "packed": lambda body: (sign(body), gzip.compress(body)),
    "an empty body": lambda body: (sign(b"x"), b""),
    "semicolons": lambda body: (sign(body).replace(",", ";"), body),
    "a test switch in the header": lambda body: ("test", body),
}


def test_there_are_thirty_forgeries_at_least() -> None:
    assert len(FORGED) >= 30


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_webhook_is_refused_and_leaves_nothing(till, name) -> None:
    signature, body = FORGED[name](json.dumps(till.session()).encode())
    answer = till.post(body, signature=signature)
    till.work()
    assert answer.status_code == 400
    assert (emptied(), till.balances()) == ({"events": 0, "payments": 0}, (0, 0, 0))


@pytest.mark.parametrize("secret", ["", " ", "\t", ",", " , ,"])
def test_without_a_secret_there_is_no_service(till, settings, secret) -> None:
    settings.STRIPE_WEBHOOK_SECRET = secret
    body = json.dumps(till.session()).encode()
    for signed_with in (secret, "", SECRET):
        assert till.post(body, signature=sign(body, secret=signed_with)).status_code == 503
    assert emptied() == {"events": 0, "payments": 0}


def test_a_shop_without_any_account_has_no_service(till, settings) -> None:
    settings.STRIPE_SECRET_KEY = ""
    assert till.post(json.dumps(till.session()).encode()).status_code == 503


@pytest.mark.parametrize("path", ["/webhooks/stripe/shop_00000000000000000000", "/webhooks/stripe/nobody"])
def test_a_shop_that_does_not_exist_hears_nothing(till, path) -> None:
    assert Client().post(path, b"{}", content_type="application/json", headers={"host": "localhost"}).status_code == 404


def test_no_request_chooses_whether_it_is_verified(till) -> None:
    body = json.dumps(till.session()).encode()
    path = f"{till.address}?test=1&livemode=false&skip_verification=true"
    names = {"X-Djstripe-Webhook-Secret": "", "X-Test": "1", "X-Mock": "true", "host": "localhost"}
    assert till.client.post(path, body, content_type="application/json", headers=names).status_code == 400


def test_ten_megabytes_are_too_much(till) -> None:
    assert till.post(b"x" * 10_000_000).status_code == 413
    assert till.post(b"x" * (inbox.LARGEST_BODY + 1)).status_code == 413
    assert till.post(b"x" * inbox.LARGEST_BODY).status_code == 400


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b"\xff", b"null", b'{"id": 1, "type": 2, "livemode": 3}', b"[" * 50_000]
)
def test_signed_nonsense_is_refused_all_the_same(till, body) -> None:
    assert till.post(body).status_code == 400
    assert emptied()["events"] == 0


def test_both_secrets_of_a_rotation_are_believed(till, settings) -> None:
    settings.STRIPE_WEBHOOK_SECRET = f"whsec_new,{SECRET}"
    body = json.dumps(till.session()).encode()
    fresh = sign(body, secret="whsec_new")
    assert till.post(body, signature=sign(body)).status_code == 200
    assert till.post(body, signature=f"{fresh},v1={'0' * 64}").status_code == 200
    assert till.post(body, signature=f"{sign(body, secret='whsec_gone')},v1={v1(fresh)}").status_code == 200
    assert emptied()["events"] == 1


def test_the_content_type_does_not_matter(till) -> None:
    body = json.dumps(till.session()).encode()
    answer = till.client.post(
        till.address, body, content_type="text/plain", headers={"host": "localhost", "Stripe-Signature": sign(body)}
    )
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("kind", "changed"),
    [("invoice.paid", {}), ("some.future.event", {"a": 1}), ("customer.created", {})],
)
def test_events_of_no_interest_are_kept_and_done_with(till, kind, changed) -> None:
    till.deliver(till.session(kind, **changed) | {"type": kind})
    assert InboxEvent.objects.get().outcome == settling.IGNORED


def test_an_event_that_makes_no_sense_is_parked_with_an_alarm(till) -> None:
    factories.make_staff(email="boss@example.com")
    event = till.session()
    event["data"] = {"object": {"no": "session"}}
    till.deliver(event)
    from plumbing import outbox
    from plumbing.models import OutboxMessage

    for _ in range(inbox.TRIES):
        OutboxMessage.objects.update(due_at="2020-01-01T00:00:00Z")
        outbox.drain()
    row = InboxEvent.objects.get()
    assert (row.parked_at is not None, row.error, row.attempts) == (True, "KeyError", inbox.TRIES)
    assert [letter.to for letter in mail.outbox if "could not be handled" in letter.subject] == [["boss@example.com"]]
    assert till.balances() == (0, 0, 0)


def test_a_replayed_event_changes_nothing_a_second_time(till) -> None:
    from django.utils import timezone

    till.deliver(till.session())
    again = inbox.replay(InboxEvent.objects.get(), source=trail.SYSTEM, reason="to be sure", now=timezone.now())
    assert again == settling.NOTED
    assert till.balances() == (2_000 * CENT, 0, 0)


@pytest.mark.django_db(transaction=True)
def test_ten_deliveries_at_once_by_four_workers_are_one_credit(organization) -> None:
    till = Till(organization)
    bodies = [json.dumps(event).encode() for event in (till.session(), till.intent(), till.charge())]
    answers: list[int] = []

    def deliver(body: bytes) -> None:
        try:
            answers.append(till.post(body).status_code)
            till.work()
        finally:
            connections.close_all()

    crowd = [threading.Thread(target=deliver, args=(body,)) for body in bodies * 4]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    till.work()
    assert answers == [200] * 12
    assert (Payment.unscoped.count(), till.balances()) == (1, (2_000 * CENT, 0, 0))
    proven()
