"""Profit and loss of a month with its closing, and the two books of what providers cost: ours and theirs."""

from datetime import date, datetime, timedelta

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from accounts import trail
from accounts.models import Storefront, User
from accounts.operators import scope_for
from analytics import books as room
from analytics import business, reconciliation
from analytics.models import BillLine, ClosedMonth
from analytics.reports import BadQuestion, Scope
from desk import tables, words
from desk.lens import lens_of, shop_of
from desk.pages.base import exported, platform_only, show
from desk.tables import BAD, GOOD, Card, Cell, Column, Parts, Table
from gateway.models import Provider

MONTHS_TO_CHOOSE = 14
MOST_GAPS = 500

# What stands on the statement: the figure's name, its words, and whether it is taken off.
STORY = (
    ("revenue", "Revenue: everything charged", ""),
    ("paid_with_gifts", "paid with gifts, so a cost of promotion", "-"),
    ("provider_cost", "Cost of providers", "-"),
    ("profit", "Profit", "="),
    ("deferred_before", "Deferred revenue when the month began", ""),
    ("received", "received from customers, less refunds and disputes", "+"),
    ("used", "used by calls", "-"),
    ("moved", "corrections, and what paid a debt", "+"),
    ("deferred_after", "Deferred revenue when it ended: a liability", "="),
    ("late_revenue", "Of the revenue: charged after its hold was given back", ""),
    ("unrecovered", "Used and never charged", ""),
    ("gifts_given", "Gifts given", ""),
    ("gifts_expired", "Gifts expired", ""),
)
SUMS = frozenset({"profit", "deferred_after", "revenue"})


# --- Profit and loss --------------------------------------------------------------------------------------------------


