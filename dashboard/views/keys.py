"""API keys on pages: the list, making one, changing its bounds, rotating, switching and ending it.

A secret is in the body of one answer to one POST, never in a session, a message or a cache.
"""

from datetime import UTC
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts import access, trail
from accounts import keys as room
from accounts.access import Seat
from accounts.models import ApiKey
from accounts.models.keys import KeyKind
from accounts.requests import TenantRequest
from accounts.roles import Permission
from dashboard import forms, spending
from dashboard.doors import Told, ToldAbove, needs

PAGE_SIZE = 50


@require_GET
@needs(Permission.SEE_KEYS)
def key_list(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """Living keys, or the ended ones."""
    now = timezone.now()
    organization = request.seat.organization
    everything = ApiKey.objects.of(organization).filter(playground__isnull=True).select_related("created_by")
    ended = Q(revoked_at__isnull=False) | Q(expires_at__lte=now)
    show_ended = request.GET.get("show") == "ended"
    rows = everything.filter(ended) if show_ended else everything.exclude(ended)
    counts = everything.aggregate(ended=Count("pk", filter=ended), all=Count("pk"))
    pages = Paginator(rows, PAGE_SIZE)
    pages.count = counts["ended"] if show_ended else counts["all"] - counts["ended"]  # counted together, above
    page = pages.get_page(request.GET.get("page"))
    counted = spending.used(organization, "key", now=now)
    month = spending.this_month(organization, "api_key_id", now=now)
    shown = [
        _shown(key, request.seat, now)
        | {"bars": spending.bars(key, key.pk, counted, now=now), "month_nano": month.get(key.pk, 0)}
        for key in page
    ]
    context = {
        "page": page,
        "rows": [row for row in shown if row["key"].kind == KeyKind.INFERENCE],
        "managers": [row for row in shown if row["key"].kind == KeyKind.MANAGEMENT],
        "show_ended": show_ended,
        "ended_count": counts["ended"],
        "base_url": access.canonical_base(request.storefront),
    }
    return render(request, "dashboard/keys/list.html", context)


def _shown(key: ApiKey, seat: Seat, now: Any) -> dict[str, Any]:
    return {"key": key, "state": state_of(key, now), "mine": _may_change(key, seat)}


def state_of(key: ApiKey, now: Any) -> str:
    """One word for how a key is."""
    if key.revoked_at:
        return "revoked"
    if key.expires_at and key.expires_at <= now:
        return "expired"
    return "off" if key.disabled_at else "active"


def _may_change(key: ApiKey, seat: Seat) -> bool:
    """Own keys with the permission to make keys; everybody's with the wider one."""
    if seat.may(Permission.MANAGE_ALL_KEYS):
        return True
    return seat.may(Permission.MAKE_KEYS) and key.created_by_id == seat.user.pk


def _kinds(seat: Seat) -> list[KeyKind]:
    """A management key acts for the whole organization, so only those who manage it make one."""
    wide = seat.may(Permission.MANAGE_ORGANIZATION)
    return [KeyKind.INFERENCE, KeyKind.MANAGEMENT] if wide else [KeyKind.INFERENCE]


def _changeable(request: TenantRequest, key_id: str) -> ApiKey:
    keys = ApiKey.objects.of(request.seat.organization).filter(playground__isnull=True)
    key = keys.filter(public_id=key_id).select_related("created_by").first()
    if key is None:
        raise Http404
    if not _may_change(key, request.seat):
        raise PermissionDenied
    found: ApiKey = key
    return found


@never_cache
@needs(Permission.MAKE_KEYS)
def key_new(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """Make a key and show its secret, once."""
    now = timezone.now()
    form = forms.NewKeyForm(request.POST or None, kinds=_kinds(request.seat), today=now.astimezone(UTC).date())
    if request.method == "POST" and form.is_valid():
        with Told(form):
            minted = room.create(
                organization=request.seat.organization,
                storefront=None,
                made_by=request.seat.user,
                kind=KeyKind(form.cleaned_data["kind"]),
                label=form.cleaned_data["label"],
                source=trail.source_of(request),
                **form.bounds(),
            )
            return _show_once(request, minted)
    return render(request, "dashboard/keys/new.html", {"form": form})


def _show_once(request: TenantRequest, minted: room.MintedKey, old: ApiKey | None = None) -> HttpResponse:
    context = {
        "minted": minted,
        "old": old,
        "calls": minted.key.kind == KeyKind.INFERENCE,
        "base_url": access.canonical_base(request.storefront),
    }
    response = render(request, "dashboard/keys/secret.html", context)
    response["Cache-Control"] = "no-store, private"
    return response


@never_cache
@needs(Permission.MAKE_KEYS)
def key_edit(request: TenantRequest, organization_slug: str, key_id: str) -> HttpResponse:
    """A key's page: what it is, and its bounds."""
    key = _changeable(request, key_id)
    now = timezone.now()
    initial = forms.initial_of(key)
    form = forms.KeyForm(request.POST or None, initial=initial, today=now.astimezone(UTC).date())
    state = state_of(key, now)
    ended = state in {"revoked", "expired"}
    if request.method == "POST" and ended:
        messages.error(request, "This key has ended; nothing was changed.")
        return redirect("dashboard:key_edit", organization_slug, key.public_id)
    if request.method == "POST" and form.is_valid():
        with Told(form):
            if changes := _changes(key, form):
                room.update(key, source=trail.source_of(request), **changes)
            messages.success(request, "Saved. It holds from the next call.")
            return redirect("dashboard:key_edit", organization_slug, key.public_id)
    rotation = (
        None if ended or ApiKey.objects.of(request.seat.organization).filter(replaces=key) else forms.RotateForm()
    )
    counted = spending.used(request.seat.organization, "key", now=now)
    context = {
        "form": form,
        "key": key,
        "state": state,
        "ended": ended,
        "rotation": rotation,
        "bars": spending.bars(key, key.pk, counted, now=now),
        "month_nano": spending.this_month(request.seat.organization, "api_key_id", now=now).get(key.pk, 0),
    }
    return render(request, "dashboard/keys/edit.html", context)


def _changes(key: ApiKey, form: forms.KeyForm) -> dict[str, Any]:
    """Only what differs: an untouched expiry keeps its exact moment."""
    wanted = {"label": form.cleaned_data["label"], **form.bounds()}
    if "expires_on" not in form.changed_data:
        del wanted["expires_at"]
    return {name: value for name, value in wanted.items() if getattr(key, name) != value}


@require_POST
@needs(Permission.MAKE_KEYS)
def key_switch(request: TenantRequest, organization_slug: str, key_id: str) -> HttpResponse:
    """Off for a while, or on again."""
    key = _changeable(request, key_id)
    enabled = request.POST.get("to") == "on"
    with ToldAbove(request):
        room.set_enabled(key, enabled=enabled, now=timezone.now(), source=trail.source_of(request))
        messages.success(request, f"“{key.label}” is switched {'on' if enabled else 'off'}.")
    return redirect("dashboard:keys", organization_slug)


@never_cache
@require_POST
@needs(Permission.MAKE_KEYS)
def key_rotate(request: TenantRequest, organization_slug: str, key_id: str) -> HttpResponse:
    """A successor with the same bounds; its secret is shown once."""
    key = _changeable(request, key_id)
    form = forms.RotateForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Choose when the old key stops.")
        return redirect("dashboard:key_edit", organization_slug, key.public_id)
    with ToldAbove(request):
        minted = room.rotate(
            key,
            overlap=form.overlap(),
            now=timezone.now(),
            made_by=request.seat.user,
            source=trail.source_of(request),
        )
        key.refresh_from_db()
        return _show_once(request, minted, old=key)
    return redirect("dashboard:key_edit", organization_slug, key.public_id)


@never_cache
@needs(Permission.MAKE_KEYS)
def key_revoke(request: TenantRequest, organization_slug: str, key_id: str) -> HttpResponse:
    """End a key for good, after its name was typed."""
    key = _changeable(request, key_id)
    wrong = False
    if request.method == "POST":
        if request.POST.get("confirmation", "").strip() == key.label:
            room.revoke(key, now=timezone.now(), source=trail.source_of(request))
            messages.success(request, f"“{key.label}” is revoked. Calls with it are refused from now on.")
            return redirect("dashboard:keys", organization_slug)
        wrong = True
    context = {"key": key, "wrong": wrong}
    return render(request, "dashboard/keys/revoke.html", context, status=400 if wrong else 200)
