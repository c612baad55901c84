"""Balance transactions, each one movement of the account's money, and the balance, which is nothing but their sum."""

from collections import defaultdict
from typing import Any

from sandbox.stripe.blanks import blank
from sandbox.stripe.currencies import fee_of
from sandbox.stripe.forms import Params
from sandbox.stripe.world import Object, World, new_id

SETTLES_AFTER_S = 2 * 86_400
DISPUTE_FEE = 1500
KEPT_CENTS = {"usd", "eur", "gbp", "cad", "aud", "chf"}


def move(
    world: World,
    *,
    amount: int,
    currency: str,
    kind: str,
    source: str,
    category: str | None = None,
    fee: int = 0,
    description: str | None = None,
) -> Object:
    """Write one movement down."""
    details = []
    if fee:
        what = "Stripe processing fees" if kind in {"charge", "payment"} else "Dispute fee"
        details.append(
            {"amount": fee, "application": None, "currency": currency, "description": what, "type": "stripe_fee"}
        )
    settles = SETTLES_AFTER_S if kind in {"charge", "payment"} else 0
    return world.add(
        blank(
            "balance_transaction",
            id=new_id("txn"),
            amount=amount,
            available_on=world.now + settles,
            balance_type="payments",
            created=world.now,
            currency=currency,
            description=description,
            fee=fee,
            fee_details=details,
            net=amount - fee,
            reporting_category=category or kind,
            source=source,
            status="pending" if settles else "available",
            type=kind,
        )
    )


def charged(world: World, charge: Object) -> Object:
    """The money of a charge arrives, less Stripe's fee."""
    kind = "charge" if charge["payment_method_details"]["type"] == "card" else "payment"
    return move(
        world,
        amount=charge["amount"],
        currency=charge["currency"],
        kind=kind,
        category="charge",
        source=charge["id"],
        fee=fee_of(charge["amount"], charge["currency"]),
        description=charge["description"],
    )


def seen(world: World, body: Object) -> Object:
    """A movement as of now: pending money becomes available when its day has come."""
    if body["status"] == "pending" and body["available_on"] <= world.now:
        body["status"] = "available"
    return body


def retrieve_transaction(world: World, params: Params, *, id: str) -> Object:
    """One movement."""
    return seen(world, world.get("balance_transaction", id))


def retrieve(world: World, params: Params) -> Object:
    """What the account has, currency by currency."""
    sums: dict[str, dict[str, int]] = {"available": defaultdict(int), "pending": defaultdict(int)}
    for one in world.all("balance_transaction"):
        sums[seen(world, one)["status"]][one["currency"]] += one["net"]
    currencies = sorted({"usd"} | set(sums["available"]) | set(sums["pending"]))

    def told(status: str) -> list[dict[str, Any]]:
        amounts = sums[status]
        return [{"amount": amounts[c], "currency": c, "source_types": {"card": amounts[c]}} for c in currencies]

    return {
        "object": "balance",
        "available": told("available"),
        "connect_reserved": [],
        "livemode": False,
        "pending": told("pending"),
        "refund_and_dispute_prefunding": {"available": [], "pending": []},
    }
