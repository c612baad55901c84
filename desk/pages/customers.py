"""Customers: what each has, spends and leaves us, what looks risky about it, and what can be done about it."""

from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone

from accounts.models import Organization
from accounts.models.organizations import Standing
from accounts.operators import scope_for
from analytics import reports
from analytics.monitor import EVER
from analytics.reports import BadQuestion, Figures, Scope
from billing.models.ledger import NANO_USD, Kind
from desk import front, rows, tables, words
from desk.lens import Lens, lens_of
from desk.pages.base import exported, show
from desk.tables import BAD, Card, Column, Parts, Table

PAGE = 50
MOST_PAGES = 10_000
UNRECOVERED_NANO = 10_000_000  # a cent
MANY_FAILED, FEW_REQUESTS = Fraction(20, 100), 20
COLUMNS = (
    Column("customer", "Customer"),
    Column("shop", "Shop", file_only=True),
    Column("flags", "Risk"),
    Column("unspent_usd", "Unspent", number=True),
    Column("gifts_usd", "of it gifts", number=True, file_only=True),
    Column("debt_usd", "Owes", number=True, file_only=True),
    Column("spend_usd", "Spend", number=True),
    Column("profit_usd", "Profit", number=True),
    Column("margin_on_price", "Margin on price", number=True),
    Column("lifetime_usd", "Lifetime value", number=True),
    Column("deeds", "Do"),
)


def customers(request: HttpRequest) -> HttpResponse:
    """The list, largest spend first."""
    lens = lens_of(request, today=timezone.now().date(), keep=("q", "active"))
    words_, active = request.GET.get("q", "")[:80].replace("\x00", ""), request.GET.get("active") == "1"
    place = _page(request)
    spend = {pk: one for (pk,), one in reports.by(lens.scope, "organization_id").items()}
    found = rows.organizations(scope_for(request), shop=lens.shop)
    found = found.filter(name__icontains=words_) if words_ else found
    ids = list(found.order_by("-created_at", "-id").values_list("pk", flat=True))
    ids = [pk for pk in ids if pk in spend] if active else ids
    ids.sort(key=lambda pk: -spend[pk].charge_nano if pk in spend else 1)
    saving = bool(request.GET.get("csv"))
    shown = ids if saving else ids[place * PAGE : (place + 1) * PAGE]
    table = _table(request, lens, shown, spend, total=len(ids))
    if (place + 1) * PAGE < len(ids) and not saving:
        table = _with_older(table, lens.query(q=words_, active="1" if active else "", page=place + 2))
    parts = Parts(tables=[table])
    return exported(request, parts, "customers") or show(
        request, "desk/customers.html", title="Customers", parts=parts, lens=lens, q=words_, active=active
    )


def _page(request: HttpRequest) -> int:
    written = request.GET.get("page", "1")
    if not (written.isascii() and written.isdigit() and 1 <= int(written[:9]) <= MOST_PAGES):
        raise BadQuestion("A page is a number from 1 on.")
    return int(written) - 1


def _with_older(table: Table, older: str) -> Table:
    return Table(table.slug, table.title, table.columns, table.rows, table.empty, table.note, table.export, older)


def _table(request: HttpRequest, lens: Lens, shown: Sequence[int], spend: dict[int, Figures], *, total: int) -> Table:
    here = {one.pk: one for one in Organization.objects.filter(pk__in=shown).select_related("storefront")}
    balances = rows.balances(list(shown))
    ever = Scope(EVER, lens.scope.until, storefront=lens.shop, customers=tuple(shown))
    lifetime = {pk: one for (pk,), one in reports.by(ever, "organization_id").items()} if shown else {}
    lines = [
        _row(request, here[pk], balances.get(pk, []), spend.get(pk, Figures()), lifetime.get(pk, Figures()))
        for pk in shown
    ]
    return Table(
        "customers",
        "Customers",
        COLUMNS,
        lines,
        "No customer fits.",
        note=f"{total:,} in all, the largest spend of {lens.words} first. Lifetime value is all that was ever charged.",
        export=lens.query(csv="customers"),
    )


