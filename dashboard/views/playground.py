"""The playground: a chat in the browser that calls the gateway as any client does, with a key minted for this hour."""

from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts import access, trail
from accounts.requests import TenantRequest
from accounts.roles import Permission
from billing import money
from billing.models import Hold
from dashboard import playground as room
from dashboard import sold
from dashboard.doors import needs
from gateway import figures
from gateway.models import Call
from plumbing.refusals import Refusal

LONGEST_CALL_ID = 20


@require_GET
@needs(Permission.MAKE_KEYS)
def playground(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """The page; its script does the rest."""
    models = list(sold.chat_models(request.storefront).values("slug", "name", "max_output_tokens", "is_sandbox"))
    wanted = request.GET.get("model", "")
    context = {
        "models": models,
        "chosen": wanted if wanted in {model["slug"] for model in models} else "",
        "available_nano": figures.available_nano(request.seat.organization, now=timezone.now()),
        "base_url": access.canonical_base(request.storefront),
    }
    return render(request, "dashboard/playground.html", context)


@never_cache
@require_POST
@needs(Permission.MAKE_KEYS)
def playground_key(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """A key for the next hour, in this one answer."""
    try:
        minted = room.mint(request.seat, now=timezone.now(), source=trail.source_of(request))
    except Refusal as refusal:
        return JsonResponse({"error": refusal.sentence}, status=refusal.status)
    answer = JsonResponse({"key": minted.secret, "expires_at": minted.expires_at.isoformat()})
    answer["Cache-Control"] = "no-store, private"
    return answer


@never_cache
@require_GET
@needs(Permission.MAKE_KEYS)
def playground_charge(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """What one call of the playground came to, once it has ended: a stream's charge is on its receipt."""
    asked = request.GET.get("call", "")
    call = None
    if asked.isascii() and asked.isdecimal() and len(asked) < LONGEST_CALL_ID:
        call = Call.objects.of(request.seat.organization).filter(pk=int(asked), user_id=request.seat.user.pk).first()
    if call is None:
        return JsonResponse({"ended": False}, status=404)
    hold = Hold.objects.of(request.seat.organization).filter(pk=call.pk).first()
    return JsonResponse(
        {
            "ended": True,
            "charge_usd": money.usd_text(hold.charged_nano if hold else 0),
            "input_tokens": call.input_tokens,
            "output_tokens": call.output_tokens,
            "available": money.dollars(figures.available_nano(request.seat.organization, now=timezone.now())),
        }
    )
