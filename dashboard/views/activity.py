"""Activity: every call, newest first, as it happens; the receipt of one; and both as files."""

from typing import Any

from django import forms as django_forms
from django.db.models import Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.models import ApiKey, Membership, Organization, User
from accounts.requests import TenantRequest
from accounts.roles import Permission
from analytics import call_lists, exports
from analytics.call_lists import LARGEST_ID, Wanted
from dashboard import files, naming, periods, streams
from dashboard.doors import needs
from dashboard.forms import UsdField
from dashboard.naming import Names
from dashboard.templatetags.parts import zone_named
from gateway import receipts
from gateway.models import Call
from gateway.models.calls import CallState

MOST_CHOICES = 300
ANY = ("", "Any")


class Filters(django_forms.Form):
    """What the list may be narrowed by; all of it is optional."""

    model = django_forms.CharField(max_length=120, required=False)
    key = django_forms.ChoiceField(required=False)
    member = django_forms.ChoiceField(required=False)
    state = django_forms.ChoiceField(required=False, choices=[ANY, *CallState.choices], label="Outcome")
    least = UsdField(required=False, label="Cost from (USD)")
    most = UsdField(required=False, label="Cost up to (USD)")
    label = django_forms.CharField(max_length=80, required=False)
    request_id = django_forms.CharField(max_length=64, required=False, label="Request or call id")

    def __init__(self, data: Any, organization: Organization) -> None:
        super().__init__(data)
        keys = ApiKey.objects.of(organization).order_by("-pk").values_list("pk", "public_id", "label")[:MOST_CHOICES]
        members = Membership.objects.of(organization).select_related("user").order_by("pk")[:MOST_CHOICES]
        self.keys = {public_id: (pk, label) for pk, public_id, label in keys}
        self.members = {one.public_id: (one.user_id, one.user.get_short_name()) for one in members}
        for name, found in (("key", self.keys), ("member", self.members)):
            field: Any = self.fields[name]
            field.choices = [ANY, *((public_id, label) for public_id, (_, label) in found.items())]

    @property
    def names(self) -> Names:
        """Whom the list may name."""
        return Names(dict(self.keys.values()), dict(self.members.values()))

    @property
    def having(self) -> dict[str, Any]:
        """The conditions, in the room's own words; what was not understood is told by the form and left out."""
        self.is_valid()
        given = self.cleaned_data
        found = {name: given[name] for name in ("model", "state", "label", "request_id") if given.get(name)}
        found |= {f"{name}_nano": given[name] for name in ("least", "most") if given.get(name)}
        for name, known in (("key", self.keys), ("member", self.members)):
            if given.get(name):
                found[name] = known[given[name]][0]
        return found


@require_GET
@needs(Permission.SEE)
def activity(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """One page of the list; with ``after`` and htmx only what came since."""
    organization = request.seat.organization
    filters = Filters(request.GET, organization)
    span = _span(request, organization)
    wanted = _wanted(filters, span, request)
    context = {"names": filters.names, "live": "live" in request.GET and "before" not in request.GET}
    if "after" in request.GET:
        rows = call_lists.newer(organization, wanted, after=_number(request, "after") or 0)
        newest = rows[0].call.pk if rows else _number(request, "after") or 0
        return render(request, "dashboard/activity/tail.html", context | {"rows": rows, "newest": newest})
    page = call_lists.page(organization, wanted, before=_number(request, "before"))
    context |= {
        "filters": filters,
        "filtered": bool(filters.having) or bool(wanted.since),
        "more_open": any(name in filters.having for name in ("member", "label", "least_nano", "most_nano")),
        "page": page,
        "rows": page.rows,
        "newest": page.rows[0].call.pk if page.rows else 0,
        "paged": "before" in request.GET,
        "span": span,
        "presets": periods.PRESETS,
        "models": sorted({one.call.model_asked for one in page.rows}),
    }
    return render(request, "dashboard/activity/list.html", context)


def _span(request: HttpRequest, organization: Organization) -> periods.Span | None:
    """The time asked for; without one the list has no end."""
    if not any(request.GET.get(name) for name in ("range", "since", "until")):
        return None
    return periods.read(request.GET, zone=zone_named(organization.time_zone), now=timezone.now())


def _wanted(filters: Filters, span: periods.Span | None, request: HttpRequest) -> Wanted:
    having = filters.having
    asked = having.get("request_id", "")
    if asked.isascii() and asked.isdigit() and int(asked) <= LARGEST_ID:  # a call's own number: no search is needed
        having.pop("request_id")
        return Wanted(only=int(asked), having=having)
    return Wanted(since=span.starts_at if span else None, until=span.ends_at if span else None, having=having)


def _number(request: HttpRequest, name: str) -> int | None:
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= LARGEST_ID else None


@require_GET
@needs(Permission.SEE)
def calls_file(request: TenantRequest, organization_slug: str) -> HttpResponseBase:
    """The list as a file, with the same filters."""
    organization = request.seat.organization
    filters = Filters(request.GET, organization)
    wanted = _wanted(filters, _span(request, organization), request)
    rows = files.calls(organization, wanted, naming.of(organization))
    name = f"calls-{organization.slug}"
    if request.GET.get("format") == "json":
        return streams.json_file(rows, name=name)
    return streams.csv_file(exports.rows(files.CALLS, (tuple(row.values()) for row in rows)), name=name)


@require_GET
@needs(Permission.SEE)
def receipt(request: TenantRequest, organization_slug: str, call_id: int) -> HttpResponse:
    """What one call was charged, and how that came about."""
    organization = request.seat.organization
    call = Call.objects.of(organization).filter(pk=call_id).first() if call_id <= LARGEST_ID else None
    if call is None:
        raise Http404
    call.organization = organization
    told = receipts.receipt(call)
    key, member = _whose(call, organization)
    context = {
        "call": call,
        "told": told,
        "key": key,
        "member": member,
        "timeline": _timeline(call, told),
        "steps": told["steps"],
        "free": told["charged_usd"] == "0",
    }
    return render(request, "dashboard/activity/receipt.html", context)


def _whose(call: Call, organization: Organization) -> tuple[ApiKey | None, str]:
    """The key of a call, and the name of its member if they still are one: one question answers both."""
    members = Membership.objects.of(organization).filter(user_id=call.user_id or 0)
    if not call.api_key_id:
        member = members.select_related("user").first()
        return None, member.user.get_short_name() if member else ""
    told = {f"member_{name}": Subquery(members.values(f"user__{name}")[:1]) for name in ("name", "email")}
    key: Any = ApiKey.objects.of(organization).filter(pk=call.api_key_id).annotate(**told).first()
    if key is None or key.member_email is None:
        return key, ""
    return key, User(name=key.member_name, email=key.member_email).get_short_name()


def _timeline(call: Call, told: dict[str, Any]) -> list[dict[str, Any]]:
    """Attempts as bars on the call's own time, in per cent of it."""
    whole = max(1, call.latency_ms or 0)
    bars = []
    for one in told["attempts"]:
        begins = max(0, int((one["started_at"] - call.created_at).total_seconds() * 1000))
        lasted = one["latency_ms"] or 0
        bars.append(
            one
            | {
                "begins_ms": begins,
                "x": min(100, begins * 100 // whole),
                "width": max(1, min(100, lasted * 100 // whole)),
            }
        )
    return bars
