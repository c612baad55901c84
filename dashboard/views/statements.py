"""Monthly statements: the list, one month as a page that prints well, as PDF, and as CSV written while it is read.

A page adds up what is new since the last look; when that is much, it is done in the background, and the page says so
and comes back by itself. A file is only made of a month that is added up.
"""

from datetime import UTC, date, datetime
from typing import Any

from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts.models import Organization
from accounts.requests import TenantRequest
from accounts.roles import Permission
from analytics import exports, statements
from analytics.statements import Statement
from dashboard import papers, streams
from dashboard.doors import needs

AT_ONCE = 5  # slices that a page adds up itself
SHOWN = 200  # single movements on a page; the CSV has all of them
AGAIN_S = "3"


@never_cache
@require_GET
@needs(Permission.SEE_BILLING)
def statement_list(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """Every month there is."""
    ready = _added_up(request.seat.organization)
    context = {"months": statements.months(request.seat.organization, now=timezone.now()), "ready": ready}
    return _waiting(render(request, "dashboard/credits/statements.html", context), ready=ready)


def _added_up(organization: Organization) -> bool:
    if statements.fold(organization, most_slices=AT_ONCE):
        return True
    statements.fold_later(organization)
    return False


def _waiting(answer: HttpResponse, *, ready: bool) -> HttpResponse:
    if not ready:
        answer["Refresh"] = AGAIN_S
    return answer


@never_cache
@require_GET
@needs(Permission.SEE_BILLING)
def statement(request: TenantRequest, organization_slug: str, month: str) -> HttpResponse:
    """One month."""
    organization = request.seat.organization
    ready = _added_up(organization)
    found = _found(organization, month)
    head = papers.paper(organization, found, now=timezone.now())
    moves = list(statements.movements(organization, found.month))
    context: dict[str, Any] = {
        "statement": found,
        "charges": found.lines(papers.NOT_ITEMISED),
        "explained": papers.EXPLAINED,
        "paper": head,
        "made_out_to": head.made_out_to,
        "movements": moves[:SHOWN],
        "hidden": max(0, len(moves) - SHOWN),
        "ready": ready,
    }
    return _waiting(render(request, "dashboard/credits/statement.html", context), ready=ready)


def _found(organization: Organization, text: str) -> Statement:
    try:
        month = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).date()
    except ValueError:
        raise Http404 from None
    if f"{month:%Y-%m}" != text:
        raise Http404
    found = statements.statement(organization, month, now=timezone.now())
    if found is None:
        raise Http404
    return found


@require_GET
@needs(Permission.SEE_BILLING)
def statement_pdf(request: TenantRequest, organization_slug: str, month: str) -> HttpResponse:
    """One month on paper."""
    organization = request.seat.organization
    if not _added_up(organization):
        return redirect("dashboard:credits_statement", organization_slug, month)
    found = _found(organization, month)
    moves = list(statements.movements(organization, found.month))
    made = papers.pdf(papers.paper(organization, found, now=timezone.now()), found, moves)
    answer = HttpResponse(made, content_type="application/pdf")
    answer["Content-Disposition"] = f'attachment; filename="{_file_name(organization, found.month)}.pdf"'
    return answer


@require_GET
@needs(Permission.SEE_BILLING)
def statement_csv(request: TenantRequest, organization_slug: str, month: str) -> HttpResponseBase:
    """One month for a spreadsheet."""
    organization = request.seat.organization
    if not _added_up(organization):
        return redirect("dashboard:credits_statement", organization_slug, month)
    found = _found(organization, month)
    lines = papers.rows(found, statements.movements(organization, found.month))
    return streams.csv_file(exports.rows(papers.COLUMNS, lines), name=_file_name(organization, found.month))


def _file_name(organization: Organization, month: date) -> str:
    return f"statement-{organization.slug}-{month:%Y-%m}"
