"""People on the desk: their shop's staff see who they are; only the platform's staff change or erase them."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.http import HttpRequest
from django.utils import timezone

from accounts import people, trail
from accounts.deeds import Deed
from accounts.models import Membership, User
from accounts.operators import scope_for
from accounts.scoped_admin import ScopedAdmin, ScopedInline, StorefrontFilter


class Workplaces(ScopedInline):
    """The organizations somebody belongs to, as far as they lie in scope."""

    model = Membership
    storefront_paths = ("organization__storefront",)
    fields = readonly_fields = ("organization", "role", "created_at", "last_active_at")
    verbose_name_plural = "workspaces"


class CustomerOf(StorefrontFilter):
    """People by the shop they are customers of."""

    path = "memberships__organization__storefront"


def _erase(request: HttpRequest, user: User, reason: str) -> None:
    people.erase(user, by=_operator(request), now=timezone.now(), source=trail.source_of(request), reason=reason)


def _operator(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


@admin.register(User)
class UserAdmin(ScopedAdmin):
    """People. Passwords, codes and passkeys never come near this page."""

    storefront_paths = ("memberships__organization__storefront",)
    list_display = ("email", "name", "is_active", "date_joined")
    list_filter = (CustomerOf, "is_active", "date_joined")
    search_fields = ("email", "name", "public_id")
    ordering = ("-date_joined", "-id")
    inlines = (Workplaces,)
    fieldsets = (("Person", {"fields": ("email", "name", "time_zone", "is_active", "public_id", "date_joined")}),)
    editable_by_platform = ("name", "time_zone", "is_active")
    deeds = (
        Deed(
            slug="erase",
            title="Erase person",
            icon="person_off",
            warning="Mailbox, name, ways to sign in and keys are gone for good, and every session ends. "
            "What they bought stays on the books under a name that says nothing.",
            act=_erase,
            applies=lambda user: not user.email.endswith("@erased.invalid"),
            platform_only=True,
            in_bulk=False,
            grave=True,
        ),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Where somebody came from, and who is an operator, is the platform's business."""
        fieldsets = list(super().get_fieldsets(request, obj))
        if scope_for(request).platform:
            fields = ("is_staff", "is_superuser", "last_login", "terms_accepted_at", "came_from")
            fieldsets.insert(1, ("Platform", {"fields": fields}))
        return fieldsets

    def get_list_filter(self, request: HttpRequest) -> Any:
        """The platform also asks who its operators are."""
        return (*self.list_filter, "is_staff") if scope_for(request).platform else self.list_filter

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """The extra filter of the platform."""
        if lookup == "is_staff__exact" and request is not None:
            return scope_for(request).platform
        return super().lookup_allowed(lookup, value, request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Operators are changed by superusers; an operator's own powers by others."""
        scope = scope_for(request)
        if not scope.platform:
            return False
        return scope.superuser or obj is None or not obj.is_staff

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Superusers make operators, never out of themselves."""
        locked = super().get_readonly_fields(request, obj)
        if scope_for(request).superuser and obj is not None and obj.pk != request.user.pk:
            return [name for name in locked if name not in people.POWERS]
        return locked

    def change_row(self, request: HttpRequest, row: Any, changes: dict[str, Any], reason: str) -> None:
        """Through the room."""
        people.update(row, by=_operator(request), source=trail.source_of(request), reason=reason, **changes)

    @display(description="Came from")
    def came_from(self, user: User) -> str:
        """The marks kept at sign-up."""
        return ", ".join(f"{name}: {mark}" for name, mark in user.acquisition.items()) or "nothing known"
