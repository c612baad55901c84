"""Checkout Sessions: what is sold, for how much, and a session's life - open, complete or expired, and paid or not.

The amounts are ours to work out, in whole minor units: subtotal, less the discount, plus the tax that is not already
inside. The hosted page is ``pages/paying.py``; what it may do is done here.
"""

from typing import Any

from sandbox.stripe import charging, customers, intents, invoices, promotions, setups
from sandbox.stripe.blanks import address, blank
from sandbox.stripe.currencies import LEAST, MOST, decimals, known
from sandbox.stripe.forms import Params, merged
from sandbox.stripe.problems import Problem, invalid, missing
from sandbox.stripe.selling import lines_of, priced
from sandbox.stripe.world import Object, World, new_id

LIVES_S = 86_400
INTENT_DATA = {
    "capture_method": "automatic|automatic_async",
    "description": "text",
    "metadata": "map",
    "receipt_email": "text",
    "setup_future_usage": "off_session|on_session",
    "shipping": "any",
    "statement_descriptor": "text",
    "statement_descriptor_suffix": "text",
    "transfer_group": "text",
}
PRODUCT_DATA = {
    "name!": "text",
    "description": "text",
    "images": ["text"],
    "metadata": "map",
    "tax_code": "text",
    "unit_label": "text",
}
PRICE_DATA = {
    "currency!": "text",
    "product": "text",
    "product_data": PRODUCT_DATA,
    "tax_behavior": "exclusive|inclusive|unspecified",
    "unit_amount": "whole",
    "unit_amount_decimal": "text",
}
CREATE = {
    "adaptive_pricing": {"enabled": "flag"},
    "after_expiration": "any",
    "allow_promotion_codes": "flag",
    "allowed_payment_method_types": ["text"],
    "automatic_tax": {"enabled!": "flag", "liability": "any"},
    "billing_address_collection": "auto|required",
    "branding_settings": "any",
    "cancel_url": "text",
    "client_reference_id": "text",
    "consent_collection": "any",
    "currency": "text",
    "custom_text": "any",
    "customer": "text",
    "customer_creation": "always|if_required",
    "customer_email": "text",
    "customer_update": {"address": "auto|never", "name": "auto|never", "shipping": "auto|never"},
    "discounts": [{"coupon": "text", "promotion_code": "text"}],
    "expires_at": "time",
    "invoice_creation": {
        "enabled!": "flag",
        "invoice_data": {"description": "text", "footer": "text", "metadata": "map", "custom_fields": "any"},
    },
    "line_items": [{"price": "text", "price_data": PRICE_DATA, "quantity": "whole", "metadata": "map"}],
    "locale": "text",
    "metadata": "map",
    "mode": "payment|setup",
    "origin_context": "mobile_app|web",
    "payment_intent_data": INTENT_DATA,
    "payment_method_options": "any",
    "phone_number_collection": {"enabled!": "flag"},
    "return_url": "text",
    "saved_payment_method_options": {
        "allow_redisplay_filters": ["text"],
        "payment_method_remove": "enabled|disabled",
        "payment_method_save": "enabled|disabled",
    },
    "setup_intent_data": {"description": "text", "metadata": "map"},
    "submit_type": "auto|book|donate|pay",
    "success_url": "text",
    "tax_id_collection": {"enabled!": "flag", "required": "if_supported|never"},
    "ui_mode": "hosted_page",
}
UPDATE = {"metadata": "map"}
LIST = {
    "customer": "text",
    "customer_details": {"email": "text"},
    "payment_intent": "text",
    "status": "open|complete|expired",
}


