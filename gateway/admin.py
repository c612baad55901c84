"""Supply on the desk: accounts we buy from, their keys, models, routes, and prices that wait for a person.

All of it is the platform's alone. A key is typed once and never shown again: here it has four characters at most.
"""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin import display
from django.db.models import JSONField, URLField
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from accounts import trail
from accounts.deeds import Deed
from accounts.operators import scope_for
from accounts.scoped_admin import ScopedAdmin, ScopedInline
from gateway import repricing, suppliers, wares
from gateway.kinds import KINDS
from gateway.models import AIModel, Credential, PriceProposal, Provider, Route
from gateway.models.prices import Decision

LISTS = {"allowed_countries", "refused_countries", "input_modalities", "output_modalities", "capabilities"}
KIND_CHOICES = [(kind.slug, f"{kind.name} ({kind.slug})") for kind in sorted(KINDS.values(), key=lambda one: one.name)]


class Words(forms.CharField):
    """A list of words, one after the other, as people write it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"required": False, "widget": UnfoldAdminTextareaWidget(attrs={"rows": 2}), **options})

    def prepare_value(self, value: Any) -> Any:
        """From the row."""
        return ", ".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """From the form."""
        return [word for word in str(value or "").replace(",", " ").split() if word]

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether it says something else."""
        return bool(self.to_python(self.prepare_value(initial)) != self.to_python(data))


class SupplyAdmin(ScopedAdmin):
    """A table of the platform's own, whose rows are added and changed through a room."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """The platform's staff alone."""
        return scope_for(request).platform

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        """A row that is not there yet has nothing inside."""
        return super().get_inlines(request, obj) if obj is not None else ()

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        """Lists as words, addresses secure unless said otherwise, kinds by name."""
        if db_field.name in LISTS or db_field.name == "recommended_for":
            return Words(label=db_field.verbose_name.capitalize(), help_text=db_field.help_text)
        if db_field.name == "kind":
            return forms.ChoiceField(choices=KIND_CHOICES, widget=UnfoldAdminSelectWidget)
        if isinstance(db_field, URLField):
            options["assume_scheme"] = "https"
        if isinstance(db_field, JSONField):
            options |= {"widget": UnfoldAdminTextareaWidget(attrs={"rows": 4}), "show_hidden_initial": False}
        return super().formfield_for_dbfield(db_field, request, **options)


class Keys(ScopedInline):
    """The keys of an account."""

    model = Credential
    fields = readonly_fields = ("label", "last_four", "is_active", "weight", "tried_says")


class RoutesHere(ScopedInline):
    """What is bought by an account, or the ways that serve a model."""

    model = Route
    fields = readonly_fields = ("model", "provider", "upstream_model", "priority", "weight", "is_active")


