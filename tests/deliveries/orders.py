"""Every order of a lifecycle's events: python -m tests.deliveries.orders [--database sqlite].

Each lifecycle is told in all permutations of its events (and each event once more, somewhere later); all of them must
leave the same balances, the same state of the order and the same reversals. The suite has a short version.
"""

import argparse
import itertools
import json
import math
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.simulator.worlds import make_organizations, say, world

Event = dict[str, Any]


def lifecycles(till: Any) -> dict[str, list[Event]]:
    """Up to seven events each."""
    paid = [till.session(), till.intent(), till.charge()]
    unpaid = till.session(payment_status="unpaid")
    refund = till.refund(amount=700, status="pending")
    won = till.dispute("charge.dispute.closed", status="won")
    lost = till.dispute("charge.dispute.closed", status="lost")
    back = till.dispute("charge.dispute.funds_reinstated", status="won")
    gone = till.dispute("charge.dispute.funds_withdrawn")
    expired = till.session("checkout.session.expired", status="expired", payment_status="unpaid")
    failed = till.session("checkout.session.async_payment_failed", payment_status="unpaid")
    in_time = till.session("checkout.session.async_payment_succeeded")
    whole = till.charge("charge.refunded", amount_refunded=2_000)
    return {
        "a card": [*paid, till.intent("payment_intent.processing")],
        "a card at the second try": [till.intent("payment_intent.payment_failed"), *paid],
        "money later": [unpaid, till.intent("payment_intent.processing"), in_time, till.intent(), till.charge()],
        "money never": [unpaid, till.intent("payment_intent.processing"), failed],
        "failed and paid all the same": [unpaid, failed, in_time, till.intent()],
        "expired and paid all the same": [expired, *paid],
        "all of it back": [*paid, till.refund(status="pending"), till.refund("refund.updated"), whole],
        "a part back": [*paid, refund, till.refund("refund.updated", amount=700)],
        "parts back": [*paid, refund, till.refund(number=2, amount=600), till.refund(number=3, amount=700)],
        "back, and not back": [*paid, refund, till.refund("refund.failed", amount=700, status="failed")],
        "disputed and lost": [*paid, till.dispute(), gone, till.dispute("charge.dispute.updated"), lost],
        "disputed and won": [*paid, till.dispute(), gone, won, back],
        "asked about": [
            *paid,
            till.dispute(status="warning_needs_response"),
            till.dispute("charge.dispute.closed", status="warning_closed"),
        ],
        "refunded and disputed": [*paid, refund, till.refund("refund.updated", amount=700), till.dispute(), lost],
        "refunded, disputed and won": [*paid, till.refund(amount=1_500), till.dispute(), won, back],
        "a refund that fails while disputed": [
            *paid[:2],
            till.refund(amount=1_500, status="pending"),
            till.refund("refund.failed", amount=1_500, status="failed"),
            till.dispute(),
            lost,
        ],
        "two payments": [*paid, till.session(payment_intent="pi_second"), till.refund(amount=700)],
        "tax and a discount": [
            till.session(total_details={"amount_discount": 500, "amount_tax": 285}, amount_total=1_785, currency="usd"),
            till.refund(amount=333),
            till.refund(number=2, amount=334),
            till.refund("refund.failed", number=2, amount=334, status="failed"),
            till.refund(number=3, amount=1_452),
        ],
    }


def told_in(till: Any, order: tuple[Event, ...]) -> tuple[Any, ...]:
    """Tell the events in this order, look, and undo everything."""
    from django.db import transaction
    from django.utils import timezone

    from billing import settling
    from billing.models import Account, Mismatch, TopUp, Transfer
    from billing.payments import registry

    driver, now = registry.driver("stripe"), timezone.now()
    with transaction.atomic():
        for event in order:
            with transaction.atomic():
                settling.apply(till.account, driver.read_webhook(till.account, json.dumps(event).encode()), now=now)
        seen = (
            till.balances(),
            till.state(),
            till.reversals(),
            Mismatch.objects.count(),
            tuple(sorted(Account.objects.of(till.organization).values_list("kind", "posted"))),
            Transfer.objects.of(till.organization).filter(code="top_up").count(),
        )
        transaction.set_rollback(True)
    TopUp.unscoped.filter(pk=till.order.pk).update(state="open", payment_id=None)
    till.order.refresh_from_db()
    return seen


def check(name: str, till: Any, events: list[Event], orders: Iterator[tuple[Event, ...]]) -> tuple[int, list[str]]:
    """Compare all orders with the first."""
    chance = random.Random(name)
    first, wrongs, many = told_in(till, tuple(events)), [], 0
    for order in orders:
        many += 1
        repeated = [*order, *chance.sample(order, k=min(2, len(order)))]
        for told in (order, tuple(repeated)) if many % 10 == 1 else (order,):
            seen = told_in(till, told)
            if seen != first:
                words = [f"{event['type']}" for event in told]
                wrongs.append(f"{name}: {words} left {seen}, not {first}")
    return many, wrongs


def till_for(name: str, make: Callable[..., Any], organization: Any) -> Any:
    taxed = name.startswith("tax")
    return make(organization, with_tax=taxed, with_promotions=taxed)


def some(events: list[Event], *, most: int, seed: int) -> Iterator[tuple[Event, ...]]:
    """All orders if they are few, else so many at random."""
    if math.factorial(len(events)) <= most:
        yield from itertools.permutations(events)
        return
    chance = random.Random(seed)
    for _ in range(most):
        yield tuple(chance.sample(events, k=len(events)))


def main() -> int:
    parser = argparse.ArgumentParser(description="All permutations of each lifecycle's events leave the same ledger.")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    arguments = parser.parse_args()
    with world(arguments.database):
        import logging

        from django.conf import settings
        from django.db import connection

        from accounts.models import Organization
        from tests.billing.payment_stage import Till, configure

        logging.disable(logging.CRITICAL)
        configure(settings)
        with connection.cursor() as cursor:  # nothing is kept, so nothing need survive
            cursor.execute(
                "PRAGMA synchronous=OFF" if connection.vendor == "sqlite" else "SET synchronous_commit = off"
            )
        organization = Organization.objects.get(pk=make_organizations(1, credit=0)[0])
        started_at, total, wrongs = time.perf_counter(), 0, []
        for name in lifecycles(Till(organization)):
            till = till_for(name, Till, organization)
            events = lifecycles(till)[name]
            many, found = check(name, till, events, itertools.permutations(events))
            total, wrongs = total + many, wrongs + found
            say(
                f"{name}: {len(events)} events, {many} orders, {len(found)} wrongs,"
                f" {time.perf_counter() - started_at:.0f} s"
            )
        for wrong in wrongs[:20]:
            say(f"WRONG {wrong}")
        say(f"{arguments.database}: {total:,} orders told, {len(wrongs)} differ")
        return 1 if wrongs else 0


if __name__ == "__main__":
    raise SystemExit(main())