def create(world: World, params: Params) -> Object:
    """A session, open for somebody to pay."""
    mode = params.get("mode") or "payment"
    _refuse_contradictions(params, mode)
    customer = customers.alive(world, params["customer"]) if params.get("customer") else None
    id_ = new_id("cs_test", length=58)
    session = blank(
        "checkout.session",
        id=id_,
        adaptive_pricing={"enabled": False},
        automatic_tax={**_tax_settings(params), "provider": None, "status": None},
        created=world.now,
        custom_fields=[],
        custom_text=dict.fromkeys(("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")),
        customer=customer["id"] if customer else None,
        customer_creation=None if customer else params.get("customer_creation") or "if_required",
        discounts=[],
        expires_at=_expiry(world, params),
        metadata=merged({}, params.get("metadata") or {}),
        mode=mode,
        payment_method_collection="if_required" if mode == "payment" else "always",
        payment_method_configuration_details=None,
        payment_method_options=params.get("payment_method_options") or {},
        payment_method_types=params.get("allowed_payment_method_types") or ["card", "us_bank_account", "crypto"],
        payment_status="no_payment_required" if mode == "setup" else "unpaid",
        permissions=None,
        phone_number_collection=params.get("phone_number_collection") or {"enabled": False},
        shipping_options=[],
        status="open",
        tax_id_collection={"enabled": False, "required": "never", **(params.get("tax_id_collection") or {})},
        ui_mode="hosted_page",
        url=f"{world.here}/pay/{id_}",
        _intent_data=params.get("payment_intent_data") or {},
        _setup_data=params.get("setup_intent_data") or {},
        _save=(params.get("saved_payment_method_options") or {}).get("payment_method_save") == "enabled",
        _country=((customer or {}).get("address") or {}).get("country"),
    )
    for name in (
        "allow_promotion_codes allowed_payment_method_types billing_address_collection cancel_url client_reference_id "
        "customer_email locale origin_context saved_payment_method_options submit_type success_url"
    ).split():
        session[name] = params.get(name)
    world.add(session)
    if mode == "payment":
        _price(world, session, params)
    else:
        session["currency"] = known(params["currency"]) if params.get("currency") else None
        data = session["_setup_data"]
        setup = setups.make(world, customer=session["customer"], metadata=data.get("metadata") or {})
        setup["description"] = data.get("description")
        world.put(setup)
        session["setup_intent"] = setup["id"]
        world.tell("setup_intent.created", setup)
    if customer:
        session["customer_details"] = _details(world, session, customer["email"], customer["name"])
    elif params.get("customer_email"):
        session["customer_details"] = _details(world, session, params["customer_email"], None)
    world.later(session["expires_at"] - world.now, "expire_session", id_)
    return world.put(session)


def _refuse_contradictions(params: Params, mode: str) -> None:
    if not params.get("success_url"):
        raise missing("success_url")
    for name in ("success_url", "cancel_url"):
        if params.get(name) and not str(params[name]).startswith(("http://", "https://")):
            raise invalid(name, "Not a valid URL", code="url_invalid")
    if mode == "payment":
        if params.get("setup_intent_data"):
            raise invalid("setup_intent_data", "You can only pass `setup_intent_data` in `setup` mode.")
        if not params.get("line_items"):
            raise missing("line_items")
    else:
        for name in ("line_items", "payment_intent_data", "discounts", "invoice_creation"):
            if params.get(name):
                raise invalid(name, f"You can not pass `{name}` in `setup` mode.")
        if not (params.get("currency") or params.get("allowed_payment_method_types")):
            raise missing("currency")
    _refuse_pairs(params)


def _refuse_pairs(params: Params) -> None:
    pairs = (("customer", "customer_email"), ("customer", "customer_creation"), ("allow_promotion_codes", "discounts"))
    for one, other in pairs:
        if params.get(one) and params.get(other):
            message = f"You may only specify one of these parameters: {one}, {other}."
            raise invalid(one, message)


def _tax_settings(params: Params) -> dict[str, Any]:
    enabled = bool((params.get("automatic_tax") or {}).get("enabled"))
    return {"enabled": enabled, "liability": {"type": "self"} if enabled else None}


def _expiry(world: World, params: Params) -> int:
    given = params.get("expires_at")
    if given is None:
        return world.now + LIVES_S
    if not world.now + 30 * 60 - 60 <= given <= world.now + LIVES_S + 60:
        message = "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout Session creation."
        raise invalid("expires_at", message)
    return int(given)


