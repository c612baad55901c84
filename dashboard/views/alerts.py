"""Warnings on a page: what is open, what was, what should be told and where; the signing secret is shown once."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from accounts import trail
from accounts.requests import TenantRequest
from accounts.roles import Permission
from dashboard import alerts as room
from dashboard import forms
from dashboard.doors import Told, ToldAbove, needs
from dashboard.models import Alert, AlertKind

LATEST = 50
OF_MONEY = (AlertKind.LOW_BALANCE, AlertKind.RECHARGE)


@never_cache
@needs(Permission.SEE)
def alert_list(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """Open and past warnings; whoever manages the organization also says what to tell."""
    organization, manages = request.seat.organization, request.seat.may(Permission.MANAGE_ORGANIZATION)
    wishes = room.settings_of(organization)
    form = forms.AlertForm(request.POST or None, initial=forms.initial_of_alerts(wishes)) if manages else None
    if request.method == "POST":
        if form is None:
            raise Http404
        if form.is_valid():
            with Told(form):
                secret = room.save(organization, source=trail.source_of(request), **form.wishes())
                messages.success(request, "Saved.")
                if secret:
                    return _page(request, form, secret=secret)
                return redirect("dashboard:alerts", organization_slug)
    return _page(request, form)


def _page(request: TenantRequest, form: forms.AlertForm | None, secret: str = "") -> HttpResponse:
    seat = request.seat
    rows = Alert.objects.of(seat.organization).select_related("api_key")
    if not seat.may(Permission.SEE_BILLING):
        rows = rows.exclude(kind__in=OF_MONEY)
    shown = list(rows[:LATEST])
    context: dict[str, Any] = {
        "open": [alert for alert in shown if alert.ended_at is None],
        "past": [alert for alert in shown if alert.ended_at is not None],
        "form": form,
        "secret": secret,
        "wishes": room.settings_of(seat.organization),
    }
    response = render(request, "dashboard/alerts.html", context, status=400 if form and form.errors else 200)
    if secret:
        response["Cache-Control"] = "no-store, private"
    return response


@require_POST
@needs(Permission.MANAGE_ORGANIZATION)
def alert_test(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """Send a test along every channel."""
    room.test(request.seat.organization, by=request.seat.user, now=timezone.now())
    hooked = " and to your webhook" if room.settings_of(request.seat.organization).webhook_url else ""
    messages.success(request, f"A test is on its way to {request.seat.user.email}{hooked}.")
    return redirect("dashboard:alerts", organization_slug)


@never_cache
@require_POST
@needs(Permission.MANAGE_ORGANIZATION)
def alert_secret(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """A new signing secret, shown once."""
    with ToldAbove(request):
        secret = room.new_secret(request.seat.organization, source=trail.source_of(request))
        form = forms.AlertForm(initial=forms.initial_of_alerts(room.settings_of(request.seat.organization)))
        return _page(request, form, secret=secret)
    return redirect("dashboard:alerts", organization_slug)


@require_POST
@needs(Permission.MANAGE_ALL_KEYS)
def alert_answer(request: TenantRequest, organization_slug: str, alert_id: str) -> HttpResponse:
    """Resume the paused key, leave it off, or put a warning away."""
    alerts = Alert.objects.of(request.seat.organization).select_related("api_key", "organization")
    alert = alerts.filter(public_id=alert_id).first()
    if alert is None:
        raise Http404
    with ToldAbove(request):
        if alert.paused:
            resume = request.POST.get("answer") == "resume"
            source = trail.source_of(request)
            room.answer(alert, resume=resume, by=request.seat.user, now=timezone.now(), source=source)
            messages.success(request, "The key works again." if resume else "The key stays switched off.")
        else:
            room.close(alert, by=request.seat.user, now=timezone.now())
    return redirect("dashboard:alerts", organization_slug)
