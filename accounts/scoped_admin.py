"""The base of every table on the operators' desk: one place that knows whose rows are shown, and how they change.

Promise: an operator meets only rows of their scope, whichever way they come: lists, search, autocomplete, filters,
choices in forms, read-only tables inside pages, bulk deeds, history, popups, or a typed address, where a foreign row
answers exactly as one that never existed. What may be written is an allow-list; writing goes through a room, which
leaves the audit event; nothing is ever deleted by the admin itself. A table that declares no path to its storefront
is the platform's alone.
"""

import re
from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.contrib.admin import SimpleListFilter, helpers
from django.contrib.admin.utils import flatten_fieldsets, unquote
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.checks import CheckMessage, Error
from django.core.exceptions import (
    BadRequest,
    FieldDoesNotExist,
    ImproperlyConfigured,
    PermissionDenied,
    ValidationError,
)
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import ForeignKey, Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.admin import ModelAdmin, TabularInline
from unfold.checks import UnfoldModelAdminChecks

from accounts.deeds import Deed, ReasonedForm, ReasonForm
from accounts.models import AuditEvent
from accounts.operators import scope_for
from plumbing.refusals import Refusal

LONGEST_SEARCH = 100
MOST_SEARCH_WORDS = 6
EVENTS_PER_PAGE = 50
PRIMARY_KEY = re.compile(r"[0-9]{1,18}\Z")
FILTER_SUFFIXES = frozenset({"", "exact", "gte", "lt", "isnull"})


class StorefrontFilter(SimpleListFilter):
    """Filter by shop, among those in scope; not shown to people of one shop."""

    title = "storefront"
    parameter_name = "shop"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The shops in scope."""
        shops = [(shop.public_id, shop.name) for shop in scope_for(request).storefronts()]
        return shops if len(shops) > 1 else []

    def has_output(self) -> bool:
        """Somebody of one shop is not asked, but a shop they name in the address still counts."""
        return bool(self.lookup_choices) or self.value() is not None

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Rows of the chosen shop; of one out of scope, none."""
        if self.value() is None:
            return queryset
        shops = scope_for(request).storefronts().filter(public_id=self.value())
        condition = {f"{self.path}__in": shops.values("pk")}
        return queryset.filter(pk__in=queryset.model._base_manager.filter(**condition).values("pk"))

    path = "storefront"


class ThroughOrganization(StorefrontFilter):
    """The same for rows that hang from an organization."""

    path = "organization__storefront"


class ScopedAdminChecks(UnfoldModelAdminChecks):
    """What would open a hole is an error at start."""

    def check(self, admin_obj: Any, **options: Any) -> list[CheckMessage]:
        """Add our questions to Django's."""
        return [*super().check(admin_obj, **options), *_filter_errors(admin_obj), *_inline_errors(admin_obj)]


def _filter_errors(admin: Any) -> list[CheckMessage]:
    errors: list[CheckMessage] = []
    for item in admin.list_filter:
        if isinstance(item, type) and issubclass(item, SimpleListFilter):
            continue
        name = item[0] if isinstance(item, tuple) else item
        if not _harmless_filter(admin.model, name):
            message = f"list_filter {name!r} would list values of every tenant; use a SimpleListFilter that is scoped"
            errors.append(Error(message, obj=admin.__class__, id="desk.E001"))
    return errors


def _harmless_filter(model: type[Model], name: str) -> bool:
    """Choices and booleans have the same values everywhere; dates offer periods, not values."""
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    kind = getattr(field, "get_internal_type", str)()
    return bool(getattr(field, "choices", None)) or kind in {"BooleanField", "DateField", "DateTimeField"}


def _inline_errors(admin: Any) -> list[CheckMessage]:
    return [
        Error(f"{inline.__name__} is not a ScopedInline", obj=admin.__class__, id="desk.E002")
        for inline in admin.inlines
        if not issubclass(inline, ScopedInline)
    ]


