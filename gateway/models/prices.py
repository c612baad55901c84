"""A new price that waits for a person, because a machine would be too sure of it.

A proposal is what a price list now says about one model, beside what is in force. At most one waits for each model of a
provider; a decision names who made it and, when accepted, the version of the cost card it became.
"""

from typing import ClassVar

from django.db import models
from django.db.models import Q


class Decision(models.TextChoices):
    """What became of a proposal."""

    WAITING = "waiting", "Waits for a person"
    ACCEPTED = "accepted", "Accepted"
    REFUSED = "refused", "Refused"
    OVERTAKEN = "overtaken", "The list says something else by now"


class PriceProposal(models.Model):
    """A cost card that is not in force yet, why not, and what became of it."""

    provider = models.SlugField(max_length=60)
    model = models.CharField(max_length=160)
    body = models.JSONField()
    against = models.ForeignKey("billing.CostCardVersion", null=True, on_delete=models.PROTECT, related_name="+")
    differences = models.JSONField(default=list)
    reasons = models.JSONField(default=list)
    source = models.CharField(max_length=200)
    state = models.CharField(max_length=9, choices=Decision, default=Decision.WAITING)
    seen_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True)
    decided_by = models.ForeignKey("accounts.User", null=True, on_delete=models.PROTECT, related_name="price_decisions")
    became = models.ForeignKey("billing.CostCardVersion", null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = "price proposal"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["provider", "model"], condition=Q(state="waiting"), name="price_proposal_one_waits"
            ),
            models.CheckConstraint(
                condition=Q(state="waiting", decided_at__isnull=True)
                | (~Q(state="waiting") & Q(decided_at__isnull=False)),
                name="price_proposal_decided_when",
            ),
            models.CheckConstraint(
                condition=Q(state="accepted", became__isnull=False) | (~Q(state="accepted") & Q(became__isnull=True)),
                name="price_proposal_became_a_card",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"
