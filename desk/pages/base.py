"""What every page of the desk shares: who comes in, how a bad question is answered, how parts become a page.

Promise: a page is asked with GET and changes nothing; what changes something is a POST with a token. A question that
has no answer is a page with status 400 and a sentence. Pages of the platform answer a shop's staff as if they did not
exist.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from accounts.operators import scope_for
from analytics.reports import BadQuestion
from desk.lens import Lens
from desk.tables import Parts, Table, as_file

View = Callable[..., HttpResponse]


def answers(view: View) -> View:
    """Turn a bad question into its sentence."""

    @wraps(view)
    def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except BadQuestion as error:
            return show(request, "desk/question.html", title="A question without an answer", status=400, sentence=error)

    return inner


def platform_only(view: View) -> View:
    """A page that shows every shop's rows."""

    @wraps(view)
    def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not scope_for(request).platform:
            raise Http404
        return view(request, *args, **kwargs)

    return inner


def show(
    request: HttpRequest,
    template: str,
    *,
    title: str,
    status: int = 200,
    parts: Parts | None = None,
    lens: Lens | None = None,
    **context: Any,
) -> HttpResponse:
    """Put a page together."""
    request.current_app = admin.site.name
    told = {
        **admin.site.each_context(request),
        "title": title,
        "subtitle": None,
        "parts": parts or Parts(),
        "lens": lens,
        **context,
    }
    return TemplateResponse(request, template, told, status=status)


def exported(request: HttpRequest, parts: Parts, name: str) -> HttpResponse | None:
    """The table an address asks for as a file, if it asks for one."""
    wanted = request.GET.get("csv")
    if not wanted:
        return None
    table: Table | None = next((table for table in parts.tables if table.slug == wanted and table.export), None)
    if table is None:
        raise BadQuestion("There is no such table to save.")
    return as_file(table, name=f"{name}-{table.slug}")  # type: ignore[return-value]  # streamed, as any answer may be