def _row(
    request: HttpRequest, one: Organization, balances: list[dict[str, Any]], spend: Figures, ever: Figures
) -> list[tables.Cell]:
    unspent, gifts, debt = sums(balances)
    told = flags(one, spend=spend, debt=debt)
    accounts, calls = (reverse(f"admin:desk_{name}") + f"?customer={one.public_id}" for name in ("accounts", "calls"))
    return [
        tables.text(
            one.name,
            link=reverse("admin:desk_customer", args=[one.pk]),
            note=f"{one.storefront.name}, since {one.created_at:%-d %b %Y}",
        ),
        tables.text(one.storefront.name),
        tables.text(", ".join(told), tone=BAD if told else ""),
        tables.money(unspent, link=accounts, note=_told(gifts, debt)),
        tables.money(gifts, link=accounts),
        tables.money(debt, link=accounts, tone=BAD if debt else ""),
        tables.money(spend.charge_nano, link=calls),
        tables.money(spend.profit_nano, link=calls),
        tables.share(spend.margin, link=calls, tone=BAD if spend.profit_nano < 0 else ""),
        tables.money(ever.charge_nano, link=calls),
        tables.deeds(*_short(deeds(request, one))),
    ]


def _told(gifts: int, debt: int) -> str:
    """What the page says of gifts and debts, where there are any."""
    found = [f"{words.money(gifts)} given"] if gifts else []
    return ", ".join(found + ([f"owes {words.money(debt)}"] if debt else []))


def sums(balances: list[dict[str, Any]]) -> tuple[int, int, int]:
    """Unspent credit in money, the part of it that was given, and what is owed to us."""
    in_money = [row for row in balances if row["unit"] == NANO_USD]
    debt = sum(row["posted"] for row in in_money if row["kind"] == Kind.DEBT)
    unspent = sum(row["posted"] for row in in_money if row["kind"] != Kind.DEBT)
    return unspent, unspent - sum(row["posted"] for row in in_money if row["kind"] == Kind.PAID), debt


def flags(one: Organization, *, spend: Figures, debt: int) -> list[str]:
    """What looks risky, each in a word or two."""
    found = {
        "suspended": one.standing == Standing.SUSPENDED,
        "closed": one.standing == Standing.CLOSED,
        "owes us": debt > 0,
        "sold below cost": spend.profit_nano < 0,
        "used more than it could pay": spend.unrecovered_nano >= UNRECOVERED_NANO,
        "many calls fail": spend.requests >= FEW_REQUESTS and (spend.error_rate or 0) > MANY_FAILED,
    }
    return [name for name, is_so in found.items() if is_so]


def deeds(request: HttpRequest, one: Organization) -> list[tuple[str, str]]:
    """What this operator may do to a customer; each leads to a page that asks why."""
    if not scope_for(request).may_change(one.storefront):
        return []
    table: Any = admin.site._registry[Organization]
    found = [
        (deed.title, reverse("admin:accounts_organization_deed", args=[one.pk, deed.slug]))
        for deed in table.deeds
        if deed.applies(one) and (scope_for(request).platform or not deed.platform_only)
    ]
    if any(model._meta.label_lower == "billing.adjustment" for model in admin.site._registry):
        found.insert(0, ("Credit", reverse("admin:billing_adjustment_add") + f"?organization={one.pk}"))
    found.append(("Limits and caps", reverse("admin:accounts_organization_change", args=[one.pk])))
    return [*found, ("Price terms", reverse("admin:desk_terms", args=[one.pk]))]


