"""The API's own papers: ``/openapi.json``, Swagger UI at ``/docs``, ReDoc at ``/redoc``.

Promise: everything comes from this installation under the strict Content-Security-Policy; ReDoc's one picture from
its maker's site is left out of the copy we serve.
"""

from functools import cache
from pathlib import Path
from typing import Any

from django.contrib.staticfiles import finders
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator

REDOC = "drf_spectacular_sidecar/redoc/bundles/redoc.standalone.js"
FOREIGN_PICTURE = "https://cdn.redoc.ly/redoc/logo-mini.svg"
EMPTY_PICTURE = "data:,"


@cache
def _schema() -> dict[str, Any]:
    generator: Any = SchemaGenerator  # ships without types
    schema: dict[str, Any] = generator().get_schema(request=None, public=True)
    return schema


@cache
def _redoc() -> str:
    found = finders.find(REDOC)
    assert isinstance(found, str), "the sidecar carries ReDoc"
    return Path(found).read_text(encoding="utf-8").replace(FOREIGN_PICTURE, EMPTY_PICTURE)


@require_safe
@cache_control(public=True, max_age=300)
def openapi(request: HttpRequest) -> HttpResponse:
    """The schema; the same for everybody."""
    return JsonResponse(_schema(), json_dumps_params={"indent": 1})


@require_safe
def swagger(request: HttpRequest) -> HttpResponse:
    """Swagger UI, where a signed-in person can try calls."""
    return render(request, "docs/swagger.html")


@require_safe
def redoc(request: HttpRequest) -> HttpResponse:
    """ReDoc, for reading."""
    return render(request, "docs/redoc.html")


@require_safe
@cache_control(public=True, max_age=86_400)
def redoc_script(request: HttpRequest) -> HttpResponse:
    """ReDoc's script without its foreign picture."""
    return HttpResponse(_redoc(), content_type="text/javascript; charset=utf-8")
