"""Coupons and the codes that stand for them, and how much they take off an amount."""

import secrets
import string

from sandbox.stripe import customers
from sandbox.stripe.blanks import blank
from sandbox.stripe.currencies import known
from sandbox.stripe.forms import Params, merged
from sandbox.stripe.problems import Problem, invalid
from sandbox.stripe.world import Object, World

COUPON = {
    "amount_off": "whole",
    "currency": "text",
    "duration": "forever|once|repeating",
    "duration_in_months": "whole",
    "id": "text",
    "max_redemptions": "whole",
    "metadata": "map",
    "name": "text",
    "percent_off": "decimal",
    "redeem_by": "time",
}
UPDATE_COUPON = {"metadata": "map", "name": "text"}
CODE = {
    "active": "flag",
    "code": "text",
    "customer": "text",
    "expires_at": "time",
    "max_redemptions": "whole",
    "metadata": "map",
    "promotion!": {"type!": "coupon", "coupon": "text"},
    "restrictions": {
        "first_time_transaction": "flag",
        "minimum_amount": "whole",
        "minimum_amount_currency": "text",
    },
}
UPDATE_CODE = {"active": "flag", "metadata": "map"}


def _letters(length: int) -> str:
    return "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(length))


def create_coupon(world: World, params: Params) -> Object:
    """A coupon."""
    percent, amount = params.get("percent_off"), params.get("amount_off")
    if (percent is None) == (amount is None):
        raise invalid("percent_off", "Exactly one of percent_off and amount_off must be given.")
    if percent is not None and not 0 < percent <= 100:
        raise invalid("percent_off", "Invalid percent_off: must be above 0 and at most 100.")
    if amount is not None and amount < 1:
        raise invalid("amount_off", "Invalid positive integer", code="parameter_invalid_integer")
    given = params.get("id") or _letters(8)
    if world.find(given):
        raise Problem(400, "Coupon already exists.", code="resource_already_exists", param="id")
    body = blank(
        "coupon",
        id=given,
        amount_off=amount,
        created=world.now,
        currency=known(params.get("currency")) if amount is not None else None,
        duration=params.get("duration") or "once",
        duration_in_months=params.get("duration_in_months"),
        max_redemptions=params.get("max_redemptions"),
        metadata=merged({}, params.get("metadata") or {}),
        name=params.get("name"),
        percent_off=percent,
        redeem_by=params.get("redeem_by"),
        times_redeemed=0,
        valid=True,
    )
    world.add(body)
    world.tell("coupon.created", body)
    return body


def seen(world: World, coupon: Object) -> Object:
    """A coupon as of now."""
    used_up = coupon["max_redemptions"] is not None and coupon["times_redeemed"] >= coupon["max_redemptions"]
    over = coupon["redeem_by"] is not None and coupon["redeem_by"] <= world.now
    coupon["valid"] = not (used_up or over)
    return coupon


def retrieve_coupon(world: World, params: Params, *, id: str) -> Object:
    """A coupon."""
    return seen(world, world.get("coupon", id))


def update_coupon(world: World, params: Params, *, id: str) -> Object:
    """Change a coupon's words."""
    body = world.get("coupon", id)
    if "metadata" in params:
        body["metadata"] = merged(body["metadata"], params["metadata"])
    if "name" in params:
        body["name"] = params["name"]
    world.put(body)
    world.tell("coupon.updated", body)
    return body


def delete_coupon(world: World, params: Params, *, id: str) -> Object:
    """Delete a coupon."""
    body = world.get("coupon", id)
    world.remove(body)
    world.tell("coupon.deleted", body)
    return {"id": id, "object": "coupon", "deleted": True}


