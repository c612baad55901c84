"""Doors of the desk that are not tables."""

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_POST

from accounts import impersonation
from accounts.requests import TenantRequest


@require_POST
@csrf_protect
@login_required
def end_visit(request: TenantRequest) -> HttpResponse:
    """End the visit this session is on and go back to the organization's page on the desk."""
    visit = request.impersonation
    if visit is None:
        raise Http404
    impersonation.end(request, visit, now=timezone.now())
    return HttpResponseRedirect(reverse("admin:accounts_organization_change", args=[visit.organization_id]))
