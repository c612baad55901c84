"""Refunds: never more than was captured, each with its own movement of money, and one back when it fails."""

from sandbox.stripe import balance, cards
from sandbox.stripe.blanks import blank
from sandbox.stripe.currencies import text
from sandbox.stripe.forms import Params, merged
from sandbox.stripe.problems import Problem, invalid
from sandbox.stripe.world import Object, World, new_id

CREATE = {
    "amount": "whole",
    "charge": "text",
    "currency": "text",
    "instructions_email": "text",
    "metadata": "map",
    "payment_intent": "text",
    "reason": "duplicate|fraudulent|requested_by_customer",
}
UPDATE = {"metadata": "map"}
TAKES_S = 120


def create(world: World, params: Params) -> Object:
    """Give money back."""
    charge = _charge(world, params)
    if charge["status"] != "succeeded":
        raise Problem(400, "This charge has not succeeded; there is nothing to refund.", code="charge_not_refundable")
    _undisputed(world, charge)
    left = charge["amount_captured"] - charge["amount_refunded"]
    amount = params.get("amount", left)
    if left == 0:
        message = f"Charge {charge['id']} has already been refunded."
        raise Problem(400, message, code="charge_already_refunded")
    if amount is None or amount < 1:
        raise invalid("amount", "Invalid positive integer", code="parameter_invalid_integer")
    if amount > left:
        message = (
            f"Refund amount ({text(amount, charge['currency'])}) is greater than unrefunded amount on charge "
            f"({text(left, charge['currency'])})"
        )
        raise invalid("amount", message)
    return _refund(world, charge, amount=amount, params=params)


def _charge(world: World, params: Params) -> Object:
    if params.get("payment_intent"):
        intent = world.named("payment_intent", params["payment_intent"], param="payment_intent")
        if not intent["latest_charge"]:
            message = f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund."
            raise Problem(400, message, code="payment_intent_unexpected_state")
        return world.get("charge", intent["latest_charge"])
    if params.get("charge"):
        return world.named("charge", params["charge"], param="charge")
    raise Problem(400, "One of the following params should be provided for this request: payment_intent or charge.")


def _undisputed(world: World, charge: Object) -> None:
    if any(not one["is_charge_refundable"] for one in world.all("dispute", charge=charge["id"])):
        message = f"Charge {charge['id']} has been charged back; cannot issue a refund."
        raise Problem(400, message, code="charge_disputed")


def _refund(world: World, charge: Object, *, amount: int, params: Params) -> Object:
    slow = cards.BY_NAME[charge["_card"]]
    pending = slow.after == "refund_pending" or slow.kind == "us_bank_account"
    id_ = new_id("re" if slow.kind == "card" else "pyr")
    kind = slow.kind if slow.kind != "us_bank_account" else "us_bank_transfer"
    details = {"card": {"reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund"}}
    refund = blank(
        "refund",
        id=id_,
        amount=amount,
        charge=charge["id"],
        created=world.now,
        currency=charge["currency"],
        customer=charge["customer"],
        destination_details={kind: details.get(kind, {}), "type": kind},
        instructions_email=params.get("instructions_email"),
        metadata=merged({}, params.get("metadata") or {}),
        payment_intent=charge["payment_intent"],
        payment_method=charge["payment_method"],
        pending_reason="processing" if pending else None,
        reason=params.get("reason"),
        status="pending" if pending else "succeeded",
    )
    movement = balance.move(
        world,
        amount=-amount,
        currency=charge["currency"],
        kind="refund" if slow.kind == "card" else "payment_refund",
        category="refund",
        source=id_,
        description=f"REFUND FOR CHARGE ({charge['description'] or charge['id']})",
    )
    refund["balance_transaction"] = movement["id"]
    world.add(refund)
    _take(world, charge, amount)
    world.tell("refund.created", refund)
    world.tell("charge.refunded", charge, before={"amount_refunded": charge["amount_refunded"] - amount})
    if pending:
        world.later(TAKES_S, "refund_arrives", id_)
    elif slow.after == "refund_fails":
        world.later(TAKES_S, "refund_fails", id_)
    return refund


def _take(world: World, charge: Object, amount: int) -> None:
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]
    world.put(charge)


def arrived(world: World, refund: Object) -> Object:
    """A pending refund reached the customer."""
    if refund["status"] != "pending":
        raise Problem(400, f"This refund is {refund['status']}, not pending.")
    world.never_mind(refund["id"])
    refund |= {"status": "succeeded", "pending_reason": None}
    world.put(refund)
    world.tell("refund.updated", refund, before={"status": "pending"})
    world.tell("charge.refund.updated", refund, before={"status": "pending"})
    return refund


def fail(world: World, refund: Object, *, reason: str = "lost_or_stolen_card") -> Object:
    """A refund that came back: the money is the account's again, and the charge says so."""
    if refund["status"] not in {"pending", "succeeded"}:
        raise Problem(400, f"This refund is {refund['status']}.")
    return _undo(world, refund, "failed", reason=reason)


def _undo(world: World, refund: Object, status: str, *, reason: str | None) -> Object:
    before = {"status": refund["status"]}
    world.never_mind(refund["id"])
    movement = balance.move(
        world,
        amount=refund["amount"],
        currency=refund["currency"],
        kind="refund_failure" if status == "failed" else "payment_failure_refund",
        category="refund_failure",
        source=refund["id"],
        description="REFUND FAILURE",
    )
    refund |= {"status": status, "failure_reason": reason, "pending_reason": None}
    refund["failure_balance_transaction"] = movement["id"]
    world.put(refund)
    _take(world, world.get("charge", refund["charge"]), -refund["amount"])
    world.tell("refund.updated", refund, before=before)
    world.tell("charge.refund.updated", refund, before=before)
    if status == "failed":
        world.tell("refund.failed", refund, before=before)
    return refund


def cancel(world: World, params: Params, *, id: str) -> Object:
    """Call a pending refund back."""
    refund = world.get("refund", id)
    if refund["status"] != "pending":
        raise Problem(400, f"Refund {id} cannot be canceled: it has a status of {refund['status']}.")
    return _undo(world, refund, "canceled", reason=None)


def retrieve(world: World, params: Params, *, id: str) -> Object:
    """A refund."""
    return world.get("refund", id)


def update(world: World, params: Params, *, id: str) -> Object:
    """Change a refund's metadata."""
    refund = world.get("refund", id)
    if "metadata" in params:
        refund["metadata"] = merged(refund["metadata"], params["metadata"])
    world.put(refund)
    world.tell("refund.updated", refund)
    return refund
