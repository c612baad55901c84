"""One sentence to one recipient, once: letters in the shop's name, webhooks anyone can verify."""

import base64
import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from typing import Any

import pytest
from django.core import mail
from django.db import connection, transaction
from django.template import TemplateDoesNotExist
from django.utils import timezone

from plumbing import notices, outbound, outbox, tasks
from plumbing.models import OutboxMessage
from plumbing.notices import BadSignature, Endpoint, Mailbox, Shop
from tests.plumbing.outside import listening

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
SHOP = Shop(
    name="Canary & Sons", base_url="https://shop.example.com", color="#aa3311", support_email="help@example.com"
)
BOB = Mailbox("bob@example.com", "Bob")
PUBLIC = Endpoint("https://customer.example/hook", ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",))

# The vector published with Standard Webhooks.
VECTOR_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
VECTOR_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
VECTOR_AT = datetime.fromtimestamp(1614265330, UTC)
VECTOR_BODY = b'{"test": 2432232314}'
VECTOR_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.fixture(autouse=True)
def _quiet_doorbell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.drain_outbox, "apply_async", lambda **_: None)


def _send(
    recipient: Mailbox | Endpoint = BOB, *, key: str = "occasion", kind: str = "mail_works", **context: Any
) -> None:
    notices.send(kind, recipient=recipient, context=context, key=key, shop=SHOP, now=NOW)


@pytest.mark.django_db(transaction=True)
class TestMail:
    def test_a_letter_in_three_forms_in_the_shops_name(self) -> None:
        _send()
        assert mail.outbox == []
        outbox.drain()
        (letter,) = mail.outbox
        parsed = message_from_bytes(letter.message().as_bytes(), policy=policy.default)
        assert letter.subject == "Mail from Canary & Sons works"
        assert parsed["From"].addresses[0].display_name == "Canary & Sons"
        assert parsed["To"] == "Bob <bob@example.com>"
        assert parsed["Reply-To"] == "help@example.com"
        assert parsed["Auto-Submitted"] == "auto-generated"
        assert "Hello Bob," in letter.body
        assert "Canary & Sons arrives" in letter.body  # no HTML escapes in a text
        assert "https://shop.example.com/" in letter.body
        html = parsed.get_body(("html",)).get_content()
        assert "Canary &amp; Sons arrives" in html
        assert "#aa3311" in html
        assert 'href="https://shop.example.com/"' in html
        assert 'src="http' not in html

    def test_once_per_occasion_and_recipient(self) -> None:
        _send()
        _send()
        _send(Mailbox("BOB@example.com", "Bob"))
        _send(Mailbox("carol@example.com"))
        outbox.drain()
        _send()
        outbox.drain()
        assert sorted(letter.to[0] for letter in mail.outbox) == ["Bob <bob@example.com>", "carol@example.com"]

    def test_nothing_goes_when_the_transaction_fails(self) -> None:
        with pytest.raises(ZeroDivisionError):
            self._fail()
        outbox.drain()
        assert mail.outbox == []

    def _fail(self) -> None:
        with transaction.atomic():
            _send()
            _ = 1 / 0

    def test_a_second_copy_after_a_crash_carries_the_same_message_id(self) -> None:
        _send()
        row = outbox._take(notices.MAIL, now=timezone.now())
        assert row is not None
        outbox._handlers[notices.MAIL].run(outbox._message(row))  # sent, and the worker died before it could say so
        outbox.drain(now=lambda: timezone.now() + timedelta(minutes=6))
        _send(key="another")
        outbox.drain()
        one, again, other = (letter.extra_headers["Message-ID"] for letter in mail.outbox)
        assert one == again != other
        assert one.endswith("@shop.example.com>")

    def test_what_it_says_waits_sealed_and_is_wiped(self) -> None:
        _send(token="canary-token", link="https://shop.example.com/invitations/canary-token/")
        assert "canary" not in _table().lower()
        assert "bob@" not in _table()
        outbox.drain()
        assert OutboxMessage.objects.get().confidential is None

    @pytest.mark.parametrize(
        "recipient",
        [
            Mailbox(""),
            Mailbox("nobody"),
            Mailbox("a@b.example\nBcc: c@d.example"),
            Mailbox("a@b.example", "Bob\r\nBcc: c@d.example"),
            Mailbox("a@b.example,c@d.example"),
        ],
    )
    def test_an_address_that_cannot_be_written_to_is_refused_at_once(self, recipient: Mailbox) -> None:
        with pytest.raises(notices.BadRecipient):
            _send(recipient)
        assert not OutboxMessage.objects.exists()

    def test_a_notice_without_words_is_refused_at_once(self) -> None:
        with pytest.raises(TemplateDoesNotExist):
            _send(kind="no_such_letter")

    def test_no_name_writes_a_header(self) -> None:
        shop = Shop(name="Evil\r\nBcc: c@d.example", base_url="https://shop.example.com")
        notices.send("mail_works", recipient=BOB, context={}, key="k", shop=shop, now=NOW)
        outbox.drain()
        for letter in mail.outbox:
            assert letter.message()["Bcc"] is None
            assert "\n" not in letter.subject

    @pytest.mark.parametrize(
        "facts",
        [
            {"base_url": "https://shop.example.com/path"},
            {"base_url": "https://shop.example.com/"},
            {"base_url": "javascript:alert(1)"},
            {"base_url": "https://user@shop.example.com"},
            {"base_url": "https://x.example", "color": "red;background:url(//x)"},
            {"base_url": "https://x.example", "support_url": "javascript:alert(1)"},
        ],
    )
    def test_a_shop_is_checked_before_it_reaches_a_letter(self, facts: dict[str, str]) -> None:
        with pytest.raises(ValueError, match=next(reversed(facts))):
            Shop(name="Evil", **facts)

    def test_a_support_page_stands_in_for_an_address(self) -> None:
        shop = Shop(name="Plain", base_url="http://localhost:8000", support_url="https://help.example.com/")
        letter = notices.compose("mail_works", recipient=Mailbox("a@b.example"), context={}, shop=shop)
        assert "https://help.example.com/" in letter.body
        assert letter.reply_to == []


