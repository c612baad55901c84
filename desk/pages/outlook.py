"""What may come: experiments with their results, demand of the next days with its error, and what a shop would earn."""

from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from analytics import forecasts, reports
from analytics.reports import Figures, Scope
from billing import money
from desk import tables, words
from desk.lens import shop_of
from desk.pages.base import exported, show
from desk.tables import Card, Chart, Column, Parts, Series, Table

HISTORY_DAYS = 91
AHEAD_DAYS = 14
SHOWN_DAYS = 28
MOST_FORECASTS = 6
NANO = 10**9


# --- Forecast ---------------------------------------------------------------------------------------------------------


def forecast(request: HttpRequest) -> HttpResponse:
    """Demand of the most asked models, each with how wrong the same guess was a week ago."""
    shop, shops, may_see_all = shop_of(request)
    last = timezone.now().date() - timedelta(days=1)  # today is not over
    scope = Scope(last - timedelta(days=HISTORY_DAYS - 1), last, storefront=shop)
    found = reports.by_time_of_models(scope)
    most = sorted(found, key=lambda model: -sum(one.requests for one in found[model].values()))[:MOST_FORECASTS]
    made = [(model, forecasts.demand_of(found[model], model=model, days=AHEAD_DAYS)) for model in most]
    charts = [_forecast_chart(place, found[one.model], one) for place, (_, one) in enumerate(made[:4]) if one]
    parts = Parts(charts=charts, tables=[_forecast_table(made)])
    return exported(request, parts, "forecast") or show(
        request, "desk/forecast.html", title="Demand", parts=parts, shop=shop, shops=shops, may_see_all=may_see_all
    )


def _forecast_chart(place: int, found: dict[date, Figures], one: forecasts.Forecast) -> Chart:
    shown = sorted(found)[-SHOWN_DAYS:]
    past = [found[day].requests for day in shown]
    days = [*shown, *(one.first_day + timedelta(days=n) for n in range(len(one.requests)))]
    ahead = [round(many) for many in one.requests]
    error = (
        "no error could be measured"
        if one.error_percent is None
        else f"the same guess was {one.error_percent:.0f} % off in the last week"
    )
    return Chart(
        f"demand-{place}",
        one.model,
        f"About {sum(ahead):,} requests in the next {len(ahead)} days; {error}.",
        [f"{day:%-d %b}" for day in days],
        [
            Series("Requests", [*past, *[0] * len(ahead)], [*[words.count(many) for many in past], *[""] * len(ahead)]),
            Series("Forecast", [*[0] * len(past), *ahead], [*[""] * len(past), *[words.count(many) for many in ahead]]),
        ],
        unit="",
    )


def _forecast_table(made: list[tuple[str, forecasts.Forecast | None]]) -> Table:
    columns = (
        *(Column("model", "Model"), Column("next_7_days", "Next 7 days", number=True)),
        *(
            Column("next_14_days", "Next 14 days", number=True),
            Column("error_percent", "Error a week ago", number=True),
        ),
        Column("history_days", "Days of history", number=True),
    )
    lines = []
    for model, one in made:
        if one is None:
            few = tables.text("too little history", tone="soft")
            lines.append([tables.text(model), few, few, few, few])
            continue
        error = tables.Cell(
            words.DASH if one.error_percent is None else f"{one.error_percent:.0f} %", one.error_percent
        )
        lines.append(
            [
                tables.text(model),
                tables.count(round(sum(one.requests[:7]))),
                tables.count(round(sum(one.requests))),
                error,
                tables.count(one.history_days),
            ]
        )
    note = "The mean of each weekday, carried on by the trend. The error was measured on days the guess was not shown."
    return Table("demand", "Requests to come", columns, lines, "Nothing was called yet.", note, "?csv=demand")


# --- Projection -------------------------------------------------------------------------------------------------------


class ProjectionForm(forms.Form):
    """Four figures somebody wants to play with."""

    users = forms.IntegerField(min_value=0, max_value=10**9, initial=1_000)
    messages = forms.IntegerField(min_value=0, max_value=10**6, initial=20, label="Messages a user and day")
    price = forms.DecimalField(
        min_value=0, max_value=10_000, max_digits=14, decimal_places=9, initial="0.002", label="Dollars a message"
    )
    margin = forms.DecimalField(
        min_value=0, max_value=99, max_digits=5, decimal_places=2, initial="20", label="Margin on price, %"
    )


def projection(request: HttpRequest) -> HttpResponse:
    """What so many users would bring; begun with what a message brings now."""
    shop, _, _ = shop_of(request)
    asked = ProjectionForm(request.GET if "users" in request.GET else None, initial=_as_now(request, shop))
    told = asked.cleaned_data if asked.is_bound and asked.is_valid() else None
    if told is None and not asked.is_bound:
        told = {name: asked.get_initial_for_field(field, name) for name, field in asked.fields.items()}
    cards: list[Card] = []
    if told is not None:
        made = forecasts.project(
            users=int(told["users"]),
            messages_per_user_per_day=int(told["messages"]),
            usd_per_message=Fraction(str(told["price"])),
            margin=Fraction(str(told["margin"])) / 100,
        )
        cards = [
            Card("Messages a day", words.count(made.messages_per_day)),
            Card("Revenue a day", _usd(made.revenue_per_day)),
            Card("Revenue a month", _usd(made.revenue_per_month), "of 30 days"),
            Card("Profit a month", _usd(made.profit_per_month), "gross: before everything but providers"),
            Card("Margin on price", words.percent(made.margin), f"markup on cost {words.percent(made.markup)}"),
        ]
    status = 400 if asked.is_bound and told is None else 200
    return show(
        request, "desk/projection.html", title="Projection", parts=Parts(cards=cards), form=asked, status=status
    )


def _usd(amount: Fraction) -> str:
    return words.money(money.ceil_ratio(amount.numerator * NANO, amount.denominator))


def _as_now(request: HttpRequest, shop: Any) -> dict[str, Any]:
    """Price and margin of the last thirty days, where there were any."""
    today = timezone.now().date()
    figures: Figures = reports.total(Scope(today - timedelta(days=29), today, storefront=shop))
    if not figures.requests or figures.margin is None or figures.margin < 0:
        return {}
    price = Fraction(figures.charge_nano, figures.requests * NANO)
    return {
        "price": words.decimal(price, places=6),
        "margin": words.decimal(figures.margin * 100, places=1),
    }
