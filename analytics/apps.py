from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate, pre_migrate


class AnalyticsConfig(AppConfig):
    name = "analytics"
    verbose_name = "Analytics"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Views stand on tables of lower rooms: they come down before a migration and go up after it."""
        pre_migrate.connect(_take_down, sender=self)
        post_migrate.connect(_put_up, sender=self)
        from analytics import metrics, statements  # models are loaded now
        from billing import audit

        metrics.register()
        audit.register("statements add up to the accounts", statements.differences)


def _take_down(using: str, plan: Any = None, **_: Any) -> None:
    from analytics import compat  # not at the top: models are not loaded yet

    if plan:
        compat.take_down(connections[using])


def _put_up(using: str, **_: Any) -> None:
    from analytics import compat  # the same

    compat.put_up(connections[using])
