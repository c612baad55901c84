"""Settings of an organization, and of oneself: names and zones, what is kept, what one may take along, how it ends."""

from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts import organizations, people, trail
from accounts.requests import TenantRequest
from accounts.roles import Permission
from billing import statements
from dashboard import belongings, forms, privacy, settings_forms, streams
from dashboard.doors import PersonRequest, Told, fresh_hands, needs, own_hands


@needs(Permission.MANAGE_ORGANIZATION)
def organization(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """Its name and zone, and the way to everything else about it."""
    found = request.seat.organization
    before = {"name": found.name, "time_zone": found.time_zone}
    form = forms.OrganizationForm(request.POST or None, initial=before)
    if request.method == "POST" and form.is_valid():
        changes = {name: form.cleaned_data[name] for name in form.changed_data}
        with Told(form):
            if changes:
                organizations.update(found, source=trail.source_of(request), **changes)
            messages.success(request, "Saved.")
            return redirect("dashboard:settings", organization_slug)
    content = settings_forms.ContentForm(initial={"stores_content": found.stores_content})
    return render(request, "dashboard/settings.html", {"form": form, "content": content})


@require_POST
@needs(Permission.MANAGE_ORGANIZATION)
def content(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """Keep answers for a day, or nothing; switching it off forgets what was kept."""
    form = settings_forms.ContentForm(request.POST)
    if form.is_valid():
        keeps = form.cleaned_data["stores_content"]
        forgotten = privacy.keep_content(request.seat.organization, keeps=keeps, source=trail.source_of(request))
        gone = f" {forgotten} kept answer{'' if forgotten == 1 else 's'} forgotten." if forgotten else ""
        messages.success(request, "Answers are kept for a day from now on." if keeps else f"Nothing is kept.{gone}")
    return redirect("dashboard:settings", organization_slug)


@require_GET
@needs(Permission.MANAGE_ORGANIZATION)
def export(request: TenantRequest, organization_slug: str) -> HttpResponseBase:
    """Everything we hold of the organization but its calls and statements, which are files of their own."""
    name = f"organization-{request.seat.organization.slug}"
    return streams.json_sections(belongings.of_organization(request.seat.organization), name=name)


@never_cache
@needs(Permission.TRANSFER_OWNERSHIP)
def close(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """End the organization: asked on GET, done on POST with its name typed."""
    found, now = request.seat.organization, timezone.now()
    form = settings_forms.ConfirmForm(request.POST or None, words=found.name)
    if request.method == "POST" and form.is_valid():
        with Told(form):
            organizations.close(request.seat, source=trail.source_of(request), now=now)
            messages.success(request, f"{found.name} is closed.")
            return redirect("dashboard:start")
    context = {"form": form, "balance": statements.balance(found, now=now)}
    return render(request, "dashboard/close.html", context, status=400 if form.errors else 200)


@own_hands
def account(request: PersonRequest) -> HttpResponse:
    """A person's own name and zone, and the way to everything about signing in."""
    user = request.user
    form = forms.ProfileForm(request.POST or None, initial={"name": user.name, "time_zone": user.time_zone})
    if request.method == "POST" and form.is_valid():
        user.name, user.time_zone = form.cleaned_data["name"], form.cleaned_data["time_zone"]
        user.save(update_fields=["name", "time_zone"])
        messages.success(request, "Saved.")
        return redirect("dashboard:account")
    return render(request, "dashboard/account.html", {"form": form})


@require_GET
@own_hands
def account_export(request: PersonRequest) -> HttpResponseBase:
    """Everything we hold of a person."""
    return streams.json_sections(belongings.of_person(request.user), name="account")


@never_cache
@own_hands
@fresh_hands
def account_delete(request: PersonRequest) -> HttpResponse:
    """Forget a person who asks for it: asked on GET, done on POST with their address typed."""
    user, now = request.user, timezone.now()
    form = settings_forms.ConfirmForm(request.POST or None, words=user.email)
    if request.method == "POST" and form.is_valid():
        with Told(form):
            people.erase_oneself(user, now=now, source=trail.source_of(request))
            logout(request)
            return render(request, "dashboard/account_gone.html")
    alone = [
        {"organization": organization, "balance": statements.balance(organization, now=now)}
        for organization in people.alone_in(user)
    ]
    context = {"form": form, "alone": alone}
    return render(request, "dashboard/account_delete.html", context, status=400 if form.errors else 200)