@admin.register(Provider)
class ProviderAdmin(SupplyAdmin):
    """Accounts we buy from."""

    list_display = ("name", "slug", "kind", "is_active", "is_sandbox", "resale_allowed")
    list_filter = ("is_active", "is_sandbox")
    search_fields = ("name", "slug", "kind")
    inlines = (Keys, RoutesHere)
    fieldsets = (
        ("Account", {"fields": ("name", "slug", "kind", "base_url", "is_active", "is_sandbox", "may_be_private")}),
        (
            "What its terms allow",
            {"fields": ("resale_allowed", "allowed_countries", "refused_countries", "policy"), "classes": ("tab",)},
        ),
        ("Price list", {"fields": ("price_list_url", "price_list_shape"), "classes": ("tab",)}),
        (
            "Patience",
            {
                "fields": (
                    *("connect_timeout_ms", "first_byte_timeout_ms", "idle_timeout_ms", "total_timeout_ms"),
                    *("drain_s", "drain_bytes"),
                ),
                "classes": ("tab",),
            },
        ),
    )
    editable_by_platform = (
        *("name", "base_url", "is_active", "resale_allowed", "allowed_countries", "refused_countries", "policy"),
        *("price_list_url", "price_list_shape", "connect_timeout_ms", "first_byte_timeout_ms", "idle_timeout_ms"),
        *("total_timeout_ms", "drain_s", "drain_bytes"),
    )

    def add_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Who it is and where."""
        return ("name", "kind", "base_url")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """A new account is only named; the rest has good defaults."""
        if obj is None:
            return [("Account", {"fields": self.add_fields(request)}), ("Why", {"fields": ("reason",)})]
        return super().get_fieldsets(request, obj)

    def add_row(self, request: HttpRequest, values: dict[str, Any], reason: str) -> Provider:
        """Through the room."""
        outcome = suppliers.add_provider(**values, source=trail.source_of(request), reason=reason)
        provider: Provider = outcome.row
        return provider

    def change_row(self, request: HttpRequest, row: Any, changes: dict[str, Any], reason: str) -> None:
        """Through the room."""
        suppliers.change_provider(row, changes=changes, source=trail.source_of(request), reason=reason)


def _switch(request: HttpRequest, credential: Credential, reason: str, *, active: bool) -> None:
    suppliers.set_credential_active(credential, active=active, source=trail.source_of(request), reason=reason)


def _switch_on(request: HttpRequest, credential: Credential, reason: str) -> None:
    _switch(request, credential, reason, active=True)


def _switch_off(request: HttpRequest, credential: Credential, reason: str) -> None:
    _switch(request, credential, reason, active=False)


def _try(request: HttpRequest, credential: Credential, reason: str) -> None:
    suppliers.try_credential(credential, source=trail.source_of(request), now=timezone.now(), reason=reason)


@admin.register(Credential)
class CredentialAdmin(SupplyAdmin):
    """Keys that providers gave us: typed once, sealed, never shown."""

    list_display = ("label", "provider", "last_four", "is_active", "weight", "tried_at", "tried_says")
    list_filter = ("is_active",)
    list_select_related = ("provider",)
    search_fields = ("label", "provider__name", "last_four")
    autocomplete_fields = ("provider",)
    fieldsets = (
        (
            "Key",
            {
                "fields": (
                    *("provider", "label", "last_four", "weight", "is_active", "tried_at", "tried_says", "created_at"),
                )
            },
        ),
    )
    editable_by_platform = ("label", "weight")
    deeds = (
        Deed(
            slug="try",
            title="Try",
            icon="network_check",
            warning="The provider is asked for its models with this key, which costs nothing.",
            act=_try,
        ),
        Deed(
            slug="switch-off",
            title="Switch off",
            icon="pause_circle",
            warning="No call uses this key from the next second on.",
            act=_switch_off,
            applies=lambda credential: credential.is_active,
        ),
        Deed(
            slug="switch-on",
            title="Switch on",
            icon="play_circle",
            warning="Calls use this key from the next second on.",
            act=_switch_on,
            applies=lambda credential: not credential.is_active,
        ),
    )

    def add_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Whose key, and the key."""
        return ("provider", "label", "weight", "secret")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """The key itself is asked for once, when it is new."""
        if obj is None:
            return [("Key", {"fields": self.add_fields(request)}), ("Why", {"fields": ("reason",)})]
        return super().get_fieldsets(request, obj)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        """Typed blind, and never written back into a page."""
        if db_field.name == "secret":
            widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})
            return forms.CharField(label="Key", widget=widget, max_length=1000)
        return super().formfield_for_dbfield(db_field, request, **options)

    def add_row(self, request: HttpRequest, values: dict[str, Any], reason: str) -> Credential:
        """Through the room."""
        outcome = suppliers.add_credential(
            provider=values["provider"],
            key=values["secret"],
            label=values["label"],
            weight=values["weight"],
            source=trail.source_of(request),
            reason=reason,
        )
        credential: Credential = outcome.row
        return credential

    def change_row(self, request: HttpRequest, row: Any, changes: dict[str, Any], reason: str) -> None:
        """Through the room."""
        suppliers.change_credential(row, changes=changes, source=trail.source_of(request), reason=reason)


