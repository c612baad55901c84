"""What an operator must hear about: a refused key, a sale at unknown cost, a price that waits for a person.

Promise: an alarm is counted and logged wherever it is raised, also on the event loop, which it never blocks; the
platform's staff get one letter for each occasion a day, and nothing a customer sees ever carries it.
"""

import logging
from collections import OrderedDict
from datetime import datetime

from django.db import transaction
from prometheus_client import Counter

from accounts import letters
from accounts.models import Storefront, User

MOST_WAITING = 200

counted = Counter("tollgate_alarms", "What an operator must hear about", ["kind"])
log = logging.getLogger(__name__)
_waiting: "OrderedDict[tuple[str, str], None]" = OrderedDict()


def raised(kind: str, sentence: str) -> None:
    """Note an alarm where nobody may wait; the letter follows within a second or two."""
    counted.labels(kind).inc()
    if (kind, sentence) not in _waiting:
        log.error("alarm (%s): %s", kind, sentence)
    if len(_waiting) < MOST_WAITING:
        _waiting[kind, sentence] = None


def tell(kind: str, sentence: str, *, now: datetime) -> None:
    """Raise an alarm and write its letter in the caller's transaction."""
    counted.labels(kind).inc()
    log.error("alarm (%s): %s", kind, sentence)
    _write(kind, sentence, now)


def deliver(*, now: datetime) -> None:
    """Write the letters of what was raised since; called off the event loop."""
    while _waiting:
        (kind, sentence), _ = _waiting.popitem(last=False)
        with transaction.atomic():
            _write(kind, sentence, now)


def _write(kind: str, sentence: str, now: datetime) -> None:
    shop = Storefront.objects.filter(is_default=True).first()
    staff = list(User.objects.filter(is_staff=True, is_superuser=True, is_active=True).values_list("email", flat=True))
    if shop is None or not staff:
        return
    letters.send(
        "supply_alarm",
        storefront=shop,
        recipients=staff,
        context={"sentence": sentence},
        key=f"{kind}:{sentence}:{now:%Y-%m-%d}",
        now=now,
    )