def _table() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM outbox_messages")
        return repr(cursor.fetchall())


class Receiver:
    """A customer's endpoint: a real server on loopback, which an operator allowed for this installation."""

    def __init__(self) -> None:
        self.endpoint = PUBLIC
        self.heard: list[bytes] = []
        self.status = 200

    def answer(self, peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 %d Whatever\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n" % self.status)

    def got(self) -> list[tuple[dict[str, str], bytes]]:
        return [self._parsed(request) for request in self.heard]

    def _parsed(self, request: bytes) -> tuple[dict[str, str], bytes]:
        head, _, body = request.partition(b"\r\n\r\n")
        start, *lines = head.decode().split("\r\n")
        assert start == "POST /hook HTTP/1.1"
        return dict(line.split(": ", 1) for line in lines), body


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.WEBHOOKS_TO_PRIVATE_ADDRESSES = True
    found = Receiver()
    with listening(found.answer) as (port, found.heard):
        found.endpoint = Endpoint(f"http://127.0.0.1:{port}/hook", (VECTOR_SECRET,))
        yield found


@pytest.mark.django_db(transaction=True)
class TestWebhook:
    def test_a_signed_webhook_arrives_and_verifies(self, receiver: Receiver) -> None:
        _send(receiver.endpoint, kind="wallet.low", balance="1.00")
        assert receiver.heard == []
        outbox.drain()
        ((headers, body),) = receiver.got()
        assert json.loads(body) == {
            "type": "wallet.low",
            "timestamp": "2026-05-01T12:00:00+00:00",
            "data": {"balance": "1.00"},
        }
        assert headers["Content-Type"] == "application/json"
        notices.verify_webhook(headers=headers, body=body, secrets=[VECTOR_SECRET], now=timezone.now())

    def test_five_workers_at_once_deliver_it_once(self, receiver: Receiver) -> None:
        _send(receiver.endpoint, kind="wallet.low")
        threads = [threading.Thread(target=self._drain) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(receiver.heard) == 1

    def _drain(self) -> None:
        tasks.sweep_outbox()
        connection.close()

    def test_every_try_sends_the_same_id_and_bytes(self, receiver: Receiver) -> None:
        receiver.status = 503
        _send(receiver.endpoint, kind="wallet.low")
        outbox.drain()
        row = OutboxMessage.objects.get()
        assert row.error_sentence == "The endpoint answered 503 instead of 2xx."
        assert row.parked_at is None
        receiver.status = 204
        outbox.drain(now=lambda: timezone.now() + timedelta(minutes=1))
        (first, one), (second, two) = receiver.got()
        assert first["webhook-id"] == second["webhook-id"]
        assert one == two
        assert OutboxMessage.objects.get().done_at is not None

    def test_an_endpoint_nobody_answers_at_is_tried_again(self, settings: Any) -> None:
        settings.WEBHOOKS_TO_PRIVATE_ADDRESSES = True
        _send(Endpoint("http://127.0.0.1:1/", (VECTOR_SECRET,)), kind="wallet.low")
        outbox.drain()
        row = OutboxMessage.objects.get()
        assert (row.error_class, row.error_sentence) == ("Unreachable", "The address could not be reached.")
        assert row.parked_at is None

    def test_what_was_allowed_when_queued_is_judged_again_when_sent(self, settings: Any, receiver: Receiver) -> None:
        _send(receiver.endpoint, kind="wallet.low")
        settings.WEBHOOKS_TO_PRIVATE_ADDRESSES = False
        outbox.drain()
        assert receiver.heard == []
        assert OutboxMessage.objects.get().error_class == "Refused"

    def test_retries_last_for_days(self) -> None:
        assert outbox._handlers[notices.WEBHOOK].tries == notices.WEBHOOK_TRIES
        waited = sum((outbox.wait_after(tries) for tries in range(1, notices.WEBHOOK_TRIES)), timedelta())
        assert waited > timedelta(days=1.5)

    @pytest.mark.parametrize("status", [301, 302, 307])
    def test_a_redirect_is_not_an_acceptance(self, receiver: Receiver, status: int) -> None:
        receiver.status = status
        _send(receiver.endpoint, kind="wallet.low")
        outbox.drain()
        assert OutboxMessage.objects.get().error_class == "NotAccepted"
        assert len(receiver.heard) == 1

    def test_an_endpoint_that_is_gone_is_not_asked_again(self, receiver: Receiver) -> None:
        receiver.status = 410
        _send(receiver.endpoint, kind="wallet.low")
        outbox.drain()
        assert OutboxMessage.objects.get().parked_at is not None

    def test_while_secrets_rotate_both_sign(self, receiver: Receiver) -> None:
        new = notices.new_webhook_secret()
        _send(Endpoint(receiver.endpoint.url, (new, VECTOR_SECRET)), kind="wallet.low")
        outbox.drain()
        ((headers, body),) = receiver.got()
        for secret in (new, VECTOR_SECRET):
            notices.verify_webhook(headers=headers, body=body, secrets=[secret], now=timezone.now())

    @pytest.mark.parametrize("url", ["http://customer.example/", "https://127.0.0.1/", "https://localhost/", "ftp://x"])
    def test_an_inner_address_is_refused_before_it_is_queued(self, url: str) -> None:
        with pytest.raises(outbound.Refused):
            _send(Endpoint(url, (VECTOR_SECRET,)), kind="wallet.low")
        assert not OutboxMessage.objects.exists()

    @pytest.mark.parametrize("secret", ["", "whsec_", "whsec_short", "not base 64!", "whsec_" + "A" * 8])
    def test_a_secret_that_cannot_sign_is_refused(self, secret: str) -> None:
        with pytest.raises(notices.BadRecipient, match="whsec_"):
            _send(Endpoint(PUBLIC.url, (secret,)), kind="wallet.low")

    def test_the_secret_lies_sealed(self) -> None:
        _send(PUBLIC, kind="wallet.low", note="canary")
        assert VECTOR_SECRET not in _table()
        assert "canary" not in _table()
        assert "customer.example" not in _table()


class TestStandardWebhooks:
    def test_the_published_vector(self) -> None:
        headers = notices.signed_headers(message_id=VECTOR_ID, body=VECTOR_BODY, secrets=[VECTOR_SECRET], now=VECTOR_AT)
        assert headers["webhook-signature"] == VECTOR_SIGNATURE
        assert headers["webhook-timestamp"] == "1614265330"
        assert notices.verify_webhook(headers=headers, body=VECTOR_BODY, secrets=[VECTOR_SECRET], now=VECTOR_AT)

    def test_secrets_without_their_prefix_work_too(self) -> None:
        assert self._verify(secrets=[VECTOR_SECRET.removeprefix("whsec_")])

    @pytest.mark.parametrize("seconds", [-299, 0, 299])
    def test_clocks_may_differ_a_little(self, seconds: int) -> None:
        assert self._verify(now=VECTOR_AT + timedelta(seconds=seconds))

    @pytest.mark.parametrize("seconds", [-301, 301, 10**6])
    def test_an_old_or_future_webhook_is_not_believed(self, seconds: int) -> None:
        with pytest.raises(BadSignature, match="long ago or in the future"):
            self._verify(now=VECTOR_AT + timedelta(seconds=seconds))

    @pytest.mark.parametrize(
        "changed",
        [
            {"webhook-id": ""},
            {"webhook-id": "msg_other"},
            {"webhook-timestamp": ""},
            {"webhook-timestamp": "1614265331"},
            {"webhook-timestamp": "-1614265330"},
            {"webhook-timestamp": "١٦١٤٢٦٥٣٣٠"},
            {"webhook-timestamp": "9" * 400},
            {"webhook-signature": ""},
            {"webhook-signature": "v1"},
            {"webhook-signature": "v1,"},
            {"webhook-signature": "v1a," + VECTOR_SIGNATURE[3:]},
            {"webhook-signature": VECTOR_SIGNATURE[3:]},
            {"webhook-signature": "v1," + base64.b64encode(b"x" * 32).decode()},
            {"webhook-signature": "v1,ключ"},
        ],
    )
    def test_whatever_is_changed_is_noticed(self, changed: dict[str, str]) -> None:
        with pytest.raises(BadSignature):
            self._verify(changed=changed)

    def test_a_changed_body_and_a_strange_secret_are_noticed(self) -> None:
        with pytest.raises(BadSignature):
            self._verify(body=VECTOR_BODY + b" ")
        with pytest.raises(BadSignature):
            self._verify(secrets=[notices.new_webhook_secret()])
        with pytest.raises(BadSignature):
            self._verify(secrets=[])

    def test_one_good_signature_among_others_is_enough(self) -> None:
        assert self._verify(changed={"webhook-signature": f"v2,abc v1,wrong {VECTOR_SIGNATURE} v1a,zzz"})
        assert self._verify(secrets=[notices.new_webhook_secret(), VECTOR_SECRET])

    def test_header_names_are_read_in_any_case(self) -> None:
        headers = {name.upper(): value for name, value in self._headers().items()}
        assert notices.verify_webhook(headers=headers, body=VECTOR_BODY, secrets=[VECTOR_SECRET], now=VECTOR_AT)

    def test_fresh_secrets_differ_and_are_long(self) -> None:
        one, other = notices.new_webhook_secret(), notices.new_webhook_secret()
        assert one != other
        assert len(base64.b64decode(one.removeprefix("whsec_"))) == 24

    def _headers(self) -> dict[str, str]:
        return {
            "webhook-id": VECTOR_ID,
            "webhook-timestamp": "1614265330",
            "webhook-signature": VECTOR_SIGNATURE,
        }

    def _verify(
        self,
        *,
        changed: dict[str, str] | None = None,
        body: bytes = VECTOR_BODY,
        secrets: list[str] | None = None,
        now: datetime = VECTOR_AT,
    ) -> bool:
        return notices.verify_webhook(
            headers=self._headers() | (changed or {}),
            body=body,
            secrets=[VECTOR_SECRET] if secrets is None else secrets,
            now=now,
        )
