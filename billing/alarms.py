"""What a person has to look at: one letter to those who run the shop, once for each occasion.

Promise: the letter is an outbox row of the transaction that noticed; it names the payment and where to look, and
carries no secret. Whoever runs the platform hears of every shop, a shop's staff of theirs alone.
"""

from datetime import datetime

import structlog

from accounts import access, letters
from accounts.models import Storefront, User

log = structlog.get_logger(__name__)
MOST_RECIPIENTS = 20


def ring(what: str, *, storefront: Storefront, sentence: str, reference: str, key: str, now: datetime) -> None:
    """Tell those in charge."""
    log.error("payment_alarm", what=what, reference=reference, sentence=sentence)
    letters.send(
        "payment_alarm",
        storefront=storefront,
        recipients=_recipients(storefront),
        context={
            "what": what,
            "sentence": sentence,
            "reference": reference,
            "desk_url": f"{access.canonical_base(storefront)}/admin/",
        },
        key=key,
        now=now,
    )


def _recipients(storefront: Storefront) -> list[str]:
    staff = User.objects.filter(is_active=True)
    found = set(staff.filter(is_superuser=True).order_by("id").values_list("email", flat=True)[:MOST_RECIPIENTS])
    shop = staff.filter(storefront_jobs__storefront=storefront, storefront_jobs__can_change=True)
    found |= set(shop.order_by("id").values_list("email", flat=True)[:MOST_RECIPIENTS])
    return sorted(found)
