"""PaymentIntents: one purchase each, through as many attempts as it takes, to exactly one success or none."""

from sandbox.stripe import charging, customers
from sandbox.stripe.blanks import blank
from sandbox.stripe.currencies import chargeable, known
from sandbox.stripe.customers import ADDRESS, METHOD
from sandbox.stripe.forms import Params, merged
from sandbox.stripe.problems import Problem, card_error, invalid, missing
from sandbox.stripe.world import Object, World, new_id, public

COMMON = {
    "amount_details": "any",
    "customer": "text",
    "description": "text",
    "metadata": "map",
    "payment_method": "text",
    "payment_method_data": METHOD,
    "payment_method_options": "any",
    "receipt_email": "text",
    "setup_future_usage": "off_session|on_session",
    "shipping": {"address": ADDRESS, "name": "text", "phone": "text", "carrier": "text", "tracking_number": "text"},
    "statement_descriptor": "text",
    "statement_descriptor_suffix": "text",
    "transfer_group": "text",
}
CONFIRM = {
    "error_on_requires_action": "flag",
    "mandate_data": "any",
    "off_session": "true|false|one_off|recurring",
    "payment_method": "text",
    "payment_method_data": METHOD,
    "payment_method_options": "any",
    "receipt_email": "text",
    "return_url": "text",
    "setup_future_usage": "off_session|on_session",
    "use_stripe_sdk": "flag",
}
CREATE = {
    **COMMON,
    **CONFIRM,
    "amount!": "whole",
    "currency!": "text",
    "allowed_payment_method_types": ["text"],
    "automatic_payment_methods": {"enabled!": "flag", "allow_redirects": "always|never"},
    "capture_method": "automatic|automatic_async",
    "confirm": "flag",
    "confirmation_method": "automatic|manual",
}
UPDATE = {**COMMON, "amount": "whole", "currency": "text"}
CANCEL = {"cancellation_reason": "abandoned|duplicate|fraudulent|requested_by_customer"}
OPEN = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})


def create(world: World, params: Params) -> Object:
    """An intent, and at once the first attempt when asked."""
    currency = known(params["currency"])
    intent = make(world, amount=chargeable(params["amount"], currency), currency=currency)
    if not params.get("confirm") and params.get("off_session"):
        raise invalid("off_session", "This parameter is only valid when confirm=true.")
    if params.get("customer"):
        intent["customer"] = customers.alive(world, params["customer"])["id"]
    _fill(intent, params)
    intent["allowed_payment_method_types"] = params.get("allowed_payment_method_types")
    intent["capture_method"] = params.get("capture_method") or "automatic_async"
    intent["confirmation_method"] = params.get("confirmation_method") or "automatic"
    automatic = params.get("automatic_payment_methods")
    if automatic is not None:
        intent["automatic_payment_methods"] = {"allow_redirects": "always", **automatic}
    method = _given_method(world, intent, params)
    if method is not None:
        intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
    world.put(intent)
    world.tell("payment_intent.created", intent)
    return _confirmed(world, intent, params) if params.get("confirm") else intent


def make(world: World, *, amount: int, currency: str) -> Object:
    """An intent that nobody has tried to pay."""
    id_ = new_id("pi")
    return world.add(
        blank(
            "payment_intent",
            id=id_,
            amount=amount,
            amount_capturable=0,
            amount_details={"tip": {}},
            amount_received=0,
            automatic_payment_methods={"allow_redirects": "always", "enabled": True},
            capture_method="automatic_async",
            client_secret=f"{id_}_{new_id('secret')}",
            confirmation_method="automatic",
            created=world.now,
            currency=currency,
            metadata={},
            payment_method_options={},
            payment_method_types=["card"],
            status="requires_payment_method",
        )
    )


def _fill(intent: Object, params: Params) -> None:
    plain = (
        "description receipt_email setup_future_usage shipping statement_descriptor statement_descriptor_suffix "
        "transfer_group"
    )
    for name in plain.split():
        if name in params:
            intent[name] = params[name]
    if "metadata" in params:
        intent["metadata"] = merged(intent["metadata"], params["metadata"])


