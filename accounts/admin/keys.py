"""Keys on the desk: masked, to be switched off or revoked with a reason; never made, shown or widened here."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.http import HttpRequest
from django.utils import timezone

from accounts import keys, trail
from accounts.admin.bounds import LIMITS, BoundsMixin
from accounts.deeds import Deed
from accounts.models import ApiKey
from accounts.models.bounds import SPEND_CAPS
from accounts.operators import scope_for
from accounts.scoped_admin import ScopedAdmin, ThroughOrganization


def _revoke(request: HttpRequest, key: ApiKey, reason: str) -> None:
    keys.revoke(key, now=timezone.now(), source=trail.source_of(request), reason=reason)


def _disable(request: HttpRequest, key: ApiKey, reason: str) -> None:
    keys.set_enabled(key, enabled=False, now=timezone.now(), source=trail.source_of(request), reason=reason)


def _enable(request: HttpRequest, key: ApiKey, reason: str) -> None:
    keys.set_enabled(key, enabled=True, now=timezone.now(), source=trail.source_of(request), reason=reason)


@admin.register(ApiKey)
class KeyAdmin(BoundsMixin, ScopedAdmin):
    """Keys of customers, and the operator keys of a shop."""

    storefront_paths = ("organization__storefront", "storefront")
    list_display = ("label", "masked", "kind", "organization", "state", "created_by", "last_used_at")
    list_filter = (ThroughOrganization, "kind", "created_at")
    list_select_related = ("organization", "created_by")
    search_fields = ("label", "public_id", "last_four", "organization__name")
    fieldsets = (
        (
            "Key",
            {
                "fields": (
                    "label",
                    "masked",
                    "kind",
                    "state",
                    "organization",
                    "storefront",
                    "created_by",
                    "created_at",
                    "last_used_at",
                    "last_used_ip",
                    "public_id",
                )
            },
        ),
        (
            "What it may do",
            {"fields": ("its_scopes", "its_models", "its_networks", "expires_at"), "classes": ("tab",)},
        ),
        ("Spending caps", {"fields": SPEND_CAPS, "classes": ("tab",)}),
        ("Rate limits", {"fields": LIMITS, "classes": ("tab",)}),
    )
    deeds = (
        Deed(
            slug="disable",
            title="Disable",
            icon="pause_circle",
            warning="The key is refused at its next call, until somebody switches it on again.",
            act=_disable,
            applies=lambda key: key.revoked_at is None and key.disabled_at is None,
        ),
        Deed(
            slug="enable",
            title="Enable",
            icon="play_circle",
            warning="The key works again at once.",
            act=_enable,
            applies=lambda key: key.revoked_at is None and key.disabled_at is not None,
        ),
        Deed(
            slug="revoke",
            title="Revoke",
            icon="key_off",
            warning="The key is refused at its next call, for good. Its owner has to make a new one.",
            act=_revoke,
            applies=lambda key: key.revoked_at is None,
            grave=True,
        ),
    )

    def deeds_for(self, request: HttpRequest, row: Any = None) -> list[Deed]:
        """Operator keys are not switched on again by those they were taken from."""
        found = super().deeds_for(request, row)
        if row is not None and row.organization_id is None and not scope_for(request).platform:
            return [deed for deed in found if deed.slug != "enable"]
        return found

    @display(description="Key")
    def masked(self, key: ApiKey) -> str:
        """What anyone may see of it."""
        return key.masked

    @display(description="State")
    def state(self, key: ApiKey) -> str:
        """Whether it opens anything, in a word."""
        if key.revoked_at:
            return "revoked"
        if key.expires_at and key.expires_at <= timezone.now():
            return "expired"
        return "disabled" if key.disabled_at else "active"

    @display(description="Scopes")
    def its_scopes(self, key: ApiKey) -> str:
        """In words; the theme would colour JSON with inline styles, which the content policy refuses."""
        return ", ".join(key.scopes) or "none"

    @display(description="Allowed models")
    def its_models(self, key: ApiKey) -> str:
        """The patterns."""
        return ", ".join(key.allowed_models) or "every model"

    @display(description="Allowed addresses")
    def its_networks(self, key: ApiKey) -> str:
        """The networks."""
        return ", ".join(key.allowed_networks) or "everywhere"
