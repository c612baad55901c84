"""What the customer's pages remember: first steps, what is worth a warning, warnings given, keys of the playground.

Promise: a warning exists once per occasion, whoever looks and however often; the webhook's secret is sealed at rest.
"""

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import Q

from accounts.models import Organization
from accounts.models.bounds import LARGEST_NANO, public_id
from accounts.tenancy import TenantModel
from plumbing.secrets import EncryptedTextField

LOW_BALANCE_NANO = 2_000_000_000  # two dollars, until somebody says otherwise


def everybody_who_pays() -> list[str]:
    """The roles that hear of warnings at first."""
    return ["owner", "admin", "billing"]


class FirstSteps(TenantModel):
    """How far an organization has come with its check-list, where its rows do not say it."""

    organization = models.OneToOneField(
        "accounts.Organization", on_delete=models.PROTECT, related_name="first_steps", primary_key=True
    )
    named_at = models.DateTimeField(null=True)
    dismissed_at = models.DateTimeField(null=True)

    class Meta(TenantModel.Meta):
        pass

    def __str__(self) -> str:
        return f"first steps of {self.organization_id}"

    @classmethod
    def note(cls, organization: Organization, **moments: datetime) -> None:
        """Write down that a step was taken."""
        cls.objects.of(organization).update_or_create(organization=organization, defaults=moments)


class AlertKind(models.TextChoices):
    """What is worth a warning."""

    LOW_BALANCE = "low_balance", "Low balance"
    CAP_NEAR = "cap_near", "Cap at 80 %"
    CAP_REACHED = "cap_reached", "Cap reached"
    UNUSUAL = "unusual_spend", "Unusual spend"
    RECHARGE = "recharge_failed", "Recharge failed"
    LEAKED = "key_leaked", "Key leaked"
    PRICES = "price_change", "Price change ahead"


class OnUnusual(models.TextChoices):
    """What happens when a key spends ten times its norm."""

    PAUSE = "pause", "Pause the key and ask"
    TELL = "tell", "Only tell"


class AlertSettings(TenantModel):
    """What an organization wants to hear, and where."""

    organization = models.OneToOneField(
        "accounts.Organization", on_delete=models.PROTECT, related_name="alert_settings", primary_key=True
    )
    low_balance_nano = models.BigIntegerField(default=LOW_BALANCE_NANO)
    on_unusual = models.CharField(max_length=5, choices=OnUnusual, default=OnUnusual.PAUSE)
    muted = models.JSONField(default=list, blank=True)
    mail_roles = models.JSONField(default=everybody_who_pays, blank=True)
    webhook_url = models.CharField(max_length=500, blank=True)
    webhook_secret = EncryptedTextField(null=True)

    class Meta(TenantModel.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(
                name="alertsettings_threshold_in_range",
                condition=Q(low_balance_nano__gte=0, low_balance_nano__lte=LARGEST_NANO),
            ),
            models.CheckConstraint(name="alertsettings_on_unusual_known", condition=Q(on_unusual__in=OnUnusual.values)),
        ]

    def __str__(self) -> str:
        return f"alerts of {self.organization_id}"


class Alert(TenantModel):
    """One warning. ``occasion`` names what caused it, and is warned of once."""

    public_id = public_id("alr")
    organization = models.ForeignKey(
        "accounts.Organization", on_delete=models.PROTECT, related_name="alerts", db_index=False
    )
    kind = models.CharField(max_length=16, choices=AlertKind)
    occasion = models.CharField(max_length=120)
    sentence = models.CharField(max_length=300)
    api_key = models.ForeignKey(
        "accounts.ApiKey", null=True, on_delete=models.PROTECT, related_name="alerts", db_index=False
    )
    paused = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    answered_by = models.ForeignKey("accounts.User", null=True, on_delete=models.PROTECT, related_name="+")

    class Meta(TenantModel.Meta):
        ordering = ("-created_at", "-id")
        indexes: ClassVar = [
            models.Index(fields=["organization", "-created_at", "-id"], name="alert_by_organization"),
            models.Index(fields=["organization"], name="alert_open", condition=Q(ended_at__isnull=True)),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization", "kind", "occasion"], name="alert_once"),
            models.CheckConstraint(name="alert_kind_known", condition=Q(kind__in=AlertKind.values)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.organization_id}"


class PlaygroundKey(TenantModel):
    """Marks a key that the playground minted for one member, so that lists can leave it out."""

    api_key = models.OneToOneField(
        "accounts.ApiKey", on_delete=models.PROTECT, related_name="playground", primary_key=True
    )
    organization = models.ForeignKey(
        "accounts.Organization", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    user = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="+", db_index=False)

    class Meta(TenantModel.Meta):
        indexes: ClassVar = [models.Index(fields=["organization", "user"], name="playgroundkey_by_member")]

    def __str__(self) -> str:
        return f"playground of {self.user_id}"
