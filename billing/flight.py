"""The flight recorder: one timeline per payment, of everything that was asked, heard, checked, decided and moved.

Promise: a line is written in the transaction of what it tells of and never changes; it holds ids, amounts and words,
never a key, a card or an address.
"""

from datetime import datetime
from typing import Any

from billing.models import PaymentEvent, TopUp
from plumbing.secrets import redact

REQUEST, WEBHOOK, CHECK, STATE, TRANSFER, MISMATCH, NOTICE = (
    *("request", "webhook", "check", "state", "transfer"),
    *("mismatch", "notice"),
)


def record(
    kind: str,
    name: str,
    *,
    now: datetime,
    top_up: TopUp | None = None,
    storefront_id: int | None = None,
    outside_id: str = "",
    outcome: str = "",
    **detail: Any,
) -> None:
    """Write one line."""
    shop = storefront_id or (top_up.organization.storefront_id if top_up else None)
    assert shop is not None, "a line belongs to an order, or at least to a storefront"
    PaymentEvent.objects.create(
        storefront_id=shop,
        top_up=top_up,
        kind=kind,
        name=name[:120],
        outside_id=outside_id[:255],
        outcome=outcome[:40],
        detail={word: redact(value)[:300] if isinstance(value, str) else value for word, value in detail.items()},
        created_at=now,
    )
