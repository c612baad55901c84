"""Credit that nobody paid a provider for: redemption codes, trials, and what operators give or take by hand.

Promise: a code is worth what its batch says, as often as the batch says, and each organization may use it once; a
mailbox is given one trial; a correction above the limit moves nothing until a second person has agreed.
"""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from accounts.models.bounds import LARGEST_NANO, public_id
from accounts.tenancy import TenantModel


class CodeBatch(models.Model):
    """Codes made together: their worth, their shop, how often and until when each may be used."""

    public_id = public_id("bat")
    storefront = models.ForeignKey("accounts.Storefront", on_delete=models.PROTECT, related_name="code_batches")
    name = models.CharField(max_length=80)
    value_nano = models.BigIntegerField()
    uses_per_code = models.PositiveIntegerField(default=1)
    credit_days = models.PositiveIntegerField(null=True, blank=True, help_text="Days until the credit lapses.")
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    made_by = models.ForeignKey("accounts.User", null=True, on_delete=models.PROTECT, related_name="code_batches")
    created_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "code batches"
        ordering = ("-id",)
        constraints: ClassVar = [
            models.CheckConstraint(
                name="codebatch_value_in_range", condition=Q(value_nano__gte=1, value_nano__lte=LARGEST_NANO)
            ),
            models.CheckConstraint(name="codebatch_uses_positive", condition=Q(uses_per_code__gte=1)),
        ]

    def __str__(self) -> str:
        return self.name


class RedemptionCode(models.Model):
    """One code. It is shown to operators on purpose: they hand it out."""

    batch = models.ForeignKey(CodeBatch, on_delete=models.PROTECT, related_name="codes")
    code = models.CharField(max_length=24, unique=True)
    used = models.PositiveIntegerField(default=0)
    uses = models.PositiveIntegerField()

    class Meta:
        ordering = ("id",)
        constraints: ClassVar = [
            models.CheckConstraint(name="code_used_within_uses", condition=Q(used__lte=F("uses"))),
        ]

    def __str__(self) -> str:
        return self.code


class CodeUse(TenantModel):
    """Who used a code, and when."""

    organization = models.ForeignKey("accounts.Organization", on_delete=models.PROTECT, related_name="code_uses")
    code = models.ForeignKey(RedemptionCode, on_delete=models.PROTECT, related_name="redemptions")
    user = models.ForeignKey("accounts.User", null=True, on_delete=models.PROTECT, related_name="+")
    transfer_uid = models.CharField(max_length=120, unique=True)
    created_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        ordering = ("-id",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization", "code"], name="code_once_per_organization"),
        ]

    def __str__(self) -> str:
        return f"{self.code_id} by {self.organization_id}"


class TrialGrant(models.Model):
    """A mailbox that had its trial at a storefront; only a hash of its normal form is kept."""

    storefront = models.ForeignKey("accounts.Storefront", on_delete=models.PROTECT, related_name="trials")
    mailbox_hash = models.CharField(max_length=64)
    organization = models.ForeignKey("accounts.Organization", on_delete=models.PROTECT, related_name="trials")
    tokens = models.BigIntegerField()
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["storefront", "mailbox_hash"], name="trial_once_per_mailbox"),
            models.UniqueConstraint(fields=["organization"], name="trial_once_per_organization"),
        ]

    def __str__(self) -> str:
        return f"{self.tokens} tokens for {self.organization_id}"


class Adjustment(TenantModel):
    """An operator gives or takes credit by hand; above the limit it waits for a second person."""

    public_id = public_id("adj")
    organization = models.ForeignKey("accounts.Organization", on_delete=models.PROTECT, related_name="adjustments")
    amount_nano = models.BigIntegerField(help_text="Negative takes credit away.")
    is_paid = models.BooleanField(default=False, help_text="It was paid for outside, and may be refunded.")
    reason = models.CharField(max_length=200)
    asked_by = models.ForeignKey("accounts.User", null=True, on_delete=models.PROTECT, related_name="+")
    approved_by = models.ForeignKey("accounts.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    declined_by = models.ForeignKey("accounts.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    posted_at = models.DateTimeField(null=True, blank=True)
    declined_at = models.DateTimeField(null=True, blank=True)

    class Meta(TenantModel.Meta):
        ordering = ("-id",)
        constraints: ClassVar = [
            models.CheckConstraint(
                name="adjustment_amount_in_range",
                condition=~Q(amount_nano=0) & Q(amount_nano__gte=-LARGEST_NANO, amount_nano__lte=LARGEST_NANO),
            ),
            models.CheckConstraint(
                name="adjustment_by_two_people",
                condition=Q(approved_by__isnull=True) | Q(asked_by__isnull=True) | ~Q(approved_by=F("asked_by")),
            ),
            models.CheckConstraint(
                name="adjustment_ends_once", condition=Q(posted_at__isnull=True) | Q(declined_at__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.public_id} ({self.amount_nano})"
