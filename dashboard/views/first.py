"""First steps: from the first visit to the first call, on one page.

The new key's secret is in the body of one answer to one POST, as on the page of keys.
"""

from datetime import datetime
from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts import access, keys, organizations, trail
from accounts.access import Seat
from accounts.models import ApiKey
from accounts.models.keys import KeyKind
from accounts.requests import TenantRequest
from accounts.roles import Permission
from billing.models import Account, Hold
from billing.models.ledger import NANO_USD, PRIORITIES, Kind
from dashboard import forms
from dashboard.doors import Told, needs
from dashboard.models import FirstSteps
from gateway.models import Call

FIRST_LABEL = "My first key"


def unfinished(seat: Seat) -> bool:
    """Whether the check-list should greet this member."""
    if seat.impersonation is not None or not seat.may(Permission.MAKE_KEYS):
        return False
    if FirstSteps.objects.of(seat.organization).filter(dismissed_at__isnull=False).exists():
        return False
    return not Call.objects.of(seat.organization).exists()


@never_cache
@require_GET
@needs(Permission.MAKE_KEYS)
def steps(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """The check-list."""
    return _page(request)


def _page(request: TenantRequest, *, minted: keys.MintedKey | None = None, **given: Any) -> HttpResponse:
    organization, now = request.seat.organization, timezone.now()
    remembered = FirstSteps.objects.of(organization).first()
    name_form = forms.NameForm(initial={"name": organization.name})
    name_form.fields["name"].widget.attrs.pop("autofocus", None)  # the page begins at its top
    inference = ApiKey.objects.of(organization).filter(kind=KeyKind.INFERENCE, playground__isnull=True)
    context = {
        "named": bool(remembered and remembered.named_at),
        "name_form": name_form,
        "key_form": forms.FirstKeyForm(initial={"label": FIRST_LABEL}),
        **_money(request.seat, now),
        "keyed": minted is not None or inference.filter(keys.usable(now)).exists(),
        "minted": minted,
        "base_url": access.canonical_base(request.storefront),
        "call": _first_call(request.seat),
        **given,
    }
    done = (True, context["named"], context["keyed"], context["call"] is not None)
    response = render(request, "dashboard/first/steps.html", {**context, "done": sum(done), "total": len(done)})
    if minted:
        response["Cache-Control"] = "no-store, private"
    return response


def _money(seat: Seat, now: datetime) -> dict[str, Any]:
    """What can be spent, and credit that was given and until when it is good: both of the same few rows."""
    rows = Account.objects.of(seat.organization).filter(unit=NANO_USD, kind__in=list(PRIORITIES), posted__gt=0)
    accounts = list(rows.order_by("expires_at"))
    alive = [one for one in accounts if one.expires_at is None or one.expires_at > now]
    return {
        "available_nano": sum(one.posted - one.held for one in alive),
        "gifts": [one for one in accounts if one.kind != Kind.PAID],
    }


def _first_call(seat: Seat) -> dict[str, Any] | None:
    call = Call.objects.of(seat.organization).order_by("id").first()
    if call is None:
        return None
    hold = Hold.objects.of(seat.organization).filter(pk=call.pk).first()
    return {"row": call, "charge_nano": hold.charged_nano if hold else 0}


@require_POST
@needs(Permission.MANAGE_ORGANIZATION)
def name(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """Name the organization."""
    form = forms.NameForm(request.POST)
    if form.is_valid():
        with Told(form):
            found = request.seat.organization
            if form.cleaned_data["name"] != found.name:
                organizations.update(found, source=trail.source_of(request), name=form.cleaned_data["name"])
            FirstSteps.note(found, named_at=timezone.now())
            return redirect("dashboard:first_steps", organization_slug)
    return _page(request, name_form=form)


@never_cache
@require_POST
@needs(Permission.MAKE_KEYS)
def make_key(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """Make the first key and show it once, with code to run."""
    form = forms.FirstKeyForm(request.POST)
    if form.is_valid():
        with Told(form):
            minted = keys.create(
                organization=request.seat.organization,
                storefront=None,
                made_by=request.seat.user,
                kind=KeyKind.INFERENCE,
                label=form.cleaned_data["label"],
                source=trail.source_of(request),
            )
            return _page(request, minted=minted)
    return _page(request, key_form=form)


@never_cache
@require_GET
@needs(Permission.MAKE_KEYS)
def first_call(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """The part of the page that waits; htmx asks until it no longer asks to be asked."""
    return render(request, "dashboard/first/call.html", {"call": _first_call(request.seat)})


@require_POST
@needs(Permission.MAKE_KEYS)
def dismiss(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """Enough of this."""
    FirstSteps.note(request.seat.organization, dismissed_at=timezone.now())
    return redirect("dashboard:overview", organization_slug)
