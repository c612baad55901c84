"""Calls: the rows behind every figure of the desk, filtered by what led here, read along their ids."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from accounts.operators import scope_for
from analytics.reports import BadQuestion
from desk import rows, tables
from desk.lens import Lens, lens_of
from desk.pages.base import exported, show
from desk.tables import BAD, Column, Parts, Table
from gateway.models import Call
from gateway.models.calls import CallState

PAGE = 50
MOST_SAVED = 5_000
FILTERS = ("model", "provider", "state", "customer")
COLUMNS = (
    Column("when_utc", "When (UTC)"),
    Column("customer", "Customer"),
    Column("model", "Model"),
    Column("provider", "Provider", file_only=True),
    Column("how_it_ended", "How it ended"),
    Column("input_tokens", "In", number=True),
    Column("output_tokens", "Out", number=True),
    Column("charge_usd", "Charge", number=True),
    Column("cost_usd", "Cost", number=True),
    Column("profit_usd", "Profit", number=True),
    Column("latency_ms", "Took (ms)", number=True, file_only=True),
    Column("call", "Call", file_only=True),
)


def calls(request: HttpRequest) -> HttpResponse:
    """The page."""
    lens = lens_of(request, today=timezone.now().date(), keep=FILTERS)
    told = {name: request.GET.get(name, "")[:120].replace("\x00", "") for name in FILTERS}
    found = _filtered(request, lens, told)
    saving = bool(request.GET.get("csv"))
    shown = list(found[: MOST_SAVED if saving else PAGE + 1])
    more = len(shown) > PAGE and not saving
    table = _table(lens, told, shown[:PAGE] if more else shown, more=more)
    parts = Parts(tables=[table])
    filters = [(f"{name}: {value}", lens.query(**{**told, name: ""})) for name, value in told.items() if value]
    return exported(request, parts, "calls") or show(
        request, "desk/calls.html", title="Calls", parts=parts, lens=lens, filters=filters
    )


def _filtered(request: HttpRequest, lens: Lens, told: dict[str, str]) -> QuerySet[Call]:
    found = rows.calls(scope_for(request), lens.scope)
    if told["state"] and told["state"] not in CallState.values:
        message = f"A call ends as one of {', '.join(CallState.values)}."
        raise BadQuestion(message)
    asked = {"model_served": told["model"], "provider": told["provider"], "state": told["state"]}
    asked["organization__public_id"] = told["customer"]
    found = found.filter(**{name: value for name, value in asked.items() if value})
    before = request.GET.get("before", "")
    if before:
        if not (before.isascii() and before.isdigit() and len(before) <= 18):
            raise BadQuestion("A page of calls begins before the number of a call.")
        found = found.filter(id__lt=int(before))
    return found


def _table(lens: Lens, told: dict[str, str], shown: list[Call], *, more: bool) -> Table:
    charged = rows.charged([call.pk for call in shown])
    return Table(
        "calls",
        "Calls",
        COLUMNS,
        [_row(lens, call, charged.get(call.pk, 0)) for call in shown],
        "No call in these days fits.",
        note=f"From {lens.words}, the newest first. A file holds the newest {MOST_SAVED:,}.",
        export=lens.query(**told, csv="calls"),
        older=lens.query(**told, before=shown[-1].pk) if more else "",
    )


def _row(lens: Lens, call: Call, charged: int) -> list[tables.Cell]:
    organization: Any = call.organization
    failed = call.state in {CallState.FAILED, CallState.LOST}
    profit = None if call.cost_nano is None else charged - call.cost_nano
    took = f"{call.latency_ms:,} ms" if call.latency_ms is not None else ""
    served = f"{call.provider or 'no provider'}" + (f", asked as {call.model_asked}" if _renamed(call) else "")
    ended = call.get_state_display()
    return [
        tables.Cell(f"{call.created_at:%-d %b %H:%M:%S}", call.created_at, note=str(call.pk)),
        tables.text(organization.name, link=reverse("admin:desk_customer", args=[organization.pk])),
        tables.text(call.model_served, note=served),
        tables.text(call.provider),
        tables.text(ended, note=call.error or took, tone=BAD if failed else ""),
        tables.count(call.input_tokens, note=f"{call.cached_tokens:,} cached" if call.cached_tokens else ""),
        tables.count(call.output_tokens),
        tables.exact(charged),
        tables.exact(call.cost_nano),
        tables.exact(profit),
        tables.count(call.latency_ms),
        tables.text(str(call.pk)),
    ]


def _renamed(call: Call) -> bool:
    return bool(call.model_asked) and call.model_asked != call.model_served
