"""Is the process alive, may it be sent work, and how is it doing: the three doors that probes and collectors use.

``/health`` answers without touching anything; ``/ready`` asks the database, the cache and the migrations; ``/metrics``
speaks Prometheus to whoever holds the token, and does not exist without one.

Promise: they are answered before anything that would ask the database who is calling, so a probe that happens to carry
a cookie hears of an outage instead of breaking on it.
"""

import hmac
from collections.abc import Callable

from django.conf import settings
from django.core.cache import cache
from django.db import Error as DatabaseTrouble
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import resolve
from django.utils import timezone
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gateway import service
from plumbing import problems

# Probes and collectors come by address, not by name, and see nothing of any shop.
PATHS = frozenset({"/health", "/ready", "/metrics"})


class ProbeMiddleware:
    """Answer the three doors here; nothing behind this point may be needed for them."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path not in PATHS:
            return self.get_response(request)
        request.resolver_match = match = resolve(request.path)
        answer: HttpResponse = match.func(request)
        return answer


@require_safe
def health(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return JsonResponse(
        {
            "status": "healthy",
            "timestamp": timezone.now().isoformat(),
            "service": "tollgate",
            "version": settings.VERSION,
        }
    )


@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """The process may be sent work: 503 names the part that is missing, not its address."""
    parts = {"database": _database(), "cache": _cache()}
    parts["migrations"] = parts["database"] and _migrated()
    if service.is_waiting():
        parts["gateway"] = False
    complete = all(parts.values())
    shown = {name: "ok" if fine else "unavailable" for name, fine in parts.items()}
    return JsonResponse({"status": "ready" if complete else "unready", **shown}, status=200 if complete else 503)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Figures for Prometheus, behind a token."""
    offered = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not settings.METRICS_TOKEN:
        return problems.answer(request, 404, "not_found", "There is nothing at this address.")
    if not hmac.compare_digest(offered.encode(), settings.METRICS_TOKEN.encode()):
        return problems.answer(request, 401, "token_required", "Send the metrics token as a bearer token.")
    return HttpResponse(generate_latest(), content_type=CONTENT_TYPE_LATEST)


def _database() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseTrouble:
        return False
    return True


def _cache() -> bool:
    try:
        cache.set("ready", 1, 5)
        return bool(cache.get("ready") == 1)
    except Exception:  # noqa: BLE001 - whatever the client library raises, the cache is not there
        return False


def _migrated() -> bool:
    executor = MigrationExecutor(connection)
    return not executor.migration_plan(executor.loader.graph.leaf_nodes())
