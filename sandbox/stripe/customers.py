"""Customers and their payment methods."""

from typing import Any

from sandbox.stripe import cards
from sandbox.stripe.blanks import address, blank
from sandbox.stripe.cards import Card
from sandbox.stripe.forms import Params, merged
from sandbox.stripe.problems import Problem, card_error, invalid, missing, no_such
from sandbox.stripe.world import Object, World, new_id

ADDRESS = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"), "text")
PERSON = {"address": ADDRESS, "email": "text", "name": "text", "phone": "text"}
CREATE = {
    "address": ADDRESS,
    "balance": "whole",
    "business_name": "text",
    "description": "text",
    "email": "text",
    "individual_name": "text",
    "invoice_prefix": "text",
    "invoice_settings": {"default_payment_method": "text", "footer": "text"},
    "metadata": "map",
    "name": "text",
    "next_invoice_sequence": "whole",
    "payment_method": "text",
    "phone": "text",
    "preferred_locales": ["text"],
    "shipping": {"address": ADDRESS, "name": "text", "phone": "text"},
    "tax": {"ip_address": "text", "validate_location": "deferred|immediately|auto"},
    "tax_exempt": "none|exempt|reverse",
}
UPDATE = {name: kind for name, kind in CREATE.items() if name != "payment_method"}
METHOD = {
    "type!": "card|us_bank_account|crypto",
    "card": {"number": "text", "exp_month": "whole", "exp_year": "whole", "cvc": "text", "token": "text"},
    "us_bank_account": {
        "account_number": "text",
        "routing_number": "text",
        "account_holder_type": "text",
        "account_type": "text",
    },
    "crypto": "any",
    "billing_details": PERSON,
    "allow_redisplay": "always|limited|unspecified",
    "metadata": "map",
}


