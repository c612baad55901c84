"""Who belongs to an organization."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.models import Membership
from accounts.requests import TenantRequest
from accounts.roles import Permission
from dashboard.doors import needs


@require_GET
@needs(Permission.SEE)
def member_list(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """Members and their roles."""
    members = Membership.objects.of(request.seat.organization).select_related("user")
    return render(request, "dashboard/members.html", {"members": members})
