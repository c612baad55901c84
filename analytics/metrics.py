"""Figures of the business for Prometheus: today's sums and the alarms going on, read when a collector asks.

They are read from the shop's own rollups, so a scrape costs the same however many calls there were.
"""

from collections.abc import Iterator

from django.db import DatabaseError
from django.utils import timezone
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from analytics import business, reports
from analytics.models import Alarm
from analytics.reports import Scope

NANO = 10**9
_registered: list["BusinessFigures"] = []


class BusinessFigures(Collector):
    """Today's money and requests by model."""

    def describe(self) -> list[Metric]:
        """Nothing is read when it is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        try:
            yield from self._read()
        except DatabaseError:  # a scrape while the database is away tells of everything else
            return

    def _read(self) -> Iterator[Metric]:
        today = timezone.now().date()
        families = {
            "requests": GaugeMetricFamily("tollgate_requests_today", "Requests of this UTC day", labels=["model"]),
            "revenue": GaugeMetricFamily("tollgate_revenue_usd_today", "Charged this UTC day", labels=["model"]),
            "cost": GaugeMetricFamily("tollgate_cost_usd_today", "Known cost of this UTC day", labels=["model"]),
            "errors": GaugeMetricFamily("tollgate_errors_today", "Failed requests of this UTC day", labels=["model"]),
        }
        for (model,), figures in reports.by(Scope(today, today), "model").items():
            families["requests"].add_metric([model], figures.requests)
            families["revenue"].add_metric([model], figures.charge_nano / NANO)
            families["cost"].add_metric([model], figures.cost_nano / NANO)
            families["errors"].add_metric([model], figures.errors)
        yield from families.values()
        owed = GaugeMetricFamily("tollgate_unspent_credit_usd", "What customers could still spend", labels=["kind"])
        for kind, nano in business.liabilities().items():
            owed.add_metric([kind], nano / NANO)
        yield owed
        going_on = Alarm.objects.filter(ended_at__isnull=True).count()
        yield GaugeMetricFamily("tollgate_alarms", "Alarms going on", value=going_on)


def register() -> None:
    """Offer the figures to whoever scrapes this process, once."""
    if not _registered:
        _registered.append(BusinessFigures())
        REGISTRY.register(_registered[0])
