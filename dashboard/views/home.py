"""Where people arrive: the way to their organization, or a new one."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts import access, organizations, trail
from dashboard import forms
from dashboard.doors import PersonRequest, Told, own_hands
from dashboard.models import FirstSteps
from dashboard.views import first


@require_GET
@login_required
def start(request: PersonRequest) -> HttpResponse:
    """The visited organization, the only one, a choice of several, or the making of the first."""
    if request.impersonation is not None:
        return redirect("dashboard:overview", request.impersonation.organization.slug)
    seats = access.seats_of(request.user, request.storefront)
    if len(seats) == 1:
        if first.unfinished(seats[0]):
            return redirect("dashboard:first_steps", seats[0].organization.slug)
        return redirect("dashboard:overview", seats[0].organization.slug)
    context = {"form": forms.NameForm(), "may_open": organizations.may_open(request.storefront, request.user)}
    return render(request, "dashboard/choose.html" if seats else "dashboard/welcome.html", context)


@own_hands
def new_organization(request: PersonRequest) -> HttpResponse:
    """Open one more organization."""
    form = forms.NameForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        with Told(form):
            made = organizations.open_own(
                storefront=request.storefront,
                person=request.user,
                name=form.cleaned_data["name"],
                source=trail.source_of(request),
            )
            FirstSteps.note(made, named_at=timezone.now())
            return redirect("dashboard:first_steps", made.slug)
    return render(request, "dashboard/new_organization.html", {"form": form})
