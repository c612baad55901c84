"""The attempt to charge a way to pay: what the bank says, and what it leaves behind - a charge, money, events.

Amounts always add up: a charge that succeeded has exactly one movement of its amount, each refund and dispute exactly
one the other way, and a refund that failed one back.
"""

from typing import Any

from sandbox.stripe import balance, cards, customers
from sandbox.stripe.blanks import blank
from sandbox.stripe.cards import Card
from sandbox.stripe.problems import Problem
from sandbox.stripe.world import Object, World, new_id, public

PENDING_S = 120


def attempt(world: World, intent: Object, method: Object, *, off_session: bool, authenticated: bool = False) -> Object:
    """Charge a method for an intent; raise the bank's refusal, with everything it leaves behind kept."""
    card = customers.card_of(method)
    intent["payment_method"] = method["id"]
    intent["payment_method_types"] = sorted({*intent["payment_method_types"], card.kind})
    if not authenticated and _asks_for_cardholder(card, method, off_session=off_session):
        if off_session:
            message = "Your card was declined. This transaction requires authentication."
            _fail(world, intent, method, message, code="authentication_required", reason="authentication_required")
        _ask_for_cardholder(world, intent)
    elif card.declined is not None:
        message = cards.MESSAGES.get(card.declined or card.code, "Your card was declined.")
        _fail(world, intent, method, message, code=card.code, reason=card.declined)
    elif card.later:
        _wait(world, intent, method, card)
    else:
        succeed(world, intent, _charge(world, intent, method, authenticated=authenticated))
    return intent


def _asks_for_cardholder(card: Card, method: Object, *, off_session: bool) -> bool:
    if card.asks == "on_session":
        return not off_session
    return card.asks == "always" or (card.asks == "unsaved" and not method.get("_confirmed"))


def _ask_for_cardholder(world: World, intent: Object) -> None:
    intent["status"] = "requires_action"
    address = f"{world.here}/authenticate/{intent['id']}"
    intent["next_action"] = {
        "redirect_to_url": {"return_url": intent.get("_return_url"), "url": address},
        "type": "redirect_to_url",
    }
    world.put(intent)
    world.tell("payment_intent.requires_action", intent)


def _charge(world: World, intent: Object, method: Object, *, authenticated: bool = False, **more: Any) -> Object:
    """A charge that worked, unless ``more`` says otherwise."""
    card = customers.card_of(method)
    id_ = new_id("ch" if card.kind == "card" else "py")
    details = cards.charged_details(card, amount=intent["amount"], authenticated=authenticated)
    body = blank(
        "charge",
        id=id_,
        amount=intent["amount"],
        amount_captured=intent["amount"],
        amount_refunded=0,
        billing_details=method["billing_details"],
        calculated_statement_descriptor="TOLLGATE SANDBOX",
        captured=True,
        created=world.now,
        currency=intent["currency"],
        customer=intent["customer"],
        description=intent["description"],
        disputed=False,
        fraud_details={},
        metadata=dict(intent["metadata"]),
        outcome=_outcome(),
        paid=True,
        payment_intent=intent["id"],
        payment_method=method["id"],
        payment_method_details=details,
        radar_options={},
        receipt_email=intent["receipt_email"],
        receipt_url=f"{world.here}/receipts/{id_}",
        refunded=False,
        shipping=intent["shipping"],
        status="succeeded",
        _card=card.name,
    )
    body |= more
    world.add(body)
    intent["latest_charge"] = id_
    return body


def _outcome(reason: str | None = None) -> Object:
    declined = reason is not None
    return {
        "advice_code": ("do_not_try_again" if reason in {"lost_card", "stolen_card"} else "try_again_later")
        if declined
        else None,
        "network_advice_code": None,
        "network_decline_code": "05" if declined else None,
        "network_status": "declined_by_network" if declined else "approved_by_network",
        "reason": reason,
        "risk_level": "normal",
        "risk_score": 8,
        "seller_message": "The bank did not return any further details with this decline."
        if declined
        else "Payment complete.",
        "type": "issuer_declined" if declined else "authorized",
    }


def succeed(world: World, intent: Object, charge: Object) -> None:
    """The money is there."""
    charge |= {"status": "succeeded", "paid": True, "captured": True, "amount_captured": charge["amount"]}
    charge["outcome"] = _outcome()
    intent |= {
        "status": "succeeded",
        "amount_received": charge["amount"],
        "last_payment_error": None,
        "next_action": None,
        "processing": None,
    }
    method = world.find(charge["payment_method"], "payment_method")
    if method is not None:
        _save(world, intent, method)
    world.put(charge)
    world.put(intent)
    world.tell("charge.succeeded", charge)
    charge["balance_transaction"] = balance.charged(world, charge)["id"]
    world.put(charge)
    world.tell("payment_intent.succeeded", intent)
    world.tell("charge.updated", charge, before={"balance_transaction": None})
    _tell_checkout(world, intent)
    _afterwards(world, charge)


