"""What the dashboard does in the background: look for what to warn customers of. May run any number of times."""

from datetime import datetime, timedelta
from typing import Any

import structlog
from celery import shared_task
from django.utils import timezone

from accounts.models import AuditEvent, Organization
from analytics import reports
from analytics.models import CustomerQuarter
from billing.models import AutoRecharge
from billing.models.plans import PlanVersion
from dashboard import alerts
from dashboard.models import Alert, AlertKind
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
    ahead = PlanVersion.objects.filter(effective_from__gt=now, effective_from__lte=now + alerts.AHEAD)
    for version in ahead:
        told = Alert.unscoped.filter(kind=AlertKind.PRICES, occasion=f"plan:{version.pk}")
        waiting = Organization.objects.filter(storefront_id=version.storefront_id).exclude(
            pk__in=told.values("organization_id")
        )
        found.update(waiting.values_list("pk", flat=True)[:MOST_OF_PRICES])
    return found
