"""What the dashboard does in the background: look for what to warn customers of. May run any number of times."""

from datetime import datetime, timedelta
from typing import Any

import structlog
from celery import shared_task
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import AuditEvent, Organization
from analytics import reports
from analytics.models import CustomerDay, CustomerQuarter
from billing import pricebook
from billing.models import AutoRecharge
from billing.models.plans import PlanVersion, PriceTerms
from dashboard import alerts, coming_prices
from dashboard.models import Alert, AlertKind, AlertSettings
from gateway.models import Route
from plumbing import locks

log = structlog.get_logger(__name__)

LEASE_S = 300.0
RECENT = timedelta(minutes=30)
MOST_OF_PRICES = 200  # organizations told of new prices in one run


@shared_task(name="dashboard.look_for_alerts")
def look_for_alerts(**_: Any) -> int:
    """Look at everybody something happened to; one organization's trouble never silences another's."""
    now, told = timezone.now(), 0
    try:
        with locks.lease("dashboard.look_for_alerts", LEASE_S):
            reports.fresh(now=now)
            for organization in Organization.objects.filter(pk__in=_worth_a_look(now)).select_related("storefront"):
                try:
                    told += len(alerts.look(organization, now=now))
                except Exception:
                    log.exception("alerts_failed", organization=organization.public_id)
    except locks.NotHeld:
        return 0
    return told


def _worth_a_look(now: datetime) -> set[int]:
    """Who called just now, has a warning that may be over, a failed recharge, a lost key, or other prices ahead."""
    calling = CustomerQuarter.unscoped.filter(starts_at__gte=now - RECENT)
    warned = Alert.unscoped.filter(ended_at__isnull=True)
    leaked = AuditEvent.objects.filter(
        created_at__gte=now - RECENT, action="key.revoked", reason__startswith=alerts.LEAKED, organization__isnull=False
    )
    paused = AutoRecharge.unscoped.filter(is_on=True, paused_at__gte=now - RECENT)
    found = {
        *paused.values_list("organization_id", flat=True),
        *calling.order_by().values_list("organization_id", flat=True).distinct(),
        *warned.order_by().values_list("organization_id", flat=True).distinct(),
        *leaked.order_by().values_list("organization_id", flat=True).distinct(),
    }
    for version in coming_prices.plans_coming(now=now):
        found.update(_to_be_told(f"plan:{version.pk}", _who_pay_by(version))[:MOST_OF_PRICES])
    since = (now - coming_prices.USED).date()
    for card in coming_prices.cards_coming(now=now):
        routes = Route.objects.filter(provider__slug=card.provider, upstream_model=card.model)
        used = CustomerDay.unscoped.filter(day__gte=since, model__in=routes.values("model__slug"))
        users = Organization.objects.filter(pk__in=used.values("organization_id"))
        found.update(_to_be_told(f"card:{card.pk}", users)[:MOST_OF_PRICES])
    return found


def _who_pay_by(version: PlanVersion) -> QuerySet[Organization]:
    """Whose plan it is: their own, or the shop's for whoever has none."""
    shop = Organization.objects.filter(storefront_id=version.storefront_id, created_at__lt=version.effective_from)
    default = PriceTerms.objects.filter(storefront_id=version.storefront_id, organization__isnull=True).first()
    mine = Q(price_terms__plan_name=version.name)
    if (default.plan_name if default else pricebook.DEFAULT_PLAN) == version.name:
        mine |= Q(price_terms__isnull=True)
    return shop.filter(mine)


def _to_be_told(occasion: str, who: QuerySet[Organization]) -> QuerySet[Organization, int]:
    """Those of them who want to hear of prices and have not yet heard of this."""
    told = Alert.unscoped.filter(kind=AlertKind.PRICES, occasion=occasion)
    deaf = [row.organization_id for row in AlertSettings.unscoped.exclude(muted=[]) if AlertKind.PRICES in row.muted]
    waiting = who.exclude(pk__in=told.values("organization_id")).exclude(pk__in=deaf)
    return waiting.order_by("pk").values_list("pk", flat=True)
