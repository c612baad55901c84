"""Margins: what each model, provider and plan brings, costs and keeps, and which way it goes."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from analytics import reports
from analytics.reports import BadQuestion, Figures
from billing import money, pricebook
from billing.models import PriceTerms
from desk import front, tables, words
from desk.lens import Lens, lens_of
from desk.pages.base import exported, show
from desk.tables import BAD, Card, Column, Parts, Table

Found = dict[tuple[Any, ...], Figures]
MILLION = 1_000_000
WAYS = {"model": "By model and provider", "plan": "By plan, too"}
COLUMNS = (
    Column("requests", "Requests", number=True),
    Column("tokens", "Tokens", number=True, file_only=True),
    Column("price_usd_per_million", "Price per million", number=True),
    Column("cost_usd_per_million", "Cost per million", number=True),
    Column("revenue_usd", "Revenue", number=True),
    Column("cost_usd", "Cost", number=True),
    Column("profit_usd", "Gross profit", number=True),
    Column("margin_on_price", "Margin on price", number=True),
    Column("markup_on_cost", "Markup on cost", number=True, file_only=True),
    Column("revenue_change", "Revenue to before", number=True, file_only=True),
)


def margin(request: HttpRequest) -> HttpResponse:
    """The page."""
    lens = lens_of(request, today=timezone.now().date(), keep=("by", "model"))
    way, model = request.GET.get("by", "model"), request.GET.get("model", "")
    if way not in WAYS:
        raise BadQuestion("Margins are told apart by model or by plan.")
    found, before = (_found(lens, way, model, scope) for scope in (lens.scope, lens.scope.before))
    parts = Parts(
        cards=_cards(
            sum(found.values(), Figures()),
            sum(before.values(), Figures()),
            reverse("admin:desk_calls") + lens.query(model=model),
        ),
        charts=front.charts(lens, _over_time(lens, model))[:1],
        tables=[_table(lens, way, found, before)],
    )
    return exported(request, parts, "margins") or show(
        request,
        "desk/margin.html",
        title=f"Margin of {model}" if model else "Margins",
        parts=parts,
        lens=lens,
        model=model,
        ways=[(title, lens.query(by=name, model=model), name == way) for name, title in WAYS.items()],
        everything=lens.query(by=way),
    )


def _over_time(lens: Lens, model: str) -> dict[Any, Figures]:
    if not model:
        return reports.by_time(lens.scope, period=lens.grain)
    folded: dict[Any, Figures] = {}
    for day, one in reports.by_time_of_model(lens.scope, model).items():
        begin = max(reports.begin_of(day, lens.grain), lens.scope.since)
        folded[begin] = folded.get(begin, Figures()) + one
    return folded


def _found(lens: Lens, way: str, model: str, scope: reports.Scope) -> Found:
    if way == "model":
        found: Found = reports.by(scope, "model", "provider")
    else:
        plan_of, standard = _plans(lens)
        found = {}
        for (shop, customer, name, provider), one in reports.by(
            scope, "storefront_id", "organization_id", "model", "provider"
        ).items():
            key = (name, provider, plan_of.get(customer) or standard.get(shop, pricebook.DEFAULT_PLAN))
            found[key] = found.get(key, Figures()) + one
    kept = {names: one for names, one in found.items() if not model or names[0] == model}
    return dict(sorted(kept.items(), key=lambda row: (-row[1].charge_nano, -row[1].requests, row[0])))


def _plans(lens: Lens) -> tuple[dict[int, str], dict[int, str]]:
    """Which plan each customer with terms of its own is on now, and which holds for the rest of a shop."""
    rows: Any = PriceTerms.objects.filter(**({"storefront": lens.shop} if lens.shop else {}))
    own: dict[int, str] = {}
    standard: dict[int, str] = {}
    for shop, customer, plan in rows.order_by().values_list("storefront_id", "organization_id", "plan_name"):
        if customer is None:
            standard[shop] = plan
        else:
            own[customer] = plan
    return own, standard


def _cards(now: Figures, before: Figures, calls: str) -> list[Card]:
    return [
        Card(
            "Revenue",
            words.money(now.charge_nano),
            f"{words.change(now.charge_nano, before.charge_nano)} to before",
            calls,
        ),
        Card(
            "Provider cost",
            words.money(now.cost_nano),
            f"{words.change(now.cost_nano, before.cost_nano)} to before",
            calls,
        ),
        Card(
            "Gross profit",
            words.money(now.profit_nano),
            f"{words.change(now.profit_nano, before.profit_nano)} to before",
            calls,
            tone=BAD if now.profit_nano < 0 else "",
        ),
        Card("Margin on price", words.percent(now.margin), f"{words.percent(before.margin)} before", calls),
        Card("Markup on cost", words.percent(now.markup), f"{words.percent(before.markup)} before", calls),
    ]


def _table(lens: Lens, way: str, found: Found, before: Found) -> Table:
    names = [Column("model", "Model"), Column("provider", "Provider", file_only=True)]
    names += [Column("plan", "Plan")] if way == "plan" else []
    note = "Prices and costs per million are what a million tokens, in and out, really came to."
    return Table(
        "margins",
        WAYS[way],
        (*names, *COLUMNS),
        [_row(lens, key, one, before.get(key, Figures())) for key, one in found.items()],
        "Nothing was called in these days.",
        note=note + (" The plan is the one that holds for the customer now." if way == "plan" else ""),
        export=lens.query(by=way, csv="margins"),
    )


def _row(lens: Lens, key: tuple[Any, ...], one: Figures, before: Figures) -> list[tables.Cell]:
    calls = reverse("admin:desk_calls") + lens.query(model=key[0], provider=key[1])
    per_price, per_cost = (_per_million(nano, one.tokens) for nano in (one.charge_nano, one.cost_nano))
    change = words.change(one.charge_nano, before.charge_nano)
    lost = BAD if one.profit_nano < 0 else ""
    named = [tables.text(key[0], link=reverse("admin:desk_margin") + lens.query(model=key[0]), note=key[1])]
    named += [tables.text(name) for name in key[1:]]
    return [
        *named,
        tables.count(one.requests, link=calls, note=f"{words.count(one.tokens)} tokens"),
        tables.count(one.tokens),
        tables.money(per_price, link=calls),
        tables.money(per_cost, link=calls),
        tables.money(one.charge_nano, link=calls, note=f"{change} to before"),
        tables.money(one.cost_nano, link=calls, note=f"unknown for {one.unknown_cost}" if one.unknown_cost else ""),
        tables.money(one.profit_nano, link=calls),
        tables.share(one.margin, link=calls, tone=lost, note=f"markup on cost {words.percent(one.markup)}"),
        tables.share(one.markup, tone=lost),
        tables.text(change),
    ]


def _per_million(nano: int, tokens: int) -> int | None:
    return money.ceil_ratio(nano * MILLION, tokens) if tokens else None