def _save(world: World, intent: Object, method: Object) -> None:
    if intent["setup_future_usage"] and intent["customer"]:
        method["_confirmed"] = True
        if method["customer"] is None:
            customers.keep(world, method, intent["customer"])
        else:
            world.put(method)
    elif method["customer"] is None:
        method["_spent"] = True
        world.put(method)


def _afterwards(world: World, charge: Object) -> None:
    from sandbox.stripe import disputes  # only here: a dispute takes from a charge

    after = cards.BY_NAME[charge["_card"]].after
    if after in {"fraudulent", "not_received", "inquiry"}:
        reason = "product_not_received" if after == "not_received" else "fraudulent"
        disputes.open_dispute(world, charge, reason=reason, inquiry=after == "inquiry")


def _wait(world: World, intent: Object, method: Object, card: Card) -> None:
    """A way to pay whose money arrives, or does not, days from now."""
    charge = _charge(world, intent, method, status="pending", paid=False, captured=False, amount_captured=0)
    charge["outcome"] = {**_outcome(), "seller_message": "Payment pending.", "network_status": "not_sent_to_network"}
    world.put(charge)
    intent |= {"status": "processing", "next_action": None, "processing": None}
    world.put(intent)
    world.tell("charge.pending", charge)
    world.tell("payment_intent.processing", intent)
    world.later(PENDING_S, f"money_{card.later}", intent["id"])


def arrived(world: World, intent: Object, *, succeeds: bool) -> Object:
    """The end of the waiting, either way."""
    if intent["status"] != "processing":
        message = f"This PaymentIntent is {intent['status']}: nothing is pending."
        raise Problem(400, message, code="payment_intent_unexpected_state")
    world.never_mind(intent["id"])
    charge = world.get("charge", intent["latest_charge"])
    if succeeds:
        succeed(world, intent, charge)
    else:
        charge |= {
            "status": "failed",
            "failure_code": "payment_method_provider_decline",
            "failure_message": "The customer's bank returned the debit.",
            "outcome": _outcome("generic_decline"),
        }
        world.put(charge)
        method = world.get("payment_method", charge["payment_method"])
        error = _error(charge["failure_message"], "payment_intent_payment_attempt_failed", None, charge, method)
        intent |= {"status": "requires_payment_method", "payment_method": None, "last_payment_error": error}
        world.put(intent)
        world.tell("charge.failed", charge)
        world.tell("payment_intent.payment_failed", intent)
        _tell_checkout(world, intent)
    return intent


def _tell_checkout(world: World, intent: Object) -> None:
    from sandbox.stripe import checkout  # only here: checkout charges, and waits for what it charged

    session = world.find(intent.get("_session"), "checkout.session")
    if session is not None:
        checkout.money_arrived(world, session, intent)


def _error(message: str, code: str, reason: str | None, charge: Object | None, method: Object) -> Object:
    error: Object = {
        "code": code,
        "doc_url": f"https://docs.stripe.com/error-codes/{code.replace('_', '-')}",
        "message": message,
        "payment_method": public(method),
        "type": "card_error",
    }
    if charge is not None:
        error["charge"] = charge["id"]
    if reason:
        error["decline_code"] = reason
    return error


def _fail(world: World, intent: Object, method: Object, message: str, *, code: str, reason: str | None) -> None:
    charge = _charge(
        world,
        intent,
        method,
        status="failed",
        paid=False,
        captured=False,
        amount_captured=0,
        failure_code=code if code != "authentication_required" else "card_declined",
        failure_message=message,
        outcome=_outcome(reason or code),
        receipt_url=None,
    )
    error = _error(message, code, reason, charge, method)
    intent |= {"status": "requires_payment_method", "payment_method": None, "last_payment_error": error}
    intent["next_action"] = None
    world.put(intent)
    world.tell("charge.failed", charge)
    world.tell("payment_intent.payment_failed", intent)
    told = {name: value for name, value in error.items() if name not in {"message", "code", "type", "doc_url"}}
    raise Problem(402, message, kind="card_error", code=code, keeps=True, payment_intent=public(intent), **told)


def refuse_authentication(world: World, intent: Object) -> None:
    """The cardholder did not show up, or was not believed."""
    method = world.get("payment_method", intent["payment_method"])
    message = (
        "We are unable to authenticate your payment method. Please choose a different payment method and try again."
    )
    code = "payment_intent_authentication_failure"
    error = _error(message, code, None, None, method)
    error["type"] = "invalid_request_error"
    intent |= {
        "status": "requires_payment_method",
        "payment_method": None,
        "next_action": None,
        "last_payment_error": error,
    }
    world.put(intent)
    world.tell("payment_intent.payment_failed", intent)
