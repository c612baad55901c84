"""What a customer should look at now, worked out from the rows of this moment: nothing here is stored or sent.

Promise: each says what is the matter and leads to where it can be mended.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from django.db.models import F, OuterRef, QuerySet, Subquery

from accounts.models import ApiKey, Organization
from analytics.customer import Use
from billing.models import CapCounter
from dashboard.purse import LOW_DAYS, Purse
from dashboard.templatetags.figures import needed, percent

NEAR = Fraction(4, 5)  # of a cap
MANY_ERRORS = Fraction(1, 20)
LEAST_CALLS = 20  # before a rate of errors means anything
SOON = timedelta(days=7)
MOST_KEYS = 200


@dataclass(frozen=True, slots=True)
class Lookout:
    """One thing to look at."""

    kind: str  # bad, warn or info
    text: str
    page: str = ""  # the name of a page of this organization
    link: str = ""


def of_purse(purse: Purse, runway: Fraction | None) -> list[Lookout]:
    """Money that ends soon."""
    found = []
    if purse.owed_nano:
        found.append(Lookout("bad", f"{needed(purse.owed_nano)} is owed from a refund or dispute of spent credit."))
    if purse.available_nano <= 0:
        found.append(Lookout("bad", "There is no credit left: calls are refused until some is added."))
    elif runway is not None and runway < LOW_DAYS:
        found.append(Lookout("warn", f"Credit runs out in about {float(runway):.1f} days at this pace."))
    if purse.next_expiry and purse.expiring_nano:
        words = f"{needed(purse.expiring_nano)} of bonus credit ends on {purse.next_expiry:%d %b %Y} (UTC)."
        found.append(Lookout("info", words))
    return found


def of_errors(today: Use) -> list[Lookout]:
    """Calls that fail."""
    rate = today.error_rate
    if rate is None or today.requests < LEAST_CALLS or rate < MANY_ERRORS:
        return []
    words = f"{percent(rate)} of today's calls failed. Failed calls are free."
    return [Lookout("warn", words, "activity", "See them")]


def keys_with_counters(organization: Organization, *, now: datetime) -> QuerySet[Any]:
    """Keys, those used last first, with what their caps' windows have counted."""
    today = now.date()
    starts = {"day": today, "month": today.replace(day=1), "total": None}
    counted = {}
    for window, start in starts.items():
        counter = CapCounter.objects.of(organization).filter(scope_kind="key", scope_id=OuterRef("pk"), window=window)
        if start is not None:
            counter = counter.filter(window_start=start)
        counted[f"{window}_nano"] = Subquery(counter.annotate(used=F("spent") + F("held")).values("used")[:1])
    keys: QuerySet[Any] = ApiKey.objects.of(organization).annotate(**counted)
    return keys.order_by(F("last_used_at").desc(nulls_last=True), "-pk")[:MOST_KEYS]


def of_keys(keys: list[Any], *, now: datetime) -> list[Lookout]:
    """Keys near their caps, and keys about to end."""
    found = []
    for key in keys:
        if key.revoked_at is not None or key.disabled_at is not None:
            continue
        for window, words in (("day", "today's"), ("month", "this month's"), ("total", "its whole")):
            cap, used = getattr(key, f"cap_{window}_nano"), getattr(key, f"{window}_nano") or 0
            if cap and used >= cap * NEAR:
                share = percent(Fraction(min(used, cap), cap), 0)
                sentence = f"“{key.label}” has used {share} of {words} cap of {needed(cap)}."
                found.append(Lookout("bad" if used >= cap else "warn", sentence, "keys", "Keys"))
                break
        if key.expires_at is not None and now < key.expires_at < now + SOON:
            found.append(Lookout("info", f"“{key.label}” ends on {key.expires_at:%d %b, %H:%M} UTC.", "keys", "Keys"))
    return found
