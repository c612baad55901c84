"""The gateway's part of the audit: one call one charge, every departure explained, every charge recomputed.

Promise: it only reads, a thousand rows at a time; an incremental run looks at the calls since a little before the last
proven transfer, a whole run at all of them. I6: a charged hold of a call has its call, a call's attempts are its
departures, and a departure whose hold has ended has its call. I7: the price is what usage, circumstances and pinned
versions give, and what was charged follows from it by the rule on the row.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from django.db import connection

from billing.audit import Finding
from billing.models import Hold, Transfer
from gateway import replays
from gateway.callid import first_id
from gateway.models import Attempt, Call

SLICE = 1_000
LONGEST_BEFORE = timedelta(hours=1)  # a call's number is made when it opens, its charge when it ends

# Each names a call and says what is wrong with it; ``{first}`` is the first number looked at.
QUESTIONS: Sequence[tuple[str, str, str]] = (
    (
        "a charge of a call has its call",
        "gateway_departure",
        """
        SELECT d.call_id, 'charged, but there is no call' FROM gateway_departure d
        JOIN billing_hold h ON h.id = d.call_id
        WHERE d.call_id >= {first} AND d.number = 1 AND h.outcome = 'settled'
        AND NOT EXISTS (SELECT 1 FROM gateway_call c WHERE c.id = d.call_id)
        """,
    ),
    (
        "every departure is explained",
        "gateway_departure",
        """
        SELECT d.call_id, 'its hold has ended, and nobody knows how the call did' FROM gateway_departure d
        JOIN billing_hold h ON h.id = d.call_id
        WHERE d.call_id >= {first} AND h.outcome IN ('released', 'expired')
        AND NOT EXISTS (SELECT 1 FROM gateway_call c WHERE c.id = d.call_id)
        """,
    ),
    (
        "nothing leaves without a hold",
        "gateway_departure",
        """
        SELECT d.call_id, 'left, but nothing was held for it' FROM gateway_departure d
        WHERE d.call_id >= {first} AND NOT EXISTS (SELECT 1 FROM billing_hold h WHERE h.id = d.call_id)
        """,
    ),
    (
        "every departure is an attempt",
        "gateway_departure",
        """
        SELECT d.call_id, 'departure ' || d.number || ' is no attempt' FROM gateway_departure d
        WHERE d.call_id >= {first} AND EXISTS (SELECT 1 FROM gateway_call c WHERE c.id = d.call_id)
        AND NOT EXISTS (SELECT 1 FROM gateway_attempt a WHERE a.id = d.id AND a.call_id = d.call_id)
        """,
    ),
    (
        "every attempt departed",
        "gateway_attempt",
        """
        SELECT a.call_id, 'attempt ' || a.number || ' never departed' FROM gateway_attempt a
        WHERE a.call_id >= {first}
        AND NOT EXISTS (SELECT 1 FROM gateway_departure d WHERE d.id = a.id AND d.call_id = a.call_id)
        """,
    ),
    (
        "a call has a hold, and the hold has ended",
        "gateway_call",
        """
        SELECT c.id, CASE WHEN h.id IS NULL THEN 'there is no hold' ELSE 'its hold is open' END FROM gateway_call c
        LEFT JOIN billing_hold h ON h.id = c.id
        WHERE c.id >= {first} AND (h.id IS NULL OR h.outcome IS NULL)
        """,
    ),
    (
        "a call belongs to whoever paid",
        "gateway_call",
        """
        SELECT c.id, 'the call is another organization''s than its hold' FROM gateway_call c
        JOIN billing_hold h ON h.id = c.id
        WHERE c.id >= {first} AND h.organization_id <> c.organization_id
        """,
    ),
)


def one_call_one_charge(since: int) -> Iterator[Finding]:
    """I6."""
    first = first_call(since)
    for name, table, question in QUESTIONS:
        with connection.cursor() as cursor:
            cursor.execute(question.format(first=first))
            while rows := cursor.fetchmany(SLICE):
                for call_id, detail in rows:
                    yield Finding("I6", name, table, call_id, None, detail)


def the_price_recomputes(since: int) -> Iterator[Finding]:
    """I7."""
    versions, last = replays.Versions(), first_call(since) - 1
    while calls := list(Call.unscoped.filter(pk__gt=last).order_by("pk")[:SLICE]):
        last = calls[-1].pk
        ids = [call.pk for call in calls]
        holds, attempts = Hold.unscoped.in_bulk(ids), _attempts(ids)
        for call in calls:
            for difference in replays.differences(call, holds.get(call.pk), attempts.get(call.pk, []), versions):
                yield Finding("I7", "the charge recomputes", "gateway_call", call.pk, None, difference)


def _attempts(ids: Sequence[int]) -> dict[int, list[Attempt]]:
    """The attempts of each call, in their order."""
    found: dict[int, list[Attempt]] = {}
    for attempt in Attempt.unscoped.filter(call_id__in=ids).order_by("number"):
        found.setdefault(attempt.call_id, []).append(attempt)
    return found


def first_call(since: int) -> int:
    """The first call that may have been charged after a transfer."""
    if not since:
        return 0
    reached = Transfer.unscoped.filter(pk__lte=since).order_by("-pk").values_list("created_at", flat=True).first()
    return max(0, first_id(reached - LONGEST_BEFORE)) if reached else 0
