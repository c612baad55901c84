"""Where providers knock: one address for each shop and way to pay. Ten lines; the inbox does the rest."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from accounts.models import Storefront
from billing import inbox
from billing.payments.driver import AnswerNow, BadSignature, NotConfigured


@csrf_exempt
@require_POST
def webhook(request: HttpRequest, method: str, storefront_id: str) -> HttpResponse:
    """Keep one delivery and answer at once."""
    body = request.read(inbox.LARGEST_BODY + 1)
    if len(body) > inbox.LARGEST_BODY:
        return JsonResponse({"error": "too large"}, status=413)
    storefront = get_object_or_404(Storefront, public_id=storefront_id)
    try:
        inbox.receive(storefront, method, headers=request.headers, body=body, now=timezone.now())
    except NotConfigured:
        return JsonResponse({"error": "not configured"}, status=503)
    except BadSignature:
        return JsonResponse({"error": "bad signature"}, status=400)
    except AnswerNow as answer:
        return HttpResponse(answer.body, content_type=answer.content_type)
    return JsonResponse({"received": True})
