from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate
from django.utils import timezone


class GatewayConfig(AppConfig):
    name = "gateway"
    verbose_name = "Gateway"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Make the first months before a row could stray, and tell billing what it cannot know of calls."""
        from billing import audit, leases  # not at the top: models are not loaded yet
        from billing.payments import registry
        from gateway import audit_checks, diagnoses, recovery, suppliers  # noqa: F401 - the doctor's questions register by being imported

        post_migrate.connect(_make_months, sender=self)
        leases.when_expired(recovery.stories)
        audit.register("one call, one charge", audit_checks.one_call_one_charge)
        audit.register("the price of a call recomputes", audit_checks.the_price_recomputes)
        registry.refuse_play_money_while(suppliers.has_real_credential)


def _make_months(using: str, plan: Any = None, **_: Any) -> None:
    from gateway import partitions  # not at the top: models are not loaded yet

    partitions.make_ahead(connections[using], now=timezone.now())
