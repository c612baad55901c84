"""Prices tried on some customers: begun with a form, shown with what came of each arm, stopped with a button."""

from datetime import UTC, date, datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.core.validators import validate_slug
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from accounts import trail
from accounts.operators import Scope, scope_for
from analytics import experiments as experiment_room
from billing import experiments as trials
from billing.models import Experiment
from desk import tables, words
from desk.pages.base import show
from desk.tables import BAD, GOOD, Column, Table

ARMS = "control 1 1\ncheaper 0.95 1"
WORDS_OF_AN_ARM = 3


class ExperimentForm(forms.Form):
    """What is tried, on which shop's customers, and for how long; days begin at midnight UTC."""

    shop = forms.ChoiceField(label="Shop")
    name = forms.CharField(
        max_length=40, validators=[validate_slug], help_text="It decides who is drawn into which arm."
    )
    since = forms.DateField(label="First day", required=False, help_text="Empty: from the next call on.")
    until = forms.DateField(label="Ends before")
    stop_below = forms.IntegerField(
        min_value=-100,
        max_value=0,
        initial=-20,
        label="Stop below, %",
        help_text="Once an arm's revenue is surely worse than this against the control.",
    )
    arms = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
        initial=ARMS,
        label="Arms",
        help_text="One a line: its name, what prices are multiplied by, its weight. The first is the control.",
    )

    def __init__(self, *args: Any, scope: Scope, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        mine = [shop for shop in scope.storefronts().order_by("-is_default", "name") if scope.may_change(shop)]
        self.shops = {shop.public_id: shop for shop in mine}
        self.fields["shop"].choices = [(name, shop.name) for name, shop in self.shops.items()]  # type: ignore[attr-defined]  # a ChoiceField
        for name in ("since", "until"):
            self.fields[name].widget = forms.DateInput(attrs={"type": "date"})

    def clean_arms(self) -> list[dict[str, Any]]:
        """Read the lines; what the numbers may be is the room's to say."""
        found = []
        for line in filter(None, map(str.strip, self.cleaned_data["arms"].splitlines())):
            said = line.split()
            if len(said) not in {WORDS_OF_AN_ARM - 1, WORDS_OF_AN_ARM} or not said[-1].isascii():
                message = f"{line[:60]!r} is no arm; write it like: cheaper 0.95 1."
                raise forms.ValidationError(message)
            weight = said[2] if len(said) == WORDS_OF_AN_ARM else "1"
            found.append({"name": said[0], "multiplier": said[1], "weight": int(weight) if weight.isdigit() else 0})
        return found

    def begin(self, request: HttpRequest, *, now: datetime) -> Experiment:
        """Begin it."""
        told = self.cleaned_data
        return trials.begin(
            storefront=self.shops[told["shop"]],
            name=told["name"],
            arms=told["arms"],
            starts_at=_midnight(told["since"]) if told["since"] else now,
            ends_at=_midnight(told["until"]),
            stop_below_percent=told["stop_below"],
            source=trail.source_of(request),
            now=now,
        )


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def experiments(request: HttpRequest) -> HttpResponse:
    """Every experiment in scope with what came of its arms, and a form for another one."""
    now, scope = timezone.now(), scope_for(request)
    form = ExperimentForm(request.POST or None, scope=scope) if scope.may_change_something else None
    if request.method == "POST" and form is not None and form.is_valid():
        try:
            begun = form.begin(request, now=now)
        except trials.ExperimentRefused as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"{begun.name} is begun; it holds from {words.moment(begun.starts_at)} UTC on.")
            return HttpResponseRedirect(reverse("admin:desk_experiments"))
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
    status = 400 if form is not None and form.errors else 200
    return show(request, "desk/experiments.html", title="Experiments", told=told, form=form, status=status)


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
