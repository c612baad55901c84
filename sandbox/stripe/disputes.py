"""Disputes: the bank takes the money back with a fee, and gives it back if we win."""

from sandbox.stripe import balance
from sandbox.stripe.blanks import blank
from sandbox.stripe.currencies import decimals
from sandbox.stripe.forms import Params, merged
from sandbox.stripe.problems import Problem
from sandbox.stripe.world import Object, World, new_id

ANSWER_WITHIN_S = 7 * 86_400
EVIDENCE = (
    "access_activity_log billing_address cancellation_policy cancellation_policy_disclosure cancellation_rebuttal "
    "customer_communication customer_email_address customer_name customer_purchase_ip customer_signature "
    "duplicate_charge_documentation duplicate_charge_explanation duplicate_charge_id product_description receipt "
    "refund_policy refund_policy_disclosure refund_refusal_explanation service_date service_documentation "
    "shipping_address shipping_carrier shipping_date shipping_documentation shipping_tracking_number "
    "uncategorized_file uncategorized_text"
).split()
UPDATE = {"evidence": dict.fromkeys(EVIDENCE, "text"), "metadata": "map", "submit": "flag"}
FEE = {0: 1500, 2: 1500, 3: 15000}


def open_dispute(
    world: World, charge: Object, *, reason: str = "fraudulent", amount: int | None = None, inquiry: bool = False
) -> Object:
    """The cardholder went to the bank. An inquiry takes nothing yet."""
    if charge["status"] != "succeeded" or charge["disputed"]:
        raise Problem(400, "Only a charge that succeeded and is not disputed yet can be disputed.")
    disputed = charge["amount"] if amount is None else amount
    if not 1 <= disputed <= charge["amount"]:
        raise Problem(400, "A dispute cannot exceed the amount of its charge.", param="amount")
    dispute = blank(
        "dispute",
        id=new_id("du"),
        amount=disputed,
        balance_transactions=[],
        charge=charge["id"],
        created=world.now,
        currency=charge["currency"],
        enhanced_eligibility_types=[],
        evidence={**dict.fromkeys(EVIDENCE), "appeal": None, "enhanced_evidence": {}},
        evidence_details={
            "due_by": world.now + ANSWER_WITHIN_S,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        is_charge_refundable=inquiry,
        metadata={},
        network_reason_code="10.4",
        payment_intent=charge["payment_intent"],
        payment_method_details={
            "card": {
                "brand": "visa",
                "case_type": "inquiry" if inquiry else "chargeback",
                "network": "visa",
                "network_reason_code": "10.4",
            },
            "type": "card",
        },
        reason=reason,
        status="warning_needs_response" if inquiry else "needs_response",
    )
    world.add(dispute)
    charge["disputed"] = True
    world.put(charge)
    world.tell("charge.dispute.created", dispute)
    if not inquiry:
        _withdraw(world, dispute)
    return dispute


def _withdraw(world: World, dispute: Object) -> None:
    fee = FEE[decimals(dispute["currency"])]
    _move(world, dispute, amount=-dispute["amount"], category="dispute", fee=fee)
    world.tell("charge.dispute.funds_withdrawn", dispute)


def _move(world: World, dispute: Object, *, amount: int, category: str, fee: int) -> None:
    movement = balance.move(
        world,
        amount=amount,
        currency=dispute["currency"],
        kind="adjustment",
        category=category,
        source=dispute["id"],
        fee=fee,
        description=f"Chargeback {'withdrawal' if amount < 0 else 'reversal'} for {dispute['charge']}",
    )
    dispute["balance_transactions"].append(movement)
    world.put(dispute)


def escalate(world: World, dispute: Object) -> Object:
    """An inquiry becomes a dispute."""
    if dispute["status"] not in {"warning_needs_response", "warning_under_review"}:
        raise Problem(400, f"This dispute is {dispute['status']}: it is no inquiry.")
    before = {"status": dispute["status"]}
    dispute |= {"status": "needs_response", "is_charge_refundable": False}
    dispute["payment_method_details"]["card"]["case_type"] = "chargeback"
    world.put(dispute)
    world.tell("charge.dispute.updated", dispute, before=before)
    _withdraw(world, dispute)
    return dispute


def decide(world: World, dispute: Object, *, won: bool) -> Object:
    """The bank has decided. A dispute that is won brings the money back, and the fee."""
    if dispute["status"] in {"won", "lost", "warning_closed"}:
        raise Problem(400, f"This dispute is already {dispute['status']}.")
    before = {"status": dispute["status"]}
    inquiry = dispute["status"].startswith("warning_")
    dispute["status"] = "warning_closed" if inquiry else "won" if won else "lost"
    world.put(dispute)
    if won and not inquiry:
        fee = FEE[decimals(dispute["currency"])]
        _move(world, dispute, amount=dispute["amount"], category="dispute_reversal", fee=-fee)
        world.tell("charge.dispute.funds_reinstated", dispute)
    world.tell("charge.dispute.closed", dispute, before=before)
    return dispute


def retrieve(world: World, params: Params, *, id: str) -> Object:
    """A dispute."""
    return world.get("dispute", id)


def update(world: World, params: Params, *, id: str) -> Object:
    """Send evidence. ``winning_evidence`` and ``losing_evidence`` decide, as in Stripe's own test mode."""
    dispute = world.get("dispute", id)
    if dispute["status"] in {"won", "lost", "warning_closed"}:
        raise Problem(400, "This dispute is already closed.", code="dispute_closed")
    before = {"status": dispute["status"]}
    if "metadata" in params:
        dispute["metadata"] = merged(dispute["metadata"], params["metadata"])
    if params.get("evidence"):
        dispute["evidence"] |= params["evidence"]
        dispute["evidence_details"]["has_evidence"] = True
    if params.get("submit", bool(params.get("evidence"))):
        dispute["evidence_details"]["submission_count"] += 1
        dispute["evidence_details"]["submission_method"] = "manual"
        inquiry = dispute["status"].startswith("warning_")
        dispute["status"] = "warning_under_review" if inquiry else "under_review"
    world.put(dispute)
    world.tell("charge.dispute.updated", dispute, before=before)
    words = dispute["evidence"]["uncategorized_text"]
    if words in {"winning_evidence", "losing_evidence"}:
        return decide(world, dispute, won=words == "winning_evidence")
    return dispute


def close(world: World, params: Params, *, id: str) -> Object:
    """Accept a dispute: it is lost."""
    return decide(world, world.get("dispute", id), won=False)