def _price(world: World, session: Object, params: Params) -> None:
    lines = lines_of(world, params["line_items"])
    session["currency"] = lines[0]["currency"]
    session["_lines"] = lines
    creation = params.get("invoice_creation") or {"enabled": False}
    session["invoice_creation"] = {
        "enabled": creation["enabled"],
        "invoice_data": {
            "account_tax_ids": None,
            "custom_fields": None,
            "description": None,
            "footer": None,
            "issuer": None,
            "metadata": {},
            "rendering_options": None,
            **(creation.get("invoice_data") or {}),
        },
    }
    for place, given in enumerate(params.get("discounts") or []):
        session["discounts"].append(_discount(world, given, f"discounts[{place}]"))
    if len(session["discounts"]) > 1:
        raise invalid("discounts", "You may only apply one discount per Checkout Session.")
    priced(world, session)
    least, total = LEAST.get(session["currency"], 50), session["amount_total"]
    if 0 < total < least and not session["discounts"]:
        message = (
            "The Checkout Session's total amount due must add up to at least the smallest amount that can be charged."
        )
        raise invalid("line_items", message, code="amount_too_small")
    if decimals(session["currency"]) == 3 and total % 10:
        message = "Amounts in three-decimal currencies must be rounded to the nearest ten."
        raise invalid("line_items", message, code="invalid_charge_amount")
    if total > MOST:
        message = "The Checkout Session's total amount due must add up to no more than 99999999 of the smallest unit."
        raise invalid("line_items", message, code="amount_too_large")


def _discount(world: World, given: Params, param: str) -> Object:
    if given.get("promotion_code"):
        code = promotions.seen_code(
            world, world.named("promotion_code", given["promotion_code"], param=f"{param}[promotion_code]")
        )
        if not code["active"]:
            raise invalid(f"{param}[promotion_code]", "This promotion code cannot be redeemed.", code="coupon_expired")
        return {"coupon": None, "promotion_code": code["id"]}
    coupon = promotions.seen(world, world.named("coupon", given.get("coupon") or "", param=f"{param}[coupon]"))
    if not coupon["valid"]:
        raise invalid(f"{param}[coupon]", f"Coupon expired: {coupon['id']}", code="coupon_expired")
    return {"coupon": coupon["id"], "promotion_code": None}


def _details(world: World, session: Object, email: str | None, name: str | None) -> Object:
    country = session["_country"]
    return {
        "address": address(country=country) if country else None,
        "business_name": None,
        "email": email,
        "individual_name": None,
        "name": name,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": [],
    }


# --- what the hosted page does ---


def still_open(world: World, session: Object) -> Object:
    """The session, when it can still be paid."""
    if session["status"] == "open" and session["expires_at"] <= world.now:
        expired(world, session)
    if session["status"] != "open":
        message = f"This Checkout Session is {session['status']} and can no longer be paid."
        raise Problem(400, message, code="checkout_session_not_open")
    return session


def apply_code(world: World, session: Object, typed: str) -> Object:
    """Take a promotion code into account; an empty one takes it out again."""
    still_open(world, session)
    if not session["allow_promotion_codes"]:
        raise Problem(400, "This session takes no codes.")
    session["discounts"] = []
    if typed.strip():
        code = promotions.usable(world, typed, session)
        session["discounts"] = [{"coupon": None, "promotion_code": code["id"]}]
    priced(world, session)
    return world.put(session)


def locate(world: World, session: Object, country: str) -> Object:
    """Take the customer's country into account, for the tax."""
    still_open(world, session)
    session["_country"] = country or None
    priced(world, session)
    return world.put(session)


def pay(
    world: World, session: Object, method: Object | None, *, email: str, name: str = "", save: bool = False
) -> Object:
    """The customer has pressed the button."""
    still_open(world, session)
    details = session["customer_details"] or {}
    session["customer_details"] = _details(
        world, session, details.get("email") or email or None, name or details.get("name")
    )
    if session["automatic_tax"]["enabled"] and not session["_country"]:
        raise Problem(400, "Choose a country first: the tax depends on it.")
    if session["mode"] == "setup":
        return _set_up(world, session, method)
    if session["amount_total"] == 0:
        session["payment_status"] = "no_payment_required"
        _customer(world, session, needed=False)
        return completed(world, session)
    if method is None:
        raise Problem(400, "Choose a way to pay.")
    if method["type"] not in session["payment_method_types"]:
        raise Problem(400, "This way to pay is not offered here.")
    intent = _intent(world, session, save=save)
    world.put(session)
    charging.attempt(world, intent, method, off_session=False)
    return _after_attempt(world, session, intent)


