"""Usage: how much of what, when, by whom and for what money; and the same as files."""

from typing import Any

from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.models import ApiKey
from accounts.requests import TenantRequest
from accounts.roles import Permission
from analytics import call_lists, customer, exports
from analytics.call_lists import Wanted
from analytics.customer import Use
from dashboard import charts, files, naming, periods, streams
from dashboard.doors import needs
from dashboard.naming import Names
from dashboard.templatetags.parts import zone_named

BY = {"model": "Model", "key": "API key", "member": "Member"}
MOST_LABELLED = 20_000  # calls that a page adds up by label; more are for a file
MOST_ROWS = 100
Series = dict[tuple[int, Any], Use]


@require_GET
@needs(Permission.SEE)
def usage(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """Charts and tables of one stretch of time."""
    organization, span = request.seat.organization, _span(request)
    by = _one_of(request, "by", BY)
    metric = _one_of(request, "metric", charts.METRICS)
    compare = bool(request.GET.get("compare"))
    names = naming.of(organization)
    stretches = span.slots()
    found = customer.series(organization, stretches, by=by)
    before: Series = {}
    if compare or len(stretches) > 1:
        before = customer.series(organization, span.before.slots() if compare else span.before.whole())
    total, total_before = customer.total(found), customer.total(before)
    chart = charts.stacked(
        chart_id="usage",
        title=f"{charts.METRICS[metric][0]} by {BY[by].lower()}",
        metric=metric,
        stretches=stretches,
        found=found,
        step=span.step,
        naming=names.naming(by),
        before=charts.heights(before, len(stretches), metric) if compare else None,
    )
    wanted = Wanted(since=span.starts_at, until=span.ends_at)
    labelled = total.requests <= MOST_LABELLED
    context = {
        "span": span,
        "presets": periods.PRESETS,
        "by": by,
        "by_name": BY[by],
        "bys": BY,
        "metric": metric,
        "metrics": {name: title for name, (title, _) in charts.METRICS.items()},
        "compare": compare,
        "chart": chart,
        "errors_chart": _errors(found, stretches, span),
        "total": total,
        "total_before": total_before,
        "rows": _rows(found, by, names),
        "speeds": sorted(call_lists.speeds(organization, wanted).items(), key=lambda row: -row[1].calls),
        "labelled": labelled,
        "labels": _labels(organization, span) if labelled and total.requests else [],
        "zone": span.zone.key.replace("_", " "),
        "most_labelled": MOST_LABELLED,
    }
    return render(request, "dashboard/usage.html", context)


def _span(request: TenantRequest) -> periods.Span:
    zone = zone_named(request.seat.organization.time_zone)
    return periods.read(request.GET, zone=zone, now=timezone.now())


def _one_of(request: TenantRequest, name: str, known: Any) -> str:
    asked = request.GET.get(name, "")
    return asked if asked in known else next(iter(known))


def _rows(found: Series, by: str, names: Names) -> list[tuple[str, Use]]:
    """One row for each name; names that are written alike are one row."""
    naming_of = names.naming(by)
    rows: dict[str, Use] = {}
    for value, use in customer.by_name(found).items():
        name = naming_of(value)
        rows[name] = rows.get(name, Use()) + use
    return list(rows.items())[:MOST_ROWS]


def _errors(found: Series, stretches: Any, span: periods.Span) -> charts.Chart:
    whole: Series = {}
    for (place, _), use in found.items():
        whole[place, "Failed calls"] = whole.get((place, "Failed calls"), Use()) + use
    return charts.stacked(
        chart_id="errors",
        title="Failed calls",
        metric="errors",
        stretches=stretches,
        found=whole,
        step=span.step,
        naming=str,
    )


def _labels(organization: Any, span: periods.Span) -> list[tuple[str, tuple[int, int, int]]]:
    found = call_lists.by_label(organization, since=span.starts_at, until=span.ends_at)
    return sorted(found.items(), key=lambda row: (-row[1][2], row[0]))[:MOST_ROWS]


@require_GET
@needs(Permission.SEE)
def usage_file(request: TenantRequest, organization_slug: str, kind: str) -> HttpResponseBase:
    """Use by step, costs by label, or costs as FOCUS has them."""
    organization, span = request.seat.organization, _span(request)
    columns: tuple[str, ...]
    name = f"{kind}-{organization.slug}-{span.since}-{span.until}"
    if kind == "use":
        by = _one_of(request, "by", BY)
        rows, columns = files.use(organization, span, naming.of(organization), by=by), files.USE
    elif kind == "labels":
        rows, columns = files.labels(organization, span), files.LABELS
    elif kind == "focus":
        keys = ApiKey.objects.of(organization).values_list("pk", "public_id", "label")
        known = {pk: (public_id, label) for pk, public_id, label in keys}
        rows, columns = files.focus(organization, span, known), files.FOCUS
    else:
        raise Http404
    if request.GET.get("format") == "json":
        return streams.json_file(rows, name=name)
    return streams.csv_file(exports.rows(columns, (tuple(row.values()) for row in rows)), name=name)
