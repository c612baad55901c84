"""Prices tried on some customers: what each arm multiplies by, from when to when, and why it ended."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q


class Experiment(models.Model):
    """Arms by organization, and when to stop. What was begun is never edited; it only ends."""

    storefront = models.ForeignKey("accounts.Storefront", on_delete=models.PROTECT, related_name="experiments")
    name = models.SlugField(max_length=40)
    arms = models.JSONField()  # [{"name": "control", "multiplier": "1", "weight": 1}, ...]; the first is the control
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    # The control is everybody who is not asked; a worse arm stops when the interval of its difference is below this.
    stop_below_percent = models.IntegerField(default=-20)
    stopped_at = models.DateTimeField(null=True)
    stop_reason = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ("-starts_at",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["storefront", "name"], name="price_experiment_once"),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="price_experiment_takes_time"),
        ]

    def __str__(self) -> str:
        return self.name