class Picked(AutocompleteSelect):
    """A select box that asks as one types; what was sent without being picked is no choice, and not asked for."""

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        """Keep what could be a primary key; Django would stumble over the rest."""
        return super().optgroups(name, [key for key in value if PRIMARY_KEY.match(str(key))], attr)


class _Scoped:
    """What tables and the read-only tables inside them share."""

    storefront_paths: tuple[str, ...] = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """The rows in scope, and no others."""
        rows: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]
        return scope_for(request).visible(rows, *self.storefront_paths)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever has a scope that reaches this table sees it; a row out of scope is never handed in."""
        scope = scope_for(request)
        return scope.platform or (bool(scope) and bool(self.storefront_paths))

    def has_module_permission(self, request: HttpRequest) -> bool:
        """The menu shows what may be seen."""
        return self.has_view_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nothing is deleted by the admin; rooms end things."""
        return False


class ScopedInline(_Scoped, TabularInline):
    """Rows inside another row's page: to look at, never to edit."""

    extra = 0
    max_num = 0
    can_delete = False
    tab = True
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """To look at."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """To look at."""
        return False


class ScopedAdmin(_Scoped, ModelAdmin):
    """A table on the desk. Declare ``storefront_paths``, ``fieldsets``, what is ``editable``, and the ``deeds``."""

    form = ReasonedForm
    checks_class = ScopedAdminChecks
    actions_on_top = True
    list_per_page = 50
    show_full_result_count = False
    warn_unsaved_form = True

    editable: tuple[str, ...] = ()
    editable_by_platform: tuple[str, ...] = ()
    deeds: tuple[Deed, ...] = ()

    # --- Rooms: what a table that changes anything must say ---

    def add_row(self, request: HttpRequest, values: dict[str, Any], reason: str) -> Model:
        """Make a row through a room."""
        message = f"{type(self).__name__} adds rows without saying through which room"
        raise ImproperlyConfigured(message)

    def change_row(self, request: HttpRequest, row: Any, changes: dict[str, Any], reason: str) -> None:
        """Change a row through a room."""
        message = f"{type(self).__name__} changes rows without saying through which room"
        raise ImproperlyConfigured(message)

    # --- Who may what ---

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Tables that let rows be added say so."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Rows of shops they run, in tables with something to edit."""
        return bool(self._writable(request)) and self.may_change(request, obj)

    def may_change(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether they run the shop this row belongs to (or, without a row, any)."""
        scope = scope_for(request)
        if scope.platform or obj is None or obj.pk is None:
            return scope.may_change_something and self.has_view_permission(request)
        rows = self.model._base_manager.filter(pk=obj.pk)
        return scope.changeable(rows, *self.storefront_paths).exists()

    def _writable(self, request: HttpRequest) -> tuple[str, ...]:
        extra = self.editable_by_platform if scope_for(request).platform else ()
        return self.editable + extra

    # --- What a page shows ---

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """The declared fields, and the reason where something can be changed."""
        fieldsets = list(super().get_fieldsets(request, obj))
        if self.has_change_permission(request, obj) if obj else self.has_add_permission(request):
            fieldsets.append(("Why", {"fields": ("reason",)}))
        return fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Everything that is not on the allow-list."""
        shown = flatten_fieldsets(self.get_fieldsets(request, obj))
        writable = {*self._writable(request), "reason"} if obj else {*self.add_fields(request), "reason"}
        return [name for name in shown if name not in writable]

    def add_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """What is asked when a row is added."""
        return self._writable(request)

    def formfield_for_foreignkey(self, db_field: ForeignKey[Any, Any], request: HttpRequest, **options: Any) -> Any:
        """Choices in forms come from the other table's scope; without a table, only the platform chooses."""
        other = self.admin_site._registry.get(db_field.related_model)
        if other is not None:
            options["queryset"] = other.get_queryset(request)
        elif not scope_for(request).platform:
            options["queryset"] = db_field.related_model._base_manager.none()
        if db_field.name in self.get_autocomplete_fields(request):
            options["widget"] = Picked(db_field, self.admin_site)
        return super().formfield_for_foreignkey(db_field, request, **options)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Only what a declared filter asks: a free lookup would answer questions about hashes and other tenants."""
        name, _, suffix = lookup.partition("__")
        plain: set[str] = {self.date_hierarchy} if self.date_hierarchy else set()
        for item in self.list_filter:
            if isinstance(item, type) and issubclass(item, SimpleListFilter):
                if lookup == item.parameter_name:
                    return True
            else:
                plain.add(item[0] if isinstance(item, tuple) else str(item))
        allowed = FILTER_SUFFIXES | ({"year", "month", "day"} if name == self.date_hierarchy else frozenset())
        return name in plain and suffix in allowed

    def to_field_allowed(self, request: HttpRequest, to_field: str) -> bool:
        """Rows are named by their primary key and by nothing that could be guessed at."""
        return to_field in {"id", "pk", self.model._meta.pk.name}

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """A filter by a moment at the calendar's end, which no zone but its own can tell, is a bad question."""
        try:
            return super().changelist_view(request, extra_context)
        except OverflowError as error:
            raise BadRequest from error

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        """Bounded: a few words of ordinary length."""
        words = search_term.replace("\x00", "")[:LONGEST_SEARCH].split()[:MOST_SEARCH_WORDS]
        return super().get_search_results(request, queryset, " ".join(words))

    # --- Writing ---

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        """A room's refusal is a sentence, and nothing was written."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except (ValidationError, Refusal) as refusal:
            if request.method != "POST":
                raise
            messages.error(request, sentence_of(refusal))
            return HttpResponseRedirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """Translate the form into one call to a room."""
        values = {name: form.cleaned_data[name] for name in form.changed_data if name != "reason"}
        reason = form.cleaned_data.get("reason", "")
        if not change:
            asked = {name: value for name, value in form.cleaned_data.items() if name != "reason"}
            made = self.add_row(request, asked, reason)
            obj.pk = made.pk
            obj.refresh_from_db()
        elif values:
            # The form has already written on its own copy; the room wants the row as it stands.
            self.change_row(request, self.get_queryset(request).get(pk=obj.pk), values, reason)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: Any) -> None:
        """Tables inside a page are read-only, whatever is sent."""
        if formset.has_changed():
            raise PermissionDenied

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Nothing is deleted here."""
        raise PermissionDenied

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Nothing is deleted here."""
        raise PermissionDenied

    # Django's own log is not the truth; the room has written the trail.
    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """Nothing to add to the trail."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """Nothing to add to the trail."""

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> str:  # noqa: FBT001, FBT002 - Django's signature
        """Nothing to add to the trail."""
        return ""

    # --- History ---

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """The trail of one row, as far as it lies in scope."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None:
            return self._absent(request, object_id)
        events = AuditEvent.objects.filter(
            target_kind=self.opts.model_name, target_id=str(getattr(row, "public_id", row.pk))
        ).select_related("actor")
        visible = scope_for(request).visible(events, "storefront")
        context = {
            **self.admin_site.each_context(request),
            "title": f"History: {row}",
            "subtitle": None,
            "page": Paginator(visible, EVENTS_PER_PAGE).get_page(request.GET.get("p")),
            "original": row,
            "opts": self.opts,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/object_history.html", context)

    def _absent(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The answer to a row that is not there, or not theirs."""
        answer: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        return answer

    # --- Deeds ---

    def deeds_for(self, request: HttpRequest, row: Any = None) -> list[Deed]:
        """The deeds this person may do (to this row, as it stands)."""
        if not self.may_change(request, row):
            return []
        platform = scope_for(request).platform
        return [
            deed for deed in self.deeds if (platform or not deed.platform_only) and (row is None or deed.applies(row))
        ]

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Bulk deeds; deleting is not among them."""
        return {deed.slug: (_bulk(deed), deed.slug, deed.title) for deed in self.deeds_for(request) if deed.in_bulk}

    def get_urls(self) -> list[URLPattern]:
        """A page for deeds beside Django's own."""
        page = self.admin_site.admin_view(self.deed_view)
        name = f"{self.opts.app_label}_{self.opts.model_name}_deed"
        return [path("<path:object_id>/deed/<slug:slug>/", page, name=name), *super().get_urls()]

    def deed_view(self, request: HttpRequest, object_id: str, slug: str) -> HttpResponse:
        """Ask why, then do it to one row."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None:
            return self._absent(request, object_id)
        deed = next((deed for deed in self.deeds_for(request, row) if deed.slug == slug), None)
        if deed is None:
            raise PermissionDenied
        return self.ask_and_act(request, deed, [row])

    def ask_and_act(self, request: HttpRequest, deed: Deed, rows: Sequence[Any]) -> HttpResponse:
        """The page of a deed, or, once the reason is given, the deed itself."""
        answered = request.method == "POST" and "reason" in request.POST
        form = ReasonForm(request.POST if answered else None)
        if answered and form.is_valid():
            answer, refusals = self._act(request, deed, rows, form.cleaned_data["reason"])
            if not refusals:
                if answer is not None:
                    return answer
                messages.success(
                    request, f"{deed.title}: done." if len(rows) == 1 else f"{deed.title}: {len(rows)} done."
                )
                return HttpResponseRedirect(self._back_to(rows))
            for refusal in refusals:
                form.add_error(None, refusal)
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/deed.html", self._deed_context(request, deed, rows, form))

    def _act(
        self, request: HttpRequest, deed: Deed, rows: Sequence[Any], reason: str
    ) -> tuple[HttpResponse | None, list[str]]:
        """All of the rows or none of them."""
        answer, refusals = None, []
        with transaction.atomic():
            for row in rows:
                try:
                    answer = deed.act(request, row, reason)
                except (ValidationError, Refusal) as refusal:
                    refusals.append(f"{row}: {sentence_of(refusal)}")
            transaction.set_rollback(bool(refusals))
        return answer, refusals

    def _deed_context(self, request: HttpRequest, deed: Deed, rows: Sequence[Any], form: ReasonForm) -> dict[str, Any]:
        return {
            **self.admin_site.each_context(request),
            "title": deed.title,
            "subtitle": None,
            "deed": deed,
            "rows": rows,
            "form": form,
            "opts": self.opts,
            "original": rows[0] if len(rows) == 1 else None,
            "back": self._back_to(rows),
            "checkbox_name": helpers.ACTION_CHECKBOX_NAME,
        }

    def _back_to(self, rows: Sequence[Any]) -> str:
        stem = f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}"
        if len(rows) == 1 and self.model._base_manager.filter(pk=rows[0].pk).exists():
            return reverse(f"{stem}_change", args=[rows[0].pk])
        return reverse(f"{stem}_changelist")

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **options: Any) -> HttpResponse:
        """Put the deeds of this row beside its title."""
        row = options.get("obj")
        name = f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_deed"
        if row is not None and row.pk is not None:
            context["actions_detail"] = [
                {"title": deed.title, "icon": deed.icon, "path": reverse(name, args=[row.pk, deed.slug])}
                for deed in self.deeds_for(request, row)
            ]
        page: HttpResponse = super().render_change_form(request, context, *args, **options)
        return page


def _bulk(deed: Deed) -> Any:
    def act(admin: ScopedAdmin, request: HttpRequest, chosen: QuerySet[Any]) -> HttpResponse | None:
        allowed = scope_for(request).changeable(chosen, *admin.storefront_paths)
        rows = [row for row in allowed if deed in admin.deeds_for(request, row)]
        if not rows:
            messages.warning(request, f"{deed.title}: none of the chosen rows can be.")
            return None
        return admin.ask_and_act(request, deed, rows)

    return act


def sentence_of(refusal: Exception) -> str:
    """What a room said, for a person to read."""
    return " ".join(refusal.messages) if isinstance(refusal, ValidationError) else str(refusal)
