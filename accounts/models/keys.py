"""An API key, of which the secret itself is never stored: a keyed hash, the visible beginning and the last four."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from accounts.models.bounds import RATE_LIMITS, SPEND_CAPS, RateLimits, SpendCaps, at_least, public_id
from accounts.tenancy import TenantModel


class KeyKind(models.TextChoices):
    """What a key opens."""

    INFERENCE = "inference", "Inference: makes calls"
    MANAGEMENT = "management", "Management: runs one organization through the API"
    OPERATOR = "operator", "Operator: runs one storefront, or the platform"


class ApiKey(TenantModel, SpendCaps, RateLimits):
    """One key. Inference and management keys belong to an organization; operator keys to a shop or the platform."""

    public_id = public_id("key")
    kind = models.CharField(max_length=10, choices=KeyKind, default=KeyKind.INFERENCE)
    organization = models.ForeignKey(
        "accounts.Organization", null=True, blank=True, on_delete=models.PROTECT, related_name="api_keys"
    )
    storefront = models.ForeignKey(
        "accounts.Storefront", null=True, blank=True, on_delete=models.PROTECT, related_name="operator_keys"
    )
    label = models.CharField(max_length=80)
    secret_hash = models.CharField(max_length=64, unique=True, editable=False)
    visible_start = models.CharField(max_length=32, editable=False)
    last_four = models.CharField(max_length=4, editable=False)
    scopes = models.JSONField(default=list, blank=True)
    allowed_models = models.JSONField(default=list, blank=True)
    allowed_networks = models.JSONField(default=list, blank=True)
    created_by = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="api_keys")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    disabled_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    replaces = models.OneToOneField(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="replaced_by", editable=False
    )
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_ip = models.GenericIPAddressField(null=True, blank=True, editable=False)

    class Meta(TenantModel.Meta):
        ordering = ("-created_at", "-id")
        indexes: ClassVar = [models.Index(fields=["organization", "-created_at"], name="apikey_by_organization")]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="apikey_kind_and_holder_agree",
                condition=(
                    Q(kind__in=("inference", "management"), organization__isnull=False, storefront__isnull=True)
                    | Q(kind="operator", organization__isnull=True)
                ),
            ),
            at_least("apikey_caps_in_range", *SPEND_CAPS),
            at_least("apikey_limits_in_range", *RATE_LIMITS, "concurrent_requests"),
        ]

    def __str__(self) -> str:
        return f"{self.label} ({self.masked})"

    @property
    def masked(self) -> str:
        """What anyone may see of the secret."""
        return f"{self.visible_start}…{self.last_four}"
