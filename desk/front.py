"""The first page of the desk: how the shop does in a stretch of days, what wants looking at, and the latest acts.

Promise: every figure is one that a report gives, within the operator's scope, and leads to the rows it is made of.
Margin is on price and markup on cost, and both say so. What only the platform may know (queues, alarms, the books'
proof) is asked for the platform alone.
"""

from collections import Counter
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from django.db.models import Count, Min
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent, User
from accounts.operators import Scope, scope_for
from analytics import business, reports
from analytics.models import Alarm, RollupMark
from analytics.reports import Figures
from billing.models import AuditCheckpoint
from desk import tables, words
from desk.lens import Lens, lens_of
from desk.tables import BAD, Card, Chart, Column, Notice, Parts, Series, Table
from gateway.models import Provider
from plumbing import outbox

LATEST_EVENTS = 10
MOST_MODELS = 8
STALE = timedelta(minutes=15)
NANO = 10**9
SEARCH_ENGINES = ("google.", "bing.", "duckduckgo.", "ecosia.", "yandex.", "baidu.")


def figures(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What the front page shows (unfold's dashboard callback)."""
    scope, now = scope_for(request), timezone.now()
    lens = lens_of(request, today=now.date())
    by_time = reports.by_time(lens.scope, period=lens.grain)
    by_model = reports.by(lens.scope, "model", "provider")
    channels = sign_ups_by_channel(scope, since=lens.scope.starts_at, until=lens.scope.ends_at)
    # Who came in is in the trail; here it would push out what was done.
    acts = AuditEvent.objects.exclude(action="user.signed_in").select_related("actor")
    events = scope.visible(acts, "storefront")
    last = AuditCheckpoint.objects.first() if scope.platform else None
    parts = Parts(
        warnings=notices(lens, by_model, last, now=now, platform=scope.platform),
        cards=cards(lens, sum(by_time.values(), Figures()), reports.total(lens.scope.before)),
        charts=charts(lens, by_time),
        tables=[models_table(lens, by_model), providers_table(lens, by_model)],
    )
    return {
        **context,
        "lens": lens,
        "parts": parts,
        "running": _running(last, now=now) if scope.platform else [],
        "channels": [
            {"name": name, "count": many, "of_largest": many * 100 // channels[0][1]} for name, many in channels
        ],
        "events": events[:LATEST_EVENTS],
    }


def cards(lens: Lens, now: Figures, before: Figures) -> list[Card]:
    """The figures of these days; reports by mail are made of the same cards."""
    margin = reverse("admin:desk_margin") + lens.query()
    calls = reverse("admin:desk_calls")
    liabilities = business.liabilities(storefront=lens.shop)
    debt = liabilities.pop("debt", 0)
    owed, paid = sum(liabilities.values()), liabilities.get("paid", 0)
    of_before = f"{words.change(now.charge_nano, before.charge_nano)} to the {lens.scope.days} days before"
    return [
        Card("Revenue", words.money(now.charge_nano), of_before, margin),
        Card("Provider cost", words.money(now.cost_nano), _unknown(now), margin),
        Card(
            "Gross profit",
            words.money(now.profit_nano),
            f"{words.change(now.profit_nano, before.profit_nano)} to before",
            margin,
            BAD if now.profit_nano < 0 else "",
        ),
        Card("Margin on price", words.percent(now.margin), f"markup on cost {words.percent(now.markup)}", margin),
        Card(
            "Active customers",
            words.count(business.active_customers(lens.scope)),
            "with at least one call",
            reverse("admin:desk_customers") + lens.query(active="1"),
        ),
        Card(
            "Unspent credit",
            words.money(owed),
            f"owed to customers, {words.money(paid)} of it paid for"
            + (f"; {words.money(debt)} owed to us" if debt else ""),
            reverse("admin:desk_accounts") + lens.query(),
        ),
        Card("Requests", words.count(now.requests), f"{words.count(now.tokens)} tokens", calls + lens.query()),
        Card(
            "Error rate",
            words.percent(now.error_rate),
            f"{words.count(now.errors)} failed, free of charge",
            calls + lens.query(state="failed"),
            BAD if now.error_rate and now.error_rate > Fraction(5, 100) else "",
        ),
    ]


def _unknown(figures: Figures) -> str:
    return f"unknown for {words.count(figures.unknown_cost)} calls" if figures.unknown_cost else "known for every call"


def charts(lens: Lens, by_time: dict[Any, Figures]) -> list[Chart]:
    """Money and requests over the days."""
    labels = [f"{day:%-d %b}" for day in by_time]
    rows = list(by_time.values())
    best = max(by_time, key=lambda day: by_time[day].charge_nano) if by_time else lens.scope.since
    total = sum(rows, Figures())
    summary = (
        f"{words.money(total.charge_nano)} revenue and {words.money(total.profit_nano)} gross profit from {lens.words};"
        f" the best {lens.grain} was {best:%-d %b} with {words.money(by_time[best].charge_nano)}."
    )
    failed = f"{words.count(total.requests)} requests, {words.percent(total.error_rate)} of them failed."
    return [
        Chart(
            "money",
            "Revenue, cost and margin",
            summary,
            labels,
            [
                Series(
                    "Revenue", [_usd(one.charge_nano) for one in rows], [words.money(one.charge_nano) for one in rows]
                ),
                Series("Cost", [_usd(one.cost_nano) for one in rows], [words.money(one.cost_nano) for one in rows]),
                Series(
                    "Margin on price",
                    [_percent(one.margin) for one in rows],
                    [words.percent(one.margin) for one in rows],
                    kind="line",
                    axis="right",
                ),
            ],
        ),
        Chart(
            "requests",
            "Requests and errors",
            failed,
            labels,
            [
                Series("Requests", [one.requests for one in rows], [words.count(one.requests) for one in rows]),
                Series("Failed", [one.errors for one in rows], [words.count(one.errors) for one in rows]),
                Series(
                    "Error rate",
                    [_percent(one.error_rate) for one in rows],
                    [words.percent(one.error_rate) for one in rows],
                    kind="line",
                    axis="right",
                ),
            ],
            unit="",
        ),
    ]


def _usd(nano: int) -> float:
    return nano / NANO


def _percent(share: Fraction | None) -> float:
    return float(100 * share) if share is not None else 0.0


FIGURE_COLUMNS = (
    Column("requests", "Requests", number=True),
    Column("revenue_usd", "Revenue", number=True),
    Column("cost_usd", "Cost", number=True),
    Column("profit_usd", "Gross profit", number=True),
    Column("margin_on_price", "Margin on price", number=True),
    Column("error_rate", "Errors", number=True),
)


def figure_cells(figures: Figures, calls: str) -> list[tables.Cell]:
    """The figures of a row; each leads to its calls."""
    return [
        tables.count(figures.requests, link=calls),
        tables.money(figures.charge_nano, link=calls),
        tables.money(figures.cost_nano, link=calls),
        tables.money(figures.profit_nano, link=calls),
        tables.share(figures.margin, tone=BAD if figures.profit_nano < 0 else "", link=calls),
        tables.share(figures.error_rate, link=f"{calls}&state=failed"),
    ]


def folded(found: dict[tuple[Any, ...], Figures], place: int) -> list[tuple[str, Figures]]:
    """Rows of several names added up by one of them, the largest revenue first."""
    sums: dict[str, Figures] = {}
    for names, one in found.items():
        sums[names[place]] = sums.get(names[place], Figures()) + one
    return sorted(sums.items(), key=lambda row: (-row[1].charge_nano, -row[1].requests, row[0]))


def models_table(lens: Lens, found: dict[tuple[Any, ...], Figures]) -> Table:
    """The models that bring the most."""
    calls = reverse("admin:desk_calls")
    rows = [
        [
            tables.text(name, link=reverse("admin:desk_margin") + lens.query(model=name)),
            *figure_cells(one, calls + lens.query(model=name)),
        ]
        for name, one in folded(found, 0)[:MOST_MODELS]
    ]
    return Table(
        "models", "Models", (Column("model", "Model"), *FIGURE_COLUMNS), rows, "No model was called in these days."
    )


def providers_table(lens: Lens, found: dict[tuple[Any, ...], Figures]) -> Table:
    """Providers, whether they are on and how they did."""
    calls = reverse("admin:desk_calls")
    known = dict(Provider.objects.values_list("slug", "is_active"))
    names = {slug: "on" if active else "switched off" for slug, active in known.items()}
    rows = [
        [
            tables.text(name or "none", note=names.get(name, "") if name else "refused before a provider was asked"),
            *figure_cells(one, calls + lens.query(provider=name)),
        ]
        for name, one in folded(found, 1)
    ]
    return Table(
        "providers",
        "Providers",
        (Column("provider", "Provider"), *FIGURE_COLUMNS),
        rows,
        "No provider was asked in these days.",
    )


# --- What wants looking at --------------------------------------------------------------------------------------------


def notices(
    lens: Lens,
    by_model: dict[tuple[Any, ...], Figures],
    last: AuditCheckpoint | None,
    *,
    now: datetime,
    platform: bool,
) -> list[Notice]:
    """Models sold below cost, figures that are old, and for the platform its alarms and the state of its books."""
    found = [
        Notice(
            f"{name} was sold below cost: {words.money(one.charge_nano)} charged, {words.money(one.cost_nano)} cost.",
            reverse("admin:desk_margin") + lens.query(model=name),
        )
        for name, one in folded(by_model, 0)
        if one.profit_nano < 0
    ]
    mark = RollupMark.objects.first()
    if mark is not None and mark.rolled_until < now - STALE:
        age = words.span((now - mark.rolled_until).total_seconds())
        link = reverse("admin:desk_operations") if platform else ""
        found.append(Notice(f"These figures are {age} old: rollups have not run since.", link, "warn"))
    return found + (_platform_notices(last) if platform else [])


def _platform_notices(last: AuditCheckpoint | None) -> list[Notice]:
    found = []
    if last is not None and last.findings:
        found.append(Notice(f"The last audit found {last.findings} things wrong.", reverse("admin:desk_audit")))
    going_on = Alarm.objects.filter(ended_at=None, acknowledged_at=None).aggregate(
        many=Count("pk"), since=Min("first_seen_at")
    )
    if going_on["many"]:
        words_ = "One alarm waits" if going_on["many"] == 1 else f"{going_on['many']} alarms wait"
        found.append(
            Notice(
                f"{words_} for somebody to look, since {words.moment(going_on['since'])} UTC.",
                reverse("admin:desk_alarms"),
            )
        )
    return found


def _queue(state: outbox.State) -> str:
    if state.parked:
        return f"{words.count(state.parked)} given up"
    return f"oldest waits {words.span(state.oldest_age_s)}" if state.pending else "empty"


def _running(last: AuditCheckpoint | None, *, now: datetime) -> list[dict[str, str]]:
    """How old the queues are, and when the books were proven last."""
    state = outbox.state(now=now)
    operations = reverse("admin:desk_operations")
    return [
        {
            "title": "Outbox",
            "value": _queue(state),
            "note": f"{words.count(state.pending)} waiting",
            "link": operations,
            "tone": BAD if state.parked else "",
        },
        {
            "title": "Books",
            "value": "never proven" if last is None else f"{last.findings} findings" if last.findings else "proven",
            "note": f"last run {words.moment(last.created_at)} UTC" if last else "run the audit",
            "link": reverse("admin:desk_audit"),
            "tone": BAD if last and last.findings else "",
        },
    ]


# --- Who came ---------------------------------------------------------------------------------------------------------


def sign_ups_by_channel(scope: Scope, *, since: datetime, until: datetime) -> list[tuple[str, int]]:
    """Who signed up at these shops, by what brought them; the trail knows at which shop somebody did."""
    acts = scope.visible(AuditEvent.objects.all(), "storefront").filter(
        action="user.signed_up", created_at__gte=since, created_at__lt=until
    )
    people = User.objects.filter(public_id__in=acts.values("target_id"))
    return Counter(channel(marks) for marks in people.values_list("acquisition", flat=True)).most_common()


def channel(marks: dict[str, str]) -> str:
    """One word for what brought somebody: their campaign, a search engine, another site, or nothing we know of."""
    if marks.get("utm_source"):
        return marks["utm_source"]
    if marks.get("ref"):
        return f"referral {marks['ref']}"
    site = marks.get("referrer", "").partition("//")[2].partition("/")[0].removeprefix("www.")
    if any(engine in site for engine in SEARCH_ENGINES):
        return "search"
    return site or "direct"