def profit_and_loss(request: HttpRequest) -> HttpResponse:
    """One month."""
    now = timezone.now()
    month = _month(request.GET.get("month", ""), now)
    shop, shops, may_see_all = shop_of(request)
    made = room.statement(month, storefront=shop)
    closed = ClosedMonth.objects.filter(storefront=shop, month=month).select_related("closed_by").first()
    moved = room.since_closed(closed) if closed else {}
    end = (month + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    query = f"?month={month:%Y-%m}" + (f"&shop={shop.public_id}" if shop else "")
    parts = Parts(
        cards=_cards(made),
        tables=[
            _statement(made, moved, closed, f"{query}&csv=statement"),
            _acquisition(Scope(month, end, storefront=shop), f"{query}&csv=acquisition"),
        ],
    )
    return exported(request, parts, f"{month:%Y-%m}") or show(
        request,
        "desk/books.html",
        title=f"Profit and loss, {month:%B %Y}",
        parts=parts,
        month=month,
        months=_months(now.date()),
        shop=shop,
        shops=shops,
        may_see_all=may_see_all,
        closed=closed,
        moved=moved,
        may_close=_may_close(request, shop) and now.date() > end,
    )


def _cards(made: room.Statement) -> list[Card]:
    return [
        Card(
            "Profit", words.money(made.profit), "after gifts, providers and fees", tone=BAD if made.profit < 0 else ""
        ),
        Card("Revenue", words.money(made.revenue), f"{words.money(made.paid_with_gifts)} of it paid with gifts"),
        Card("Provider cost", words.money(made.provider_cost), f"unknown for {made.unknown_cost_attempts:,} attempts"),
        Card("Received", words.money(made.received), "less refunds and disputes"),
        Card(
            "Deferred revenue",
            words.money(made.deferred_after),
            "agrees with what came and went" if made.agrees else "does not agree with what came and went",
            tone="" if made.agrees else BAD,
        ),
    ]


def _statement(made: room.Statement, moved: dict[str, int], closed: ClosedMonth | None, export: str) -> Table:
    columns = [
        Column("sign", "Sign", file_only=True),
        Column("figure", "Figure"),
        Column("usd", "US dollars", number=True),
    ]
    columns += [Column("since_closed_usd", "Moved since it was closed", number=True)] if closed else []
    lines = []
    for name, title, sign in STORY:
        tone = "strong" if name in SUMS else ""
        figure = getattr(made, name)
        line = [
            Cell(sign, sign),
            tables.text(f"{sign} {title}".strip(), tone=tone),
            tables.money(figure, tone=tone if figure >= 0 else BAD),
        ]
        line += [tables.money(moved.get(name), tone=BAD if moved.get(name) else "")] if closed else []
        lines.append(line)
    return Table("statement", "Statement", tuple(columns), lines, "", export=export)


def _acquisition(scope: Scope, export: str) -> Table:
    columns = (
        *(Column("channel", "Channel"), Column("customers", "Joined", number=True)),
        *(Column("paying", "of them pay", number=True), Column("spent_usd", "Spent on it", number=True)),
        *(Column("cost_usd", "Cost per paying customer", number=True), Column("revenue_usd", "Revenue", number=True)),
    )
    lines = [
        [
            *(tables.text(one.channel), tables.count(one.customers), tables.count(one.paying)),
            *(tables.money(one.spent_nano), tables.money(one.cost_per_customer_nano), tables.money(one.revenue_nano)),
        ]
        for one in business.acquisition(scope)
    ]
    return Table(
        "acquisition", "What customers cost to win", columns, lines, "Nobody joined in this month.", export=export
    )


@require_POST
def close(request: HttpRequest) -> HttpResponse:
    """Keep a month as it is."""
    now = timezone.now()
    month, shop = _month(request.POST.get("month", ""), now), _posted_shop(request)
    if not _may_close(request, shop):
        raise Http404
    assert isinstance(request.user, User)
    try:
        kept = room.close(month, storefront=shop, by=request.user, now=now)
    except room.NotOver as error:
        raise BadQuestion(str(error)) from error
    trail.record("month.closed", source=trail.source_of(request), target=kept, storefront=shop, after=kept.figures)
    messages.success(request, f"{month:%B %Y} is closed; what moves in it from now on shows as a difference.")
    query = f"?month={month:%Y-%m}" + (f"&shop={shop.public_id}" if shop else "")
    return HttpResponseRedirect(reverse("admin:desk_books") + query)


def _posted_shop(request: HttpRequest) -> Storefront | None:
    named = request.POST.get("shop", "")
    if not named:
        return None
    shop = scope_for(request).storefronts().filter(public_id=named[:60].replace("\x00", "")).first()
    if shop is None:
        raise Http404
    return shop


def _may_close(request: HttpRequest, shop: Storefront | None) -> bool:
    scope = scope_for(request)
    return scope.platform if shop is None else scope.may_change(shop)


def _month(written: str, now: datetime) -> date:
    if not written:
        return now.date().replace(day=1)
    try:
        month = datetime.strptime(written[:7], "%Y-%m").date()  # noqa: DTZ007 - a month has no zone
    except ValueError as error:
        raise BadQuestion("A month is written like 2026-11.") from error
    if not 2020 <= month.year <= 2100:
        raise BadQuestion("Ask about months from 2020 on.")
    return month


def _months(today: date) -> list[date]:
    found, month = [], today.replace(day=1)
    for _ in range(MONTHS_TO_CHOOSE):
        found.append(month)
        month = (month - timedelta(days=1)).replace(day=1)
    return found


# --- Reconciliation ---------------------------------------------------------------------------------------------------


@platform_only
def reconcile(request: HttpRequest) -> HttpResponse:
    """The gap between our books and a provider's bill, and the way to bring a bill."""
    lens = lens_of(request, today=timezone.now().date(), keep=("provider",))
    known = list(Provider.objects.order_by("slug").values_list("slug", flat=True))
    named = request.GET.get("provider", "")[:60].replace("\x00", "") or (known[0] if known else "")
    problem = ""
    if request.method == "POST":
        named, problem = request.POST.get("provider", "")[:60], _taken(request, known)
        if not problem:
            return HttpResponseRedirect(reverse("admin:desk_reconcile") + lens.query(provider=named))
    gaps = reconciliation.gaps(provider=named, since=lens.scope.since, until=lens.scope.until) if named else []
    parts = Parts(cards=_gap_cards(gaps), tables=[_gaps(gaps, lens.query(provider=named, csv="gaps"))])
    return exported(request, parts, f"reconciliation-{named}") or show(
        request,
        "desk/reconcile.html",
        title="Reconciliation",
        parts=parts,
        lens=lens,
        providers=known,
        named=named,
        problem=problem,
        bills=BillLine.objects.filter(provider=named).order_by("-imported_at").first(),
        status=400 if problem else 200,
    )


def _taken(request: HttpRequest, known: list[str]) -> str:
    """Bring the uploaded bill into the books; returns what is wrong with it."""
    named, sent = request.POST.get("provider", ""), request.FILES.get("bill")
    if named not in known:
        return "Choose the provider whose bill it is."
    if sent is None:
        return "Choose a file."
    if (sent.size or 0) > reconciliation.MOST_BYTES:
        return "A bill has at most 50 MB; split it by month."
    source = str(sent.name or "bill")
    try:
        many = reconciliation.take(
            provider=named,
            kind=request.POST.get("kind", ""),
            text=sent.read().decode("utf-8"),
            source=source,
            now=timezone.now(),
        )
    except UnicodeDecodeError:
        return "This file is no text in UTF-8."
    except reconciliation.BadBill as error:
        return str(error)
    trail.record(
        "bill.imported", source=trail.source_of(request), after={"provider": named, "file": source, "lines": many}
    )
    messages.success(request, f"{many:,} days and models of {named} are on the bill now.")
    return ""


def _gap_cards(gaps: list[reconciliation.Gap]) -> list[Card]:
    ours, theirs = sum(one.ours_nano for one in gaps), sum(one.theirs_nano or 0 for one in gaps)
    gap = theirs - ours
    missing = sum(one.theirs_nano is None for one in gaps)
    return [
        Card("Our books", words.money(ours), f"{sum(one.attempts for one in gaps):,} wire attempts"),
        Card("Their bill", words.money(theirs), f"no line for {missing:,} of {len(gaps):,} days and models"),
        Card(
            "Gap",
            words.money(gap),
            "what they ask beyond what we wrote",
            tone=BAD if gap > 0 else GOOD if not gap else "",
        ),
    ]


def _gaps(gaps: list[reconciliation.Gap], export: str) -> Table:
    columns = (
        *(Column("day", "Day"), Column("model", "Model"), Column("name", "What it is")),
        *(Column("ours_usd", "Our books", number=True), Column("theirs_usd", "Their bill", number=True)),
        *(Column("gap_usd", "Gap", number=True), Column("attempts", "Attempts", number=True)),
        Column("unknown", "of unknown cost", number=True),
    )
    lines = [
        [
            *(tables.Cell(f"{one.day}", one.day), tables.text(one.model)),
            tables.text(
                one.name, tone=GOOD if one.name == "agrees" else BAD if one.theirs_nano is not None else "soft"
            ),
            *(tables.money(one.ours_nano), tables.money(one.theirs_nano)),
            tables.money(one.gap_nano if one.theirs_nano is not None else None),
            *(tables.count(one.attempts), tables.count(one.unknown)),
        ]
        for one in gaps[:MOST_GAPS]
    ]
    note = "Days are UTC, by the moment an attempt left. The largest gap first; nothing is repaired here."
    return Table(
        "gaps", "Gaps by day and model", columns, lines, "Neither book has anything in these days.", note, export
    )
