"""The trail: who did what, to what, before and after, from where. ``accounts.trail`` adds rows; none ever changes."""

from typing import ClassVar

from django.db import models

from accounts.models.bounds import public_id


class AuditEvent(models.Model):
    """One act worth remembering."""

    public_id = public_id("evt")
    created_at = models.DateTimeField(auto_now_add=True)
    action = models.CharField(max_length=64)
    storefront = models.ForeignKey(
        "accounts.Storefront", null=True, on_delete=models.PROTECT, related_name="audit_events"
    )
    organization = models.ForeignKey(
        "accounts.Organization", null=True, on_delete=models.PROTECT, related_name="audit_events"
    )
    actor = models.ForeignKey("accounts.User", null=True, on_delete=models.PROTECT, related_name="acts")
    impersonation = models.ForeignKey(
        "accounts.Impersonation", null=True, on_delete=models.PROTECT, related_name="audit_events"
    )
    api_key = models.ForeignKey("accounts.ApiKey", null=True, on_delete=models.PROTECT, related_name="audit_events")
    target_kind = models.CharField(max_length=40, blank=True)
    target_id = models.CharField(max_length=64, blank=True)
    target_name = models.CharField(max_length=160, blank=True)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    reason = models.CharField(max_length=200, blank=True)
    ip_address = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=200, blank=True)
    request_id = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ("-created_at", "-id")
        indexes: ClassVar = [
            models.Index(fields=["organization", "-created_at"], name="auditevent_by_organization"),
            models.Index(fields=["storefront", "-created_at"], name="auditevent_by_storefront"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.target_name}".strip()
