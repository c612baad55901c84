"""A small stage for stories about payments: a shop with Stripe keys, signed webhooks through the public address."""

import hashlib
import hmac
import itertools
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.test import Client
from django.utils import timezone

from accounts import trail
from billing import audit, settling
from billing.models import Account, InboxEvent, Mismatch, Payment, Reversal, TopUp
from billing.models.ledger import Kind
from billing.models.payments import Origin, State
from billing.payments import registry
from billing.topups import order_fields, terms_of
from plumbing import outbox
from plumbing.models import OutboxMessage

PAYLOADS = Path(__file__).resolve().parents[1] / "payloads" / "stripe"
SECRET = "whsec_made-up-for-tests"
CENT = 10_000_000
_numbers = itertools.count(1)


def configure(settings: Any, *, key: str = "sk_test_made_up", secret: str = SECRET, base: str = "") -> None:
    settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET, settings.STRIPE_API_BASE = key, secret, base


def payload(name: str) -> Any:
    return json.loads((PAYLOADS / f"{name}.json").read_text())


def sign(body: bytes, *, secret: str = SECRET, at: float | None = None) -> str:
    moment = int(time.time() if at is None else at)
    signed = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={signed}"


class Till:
    """One organization's top-up and whatever Stripe says about it."""

    def __init__(self, organization: Any, *, amount_minor: int = 2_000, origin: str = Origin.CHECKOUT, **fields: Any):
        self.organization, self.storefront = organization, organization.storefront
        self.number = next(_numbers)
        self.intent_id, self.session_id = f"pi_{self.number}", f"cs_test_{self.number}"
        self.account = registry.account_for(self.storefront)
        now = timezone.now()
        made = order_fields(terms_of(self.storefront), self.account, amount_minor, now) | fields
        self.order: TopUp = TopUp.objects.of(organization).create(
            organization=organization,
            attempt_key=f"attempt-{self.number}",
            origin=origin,
            state=State.OPEN if origin == Origin.CHECKOUT else State.STARTED,
            session_id=self.session_id if origin == Origin.CHECKOUT else None,
            **made,
        )
        self.client = Client(raise_request_exception=True)

    # --- What Stripe would send ---

    def session(self, name: str = "checkout.session.completed", **changes: Any) -> dict[str, Any]:
        event = payload("checkout_session_completed")
        event["type"] = name
        thing = event["data"]["object"]
        total = self.order.amount_minor
        thing |= {
            "id": self.session_id,
            "client_reference_id": self.order.public_id,
            "metadata": {"tollgate_order": self.order.public_id},
            "payment_intent": self.intent_id,
            "amount_subtotal": total,
            "amount_total": total,
            "currency": self.order.currency,
        }
        return self._event(event, changes)

    def intent(self, name: str = "payment_intent.succeeded", **changes: Any) -> dict[str, Any]:
        event = payload("payment_intent_succeeded")
        event["type"] = name
        event["data"]["object"] |= {
            "id": self.intent_id,
            "metadata": {"tollgate_order": self.order.public_id},
            "amount": self.order.amount_minor,
            "amount_received": self.order.amount_minor if name.endswith("succeeded") else 0,
            "currency": self.order.currency,
        }
        return self._event(event, changes)

    def charge(self, name: str = "charge.succeeded", **changes: Any) -> dict[str, Any]:
        event = payload("charge_succeeded")
        event["type"] = name
        event["data"]["object"] |= {
            "id": f"ch_{self.number}",
            "payment_intent": self.intent_id,
            "metadata": {"tollgate_order": self.order.public_id},
            "amount": self.order.amount_minor,
            "amount_captured": self.order.amount_minor,
            "currency": self.order.currency,
        }
        return self._event(event, changes)

    def refund(self, name: str = "refund.created", *, number: int = 1, **changes: Any) -> dict[str, Any]:
        event = payload("refund_created")
        event["type"] = name
        event["data"]["object"] |= {
            "id": f"re_{self.number}_{number}",
            "payment_intent": self.intent_id,
            "amount": self.order.amount_minor,
            "currency": self.order.currency,
        }
        return self._event(event, changes)

    def dispute(self, name: str = "charge.dispute.created", *, number: int = 1, **changes: Any) -> dict[str, Any]:
        event = payload("charge_dispute_created")
        event["type"] = name
        event["data"]["object"] |= {
            "id": f"du_{self.number}_{number}",
            "payment_intent": self.intent_id,
            "amount": self.order.amount_minor,
            "currency": self.order.currency,
        }
        return self._event(event, changes)

    def _event(self, event: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
        event["id"] = f"evt_{self.number}_{next(_numbers)}"
        event["data"]["object"] |= {name: value for name, value in changes.items() if name != "livemode_of_event"}
        if "livemode_of_event" in changes:
            event["livemode"] = changes["livemode_of_event"]
        return event

    # --- Delivering ---

    @property
    def address(self) -> str:
        return f"/webhooks/stripe/{self.storefront.public_id}"

    def post(self, body: bytes, signature: str | None = None, **headers: str) -> Any:
        given = {"Stripe-Signature": sign(body)} if signature is None else {"Stripe-Signature": signature}
        return self.client.post(
            self.address, body, content_type="application/json", headers={"host": "localhost", **given, **headers}
        )

    def deliver(self, *events: dict[str, Any]) -> None:
        for event in events:
            answer = self.post(json.dumps(event).encode())
            assert answer.status_code == 200, answer.content
            self.work()

    @staticmethod
    def work() -> None:
        """The worker comes by."""
        outbox.drain(limit=1_000)

    # --- Looking ---

    def money(self, kind: Kind = Kind.PAID) -> int:
        return sum(Account.objects.of(self.organization).filter(kind=kind).values_list("posted", flat=True))

    def balances(self) -> tuple[int, int, int]:
        """Paid, promo, debt."""
        return self.money(), self.money(Kind.PROMO), self.money(Kind.DEBT)

    def state(self) -> str:
        self.order.refresh_from_db()
        return str(self.order.state)

    def mismatches(self) -> list[str]:
        return list(Mismatch.objects.order_by("id").values_list("what", flat=True))

    def payments(self) -> int:
        return Payment.objects.of(self.organization).count()

    def reversals(self) -> list[tuple[str, int]]:
        rows = Reversal.objects.filter(payment__organization=self.organization).order_by("outside_id")
        return list(rows.values_list("state", "posted_nano"))


def proven() -> None:
    report = audit.run()
    assert report.findings == []


def nothing_failed() -> None:
    assert (
        list(OutboxMessage.objects.exclude(error_class="").values_list("topic", "error_class", "error_sentence")) == []
    )


def emptied() -> dict[str, int]:
    return {"events": InboxEvent.objects.count(), "payments": Payment.unscoped.count()}


__all__ = ["CENT", "SECRET", "UTC", "Till", "datetime", "settling", "trail"]
