"""Shops on the desk: their staff change their face and policy; hosts, names and jobs are the platform's."""

import base64
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin import display
from django.db.models import URLField
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldBooleanSwitchWidget

from accounts import logos, storefronts, trail
from accounts.deeds import Deed, ReasonedForm
from accounts.models import Storefront, StorefrontDomain, StorefrontStaff
from accounts.operators import scope_for
from accounts.scoped_admin import ScopedAdmin, ScopedInline

LOGO_FIELDS = ("new_logo", "remove_logo")


class StorefrontForm(ReasonedForm):
    """A shop, with a picture to upload."""

    new_logo = forms.FileField(
        required=False,
        label="New logo",
        help_text="PNG, JPEG, WebP or GIF, at most 2 MB. It becomes a PNG of at most 512 pixels.",
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": "image/png,image/jpeg,image/webp,image/gif"}),
    )
    remove_logo = forms.BooleanField(required=False, label="Remove the logo", widget=UnfoldBooleanSwitchWidget)

    def clean_new_logo(self) -> bytes | None:
        """Our own PNG of the upload."""
        upload = self.cleaned_data.get("new_logo")
        if not upload:
            return None
        if upload.size > logos.LARGEST_UPLOAD_BYTES:
            raise forms.ValidationError("The picture is larger than 2 MB.")
        try:
            return logos.png_of(upload.read())
        except logos.LogoRefused as refusal:
            raise forms.ValidationError(str(refusal)) from refusal


class Domains(ScopedInline):
    """The hosts of a shop."""

    model = StorefrontDomain
    storefront_paths = ("storefront",)
    fields = readonly_fields = ("host", "is_primary")


class Staff(ScopedInline):
    """Who works at a shop; only the platform sees the list."""

    model = StorefrontStaff
    fields = readonly_fields = ("user", "can_change", "created_at")


