"""The overview: what is there, how long it lasts, what was spent on what, and what to look at."""

from datetime import timedelta
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts import access
from accounts.requests import TenantRequest
from accounts.roles import Permission
from analytics import call_lists, customer
from analytics.customer import Use
from dashboard import charts, lookouts, purse
from dashboard.doors import needs
from dashboard.naming import Names, key_name
from dashboard.templatetags.parts import zone_named

DAYS = 60
SHOWN_DAYS = 30
LATEST = 6
MOST_ROWS = 5


@require_GET
@needs(Permission.SEE)
def overview(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """Everything at a glance."""
    organization, now = request.seat.organization, timezone.now()
    zone = zone_named(organization.time_zone)
    today = now.astimezone(zone).date()
    stretches = customer.slots(since=today - timedelta(days=DAYS - 1), until=today, zone=zone)
    first = stretches[DAYS - SHOWN_DAYS]
    whole = customer.Slot(first.begins, first.starts_at, stretches[-1].ends_at)
    answer = customer.series(organization, stretches, by="model", keys_of=whole)
    found = {key: use for key, use in answer.items() if key[0] != customer.KEYS}
    latest = call_lists.page(organization, call_lists.Wanted(), size=LATEST).rows
    keys = list(lookouts.keys_with_counters(organization, now=now))
    context: dict[str, Any] = {
        "latest": latest,
        "names": Names(keys={key.pk: key.label for key in keys}, members={}),
        "chart": _chart(stretches, found),
        "spans": _spans(found),
        "models": _top(found),
        "zone": zone.key.replace("_", " "),
        "lookouts": lookouts.of_errors(customer.total(found, places=range(DAYS - 1, DAYS)))
        + (lookouts.of_keys(keys, now=now) if request.seat.may(Permission.SEE_KEYS) else []),
    }
    if latest:
        context["keys"] = _top_keys(answer, keys)
    else:
        context |= _first_steps(request, keys)
    if request.seat.may(Permission.SEE_BILLING):
        context |= _money(organization, found, now=now, today=today)
        context["lookouts"] = lookouts.of_purse(context["purse"], context["runway"]) + context["lookouts"]
    return render(request, "dashboard/overview.html", context)


def _spans(found: Any) -> list[dict[str, Any]]:
    """Today, seven and thirty days, each beside the time before it."""
    spans = (
        ("Today", 1, "yesterday, all day"),
        ("7 days", 7, "the 7 days before"),
        ("30 days", 30, "the 30 days before"),
    )
    return [
        {
            "name": name,
            "before_name": before_name,
            "now": customer.total(found, places=range(DAYS - days, DAYS)),
            "before": customer.total(found, places=range(DAYS - 2 * days, DAYS - days)),
        }
        for name, days, before_name in spans
    ]


def _chart(stretches: Any, found: Any) -> charts.Chart:
    offset = DAYS - SHOWN_DAYS
    shown = {(place - offset, name): use for (place, name), use in found.items() if place >= offset}
    return charts.stacked(
        chart_id="spend",
        title="Spend by model, last 30 days",
        metric="spend",
        stretches=stretches[offset:],
        found=shown,
        step="day",
        naming=str,
    )


def _top(found: Any) -> list[tuple[str, Use]]:
    return list(customer.by_name(found, places=range(DAYS - SHOWN_DAYS, DAYS)).items())[:MOST_ROWS]


def _top_keys(answer: Any, keys: Any) -> list[tuple[str, Use]]:
    used = customer.by_name(answer, places=range(customer.KEYS, customer.KEYS + 1))
    labels = {key.pk: key.label for key in keys}
    return [(key_name(int(pk), labels), use) for pk, use in list(used.items())[:MOST_ROWS]]


def _money(organization: Any, found: Any, *, now: Any, today: Any) -> dict[str, Any]:
    held = purse.of(organization, now=now)
    days = charts.heights(found, DAYS, "spend")
    pace = purse.pace_nano(days)
    return {
        "purse": held,
        "pace": pace,
        "runway": purse.runway_days(held.available_nano, pace),
        "month_end": purse.month_end(days, today=today),
        "month_name": f"{today:%B}",
    }


def _first_steps(request: TenantRequest, keys: list[Any]) -> dict[str, Any]:
    steps = {
        "verified": True,  # nobody gets here without
        "keyed": bool(keys),
        "called": any(key.last_used_at for key in keys),
        "invited": request.seat.organization.memberships.count() > 1,
    }
    return {
        "steps": steps,
        "done": sum(steps.values()),
        "total": len(steps),
        "base_url": access.canonical_base(request.storefront),
    }