def _given_method(world: World, intent: Object, params: Params) -> Object | None:
    if params.get("payment_method_data"):
        return customers.method_from(world, params["payment_method_data"], param="payment_method_data")
    if not params.get("payment_method"):
        return None
    method = customers.method(world, params["payment_method"])
    if method["customer"] and method["customer"] != intent["customer"]:
        message = (
            "The provided PaymentMethod belongs to a different Customer. Please include the Customer in the "
            "`customer` parameter on the PaymentIntent."
        )
        raise invalid("payment_method", message)
    if method.get("_spent") and method["customer"] is None:
        message = (
            "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, or was "
            "detached from a Customer, and may not be used again."
        )
        raise invalid("payment_method", message)
    return method


def update(world: World, params: Params, *, id: str) -> Object:
    """Change an intent that is still open."""
    intent = world.get("payment_intent", id)
    fixed = {"amount", "currency", "customer", "payment_method", "payment_method_data", "setup_future_usage"}
    if intent["status"] not in OPEN and fixed & set(params):
        raise _in_this_state(intent, "updated")
    if "currency" in params:
        intent["currency"] = known(params["currency"])
    if "amount" in params:
        intent["amount"] = chargeable(params["amount"], intent["currency"])
    if params.get("customer"):
        intent["customer"] = customers.alive(world, params["customer"])["id"]
    _fill(intent, params)
    method = _given_method(world, intent, params)
    if method is not None:
        intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
    return world.put(intent)


def confirm(world: World, params: Params, *, id: str) -> Object:
    """Try to pay an intent."""
    intent = world.get("payment_intent", id)
    if intent["status"] not in OPEN:
        raise _in_this_state(intent, "confirmed")
    _fill(intent, params)
    method = _given_method(world, intent, params)
    if method is not None:
        intent["payment_method"] = method["id"]
    return _confirmed(world, intent, params)


def _confirmed(world: World, intent: Object, params: Params) -> Object:
    if intent["payment_method"] is None:
        message = (
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the "
            "PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a "
            "payment method or ConfirmationToken."
        )
        raise Problem(400, message, code="payment_intent_unexpected_state", payment_intent=public(intent))
    off_session = params.get("off_session") not in (None, "false")
    redirects = (intent["automatic_payment_methods"] or {}).get("allow_redirects") == "always"
    if not params.get("return_url") and redirects and not off_session and not params.get("use_stripe_sdk"):
        raise missing("return_url")
    intent["_return_url"] = params.get("return_url")
    method = world.get("payment_method", intent["payment_method"])
    allowed = intent["allowed_payment_method_types"]
    if allowed and method["type"] not in allowed:
        message = f"The payment method type '{method['type']}' is not allowed for this PaymentIntent."
        raise invalid("payment_method", message)
    charging.attempt(world, intent, method, off_session=off_session)
    if intent["status"] == "requires_action" and params.get("error_on_requires_action"):
        intent |= {"status": "requires_payment_method", "payment_method": None, "next_action": None}
        world.put(intent)
        message = "Your card was declined. This transaction requires authentication."
        raise card_error(message, code="authentication_required", payment_intent=public(intent))
    return intent


def cancel(world: World, params: Params, *, id: str) -> Object:
    """Give an intent up."""
    intent = world.get("payment_intent", id)
    if intent["status"] not in OPEN:
        raise _in_this_state(intent, "canceled")
    return canceled(world, intent, reason=params.get("cancellation_reason"))


def canceled(world: World, intent: Object, *, reason: str | None) -> Object:
    """An intent that will never be paid."""
    intent |= {"status": "canceled", "canceled_at": world.now, "cancellation_reason": reason, "next_action": None}
    world.put(intent)
    world.tell("payment_intent.canceled", intent)
    return intent


def _in_this_state(intent: Object, done: str) -> Problem:
    message = f"This PaymentIntent could not be {done} because it has a status of {intent['status']}."
    return Problem(400, message, code="payment_intent_unexpected_state", payment_intent=public(intent))


def retrieve(world: World, params: Params, *, id: str) -> Object:
    """An intent."""
    return world.get("payment_intent", id)


# --- charges ---

UPDATE_CHARGE = {"customer": "text", "description": "text", "metadata": "map", "receipt_email": "text"}


def retrieve_charge(world: World, params: Params, *, id: str) -> Object:
    """A charge."""
    return world.get("charge", id)


def update_charge(world: World, params: Params, *, id: str) -> Object:
    """Change the words on a charge."""
    charge = world.get("charge", id)
    if "metadata" in params:
        charge["metadata"] = merged(charge["metadata"], params.pop("metadata"))
    charge |= params
    world.put(charge)
    world.tell("charge.updated", charge)
    return charge