def _short(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The deeds of a list's row; the customer's page has them all."""
    names = {"Visit as support": "Visit", "Credit": "Credit", "Suspend": "Suspend", "Restore": "Restore"}
    return [(names[title], link) for title, link in found if title in names]


# --- One customer -----------------------------------------------------------------------------------------------------

ACCOUNT_COLUMNS = (
    Column("kind", "Credit"),
    Column("unspent", "Unspent", number=True),
    Column("held", "Held by calls", number=True),
    Column("expires_utc", "Expires (UTC)"),
)
MODEL_COLUMNS = (
    Column("model", "Model"),
    Column("requests", "Requests", number=True),
    Column("spend_usd", "Spend", number=True),
    Column("cost_usd", "Cost", number=True),
    Column("profit_usd", "Profit", number=True),
    Column("margin_on_price", "Margin on price", number=True),
)


def found_or_404(request: HttpRequest, pk: int) -> Organization:
    """A customer in scope."""
    return get_object_or_404(rows.organizations(scope_for(request)).select_related("storefront"), pk=pk)


def customer(request: HttpRequest, pk: int) -> HttpResponse:
    """Everything about one."""
    now = timezone.now()
    one, lens = found_or_404(request, pk), lens_of(request, today=now.date())
    scope = Scope(lens.scope.since, lens.scope.until, organization=one)
    by_model = {model: found for (model,), found in reports.by(scope, "model").items()}
    ever = reports.total(Scope(EVER, now.date(), organization=one))
    balances = rows.balances([one.pk]).get(one.pk, [])
    spend = sum(by_model.values(), Figures())
    parts = Parts(
        cards=_cards(lens, one, balances, spend, ever),
        charts=front.charts(lens, reports.by_time(scope, period=lens.grain)),
        tables=[_accounts(balances, now), _models(lens, one, by_model)],
    )
    told = flags(one, spend=spend, debt=sums(balances)[2])
    return show(
        request,
        "desk/customer.html",
        title=one.name,
        parts=parts,
        lens=lens,
        one=one,
        deeds=deeds(request, one),
        flags=told,
    )


def _cards(lens: Lens, one: Organization, balances: list[dict[str, Any]], spend: Figures, ever: Figures) -> list[Card]:
    unspent, gifts, debt = sums(balances)
    accounts = reverse("admin:desk_accounts") + f"?customer={one.public_id}"
    calls = reverse("admin:desk_calls")
    theirs = calls + lens.query(customer=one.public_id)
    return [
        Card("Unspent credit", words.money(unspent), f"{words.money(gifts)} of it given", accounts),
        Card("Owes us", words.money(debt), "", accounts, BAD if debt else ""),
        Card("Spend", words.money(spend.charge_nano), lens.words, theirs),
        Card(
            "Margin on price",
            words.percent(spend.margin),
            f"{words.money(spend.profit_nano)} profit; markup on cost {words.percent(spend.markup)}",
            theirs,
            tone=BAD if spend.profit_nano < 0 else "",
        ),
        Card(
            "Lifetime value",
            words.money(ever.charge_nano),
            f"{words.money(ever.profit_nano)} of it stayed",
            calls + f"?customer={one.public_id}",
        ),
        Card(
            "Error rate",
            words.percent(spend.error_rate),
            f"{words.count(spend.errors)} of {words.count(spend.requests)} failed",
            calls + lens.query(customer=one.public_id, state="failed"),
        ),
    ]


def _accounts(balances: list[dict[str, Any]], now: datetime) -> Table:
    lines = []
    for row in balances:
        over = row["expires_at"] is not None and row["expires_at"] <= now
        shown = tables.money if row["unit"] == NANO_USD else tables.count
        statement = reverse("admin:desk_account", args=[row["pk"]])
        lines.append(
            [
                tables.text(
                    Kind(row["kind"]).label,
                    link=statement,
                    note=row["label"] or ("" if row["unit"] == NANO_USD else row["unit"]),
                ),
                shown(row["posted"], link=statement),
                shown(row["held"], link=statement),
                tables.Cell(
                    words.moment(row["expires_at"]) if row["expires_at"] else "never",
                    row["expires_at"],
                    tone=BAD if over else "",
                ),
            ]
        )
    return Table("accounts", "Credit", ACCOUNT_COLUMNS, lines, "There is no credit, and nothing is owed.")


def _models(lens: Lens, one: Organization, by_model: dict[str, Figures]) -> Table:
    calls = reverse("admin:desk_calls")
    lines = [
        [
            tables.text(model, link=rows),
            tables.count(found.requests, link=rows),
            tables.money(found.charge_nano, link=rows),
            tables.money(found.cost_nano, link=rows),
            tables.money(found.profit_nano, link=rows),
            tables.share(found.margin, link=rows, tone=BAD if found.profit_nano < 0 else ""),
        ]
        for model, found in by_model.items()
        for rows in (calls + lens.query(customer=one.public_id, model=model),)
    ]
    return Table("models", "Models", MODEL_COLUMNS, lines, "Nothing was called in these days.")
