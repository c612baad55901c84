"""What stands at ``/``: a page for people, a description for programs, told apart by what they accept."""

from django.http import HttpResponse, JsonResponse
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_safe

from accounts.requests import TenantRequest
from dashboard.views import front
from gateway.views import compatible


@require_safe
def root(request: TenantRequest) -> HttpResponse:
    """The page for whoever accepts HTML by name or says nothing; anything else is a program."""
    accepted = request.headers.get("Accept", "")
    if accepted and "text/html" not in accepted:
        response: HttpResponse = JsonResponse(compatible.about(request.storefront.name))
    else:
        response = front.landing(request)
    patch_vary_headers(response, ["Accept"])
    return response
