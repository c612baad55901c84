"""A visit by staff to a customer's workspace: one organization, a reason, an end."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from accounts.models.bounds import public_id


class Impersonation(models.Model):
    """Somebody on the staff sees one organization as its members do, read-only for keys and money, until it ends."""

    public_id = public_id("imp")
    staff = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="impersonations")
    organization = models.ForeignKey("accounts.Organization", on_delete=models.PROTECT, related_name="impersonations")
    reason = models.CharField(max_length=200)
    started_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-started_at", "-id")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(expires_at__gt=F("started_at")), name="impersonation_ends_after_it_starts"
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="impersonation_has_a_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.staff} as {self.organization}"
