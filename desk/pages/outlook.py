"""What may come: experiments with their results, demand of the next days with its error, and what a shop would earn."""

from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from accounts import trail
from accounts.operators import scope_for
from analytics import experiments as experiment_room
from analytics import forecasts, reports
from analytics.reports import Figures, Scope
from billing import experiments as trials
from billing import money
from billing.models import Experiment
from desk import tables, words
from desk.lens import shop_of
from desk.pages.base import exported, show
from desk.tables import BAD, GOOD, Card, Chart, Column, Parts, Series, Table

HISTORY_DAYS = 91
AHEAD_DAYS = 14
SHOWN_DAYS = 28
MOST_FORECASTS = 6
NANO = 10**9


# --- Experiments ------------------------------------------------------------------------------------------------------


def experiments(request: HttpRequest) -> HttpResponse:
    """Every experiment in scope with what came of its arms."""
    now = timezone.now()
    scope = scope_for(request)
    found = list(scope.visible(Experiment.objects.select_related("storefront"), "storefront")[:20])
    told = [
        {
            "one": one,
            "table": _arms(one, experiment_room.results(one, now=now)),
            "state": one.stop_reason
            or ("runs" if one.starts_at <= now < one.ends_at else "over" if now >= one.ends_at else "waits"),
            "may_stop": one.stopped_at is None and now < one.ends_at and scope.may_change(one.storefront),
        }
        for one in found
    ]
    return show(request, "desk/experiments.html", title="Experiments", told=told)


def _arms(one: Experiment, arms: list[experiment_room.Arm]) -> Table:
    multipliers = {arm["name"]: str(arm["multiplier"]) for arm in one.arms}
    columns = (
        *(Column("arm", "Arm"), Column("multiplier", "Price times", number=True)),
        *(Column("customers", "Customers", number=True), Column("active", "with calls", number=True)),
        *(Column("revenue", "Revenue each, a day", number=True), Column("profit", "Profit each", number=True)),
        *(
            Column("difference", "Revenue to the control", number=True),
            Column("interval", "95 % interval", number=True, file_only=True),
        ),
    )
    lines = [
        [
            *(tables.text(arm.name), tables.text(multipliers[arm.name])),
            *(tables.count(arm.organizations), tables.count(arm.active)),
            *(tables.money(round(arm.revenue_nano)), tables.money(round(arm.profit_nano))),
            _difference(arm) if place else tables.text("the control"),
            tables.text(_interval(arm) if place else ""),
        ]
        for place, arm in enumerate(arms)
    ]
    return Table(
        f"arms-{one.pk}",
        f"{one.name}, {one.starts_at:%-d %b} to {one.ends_at:%-d %b %Y}, {one.storefront.name}",
        columns,
        lines,
        "It has not begun yet.",
        note=f"Customers are drawn, not calls. It stops once an arm is surely below {one.stop_below_percent} %.",
    )


def _difference(arm: experiment_room.Arm) -> tables.Cell:
    told = words.DASH if arm.difference_percent is None else f"{arm.difference_percent:+.1f} %"
    return tables.text(told, note=_interval(arm), tone=_tone(arm))


def _interval(arm: experiment_room.Arm) -> str:
    if arm.interval_percent is None:
        return "too few customers to say"
    low, high = arm.interval_percent
    return f"{low:+.1f} to {high:+.1f} %"


def _tone(arm: experiment_room.Arm) -> str:
    if arm.interval_percent is None:
        return "soft"
    low, high = arm.interval_percent
    return GOOD if low > 0 else BAD if high < 0 else ""


@require_POST
def stop(request: HttpRequest, pk: int) -> HttpResponse:
    """End an experiment now; prices go back to those without it from the next call on."""
    one = get_object_or_404(scope_for(request).visible(Experiment.objects.all(), "storefront"), pk=pk)
    if not scope_for(request).may_change(one.storefront):
        raise Http404
    trials.stop(one, reason="Stopped by an operator.", source=trail.source_of(request), now=timezone.now())
    messages.success(request, f"{one.name} is stopped.")
    return HttpResponseRedirect(reverse("admin:desk_experiments"))


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
