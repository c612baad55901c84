"""What an operator decided, brought or must look at: bills, alarms, closed months.

Money is nano-USD.
"""

from typing import ClassVar

from django.db import models
from django.db.models import Q


class Alarm(models.Model):
    """Something that loses money until somebody looks; one row for as long as it goes on, however often it is seen."""

    kind = models.SlugField(max_length=40)
    subject = models.CharField(max_length=160)  # what it is about: a model, a provider, an organization
    sentence = models.CharField(max_length=300)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    seen = models.PositiveIntegerField(default=1)
    told_at = models.DateTimeField(null=True)
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.ForeignKey("accounts.User", null=True, on_delete=models.PROTECT, related_name="+")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-last_seen_at", "-id")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["kind", "subject"], condition=Q(ended_at__isnull=True), name="alarm_one_going_on"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}"


class BillLine(models.Model):
    """What a provider says one model cost on one UTC day, as its bill or activity export has it."""

    provider = models.SlugField(max_length=60)
    day = models.DateField()
    model = models.CharField(max_length=160)
    cost_nano = models.BigIntegerField()
    requests = models.BigIntegerField(null=True)
    source = models.CharField(max_length=120)
    imported_at = models.DateTimeField()

    class Meta:
        ordering = ("-day", "provider", "model")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["provider", "day", "model"], name="billline_once"),
            models.CheckConstraint(condition=Q(cost_nano__gte=0), name="billline_cost_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.model} {self.day}"


class ChannelSpend(models.Model):
    """What was spent on one way to win customers in one month."""

    storefront = models.ForeignKey("accounts.Storefront", on_delete=models.PROTECT, related_name="channel_spends")
    channel = models.CharField(max_length=80)
    month = models.DateField()
    spent_nano = models.BigIntegerField()

    class Meta:
        ordering = ("-month", "channel")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["storefront", "channel", "month"], name="channelspend_once"),
            models.CheckConstraint(condition=Q(month__day=1, spent_nano__gte=0), name="channelspend_of_a_month"),
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.month:%Y-%m}"


class ClosedMonth(models.Model):
    """A month of the books as it was when it was closed; figures that move afterwards show against it."""

    storefront = models.ForeignKey(
        "accounts.Storefront", null=True, on_delete=models.PROTECT, related_name="closed_months"
    )
    month = models.DateField()
    figures = models.JSONField()
    closed_at = models.DateTimeField()
    closed_by = models.ForeignKey("accounts.User", null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ("-month",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["storefront", "month"], name="closedmonth_once"),
            models.UniqueConstraint(
                fields=["month"], condition=Q(storefront__isnull=True), name="closedmonth_once_for_the_platform"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}"
