"""The trail and the visits on the desk: to be read, by nobody to be changed."""

import json
from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.utils.html import format_html

from accounts.models import AuditEvent, Impersonation
from accounts.scoped_admin import ScopedAdmin, StorefrontFilter, ThroughOrganization


def _readable(values: dict[str, Any]) -> str:
    if not values:
        return "nothing"
    return format_html("<pre>{}</pre>", json.dumps(values, indent=2, ensure_ascii=False, sort_keys=True))


@admin.register(AuditEvent)
class AuditEventAdmin(ScopedAdmin):
    """Who did what, to what, before and after, from where."""

    storefront_paths = ("storefront",)
    list_display = ("created_at", "action", "target_name", "actor", "organization", "reason")
    list_filter = (StorefrontFilter, "created_at")
    list_select_related = ("actor", "organization")
    search_fields = ("action", "target_name", "target_id", "actor__email", "organization__public_id", "request_id")
    fieldsets = (
        ("Act", {"fields": ("created_at", "action", "target_kind", "target_name", "target_id", "reason")}),
        ("Change", {"fields": ("values_before", "values_after")}),
        ("Who", {"fields": ("actor", "api_key", "impersonation", "organization", "storefront")}),
        ("From where", {"fields": ("ip_address", "user_agent", "request_id")}),
    )

    @display(description="Before")
    def values_before(self, event: AuditEvent) -> str:
        """The values that were."""
        return _readable(event.before)

    @display(description="After")
    def values_after(self, event: AuditEvent) -> str:
        """The values that are."""
        return _readable(event.after)


@admin.register(Impersonation)
class ImpersonationAdmin(ScopedAdmin):
    """Visits of staff to customers."""

    storefront_paths = ("organization__storefront",)
    list_display = ("organization", "staff", "reason", "started_at", "expires_at", "ended_at")
    list_filter = (ThroughOrganization, "started_at")
    list_select_related = ("organization", "staff")
    search_fields = ("organization__name", "staff__email", "reason", "public_id")
    fieldsets = (
        (
            "Visit",
            {"fields": ("organization", "staff", "reason", "started_at", "expires_at", "ended_at", "public_id")},
        ),
    )