def create_code(world: World, params: Params) -> Object:
    """A code that customers type."""
    promotion = params["promotion"]
    coupon = seen(world, world.named("coupon", promotion.get("coupon") or "", param="promotion[coupon]"))
    code = params.get("code") or _letters(8)
    if _active(world, code):
        message = f"An active promotion code with `code: {code}` already exists."
        raise Problem(400, message, code="resource_already_exists", param="code")
    restrictions = params.get("restrictions") or {}
    customer = customers.alive(world, params["customer"])["id"] if params.get("customer") else None
    body = blank(
        "promotion_code",
        id=f"promo_{_letters(24)}",
        active=params.get("active", True),
        code=code,
        created=world.now,
        customer=customer,
        expires_at=params.get("expires_at"),
        max_redemptions=params.get("max_redemptions"),
        metadata=merged({}, params.get("metadata") or {}),
        promotion={"coupon": coupon["id"], "type": "coupon"},
        restrictions={
            "first_time_transaction": restrictions.get("first_time_transaction", False),
            "minimum_amount": restrictions.get("minimum_amount"),
            "minimum_amount_currency": restrictions.get("minimum_amount_currency"),
        },
        times_redeemed=0,
    )
    world.add(body)
    world.tell("promotion_code.created", body)
    return body


def seen_code(world: World, code: Object) -> Object:
    """A promotion code as of now."""
    used_up = code["max_redemptions"] is not None and code["times_redeemed"] >= code["max_redemptions"]
    over = code["expires_at"] is not None and code["expires_at"] <= world.now
    coupon = world.find(code["promotion"]["coupon"], "coupon")
    code["active"] = bool(code["active"] and not used_up and not over and coupon and seen(world, coupon)["valid"])
    return code


def retrieve_code(world: World, params: Params, *, id: str) -> Object:
    """A promotion code."""
    return seen_code(world, world.get("promotion_code", id))


def update_code(world: World, params: Params, *, id: str) -> Object:
    """Switch a promotion code on or off."""
    body = world.get("promotion_code", id)
    if "metadata" in params:
        body["metadata"] = merged(body["metadata"], params["metadata"])
    if "active" in params:
        body["active"] = params["active"]
    world.put(body)
    world.tell("promotion_code.updated", body)
    return body


def _active(world: World, code: str) -> Object | None:
    for one in world.all("promotion_code"):
        if one["code"].upper() == code.upper() and seen_code(world, one)["active"]:
            return one
    return None


def usable(world: World, typed: str, session: Object) -> Object:
    """The promotion code a customer typed, when it holds for this session."""
    code = _active(world, typed.strip())
    if code is None:
        raise Problem(400, "This code is invalid.", code="promotion_code_invalid")
    if code["customer"] and code["customer"] != session["customer"]:
        raise Problem(400, "This code is not for you.", code="promotion_code_invalid")
    least = code["restrictions"]["minimum_amount"]
    if least is not None and session["amount_subtotal"] < least:
        raise Problem(400, "The amount is too small for this code.", code="promotion_code_invalid")
    coupon = world.get("coupon", code["promotion"]["coupon"])
    if coupon["amount_off"] is not None and coupon["currency"] != session["currency"]:
        raise Problem(400, "This code is for another currency.", code="promotion_code_invalid")
    if code["restrictions"]["first_time_transaction"] and _paid_before(world, session["customer"]):
        raise Problem(400, "This code is for first purchases only.", code="promotion_code_invalid")
    return code


def _paid_before(world: World, customer: str | None) -> bool:
    return bool(customer) and any(one["paid"] for one in world.all("charge", customer=customer))


def off(coupon: Object, amount: int) -> int:
    """How much a coupon takes off, never more than there is."""
    if coupon["amount_off"] is not None:
        return min(amount, int(coupon["amount_off"]))
    return min(amount, int(amount * coupon["percent_off"] / 100 + 0.5))


def redeemed(world: World, session: Object) -> None:
    """A session with a discount was completed."""
    for discount in session["discounts"]:
        for kind, given in (("coupon", discount["coupon"]), ("promotion_code", discount["promotion_code"])):
            body = world.find(given, kind)
            if body is not None:
                body["times_redeemed"] += 1
                world.put(body)
