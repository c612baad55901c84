"""What billing does by itself: sweep holds of the dead, let grants lapse, prove the books, recharge, reconcile.

Each task may run twice.
"""

import logging
from typing import Any

from celery import shared_task
from django.utils import timezone

from billing import audit, leases, recharging, reconciler, wallets

log = logging.getLogger(__name__)


@shared_task(name="billing.sweep_holds")
def sweep_holds(**_: Any) -> int:
    """Give back what dead processes hold."""
    return leases.sweep()


@shared_task(name="billing.lapse_grants")
def lapse_grants(**_: Any) -> int:
    """Book grants whose time is over."""
    return wallets.lapse_expired(leases.database_now())


@shared_task(name="billing.prove_books")
def prove_books(*, full: bool = False, **_: Any) -> int:
    """Audit and remember how far it came; a finding is an error in the log, which alarms."""
    report = audit.run(full=full)
    audit.checkpoint(report, now=timezone.now())
    for finding in report.findings:
        log.error("audit: %s", finding)
    return len(report.findings)


@shared_task(name="billing.recharge_due")
def recharge_due(**_: Any) -> int:
    """Buy the next credit for whoever asked for that and is running low."""
    return recharging.sweep(now=timezone.now())


@shared_task(name="billing.reconcile_payments")
def reconcile_payments(**_: Any) -> int:
    """Find what webhooks missed."""
    return reconciler.run(now=timezone.now()).missed
