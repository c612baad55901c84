"""Workspaces on the desk: organizations with their caps and standing, who belongs to them, who was asked to."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone

from accounts import access, impersonation, members, organizations, trail
from accounts.admin.bounds import LIMITS, BoundsMixin
from accounts.deeds import Deed
from accounts.models import ApiKey, Invitation, Membership, Organization, Role, User
from accounts.models.bounds import SPEND_CAPS
from accounts.models.organizations import Standing
from accounts.scoped_admin import ScopedAdmin, ScopedInline, StorefrontFilter, ThroughOrganization


def _suspend(request: HttpRequest, organization: Organization, reason: str) -> None:
    source = trail.source_of(request)
    organizations.set_standing(organization, Standing.SUSPENDED, reason=reason, source=source)


def _restore(request: HttpRequest, organization: Organization, reason: str) -> None:
    organizations.set_standing(organization, Standing.ACTIVE, reason=reason, source=trail.source_of(request))


def _visit(request: HttpRequest, organization: Organization, reason: str) -> HttpResponse | None:
    """Sessions belong to one host, so a visit begins at the host its pages are on, or says where that is."""
    if request.storefront.pk != organization.storefront_id:  # type: ignore[attr-defined]  # the middleware set it
        address = access.canonical_base(organization.storefront) + request.path
        context = {**admin.site.each_context(request), "address": address, "organization": organization}
        return TemplateResponse(request, "desk/visit_elsewhere.html", context, status=409)
    staff = request.user
    assert isinstance(staff, User)
    impersonation.start(request, staff=staff, organization=organization, reason=reason, now=timezone.now())
    return HttpResponseRedirect(f"/app/{organization.slug}/")


def _make_owner(request: HttpRequest, membership: Membership, reason: str) -> None:
    members.appoint(membership, source=trail.source_of(request), reason=reason)


class Members(ScopedInline):
    """Who belongs to an organization."""

    model = Membership
    storefront_paths = ("organization__storefront",)
    fields = readonly_fields = ("user", "role", "created_at", "last_active_at")
    verbose_name_plural = "members"


class Keys(ScopedInline):
    """An organization's keys, by what anyone may see of them."""

    model = ApiKey
    storefront_paths = ("organization__storefront",)
    fields = readonly_fields = ("label", "masked", "kind", "created_by", "created_at", "last_used_at", "revoked_at")


@admin.register(Organization)
class OrganizationAdmin(BoundsMixin, ScopedAdmin):
    """Customers."""

    storefront_paths = ("storefront",)
    list_display = ("name", "storefront", "standing", "members", "living_keys", "created_at")
    list_filter = (StorefrontFilter, "standing", "created_at")
    list_select_related = ("storefront",)
    search_fields = ("name", "slug", "public_id", "memberships__user__email")
    ordering = ("-created_at", "-id")
    inlines = (Members, Keys)
    fieldsets = (
        (
            "Organization",
            {"fields": ("name", "time_zone", "standing", "standing_reason", "storefront", "slug", "public_id")},
        ),
        ("Spending caps", {"fields": SPEND_CAPS}),
        ("Rate limits", {"fields": LIMITS}),
    )
    editable = ("name", "time_zone", *SPEND_CAPS, *LIMITS)
    deeds = (
        Deed(
            slug="visit",
            title="Visit as support",
            icon="visibility",
            warning="For half an hour you see this organization's pages as its members do. You can neither see nor "
            "make keys, nor move money; the visit shows on every page and in their audit trail, with your reason.",
            act=_visit,
            applies=lambda organization: organization.standing != Standing.CLOSED,
            in_bulk=False,
        ),
        Deed(
            slug="suspend",
            title="Suspend",
            icon="block",
            warning="Every key of theirs is refused at its next call, and their pages say that they are suspended. "
            "Nothing is lost; restoring them brings everything back.",
            act=_suspend,
            applies=lambda organization: organization.standing == Standing.ACTIVE,
            grave=True,
        ),
        Deed(
            slug="restore",
            title="Restore",
            icon="restart_alt",
            warning="Their keys and pages work again at once.",
            act=_restore,
            applies=lambda organization: organization.standing == Standing.SUSPENDED,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """With the two counts the list shows."""
        living = Q(api_keys__revoked_at__isnull=True, api_keys__disabled_at__isnull=True)
        rows: QuerySet[Any] = super().get_queryset(request)
        counted: QuerySet[Any] = rows.annotate(
            member_count=Count("memberships", distinct=True),
            key_count=Count("api_keys", filter=living, distinct=True),
        )
        return counted

    def change_row(self, request: HttpRequest, row: Any, changes: dict[str, Any], reason: str) -> None:
        """Through the room."""
        organizations.update(row, source=trail.source_of(request), reason=reason, **changes)

    @display(description="Members", ordering="member_count")
    def members(self, organization: Any) -> int:
        """How many people belong to it."""
        return int(organization.member_count)

    @display(description="Keys", ordering="key_count")
    def living_keys(self, organization: Any) -> int:
        """How many keys are neither revoked nor disabled."""
        return int(organization.key_count)


@admin.register(Membership)
class MembershipAdmin(BoundsMixin, ScopedAdmin):
    """Who belongs where. Members run their own roles; the desk looks on, and helps where an owner is lost."""

    storefront_paths = ("organization__storefront",)
    list_display = ("user", "organization", "role", "created_at", "last_active_at")
    list_filter = (ThroughOrganization, "role", "created_at")
    list_select_related = ("user", "organization")
    search_fields = ("user__email", "user__name", "organization__name", "public_id")
    ordering = ("-created_at", "-id")
    fieldsets = (
        ("Member", {"fields": ("user", "organization", "role", "created_at", "last_active_at", "public_id")}),
        ("Spending caps", {"fields": SPEND_CAPS}),
    )
    deeds = (
        Deed(
            slug="make-owner",
            title="Make owner",
            icon="shield_person",
            warning="They own the organization from now on, and whoever owned it becomes an admin. Owners hand over by "
            "themselves; this is for an owner whom nobody can reach any more.",
            act=_make_owner,
            applies=lambda membership: membership.role != Role.OWNER and membership.user.is_active,
            platform_only=True,
            in_bulk=False,
            grave=True,
        ),
    )


@admin.register(Invitation)
class InvitationAdmin(ScopedAdmin):
    """Letters that lead into organizations; what would open them is not here."""

    storefront_paths = ("organization__storefront",)
    list_display = ("email", "organization", "role", "invited_by", "expires_at", "accepted_at", "revoked_at")
    list_filter = (ThroughOrganization, "role", "created_at")
    list_select_related = ("organization", "invited_by")
    search_fields = ("email", "organization__name", "public_id")
    fieldsets = (
        (
            "Invitation",
            {
                "fields": (
                    "email",
                    "organization",
                    "role",
                    "transfers_ownership",
                    "invited_by",
                    "created_at",
                    "expires_at",
                    "accepted_at",
                    "accepted_by",
                    "revoked_at",
                    "public_id",
                )
            },
        ),
    )