def create(world: World, params: Params) -> Object:
    """A customer."""
    method = params.pop("payment_method", None)
    prefix = params.pop("invoice_prefix", None)
    body = blank(
        "customer",
        id=new_id("cus", length=14),
        balance=0,
        created=world.now,
        delinquent=False,
        invoice_prefix=prefix or new_id("x", length=8)[2:].upper(),
        invoice_settings={
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        metadata={},
        next_invoice_sequence=1,
        preferred_locales=[],
        tax_exempt="none",
    )
    world.add(_filled(world, body, params))
    if method is not None:
        attach(world, {"customer": body["id"]}, id=method)
    world.tell("customer.created", body)
    return body


def _filled(world: World, body: Object, params: Params) -> Object:
    for name, value in params.items():
        if name == "metadata":
            body["metadata"] = merged(body["metadata"], value)
        elif name == "address":
            body["address"] = address(**value) if value else None
        elif name == "invoice_settings":
            _settle_default(world, body, value or {})
        elif name != "tax":
            body[name] = value
    return body


def _settle_default(world: World, customer: Object, given: Params) -> None:
    if "default_payment_method" in given:
        default = given["default_payment_method"]
        param = "invoice_settings[default_payment_method]"
        if default is not None:
            method = world.named("payment_method", default, param=param)
            if method["customer"] != customer["id"]:
                message = "The customer does not have a payment method with the ID " + default
                raise invalid(param, message, code="resource_missing")
        customer["invoice_settings"]["default_payment_method"] = default
    if "footer" in given:
        customer["invoice_settings"]["footer"] = given["footer"]


def alive(world: World, given: str | None, *, param: str = "customer", status: int = 400) -> Object:
    """A customer that was not deleted."""
    customer = world.get("customer", given, param=param, status=status)
    if customer.get("deleted"):
        raise no_such("customer", str(given), param=param, status=status)
    return customer


def retrieve(world: World, params: Params, *, id: str) -> Object:
    """A customer, or what is left of it."""
    return world.get("customer", id)


def update(world: World, params: Params, *, id: str) -> Object:
    """Change a customer."""
    body = alive(world, id, param="id", status=404)
    before = {name: body.get(name) for name in params if name in body}
    world.put(_filled(world, body, params))
    world.tell("customer.updated", body, before=before)
    return body


def delete(world: World, params: Params, *, id: str) -> Object:
    """Delete a customer: its cards go, its payments stay."""
    body = alive(world, id, param="id", status=404)
    for method in world.all("payment_method", customer=id):
        detach(world, {}, id=method["id"])
    gone = {"id": id, "object": "customer", "deleted": True}
    world.put(gone)
    world.tell("customer.deleted", body)
    return gone


# --- payment methods ---


def make_method(world: World, card: Card, **more: Any) -> Object:
    """A payment method of a card that exists here."""
    person = {**dict.fromkeys(("email", "name", "phone", "tax_id")), **(more.pop("billing_details", None) or {})}
    person["address"] = address(**(person.get("address") or {}))
    body = blank(
        "payment_method",
        id=new_id("pm"),
        allow_redisplay=more.pop("allow_redisplay", None) or "unspecified",
        billing_details=person,
        created=world.now,
        metadata={},
        type=card.kind,
        _card=card.name,
        _confirmed=False,
        **more,
    )
    body[card.kind] = cards.details(card)
    return world.add(body)


def create_method(world: World, params: Params) -> Object:
    """A payment method from a test number."""
    return method_from(world, params, param="card[number]")


def method_from(world: World, params: Params, *, param: str) -> Object:
    """What ``payment_method_data`` describes."""
    kind = params["type"]
    card: Card | None = cards.BY_NAME["stablecoin"]
    if kind == "card":
        given = params.get("card") or {}
        number = (given.get("number") or "").replace(" ", "")
        if not number and not given.get("token"):
            raise missing("card")
        card = cards.BY_NUMBER.get(number) if number else cards.named(given["token"])
    elif kind == "us_bank_account":
        number = (params.get("us_bank_account") or {}).get("account_number") or "000123456789"
        card = cards.BY_NUMBER.get(number)
    if card is None or card.kind != kind:
        message = "Your card number is incorrect. (The sandbox knows Stripe's test numbers, and no other.)"
        raise card_error(message, code="incorrect_number", param=param)
    body = make_method(
        world, card, billing_details=params.get("billing_details"), allow_redisplay=params.get("allow_redisplay")
    )
    body["metadata"] = merged({}, params.get("metadata") or {})
    return world.put(body)


def method(world: World, given: str, *, param: str = "payment_method", status: int = 400) -> Object:
    """The payment method of that id; ``pm_card_visa`` and its like make a new one."""
    found = world.find(given, "payment_method")
    if found is None and (card := cards.named(given)):
        return make_method(world, card)
    return found or world.get("payment_method", given, param=param, status=status)


def card_of(method: Object) -> Card:
    """The card behind a payment method."""
    return cards.BY_NAME[method["_card"]]


def retrieve_method(world: World, params: Params, *, id: str) -> Object:
    """A payment method."""
    return world.get("payment_method", id)


def update_method(world: World, params: Params, *, id: str) -> Object:
    """Change what is known of a payment method's owner."""
    body = world.get("payment_method", id)
    if "metadata" in params:
        body["metadata"] = merged(body["metadata"], params["metadata"])
    if params.get("billing_details"):
        details = dict(params["billing_details"])
        if "address" in details:
            details["address"] = address(**(details["address"] or {}))
        body["billing_details"] |= details
    if params.get("allow_redisplay"):
        body["allow_redisplay"] = params["allow_redisplay"]
    world.put(body)
    world.tell("payment_method.updated", body)
    return body


def attach(world: World, params: Params, *, id: str) -> Object:
    """Keep a payment method with a customer; a card that is always declined says so already now."""
    customer = alive(world, params["customer"])
    body = method(world, id, param="id", status=404)
    if body["customer"] == customer["id"]:
        return body
    if body["customer"] is not None:
        message = "The payment method you provided has already been attached to a customer."
        raise Problem(400, message, code="payment_method_unexpected_state")
    if body.get("_spent"):
        message = (
            "This PaymentMethod was previously used without being attached to a Customer or was detached from a "
            "Customer, and may not be used again."
        )
        raise Problem(400, message)
    refuse_to_save(card_of(body))
    return keep(world, body, customer["id"])


def refuse_to_save(card: Card) -> None:
    """A card whose bank says no even to being kept."""
    if card.declined is not None and card.refuses_to_be_saved and card.asks == "never":
        raise decline(card)


def decline(card: Card, **more: Any) -> Problem:
    """The refusal of a card that does not pay."""
    reason = card.declined or card.code
    known: dict[str, Any] = {"decline_code": card.declined} if card.declined else {}
    message = MESSAGE.get(reason, "Your card was declined.")
    return card_error(message, code=card.code, **known, **more)


MESSAGE = cards.MESSAGES


def keep(world: World, body: Object, customer: str) -> Object:
    """Write a payment method down as the customer's."""
    body["customer"] = customer
    world.put(body)
    world.tell("payment_method.attached", body)
    return body


def detach(world: World, params: Params, *, id: str) -> Object:
    """Take a payment method away from its customer, for good."""
    body = world.get("payment_method", id)
    if body["customer"] is None:
        message = "The payment method you provided is not attached to a customer so detachment is impossible."
        raise Problem(400, message, code="payment_method_unexpected_state")
    customer = world.find(body["customer"], "customer")
    if customer and not customer.get("deleted"):
        settings = customer["invoice_settings"]
        if settings["default_payment_method"] == id:
            settings["default_payment_method"] = None
            world.put(customer)
    before = {"customer": body["customer"]}
    body |= {"customer": None, "_spent": True}
    world.put(body)
    world.tell("payment_method.detached", body, before=before)
    return body
