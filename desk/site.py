"""The operators' door: one admin site for the platform's staff and every shop's, and what it lets in.

Promise: people sign in where everybody does, so their second factor counts here too; whoever has no job here is told
that there is nothing at this address; only tables that know their scope are put on the desk, and a table of ours that
does not is an error at start. The theme's scripts evaluate small expressions, so this prefix alone allows that in its
content policy; nothing here runs inline.
"""

from typing import Any, cast

from csp.constants import UNSAFE_EVAL
from django.contrib.admin.models import LogEntry
from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest, ImproperlyConfigured, PermissionDenied
from django.db.models import ForeignKey, Model, QuerySet
from django.db.models.base import ModelBase
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.template.response import TemplateResponse
from django.templatetags.static import static
from django.urls import URLPattern, reverse
from django.utils.functional import Promise
from unfold.sites import UnfoldAdminSite

from accounts.operators import scope_for
from accounts.scoped_admin import ScopedAdmin

ROOMS = frozenset({"accounts", "analytics", "billing", "dashboard", "desk", "gateway", "plumbing"})
MOST_RESULTS_PER_TABLE = 8
NOT_OURS = frozenset({"view_on_site"})  # a redirect to whatever row of whatever table; nothing here needs it


class Choices(AutocompleteJsonView):
    """What select boxes ask; Django's own breaks on a relation that is read backwards."""

    def process_request(self, request: HttpRequest) -> Any:
        """Only a field that a form could have."""
        term, table, source, to_field = super().process_request(request)
        if not isinstance(source, ForeignKey):
            raise PermissionDenied
        return term, table, source, to_field


class OperatorSite(UnfoldAdminSite):
    """``/admin/``."""

    site_header = site_title = "Tollgate"
    index_title = "Desk"
    empty_value_display = "-"

    # --- Who comes in ---

    def has_permission(self, request: HttpRequest) -> bool:
        """Whoever runs something."""
        return bool(scope_for(request))

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:  # noqa: FBT001, FBT002 - Django's signature
        """Strangers sign in first; customers find nothing here."""
        guarded = super().admin_view(view, cacheable)

        def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.user.is_authenticated and not self.has_permission(request):
                raise Http404
            if any("\x00" in value for values in request.GET.lists() for value in (values[0], *values[1])):
                raise BadRequest  # PostgreSQL cannot even be asked about it
            response: HttpResponse = guarded(request, *args, **kwargs)
            response._csp_update = {"script-src": [UNSAFE_EVAL]}  # type: ignore[attr-defined]  # django-csp reads it
            return response

        inner.__dict__.update(guarded.__dict__)
        return inner

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Sign in where everybody does."""
        if self.has_permission(request):
            return HttpResponseRedirect(reverse("admin:index"))
        if request.user.is_authenticated:
            raise Http404
        return redirect_to_login(request.GET.get("next", reverse("admin:index")), resolve_url("account_login"))

    def logout(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Sign out where everybody does."""
        return HttpResponseRedirect(reverse("account_logout"))

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Passwords are changed where everybody changes them."""
        return HttpResponseRedirect(reverse("account_change_password"))

    def password_change_done(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The same."""
        return HttpResponseRedirect(reverse("account_change_password"))

    # --- What is on the desk ---

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Take tables of our rooms; packages' own tables (sign-in secrets among them) stay off the desk."""
        models: Any = [model_or_iterable] if isinstance(model_or_iterable, ModelBase) else model_or_iterable
        for model in models:
            if model._meta.app_label not in ROOMS:
                continue
            if admin_class is None or not issubclass(admin_class, ScopedAdmin):
                message = f"{model.__name__} needs an admin derived from accounts.scoped_admin.ScopedAdmin"
                raise ImproperlyConfigured(message)
            super().register(model, admin_class, **options)

    def get_urls(self) -> list[URLPattern]:
        """Ours first; then Django's and unfold's, without the redirect to any row of any table."""
        from desk.pages.urls import urls  # the pages need the site that this class makes

        return urls(self) + [url for url in super().get_urls() if getattr(url, "name", None) not in NOT_OURS]

    def index(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The front page; a question without an answer is a sentence there as on every page of ours."""
        from desk.pages.base import answers  # for the same reason

        return answers(super().index)(request, extra_context)

    def get_log_entries(self, request: HttpRequest) -> QuerySet[LogEntry]:
        """The trail is the truth; Django's own log stays empty."""
        return LogEntry.objects.none()

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Colours come from a stylesheet, because the content policy allows no inline ones."""
        return {**super().each_context(request), "colors": None}

    def autocomplete_view(self, request: HttpRequest) -> HttpResponse:
        """Choices for select boxes, from the scope of the table they come from."""
        answer: Any = Choices.as_view(admin_site=self)(request)
        return cast("HttpResponse", answer)

    # --- Search ---

    def search(self, request: HttpRequest, extra_context: Any = None) -> TemplateResponse:
        """Search every table in scope; never from a cache, which would outlive a scope."""
        term = request.GET.get("s", "").strip()
        results = self._found(request, term) if term else []
        template = (
            "unfold/helpers/command_results.html" if "extended" in request.GET else "unfold/helpers/search_results.html"
        )
        context = {"results": results, "page_counter": 0, "page_obj": {"count": len(results)}, "execution_time": 0}
        return TemplateResponse(request, template, context, headers={"HX-Trigger": "search"})

    def _found(self, request: HttpRequest, term: str) -> list[dict[str, str | Promise]]:
        found = []
        for admin in self._registry.values():
            if not admin.has_view_permission(request) or not admin.get_search_fields(request):
                continue
            rows, _ = admin.get_search_results(request, admin.get_queryset(request), term)
            found += [self._result(row) for row in rows.distinct()[:MOST_RESULTS_PER_TABLE]]
        return found

    def _result(self, row: Model) -> dict[str, str | Promise]:
        options = row._meta
        return {
            "title": str(row),
            "description": options.verbose_name or "",
            "link": reverse(f"admin:{options.app_label}_{options.model_name}_change", args=[row.pk]),
            "icon": "search",
        }


def stylesheet(request: HttpRequest) -> str:
    """The desk's colours, under the name static files have in this installation."""
    return static("desk/desk.css")


def labels(request: HttpRequest) -> str:
    """The script that names select boxes for those who cannot see their labels."""
    return static("desk/labels.js")