def _intent(world: World, session: Object, *, save: bool) -> Object:
    if session["payment_intent"]:
        intent = world.get("payment_intent", session["payment_intent"])
        if intent["amount"] != session["amount_total"]:
            intent["amount"] = session["amount_total"]
            world.put(intent)
        return intent
    data = session["_intent_data"]
    usage = data.get("setup_future_usage") or ("on_session" if save and session["_save"] else None)
    invoiced = session["invoice_creation"]["enabled"]
    _customer(world, session, needed=bool(usage) or invoiced)
    intent = intents.make(world, amount=session["amount_total"], currency=session["currency"])
    intent |= {"customer": session["customer"], "setup_future_usage": usage, "automatic_payment_methods": None}
    intent["payment_method_types"] = session["payment_method_types"]
    for field in "description receipt_email statement_descriptor statement_descriptor_suffix transfer_group".split():
        intent[field] = data.get(field)
    intent["metadata"] = merged({}, data.get("metadata") or {})
    intent["capture_method"] = data.get("capture_method") or "automatic_async"
    intent["_session"] = session["id"]
    world.put(intent)
    session["payment_intent"] = intent["id"]
    world.tell("payment_intent.created", intent)
    return intent


def _customer(world: World, session: Object, *, needed: bool) -> None:
    if session["customer"] or not (needed or session["customer_creation"] == "always"):
        return
    details = session["customer_details"]
    created = customers.create(world, {"email": details["email"], "name": details["name"]})
    session["customer"] = created["id"]


def _after_attempt(world: World, session: Object, intent: Object) -> Object:
    if intent["status"] == "requires_action":
        return session
    if intent["status"] == "succeeded":
        session["payment_status"] = "paid"
    return completed(world, session)


def authenticated(world: World, session: Object, intent: Object) -> Object:
    """The cardholder was believed; the payment that waited for it has gone on."""
    return _after_attempt(world, session, intent)


def _set_up(world: World, session: Object, method: Object | None) -> Object:
    if method is None:
        raise Problem(400, "Choose a card.")
    setup = world.get("setup_intent", session["setup_intent"])
    _customer(world, session, needed=session["customer_creation"] == "always")
    setup["customer"] = session["customer"]
    setups.attempt(world, setup, method)
    if setup["status"] == "succeeded":
        return completed(world, session)
    return world.put(session)


def completed(world: World, session: Object) -> Object:
    """Done, though perhaps not paid yet."""
    world.never_mind(session["id"])
    session |= {"status": "complete", "url": None}
    if session["customer"]:
        customer = world.get("customer", session["customer"])
        if not customer["email"] and session["customer_details"]["email"]:
            customers.update(world, {"email": session["customer_details"]["email"]}, id=customer["id"])
    if session["mode"] == "payment":
        promotions.redeemed(world, session)
        if session["invoice_creation"]["enabled"] and session["payment_status"] != "unpaid":
            session["invoice"] = invoices.paid_by(world, session)["id"]
    world.put(session)
    world.tell("checkout.session.completed", session)
    return session


def money_arrived(world: World, session: Object, intent: Object) -> None:
    """What was paid later is there, or will never be."""
    if session["status"] != "complete" or session["payment_status"] != "unpaid":
        return
    if intent["status"] == "succeeded":
        session["payment_status"] = "paid"
        if session["invoice_creation"]["enabled"]:
            session["invoice"] = invoices.paid_by(world, session)["id"]
        world.put(session)
        world.tell("checkout.session.async_payment_succeeded", session)
    else:
        world.tell("checkout.session.async_payment_failed", session)


def expired(world: World, session: Object) -> Object:
    """Too late."""
    world.never_mind(session["id"])
    session |= {"status": "expired", "url": None}
    world.put(session)
    for kind in ("payment_intent", "setup_intent"):
        intent = world.find(session[kind], kind)
        if intent and intent["status"] in intents.OPEN:
            if kind == "payment_intent":
                intents.canceled(world, intent, reason="automatic")
            else:
                setups.canceled(world, intent, reason=None)
    world.tell("checkout.session.expired", session)
    return session


# --- what the API does ---


def retrieve(world: World, params: Params, *, id: str) -> Object:
    """A session."""
    return world.get("checkout.session", id)


def update(world: World, params: Params, *, id: str) -> Object:
    """Change a session's metadata."""
    session = world.get("checkout.session", id)
    if "metadata" in params:
        session["metadata"] = merged(session["metadata"], params["metadata"])
    return world.put(session)


def expire(world: World, params: Params, *, id: str) -> Object:
    """Close an open session."""
    session = world.get("checkout.session", id)
    if session["status"] != "open":
        message = (
            'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a status of '
        )
        raise Problem(400, f"{message}{session['status']}.")
    return expired(world, session)
