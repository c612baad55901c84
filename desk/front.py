"""The first page of the desk: honest counts of what lies in scope, and the latest acts, each a link to its rows."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from accounts import keys
from accounts.models import ApiKey, AuditEvent, Membership, Organization, User
from accounts.models.organizations import Standing
from accounts.operators import Scope, scope_for

SIGN_UP_PERIOD = timedelta(days=30)
LATEST_EVENTS = 10
SEARCH_ENGINES = ("google.", "bing.", "duckduckgo.", "ecosia.", "yandex.", "baidu.")


def figures(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What the front page shows (unfold's dashboard callback)."""
    scope, now = scope_for(request), timezone.now()
    channels = sign_ups_by_channel(scope, now=now)
    # Who came in is in the trail; here it would push out what was done.
    acts = AuditEvent.objects.exclude(action="user.signed_in").select_related("actor", "organization")
    events = scope.visible(acts, "storefront")
    return {
        **context,
        "cards": _cards(scope, now=now, sign_ups=sum(count for _, count in channels)),
        "channels": [
            {"name": name, "count": count, "of_largest": count * 100 // channels[0][1]} for name, count in channels
        ],
        "events": events[:LATEST_EVENTS],
        "sign_up_days": SIGN_UP_PERIOD.days,
    }


def _cards(scope: Scope, *, now: datetime, sign_ups: int) -> list[dict[str, Any]]:
    organizations = scope.visible(Organization.objects.all(), "storefront")
    members = scope.visible(Membership.unscoped.all(), "organization__storefront")
    living = scope.visible(ApiKey.unscoped.filter(keys.usable(now)), "organization__storefront", "storefront")
    suspended = organizations.filter(standing=Standing.SUSPENDED).count()
    return [
        {
            "title": "Organizations",
            "count": organizations.count(),
            "note": f"{suspended} suspended" if suspended else "none suspended",
            "link": reverse("admin:accounts_organization_changelist"),
        },
        {
            "title": "Members",
            "count": members.count(),
            "note": _people(members.values("user").distinct().count()),
            "link": reverse("admin:accounts_membership_changelist"),
        },
        {
            "title": "Living keys",
            "count": living.count(),
            "note": f"{living.filter(last_used_at__gte=now - SIGN_UP_PERIOD).count()} used in 30 days",
            "link": reverse("admin:accounts_apikey_changelist"),
        },
        {
            "title": "Sign-ups",
            "count": sign_ups,
            "note": "in the last 30 days",
            "link": reverse("admin:accounts_auditevent_changelist") + "?q=user.signed_up",
        },
    ]


def _people(count: int) -> str:
    return "one person" if count == 1 else f"{count} people"


def sign_ups_by_channel(scope: Scope, *, now: datetime) -> list[tuple[str, int]]:
    """Who signed up at these shops lately, by what brought them; the trail knows at which shop somebody did."""
    acts = scope.visible(AuditEvent.objects.all(), "storefront").filter(
        action="user.signed_up", created_at__gte=now - SIGN_UP_PERIOD
    )
    people = User.objects.filter(public_id__in=acts.values("target_id"))
    return Counter(channel(marks) for marks in people.values_list("acquisition", flat=True)).most_common()


def channel(marks: dict[str, str]) -> str:
    """One word for what brought somebody: their campaign, a search engine, another site, or nothing we know of."""
    if marks.get("utm_source"):
        return marks["utm_source"]
    if marks.get("ref"):
        return f"referral {marks['ref']}"
    site = marks.get("referrer", "").partition("//")[2].partition("/")[0].removeprefix("www.")
    if any(engine in site for engine in SEARCH_ENGINES):
        return "search"
    return site or "direct"
