"""The one page of this room: an invitation, opened from its letter."""

from dataclasses import replace

from django.contrib.auth.views import redirect_to_login
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts import members, signup, trail
from accounts.models import User
from accounts.requests import TenantRequest
from plumbing.refusals import Refusal


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def invitation(request: TenantRequest, token: str) -> HttpResponse:
    """GET shows the invitation (and remembers it for whoever still has to sign up), POST accepts it."""
    person = request.user if isinstance(request.user, User) else None
    now = timezone.now()
    try:
        found = members.invitation_for(token, storefront=request.storefront, now=now, user=person)
        if request.method == "POST" and person is None:
            return redirect_to_login(request.path)
        if request.method == "POST" and person is not None:
            membership = members.accept(
                token=token, user=person, storefront=request.storefront, source=_source(request), now=now
            )
            request.session.pop(signup.INVITATION_SESSION_KEY, None)
            return redirect(f"/app/{membership.organization.slug}/")
    except Refusal as refusal:
        return render(request, "accounts/invitation.html", {"refusal": refusal.sentence}, status=refusal.status)
    if person is None:
        request.session[signup.INVITATION_SESSION_KEY] = found.public_id
    return render(request, "accounts/invitation.html", {"invitation": found})


def _source(request: TenantRequest) -> trail.Source:
    """Who accepts; a visit counts here too, although this page belongs to no organization yet."""
    return replace(trail.source_of(request), impersonation=request.impersonation)
