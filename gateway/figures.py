"""What a key has left and what it has used, read from the books and the calls at the moment of asking.

Promise: money left is what a call could reserve now: the wallet's, or the room within the key's own caps if that is
less. Used is what was charged. Amounts are shown in the unit of the customer's plan; the sums are the database's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from django.db.models import Count, F, Max, Q, QuerySet, Sum

from accounts.models import ApiKey, Organization
from accounts.models.bounds import RATE_LIMITS
from billing.models import Account, CapCounter, Hold
from billing.models.ledger import NANO_USD, PRIORITIES
from billing.money import NANO_PER_USD, Display
from billing.operations import Cap
from gateway.models import Call, Departure

Json = dict[str, Any]
WINDOWS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}


@dataclass(frozen=True, slots=True)
class Used:
    """What some calls came to."""

    requests: int
    tokens: int
    charged_nano: int


def shown(display: Display, nano: int) -> int | float:
    """An amount that is left, in the plan's unit, as a number: whole tokens, or the unit's fractions."""
    return nano // display.unit_nano if display.unit == "token" else float(Fraction(nano, display.unit_nano))


def usd(nano: int) -> float:
    """An amount in dollars as a number; for reading, never for reckoning."""
    return nano / NANO_PER_USD


def available_nano(organization: Organization, *, now: datetime) -> int:
    """Money that is neither spent, held, nor past its time."""
    alive = Q(expires_at__isnull=True) | Q(expires_at__gt=now)
    money = Account.objects.of(organization).filter(alive, unit=NANO_USD, kind__in=list(PRIORITIES))
    left: int | None = money.aggregate(left=Sum(F("posted") - F("held")))["left"]
    return left or 0


def left_nano(organization: Organization, caps: tuple[Cap, ...], *, now: datetime) -> int:
    """What a call could reserve: the wallet's, or the room of the tightest cap."""
    rooms = [available_nano(organization, now=now)]
    starts = {"day": now.date(), "month": now.date().replace(day=1)}
    for cap in caps:
        counters = CapCounter.objects.of(organization).filter(
            scope_kind=cap.scope_kind, scope_id=cap.scope_id, window=cap.window
        )
        if cap.window in starts:
            counters = counters.filter(window_start=starts[cap.window])
        used: int | None = counters.aggregate(used=Sum(F("spent") + F("held")))["used"]
        rooms.append(max(0, cap.limit_nano - (used or 0)))
    return min(rooms)


def used(calls: "QuerySet[Call]") -> Used:
    """Add up some calls."""
    sums = calls.aggregate(
        requests=Count("id"), given=Sum("input_tokens"), made=Sum("output_tokens"), charged=Sum("price_nano")
    )
    return Used(sums["requests"], (sums["given"] or 0) + (sums["made"] or 0), sums["charged"] or 0)


def since(calls: "QuerySet[Call]", start: datetime) -> "QuerySet[Call]":
    """The calls that began at that moment or later."""
    return calls.filter(created_at__gte=start)


def today(now: datetime) -> datetime:
    """When this day began, in UTC."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def of_key(organization: Organization, key: int, *, now: datetime) -> Json:
    """Everything a key has used: ever, today, this month, and what it is mostly used for."""
    calls = Call.objects.of(organization).filter(api_key_id=key)
    ever, day = used(calls), used(since(calls, today(now)))
    month = used(since(calls, today(now).replace(day=1)))
    favourite = calls.values("model_asked").annotate(times=Count("id")).order_by("-times", "model_asked").first()
    last = calls.aggregate(last=Max("created_at"))["last"]
    return {
        "total_requests": ever.requests,
        "total_tokens": ever.tokens,
        "total_cost": usd(ever.charged_nano),
        "requests_today": day.requests,
        "tokens_today": day.tokens,
        "cost_today": usd(day.charged_nano),
        "requests_this_month": month.requests,
        "tokens_this_month": month.tokens,
        "cost_this_month": usd(month.charged_nano),
        "average_tokens_per_request": round(ever.tokens / ever.requests, 2) if ever.requests else 0.0,
        "most_used_model": favourite["model_asked"] if favourite else None,
        "last_request_time": _iso(last) if last else None,
    }


def limits(key: ApiKey, organization: Organization) -> Mapping[str, int | None]:
    """The six limits as they bind: the tighter of the key's and its organization's; null is none."""
    found = {}
    for name in RATE_LIMITS:
        both = [limit for limit in (getattr(key, name), getattr(organization, name)) if limit is not None]
        found[name] = min(both, default=None)
    return found


def resets(now: datetime) -> Mapping[str, str]:
    """When the calendar's windows turn, in UTC."""
    now = now.astimezone(UTC)
    starts = {
        "minute": now.replace(second=0, microsecond=0),
        "hour": now.replace(minute=0, second=0, microsecond=0),
        "day": today(now),
    }
    return {name: _iso(start + WINDOWS[name]) for name, start in starts.items()}


def within(key: ApiKey, organization: Organization, *, now: datetime) -> tuple[bool, str]:
    """Whether another call would be let through; the words say which limit is reached.

    Of requests, those that run count as well; what they will use in tokens is known when they have ended.
    """
    calls = Call.objects.of(organization)
    open_holds = Hold.objects.of(organization).filter(outcome__isnull=True).values("pk")
    running = Departure.objects.of(organization).filter(number=1, call_id__in=open_holds)
    starts = {"minute": now.replace(second=0, microsecond=0), "hour": now.replace(minute=0, second=0, microsecond=0)}
    whose = Q(api_key_id=key.pk)
    for owner, rows, on in ((key, calls.filter(whose), running.filter(whose)), (organization, calls, running)):
        for name in RATE_LIMITS:
            limit = getattr(owner, name)
            if limit is None:
                continue
            what, _, window = name.partition("_per_")
            start = starts.get(window, today(now))
            spent = used(since(rows, start))
            requests = spent.requests + on.filter(leaves_at__gte=start).count()
            if (requests if what == "requests" else spent.tokens) >= limit:
                return False, f"The limit of {limit} {what} per {window} is reached"
    return True, "Within limits"


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def timestamp(now: datetime) -> str:
    """A moment as the compatible paths write it."""
    return _iso(now)