@admin.register(AIModel)
class ModelAdmin(SupplyAdmin):
    """Names on the price list."""

    list_display = ("slug", "name", "vendor", "purpose", "is_active", "alias_of", "retired_on")
    list_filter = ("purpose", "is_active", "is_sandbox", "may_be_unpriced")
    list_select_related = ("alias_of",)
    search_fields = ("slug", "name", "vendor")
    inlines = (RoutesHere,)
    fieldsets = (
        ("Model", {"fields": ("slug", "name", "vendor", "purpose", "description", "is_active", "alias_of")}),
        (
            "What it can do",
            {
                "fields": (
                    *("context_tokens", "max_output_tokens", "default_output_tokens", "input_modalities"),
                    *("output_modalities", "capabilities", "recommended_for"),
                ),
                "classes": ("tab",),
            },
        ),
        (
            "Sale",
            {"fields": ("may_be_unpriced", "retired_on", "released_on", "is_sandbox"), "classes": ("tab",)},
        ),
    )
    editable_by_platform = (
        *("name", "vendor", "purpose", "description", "is_active", "context_tokens", "max_output_tokens"),
        *("default_output_tokens", "input_modalities", "output_modalities", "capabilities", "recommended_for"),
        *("may_be_unpriced", "retired_on", "released_on"),
    )

    def add_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Its name, and what it is."""
        return ("slug", "name", "vendor", "purpose", "description", "context_tokens", "max_output_tokens")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """A new model is only named; the rest has good defaults."""
        if obj is None:
            return [("Model", {"fields": self.add_fields(request)}), ("Why", {"fields": ("reason",)})]
        return super().get_fieldsets(request, obj)

    def add_row(self, request: HttpRequest, values: dict[str, Any], reason: str) -> AIModel:
        """Through the room."""
        return wares.put_on_list(**values, source=trail.source_of(request), reason=reason)

    def change_row(self, request: HttpRequest, row: Any, changes: dict[str, Any], reason: str) -> None:
        """Through the room."""
        wares.change(row, changes=changes, source=trail.source_of(request), reason=reason)


@admin.register(Route)
class RouteAdmin(SupplyAdmin):
    """Ways to serve a model; lower priority numbers are tried first."""

    list_display = ("model", "provider", "upstream_model", "priority", "weight", "is_active", "is_price_pinned")
    list_filter = ("is_active", "is_price_pinned")
    list_select_related = ("model", "provider")
    search_fields = ("model__slug", "provider__name", "upstream_model")
    autocomplete_fields = ("model", "provider")
    fieldsets = (
        ("Route", {"fields": ("model", "provider", "upstream_model", "priority", "weight", "is_active")}),
        ("Price and policy", {"fields": ("is_price_pinned", "policy")}),
    )
    editable_by_platform = ("priority", "weight", "is_active", "is_price_pinned", "policy")

    def add_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Which model, by whom, under which name."""
        return ("model", "provider", "upstream_model", "priority", "weight")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """A new route has no policy yet."""
        if obj is None:
            return [("Route", {"fields": self.add_fields(request)}), ("Why", {"fields": ("reason",)})]
        return super().get_fieldsets(request, obj)

    def add_row(self, request: HttpRequest, values: dict[str, Any], reason: str) -> Route:
        """Through the room."""
        return wares.add_route(**values, source=trail.source_of(request), reason=reason)

    def change_row(self, request: HttpRequest, row: Any, changes: dict[str, Any], reason: str) -> None:
        """Through the room."""
        wares.change(row, changes=changes, source=trail.source_of(request), reason=reason)


def _accept(request: HttpRequest, proposal: PriceProposal, reason: str) -> None:
    repricing.accept(proposal, now=timezone.now(), source=trail.source_of(request), reason=reason)


def _refuse(request: HttpRequest, proposal: PriceProposal, reason: str) -> None:
    repricing.refuse(proposal, now=timezone.now(), source=trail.source_of(request), reason=reason)


def _waits(proposal: PriceProposal) -> bool:
    return proposal.state == Decision.WAITING


@admin.register(PriceProposal)
class ProposalAdmin(ScopedAdmin):
    """New purchase prices that were not put in force by themselves."""

    list_display = ("model", "provider", "state", "why", "seen_at", "decided_by")
    list_filter = ("state", "seen_at")
    list_select_related = ("decided_by",)
    search_fields = ("model", "provider")
    fieldsets = (
        ("Proposal", {"fields": ("provider", "model", "state", "why", "changes", "source", "seen_at")}),
        ("Decision", {"fields": ("decided_by", "decided_at", "became")}),
    )
    deeds = (
        Deed(
            slug="accept",
            title="Accept",
            icon="check_circle",
            warning="The new cost is in force for every call from now on; plans that follow cost follow it.",
            act=_accept,
            applies=_waits,
        ),
        Deed(
            slug="refuse",
            title="Refuse",
            icon="cancel",
            warning="The cost stays as it is. The same price is not proposed again.",
            act=_refuse,
            applies=_waits,
        ),
    )

    @display(description="Why it waits")
    def why(self, proposal: PriceProposal) -> str:
        """The reasons, in sentences."""
        return " ".join(proposal.reasons)

    @display(description="Changes")
    def changes(self, proposal: PriceProposal) -> str:
        """Field by field; nothing for a first price."""
        rows = ((one["field"], one["before"] or "-", one["after"] or "-") for one in proposal.differences)
        body = format_html_join("", "<tr><td>{}</td><td>{}</td><td>{}</td></tr>", rows)
        return format_html("<table><tr><th>Field</th><th>Now</th><th>Proposed</th></tr>{}</table>", body)
