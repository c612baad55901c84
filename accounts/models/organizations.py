"""An organization is a customer's workspace and wallet; members belong to it, invitations lead into it."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from accounts.models.bounds import RATE_LIMITS, SPEND_CAPS, RateLimits, SpendCaps, at_least, public_id
from accounts.tenancy import TenantModel


class Role(models.TextChoices):
    """What a member may do; ``accounts.roles`` says it in detail."""

    OWNER = "owner", "Owner"
    ADMIN = "admin", "Admin"
    DEVELOPER = "developer", "Developer"
    BILLING = "billing", "Billing"
    VIEWER = "viewer", "Viewer"


class Standing(models.TextChoices):
    """Whether the organization may act."""

    ACTIVE = "active", "Active"
    SUSPENDED = "suspended", "Suspended"
    CLOSED = "closed", "Closed"


class Organization(SpendCaps, RateLimits):
    """A customer. Everything they own hangs from exactly one of these."""

    public_id = public_id("org")
    storefront = models.ForeignKey("accounts.Storefront", on_delete=models.PROTECT, related_name="organizations")
    name = models.CharField(max_length=80)
    slug = models.SlugField(max_length=48)
    standing = models.CharField(max_length=9, choices=Standing, default=Standing.ACTIVE)
    standing_reason = models.CharField(max_length=200, blank=True)
    time_zone = models.CharField(max_length=64, default="UTC")
    stores_content = models.BooleanField(
        default=False, help_text="Answers are kept for a day, so that an idempotency key can repeat them."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["storefront", "slug"], name="organization_slug_once_per_storefront"),
            models.CheckConstraint(condition=Q(standing__in=Standing.values), name="organization_standing_known"),
            at_least("organization_caps_in_range", *SPEND_CAPS),
            at_least("organization_limits_in_range", *RATE_LIMITS, "concurrent_requests"),
        ]

    def __str__(self) -> str:
        return self.name


class Membership(TenantModel, SpendCaps):
    """One person's place in one organization."""

    public_id = public_id("mem")
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="memberships")
    user = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=9, choices=Role)
    created_at = models.DateTimeField(auto_now_add=True)
    last_active_at = models.DateTimeField(null=True, blank=True)

    class Meta(TenantModel.Meta):
        ordering = ("created_at", "id")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization", "user"], name="membership_once"),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="membership_role_known"),
            at_least("membership_caps_in_range", *SPEND_CAPS),
        ]

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"


class Invitation(TenantModel):
    """A letter to one mailbox: join us in this role, or (``transfers_ownership``) take over. Only a hash is kept."""

    public_id = public_id("inv")
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="invitations")
    email = models.EmailField()
    role = models.CharField(max_length=9, choices=Role)
    transfers_ownership = models.BooleanField(default=False)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    invited_by = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="invitations_sent")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    accepted_by = models.ForeignKey(
        "accounts.User", null=True, blank=True, on_delete=models.PROTECT, related_name="invitations_accepted"
    )
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta(TenantModel.Meta):
        ordering = ("-created_at", "-id")
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(role__in=Role.values), name="invitation_role_known"),
            models.CheckConstraint(
                condition=Q(accepted_at__isnull=True) | Q(revoked_at__isnull=True), name="invitation_ends_once"
            ),
            models.UniqueConstraint(
                fields=["organization", "email"],
                condition=Q(accepted_at__isnull=True, revoked_at__isnull=True),
                name="invitation_one_open_per_mailbox",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.email} to {self.organization}"
