"""Which pages are measured, on the organization with most calls."""

from datetime import UTC

from django.db.models import Sum
from django.urls import reverse

from accounts.models import ApiKey, Organization
from analytics.models import CustomerDay
from dashboard import sold
from gateway.callid import moment_of
from gateway.models import Call

Addresses = dict[str, str]


def busiest() -> Organization | None:
    """The organization with most calls on its busiest days."""
    sums = CustomerDay._base_manager.values("organization_id").annotate(many=Sum("requests"))
    found = sums.order_by("-many").values_list("organization_id", flat=True).first()
    return Organization.objects.filter(pk=found or 0).first()


def addresses(organization: Organization) -> Addresses:
    """Every page with what makes it work hardest."""

    def of(name: str, *rest: object) -> str:
        return reverse(f"dashboard:{name}", args=[organization.slug, *rest])

    newest = Call.objects.of(organization).order_by("-pk").first()
    oldest = Call.objects.of(organization).order_by("pk").first()
    assert newest is not None
    assert oldest is not None
    middle = (newest.pk + oldest.pk) // 2
    day = moment_of(middle).astimezone(UTC).date()
    found = {
        "overview": of("overview"),
        "activity": of("activity"),
        "activity, in the middle": f"{of('activity')}?before={middle}",
        "activity, one model": f"{of('activity')}?model={newest.model_asked}",
        "activity, failed": f"{of('activity')}?state=failed",
        "activity, nothing fits": f"{of('activity')}?label=never-was",
        "activity, a day": f"{of('activity')}?since={day}&until={day}",
        "activity, tail": f"{of('activity')}?live=1&after={newest.pk}",
        "receipt": of("receipt", newest.pk),
        "usage": of("usage"),
        "usage, today by key": f"{of('usage')}?range=today&by=key",
        "usage, 90 days compared": f"{of('usage')}?range=90d&compare=1&by=member",
        "models": of("models"),
        "keys": of("keys"),
        "members": of("members"),
        "alerts": of("alerts"),
        "credits": of("credits"),
        "playground": of("playground"),
        "settings": of("settings"),
        "first steps": of("first_steps"),
        "landing": reverse("landing"),
        "models, for everybody": reverse("models"),
        "status": reverse("status"),
    }
    model = sold.chat_models(organization.storefront).values_list("slug", flat=True).first()
    if model:
        found |= {"model": of("model", model), "model, for everybody": reverse("model", args=[model])}
    key = ApiKey.objects.of(organization).order_by("pk").values_list("public_id", flat=True).first()
    return found | ({"a key": of("key_edit", key)} if key else {})
