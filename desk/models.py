"""A change of prices before it holds: drafted, weighed against real calls, agreed to, published."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q


class DraftKind(models.TextChoices):
    """What would change."""

    PLAN = "plan", "Plan"
    CARD = "card", "Cost card"


class DraftState(models.TextChoices):
    """How far it has come."""

    DRAFT = "draft", "Being written"
    WAITING = "waiting", "Waits for a second person"
    PUBLISHED = "published", "Published"
    DISCARDED = "discarded", "Thrown away"


class PriceDraft(models.Model):
    """The next version of a plan or a cost card, as somebody would have it. Published versions never change."""

    kind = models.CharField(max_length=4, choices=DraftKind)
    storefront = models.ForeignKey(
        "accounts.Storefront", null=True, on_delete=models.PROTECT, related_name="price_drafts"
    )
    provider = models.SlugField(max_length=60, blank=True)
    name = models.CharField(max_length=120)  # the plan, or the model of the card
    base_version = models.PositiveIntegerField()  # what it was drafted from
    body = models.JSONField()
    effective_from = models.DateTimeField()
    note = models.CharField(max_length=200, blank=True)
    state = models.CharField(max_length=9, choices=DraftState, default=DraftState.DRAFT)
    # What the calls of the last days would have been charged, as told to whoever decides; empty until asked.
    forecast = models.JSONField(default=dict)
    author = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="price_drafts")
    approved_by = models.ForeignKey("accounts.User", null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True)
    published_version = models.PositiveIntegerField(null=True)

    class Meta:
        ordering = ("-id",)
        constraints: ClassVar = [
            models.CheckConstraint(
                name="price_draft_of_a_shop_or_a_provider",
                condition=Q(kind=DraftKind.PLAN, storefront__isnull=False, provider="")
                | Q(kind=DraftKind.CARD, storefront__isnull=True) & ~Q(provider=""),
            ),
            models.CheckConstraint(
                name="price_draft_nobody_agrees_with_themselves",
                condition=Q(approved_by__isnull=True) | ~Q(approved_by=F("author")),
            ),
            models.CheckConstraint(
                name="price_draft_published_has_a_version",
                condition=Q(state=DraftState.PUBLISHED, published_version__isnull=False, decided_at__isnull=False)
                | ~Q(state=DraftState.PUBLISHED) & Q(published_version__isnull=True),
            ),
            models.CheckConstraint(name="price_draft_state_known", condition=Q(state__in=DraftState.values)),
        ]

    def __str__(self) -> str:
        of = f"{self.provider}/{self.name}" if self.kind == DraftKind.CARD else self.name
        return f"{of} after v{self.base_version}"


class Every(models.TextChoices):
    """How often a report comes."""

    DAY = "day", "Every day"
    WEEK = "week", "Every week, on Monday"
    MONTH = "month", "Every month, on the first"


class MailedReport(models.Model):
    """Somebody asked to get the figures of a shop (or, without one, of the whole platform) by mail."""

    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, related_name="mailed_reports")
    storefront = models.ForeignKey(
        "accounts.Storefront", null=True, blank=True, on_delete=models.CASCADE, related_name="mailed_reports"
    )
    every = models.CharField(max_length=5, choices=Every)
    sent_until = models.DateField()  # the last day that needs no report any more
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("storefront", "every", "id")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "storefront", "every"], name="mailed_report_once"),
            models.UniqueConstraint(
                fields=["user", "every"], condition=Q(storefront__isnull=True), name="mailed_report_once_for_all_shops"
            ),
            models.CheckConstraint(condition=Q(every__in=Every.values), name="mailed_report_every_known"),
        ]

    def __str__(self) -> str:
        return f"{self.get_every_display()}: {self.storefront or 'all shops'}"
