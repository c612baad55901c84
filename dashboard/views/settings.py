"""Settings of an organization, and of oneself."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render

from accounts import organizations, trail
from accounts.requests import TenantRequest
from accounts.roles import Permission
from dashboard import forms
from dashboard.doors import PersonRequest, Told, needs, own_hands


@needs(Permission.MANAGE_ORGANIZATION)
def organization(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """Its name and zone."""
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
    return render(request, "dashboard/settings.html", {"form": form})


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
