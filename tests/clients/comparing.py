"""Three accounts of the same calls: what the client was told, what our receipts say, what the provider wrote down.

Promise: they agree call by call. Every answer the provider delivered whole is a receipt with the same tokens; usage the
client read is that of its receipt; a charge in a header is the receipt's; and what all receipts charge is exactly what
the balance lost.
"""

from collections import Counter
from decimal import Decimal
from typing import Any

from tests.clients.running import Outcome
from tests.clients.shop import CREDIT_USD, Customer, Shop

NAME = "books agree"


def compare(outcome: Outcome, shop: Shop, customer: Customer, *, after: str) -> None:
    """Add the case of the books to a client's outcome."""
    receipts = shop.receipts(customer)
    entries = [entry for entry in shop.provider_entries(after) if entry["billed"] is not None]
    lost_usd = Decimal(CREDIT_USD) - shop.balance_usd(customer)
    charged_usd = sum((Decimal(receipt["charged_usd"]) for receipt in receipts), Decimal(0))
    outcome.books = f"{len(receipts)} receipts, {len(entries)} entries of the provider, {charged_usd} USD"
    wrong = [*_tokens(receipts, entries), *_seen(outcome.seen, receipts)]
    if charged_usd != lost_usd:
        wrong.append(f"receipts charge {charged_usd} USD, the balance lost {lost_usd}")
    wrong += [f"call {one['call']['id']} does not recompute" for one in receipts if not one["recomputes"]]
    if not receipts and any(case in outcome.passed for case in ("chat", "structured output")):
        wrong.append("it spoke, and there is no receipt")
    if wrong:
        outcome.failures[NAME] = "; ".join(wrong)[:1500]
    elif receipts:
        outcome.passed.add(NAME)


def _tokens(receipts: list[dict[str, Any]], entries: list[dict[str, Any]]) -> list[str]:
    names = ("input", "cached", "output", "reasoning")
    ours = Counter(tuple(one["call"][f"{name}_tokens"] for name in names) for one in receipts if one["attempts"])
    theirs = Counter(tuple(entry["billed"][name] for name in names) for entry in entries)
    wrong = []
    if only := ours - theirs:
        wrong.append(f"only on receipts {names}: {dict(only)}")
    if only := theirs - ours:
        wrong.append(f"only in the provider's books {names}: {dict(only)}")
    return wrong


def _seen(seen: list[dict[str, Any]], receipts: list[dict[str, Any]]) -> list[str]:
    wrong = []
    by_number = {one["call"]["id"]: one for one in receipts}
    left = Counter((one["call"]["input_tokens"], one["call"]["output_tokens"]) for one in receipts)
    for told in seen:
        usage = (told["input"], told["output"])
        if not left[usage]:
            wrong.append(f"the client was told {usage} tokens, and no receipt of its has that")
        left[usage] -= 1
        if "call" not in told:
            continue
        receipt = by_number.get(told["call"])
        if receipt is None:
            wrong.append(f"no receipt {told['call']}")
        elif told["charge_usd"] is not None and Decimal(told["charge_usd"]) != Decimal(receipt["charged_usd"]):
            wrong.append(f"header {told['charge_usd']} USD, receipt {receipt['charged_usd']} of call {told['call']}")
    return wrong
