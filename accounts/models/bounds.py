"""Bounds that organizations, members and keys share: what may be spent, and how fast.

Empty means unbounded at this level; the tightest level that is set decides. Spend is integer nano-USD.
"""

from functools import partial

from django.db import models
from django.db.models import Q

from plumbing.identifiers import new_id

LARGEST_NANO = (
    9_000_000_000_000_000_000  # below 2^63, so that one addition of two amounts in range is still caught by a check
)
SPEND_CAPS = ("cap_day_nano", "cap_month_nano", "cap_total_nano")
RATE_LIMITS = (
    "requests_per_minute",
    "requests_per_hour",
    "requests_per_day",
    "tokens_per_minute",
    "tokens_per_hour",
    "tokens_per_day",
)


def public_id(prefix: str) -> "models.CharField[str, str]":
    """A unique, unguessable name for rows that are shown to the outside."""
    return models.CharField(max_length=32, unique=True, editable=False, default=partial(new_id, prefix))


def at_least(name: str, *fields: str, least: int = 0) -> models.CheckConstraint:
    """A constraint that keeps optional numbers in range, whoever writes them."""
    condition = Q()
    for field in fields:
        condition &= Q(**{f"{field}__isnull": True}) | (
            Q(**{f"{field}__gte": least}) & Q(**{f"{field}__lte": LARGEST_NANO})
        )
    return models.CheckConstraint(name=name, condition=condition)


class SpendCaps(models.Model):
    """Most that may be spent per UTC day, UTC month, and ever."""

    cap_day_nano = models.BigIntegerField(null=True, blank=True)
    cap_month_nano = models.BigIntegerField(null=True, blank=True)
    cap_total_nano = models.BigIntegerField(null=True, blank=True)

    class Meta:
        abstract = True


class RateLimits(models.Model):
    """Six calendar windows (UTC) and the calls in flight at once."""

    requests_per_minute = models.BigIntegerField(null=True, blank=True)
    requests_per_hour = models.BigIntegerField(null=True, blank=True)
    requests_per_day = models.BigIntegerField(null=True, blank=True)
    tokens_per_minute = models.BigIntegerField(null=True, blank=True)
    tokens_per_hour = models.BigIntegerField(null=True, blank=True)
    tokens_per_day = models.BigIntegerField(null=True, blank=True)
    concurrent_requests = models.BigIntegerField(null=True, blank=True)

    class Meta:
        abstract = True