@admin.register(Storefront)
class StorefrontAdmin(ScopedAdmin):
    """Shops."""

    form = StorefrontForm
    storefront_paths = ("pk",)
    list_display = ("name", "slug", "is_open", "sign_up_policy", "is_default")
    list_filter = ("is_open", "sign_up_policy")
    search_fields = ("name", "slug", "public_id")
    inlines = (Domains, Staff)
    fieldsets = (
        ("Shop", {"fields": ("name", "tagline", "slug", "is_open", "sign_up_policy", "is_default", "public_id")}),
        (
            "Brand",
            {
                "fields": ("brand_color", "brand_color_dark", "logo", *LOGO_FIELDS, "key_prefix", "currency_display"),
            },
        ),
        ("Support and terms", {"fields": ("support_email", "support_url", "terms")}),
    )
    editable = (
        "name",
        "tagline",
        "is_open",
        "sign_up_policy",
        "brand_color",
        "brand_color_dark",
        *LOGO_FIELDS,
        "currency_display",
        "support_email",
        "support_url",
        "terms",
    )
    editable_by_platform = ("slug", "key_prefix")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Uploading is for those who may change the shop; a new one gets its logo later."""
        hidden = {"logo", "is_default", "public_id", *LOGO_FIELDS} if obj is None else set()
        if obj is not None and not self.has_change_permission(request, obj):
            hidden = set(LOGO_FIELDS)
        return [
            (name, {**options, "fields": tuple(field for field in options["fields"] if field not in hidden)})
            for name, options in super().get_fieldsets(request, obj)
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """The platform opens shops."""
        return scope_for(request).platform

    def add_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """All but the logo."""
        return tuple(name for name in self._writable(request) if name not in LOGO_FIELDS)

    def add_row(self, request: HttpRequest, values: dict[str, Any], reason: str) -> Storefront:
        """Through the room."""
        fields = {name: value for name, value in values.items() if name not in LOGO_FIELDS}
        return storefronts.create(source=trail.source_of(request), reason=reason, **fields)

    def change_row(self, request: HttpRequest, row: Any, changes: dict[str, Any], reason: str) -> None:
        """Through the room; the upload has become a PNG by now."""
        new_logo, remove = changes.pop("new_logo", None), changes.pop("remove_logo", False)
        if new_logo or remove:
            changes["logo_png"] = new_logo or None
        storefronts.update(row, source=trail.source_of(request), reason=reason, **changes)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        """An address typed without a scheme is a secure one."""
        if isinstance(db_field, URLField):
            options["assume_scheme"] = "https"
        return super().formfield_for_dbfield(db_field, request, **options)

    @display(description="Logo")
    def logo(self, shop: Storefront) -> str:
        """The stored PNG, shown as data: no address to guess."""
        if not shop.logo_png:
            return "none"
        data = base64.b64encode(bytes(shop.logo_png)).decode()
        return format_html('<img alt="The shop\'s logo" src="data:image/png;base64,{}" height="64">', data)


def _make_primary(request: HttpRequest, domain: StorefrontDomain, reason: str) -> None:
    storefronts.make_primary(domain, source=trail.source_of(request), reason=reason)


def _remove(request: HttpRequest, domain: StorefrontDomain, reason: str) -> None:
    storefronts.remove_domain(domain, source=trail.source_of(request), reason=reason)


@admin.register(StorefrontDomain)
class DomainAdmin(ScopedAdmin):
    """Hosts; the platform's alone."""

    list_display = ("host", "storefront", "is_primary")
    list_filter = ("is_primary",)
    list_select_related = ("storefront",)
    search_fields = ("host", "storefront__name")
    autocomplete_fields = ("storefront",)
    fieldsets = (("Domain", {"fields": ("storefront", "host", "is_primary")}),)
    deeds = (
        Deed(
            slug="make-primary",
            title="Make primary",
            icon="star",
            warning="Links in mails of this shop lead here from now on.",
            act=_make_primary,
            applies=lambda domain: not domain.is_primary,
            in_bulk=False,
        ),
        Deed(
            slug="remove",
            title="Remove domain",
            icon="link_off",
            warning="Nobody reaches the shop by this host any more; passkeys made on it stop working.",
            act=_remove,
            grave=True,
        ),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """The platform's alone."""
        return scope_for(request).platform

    def add_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """All of a domain."""
        return ("storefront", "host", "is_primary")

    def add_row(self, request: HttpRequest, values: dict[str, Any], reason: str) -> StorefrontDomain:
        """Through the room."""
        return storefronts.add_domain(**values, source=trail.source_of(request), reason=reason)


def _dismiss(request: HttpRequest, job: StorefrontStaff, reason: str) -> None:
    storefronts.dismiss(job, source=trail.source_of(request), reason=reason)


@admin.register(StorefrontStaff)
class StaffAdmin(ScopedAdmin):
    """Who works at which shop; the platform's alone."""

    list_display = ("user", "storefront", "can_change", "created_at")
    list_filter = ("can_change",)
    list_select_related = ("user", "storefront")
    search_fields = ("user__email", "storefront__name")
    autocomplete_fields = ("storefront", "user")
    fieldsets = (("Job", {"fields": ("storefront", "user", "can_change")}),)
    editable_by_platform = ("can_change",)
    deeds = (
        Deed(
            slug="dismiss",
            title="Dismiss",
            icon="person_remove",
            warning="They see nothing of this shop from their next click on; a visit they are on ends.",
            act=_dismiss,
            grave=True,
        ),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """The platform's alone."""
        return scope_for(request).platform

    def add_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """All of a job."""
        return ("storefront", "user", "can_change")

    def add_row(self, request: HttpRequest, values: dict[str, Any], reason: str) -> StorefrontStaff:
        """Through the room."""
        return storefronts.hire(**values, source=trail.source_of(request), reason=reason)

    def change_row(self, request: HttpRequest, row: Any, changes: dict[str, Any], reason: str) -> None:
        """Through the room."""
        storefronts.change_job(row, **changes, source=trail.source_of(request), reason=reason)
