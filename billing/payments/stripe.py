"""Stripe, through its official client; the only file that imports it.

Promise: one function builds the client, for one account at a time and never as a global; every request that makes
something carries an idempotency key made of our own id, so a repetition after a lost answer makes nothing twice; a
webhook is verified on its raw bytes against every secret of its account, within five minutes of its signature, before
it is even parsed; no error of the client travels on, because its texts may hold what should not be in a log.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import stripe
from stripe import StripeClient

from billing.models.payments import ReversalState, Taken
from billing.payments.driver import (
    BadSignature,
    Declined,
    NotConfigured,
    Order,
    ProviderAccount,
    RefundOrder,
    Unreachable,
)
from billing.payments.facts import Came, Card, Fact, Look, Paid, Received, Started, TakenBack

TOLERANCE_S = 300
TIMEOUT_S = 20
RETRIES = 2
ORDER, REQUEST = "tollgate_order", "tollgate_reversal"  # how our ids are called in Stripe's metadata
SESSIONS = frozenset(
    f"checkout.session.{name}" for name in ("completed", "async_payment_succeeded", "async_payment_failed", "expired")
)
INTENTS = {
    "payment_intent.succeeded": Came.PAID,
    "payment_intent.processing": Came.PROCESSING,
    "payment_intent.payment_failed": Came.FAILED,
    "payment_intent.canceled": Came.FAILED,
}
REFUNDS = frozenset({"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"})
REFUND_STATES = {
    "pending": ReversalState.PENDING,
    "requires_action": ReversalState.PENDING,
    "succeeded": ReversalState.DONE,
    "failed": ReversalState.FAILED,
    "canceled": ReversalState.CANCELED,
}
DISPUTE_STATES = {
    "needs_response": ReversalState.PENDING,
    "under_review": ReversalState.PENDING,
    "won": ReversalState.WON,
    "lost": ReversalState.LOST,
    "prevented": ReversalState.CANCELED,
}


@contextmanager
def client_for(account: ProviderAccount) -> Iterator[StripeClient]:
    """The client of one account; its failures come out in our own words."""
    if not account.secret_key:
        raise NotConfigured("This shop has no Stripe key.")
    http = stripe.RequestsClient(timeout=TIMEOUT_S)
    addresses: Any = {"api": account.api_base, "files": account.api_base} if account.api_base else None
    client = StripeClient(account.secret_key, base_addresses=addresses, max_network_retries=RETRIES, http_client=http)
    try:
        yield client
    except stripe.CardError as error:
        raise _declined(error) from None
    except (stripe.AuthenticationError, stripe.PermissionError):
        message = "Stripe does not accept this shop's key."
        raise NotConfigured(message) from None
    except stripe.InvalidRequestError as error:
        message = f"Stripe refused this request ({error.code or 'invalid'}{_about(error.param)})."
        raise Declined(message) from None
    except stripe.StripeError as error:
        message = f"Stripe could not be asked just now ({type(error).__name__})."
        raise Unreachable(message) from None
    finally:
        http.close()  # type: ignore[no-untyped-call]  # ships without types


def _about(parameter: str | None) -> str:
    return f", {parameter}" if parameter else ""


def _declined(error: stripe.CardError) -> Declined:
    body: Any = error.json_body if isinstance(error.json_body, dict) else {}
    intent = body.get("error", {}).get("payment_intent") or {}
    facts = (_paid_of_intent(intent, Came.FAILED),) if intent.get("id") else ()
    needs_person = error.code == "authentication_required"
    words = "The bank wants the cardholder to confirm this payment." if needs_person else "The card was declined."
    return Declined(words, needs_person=needs_person, facts=facts)


class StripeDriver:
    """Cards and whatever else Checkout offers on the account, stablecoins among it."""

    slug = "stripe"
    title = "Card and more"

    # --- Asking -------------------------------------------------------------------------------------------------------

    def start(self, account: ProviderAccount, order: Order, *, now: datetime) -> Started:
        """A Checkout Session."""
        with client_for(account) as client:
            _say_where_we_listen(client, account)
            session = client.v1.checkout.sessions.create(
                _session_request(order), {"idempotency_key": f"{order.public_id}.start"}
            )
        return Started(
            session_id=session.id,
            url=session.url or "",
            expires_at=datetime.fromtimestamp(session.expires_at, UTC) if session.expires_at else None,
            payment_id=_id(session.payment_intent),
        )

    def read(self, account: ProviderAccount, *, session_id: str, payment_id: str) -> list[Fact]:
        """The session if there is one (it knows tax and discount), else the intent; then what was taken back."""
        facts: list[Fact] = []
        with client_for(account) as client:
            if not session_id and payment_id:
                found = client.v1.checkout.sessions.list({"payment_intent": payment_id, "limit": 1}).data
                session_id = found[0].id if found else ""
            if session_id:
                session = client.v1.checkout.sessions.retrieve(session_id).to_dict()
                facts.append(_paid_of_session(session, "read"))
                payment_id = _id(session.get("payment_intent")) or payment_id
            elif payment_id:
                intent = client.v1.payment_intents.retrieve(payment_id).to_dict()
                facts.append(_paid_of_intent(intent, _came_of_intent(intent)))
            if payment_id:
                live = account.livemode
                refunds = client.v1.refunds.list({"payment_intent": payment_id, "limit": 100})
                facts += [_refund(refund.to_dict(), live) for refund in refunds.auto_paging_iter()]
                disputes = client.v1.disputes.list({"payment_intent": payment_id, "limit": 100})
                facts += [_dispute(dispute.to_dict(), "read", live) for dispute in disputes.auto_paging_iter()]
        return facts

    def refund(self, account: ProviderAccount, refund: RefundOrder) -> list[Fact]:
        """A refund of the intent."""
        request: Any = {
            "payment_intent": refund.payment_id,
            "amount": refund.amount_minor,
            "metadata": {REQUEST: refund.public_id},
        }
        with client_for(account) as client:
            made = client.v1.refunds.create(request, {"idempotency_key": f"{refund.public_id}.refund"})
        return [_refund(made.to_dict(), account.livemode)]

    def recharge(self, account: ProviderAccount, order: Order) -> list[Fact]:
        """An intent, confirmed at once, with nobody there."""
        request: Any = {
            "amount": order.amount_minor,
            "currency": order.currency,
            "customer": order.customer_id,
            "payment_method": order.card_id,
            "off_session": True,
            "confirm": True,
            "description": order.description,
            "metadata": {ORDER: order.public_id},
        }
        with client_for(account) as client:
            intent = client.v1.payment_intents.create(request, {"idempotency_key": f"{order.public_id}.charge"})
        found = intent.to_dict()
        if found["status"] == "requires_action":
            message = "The bank wants the cardholder to confirm this payment."
            raise Declined(message, needs_person=True, facts=(_paid_of_intent(found, Came.FAILED),))
        return [_paid_of_intent(found, _came_of_intent(found))]

    def listed(self, account: ProviderAccount, *, since: datetime) -> Iterator[list[Fact]]:
        """Intents of ours, then refunds and disputes, as the account has them."""
        when: Any = {"created": {"gte": int(since.timestamp())}, "limit": 100}
        with client_for(account) as client:
            for intent in client.v1.payment_intents.list(when).auto_paging_iter():
                found = intent.to_dict()
                if (found.get("metadata") or {}).get(ORDER):
                    yield [_paid_of_intent(found, _came_of_intent(found))]
            for refund in client.v1.refunds.list(when).auto_paging_iter():
                yield [_refund(refund.to_dict(), account.livemode)]
            for dispute in client.v1.disputes.list(when).auto_paging_iter():
                yield [_dispute(dispute.to_dict(), "read", account.livemode)]

    # --- Customers and cards ------------------------------------------------------------------------------------------

    def new_customer(self, account: ProviderAccount, *, name: str, email: str, reference: str) -> str:
        """A customer, named after the organization."""
        request: Any = {"name": name, "metadata": {"tollgate_organization": reference}}
        if email:
            request["email"] = email
        # The name and mailbox may change between two tries, so they are part of the key.
        words = hashlib.sha256(f"{name}\n{email}".encode()).hexdigest()[:12]
        with client_for(account) as client:
            made = client.v1.customers.create(request, {"idempotency_key": f"{reference}.customer.{words}"})
        return made.id

    def cards(self, account: ProviderAccount, customer_id: str) -> list[Card]:
        """What is printed on the cards."""
        with client_for(account) as client:
            found = client.v1.customers.payment_methods.list(customer_id, {"type": "card", "limit": 20}).data
        return [_card(method.to_dict()) for method in found]

    def portal(self, account: ProviderAccount, customer_id: str, *, return_url: str) -> str:
        """Stripe's own pages for cards and invoices."""
        with client_for(account) as client:
            made = client.v1.billing_portal.sessions.create({"customer": customer_id, "return_url": return_url})
        return made.url

    # --- Hearing ------------------------------------------------------------------------------------------------------

    def verify(self, account: ProviderAccount, *, headers: Mapping[str, str], body: bytes, now: datetime) -> Received:
        """Stripe's scheme: one of the v1 signatures over ``t.body`` is by one of our secrets, and t is about now."""
        _verify(headers.get("Stripe-Signature", ""), body, account.webhook_secrets, now)
        try:
            event = json.loads(body)
            received = Received(event["id"], event["type"], event["livemode"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise BadSignature from None
        if not all(isinstance(word, str) and 0 < len(word) < 120 for word in (received.outside_id, received.name)):
            raise BadSignature
        return received

    def read_webhook(self, account: ProviderAccount, body: bytes) -> list[Fact]:
        """One function per kind of event; what concerns no money of ours says nothing."""
        event = json.loads(body)
        name, thing = event["type"], event["data"]["object"]
        return _facts(name, thing, livemode=event["livemode"] is True)


def _say_where_we_listen(client: StripeClient, account: ProviderAccount) -> None:
    """At our own sandbox nobody fills in the address of our webhooks by hand."""
    if not account.webhook_url:
        return
    known = [endpoint.url for endpoint in client.v1.webhook_endpoints.list({"limit": 100}).data]
    if account.webhook_url not in known:
        client.v1.webhook_endpoints.create({"url": account.webhook_url, "enabled_events": ["*"]})


def _verify(header: str, body: bytes, secrets: tuple[str, ...], now: datetime) -> None:
    if not any(secrets):
        raise NotConfigured("No webhook secret is set for this shop, so no webhook can be believed.")
    parts = [part.partition("=")[::2] for part in header[:4096].split(",")]
    times = [value for name, value in parts if name == "t"]
    offered = [value.encode() for name, value in parts if name == "v1" and value]
    if len(times) != 1 or not (times[0].isascii() and times[0].isdigit() and len(times[0]) <= 12):
        raise BadSignature
    if abs(now.timestamp() - int(times[0])) > TOLERANCE_S:
        raise BadSignature
    signed = times[0].encode() + b"." + body
    expected = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode() for secret in secrets if secret]
    matches = [hmac.compare_digest(one, other) for one in offered for other in expected]
    if not any(matches):
        raise BadSignature


def _facts(name: str, thing: dict[str, Any], *, livemode: bool) -> list[Fact]:  # noqa: PLR0911 - one for each kind
    if name in SESSIONS:
        return [_paid_of_session(thing, name)]
    if name in INTENTS:
        return [_paid_of_intent(thing, INTENTS[name], name)]
    if name == "charge.succeeded":
        return [_paid_of_charge(thing)] if _id(thing.get("payment_intent")) else []
    if name == "charge.refunded":
        return [Look(payment_id=_id(thing.get("payment_intent")), taken_minor=thing.get("amount_refunded") or 0)]
    if name in REFUNDS:
        return [_refund(thing, livemode)] if _id(thing.get("payment_intent")) else []
    if name.startswith("charge.dispute."):
        return [_dispute(thing, name, livemode)] if _id(thing.get("payment_intent")) else []
    return []


def _paid_of_session(session: dict[str, Any], name: str) -> Paid:
    details = session.get("total_details") or {}
    return Paid(
        came=_came_of_session(session, name),
        livemode=session["livemode"],
        currency=session.get("currency") or "",
        order_id=(session.get("metadata") or {}).get(ORDER) or session.get("client_reference_id") or "",
        session_id=session["id"],
        payment_id=_id(session.get("payment_intent")),
        subtotal_minor=session.get("amount_subtotal") or 0,
        discount_minor=details.get("amount_discount") or 0,
        tax_minor=details.get("amount_tax") or 0,
        total_minor=session.get("amount_total") or 0,
        customer_id=_id(session.get("customer")),
        origin=name,
    )


def _came_of_session(session: dict[str, Any], name: str) -> Came:
    if session.get("payment_status") in {"paid", "no_payment_required"} and session.get("status") == "complete":
        return Came.PAID
    if name.endswith("async_payment_failed"):
        return Came.FAILED
    if session.get("status") == "expired":
        return Came.EXPIRED
    return Came.PROCESSING if session.get("status") == "complete" else Came.NOTHING


def _paid_of_intent(intent: dict[str, Any], came: Came, name: str = "read") -> Paid:
    trouble = (intent.get("last_payment_error") or {}) if came == Came.FAILED else {}
    return Paid(
        came=came,
        livemode=intent["livemode"],
        currency=intent["currency"],
        order_id=(intent.get("metadata") or {}).get(ORDER) or "",
        payment_id=intent["id"],
        total_minor=intent.get("amount_received") or 0,
        customer_id=_id(intent.get("customer")),
        failure=str(trouble.get("code") or "")[:60],
        origin=name,
    )


def _came_of_intent(intent: dict[str, Any]) -> Came:
    states = {"succeeded": Came.PAID, "processing": Came.PROCESSING, "canceled": Came.FAILED}
    return states.get(intent["status"], Came.NOTHING)


def _paid_of_charge(charge: dict[str, Any]) -> Paid:
    captured = charge.get("paid") is True and charge.get("captured") is True
    return Paid(
        came=Came.PAID if captured else Came.NOTHING,
        livemode=charge["livemode"],
        currency=charge["currency"],
        order_id=(charge.get("metadata") or {}).get(ORDER) or "",
        payment_id=_id(charge["payment_intent"]),
        total_minor=charge.get("amount_captured") or 0,
        customer_id=_id(charge.get("customer")),
        origin="charge.succeeded",
    )


def _refund(refund: dict[str, Any], livemode: bool) -> TakenBack:  # noqa: FBT001 - refunds do not say it themselves
    return TakenBack(
        kind=Taken.REFUND,
        outside_id=refund["id"],
        payment_id=_id(refund.get("payment_intent")),
        currency=refund["currency"],
        amount_minor=refund["amount"],
        state=REFUND_STATES.get(refund.get("status") or "pending", ReversalState.PENDING),
        livemode=livemode,
        request_id=(refund.get("metadata") or {}).get(REQUEST) or "",
        failure=str(refund.get("failure_reason") or "")[:60],
    )


def _dispute(dispute: dict[str, Any], name: str, livemode: bool) -> TakenBack:  # noqa: FBT001 - the same
    state = DISPUTE_STATES.get(dispute["status"], ReversalState.INQUIRY)  # every warning_* is an inquiry
    if name.endswith("funds_reinstated"):
        state = ReversalState.WON
    elif name.endswith("funds_withdrawn") and state == ReversalState.INQUIRY:
        state = ReversalState.PENDING
    return TakenBack(
        kind=Taken.DISPUTE,
        outside_id=dispute["id"],
        payment_id=_id(dispute.get("payment_intent")),
        currency=dispute["currency"],
        amount_minor=dispute["amount"],
        state=state,
        livemode=livemode,
    )


def _card(method: dict[str, Any]) -> Card:
    card = method.get("card") or {}
    expires = f"{card.get('exp_month', 0):02d}/{card.get('exp_year', 0)}"
    return Card(method["id"], card.get("brand") or "card", card.get("last4") or "", expires)


def _id(thing: Any) -> str:
    """The id of something that may have been expanded."""
    if isinstance(thing, dict):
        return str(thing.get("id") or "")
    return str(getattr(thing, "id", thing) or "")


def _session_request(order: Order) -> Any:
    request: dict[str, Any] = {
        "mode": "payment",
        "client_reference_id": order.public_id,
        "metadata": {ORDER: order.public_id},
        "success_url": order.success_url,
        "cancel_url": order.cancel_url,
        "line_items": [
            {
                "quantity": 1,
                "price_data": {
                    "currency": order.currency,
                    "unit_amount": order.amount_minor,
                    "product_data": {"name": order.description},
                    **({"tax_behavior": "exclusive"} if order.with_tax else {}),
                },
            }
        ],
        "payment_intent_data": {
            "metadata": {ORDER: order.public_id},
            **({"setup_future_usage": "off_session"} if order.save_card else {}),
        },
    }
    if order.customer_id:
        request["customer"] = order.customer_id
    if order.with_promotions:
        request["allow_promotion_codes"] = True
    if order.with_tax:
        request |= {"automatic_tax": {"enabled": True}, "billing_address_collection": "required"}
        if order.customer_id:
            request["customer_update"] = {"address": "auto", "name": "auto"}
    return request


DRIVER = StripeDriver()
