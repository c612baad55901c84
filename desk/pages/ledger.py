"""The ledger, to read: entries with their search, accounts with their statements, and the trial balance."""

from typing import Any

from django.db.models import Q, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone

from accounts.operators import scope_for
from analytics.reports import BadQuestion
from billing.models import Account, Transfer
from billing.models.ledger import NANO_USD, House, Kind
from desk import rows, tables, words
from desk.lens import lens_of, shop_of
from desk.pages.base import exported, show
from desk.tables import BAD, GOOD, Card, Column, Parts, Table

PAGE = 50
MOST_SAVED = 5_000
WORDS_OF = {**dict(Kind.choices), **dict(House.choices)}
ENTRY_COLUMNS = (
    Column("when_utc", "When (UTC)"),
    Column("code", "What"),
    Column("customer", "Customer"),
    Column("from", "From"),
    Column("to", "To"),
    Column("amount", "Amount", number=True),
    Column("reference", "Reference"),
    Column("reason", "Reason", file_only=True),
    Column("entry", "Entry", file_only=True),
)
ACCOUNT_COLUMNS = (
    Column("account", "Account"),
    Column("customer", "Customer"),
    Column("unspent", "Unspent", number=True),
    Column("held", "Held by calls", number=True),
    Column("expires_utc", "Expires (UTC)"),
)
TRIAL_COLUMNS = (
    Column("account", "Accounts of this kind"),
    Column("unit", "Unit"),
    Column("debits", "Debits", number=True),
    Column("credits", "Credits", number=True),
    Column("balance", "Credits less debits", number=True),
)


def amount(value: int, unit: str, **options: Any) -> tables.Cell:
    """An amount in its account's unit."""
    return tables.exact(value, **options) if unit == NANO_USD else tables.count(value, note=unit)


# --- Entries ----------------------------------------------------------------------------------------------------------


def ledger(request: HttpRequest) -> HttpResponse:
    """Entries of some days, searched."""
    kept = ("q", "customer", "code")
    lens = lens_of(request, today=timezone.now().date(), keep=kept)
    told = {name: request.GET.get(name, "")[:120].replace("\x00", "").strip() for name in kept}
    found = rows.transfers(scope_for(request), shop=lens.shop)
    found = found.filter(created_at__gte=lens.scope.starts_at, created_at__lt=lens.scope.ends_at)
    found = _searched(found, told)
    saving = bool(request.GET.get("csv"))
    shown = list(_before(request, found)[: MOST_SAVED if saving else PAGE + 1])
    more = len(shown) > PAGE and not saving
    shown = shown[:PAGE] if more else shown
    table = Table(
        "entries",
        "Entries",
        ENTRY_COLUMNS,
        [entry(one) for one in shown],
        "No entry of these days fits.",
        note=f"From {lens.words}, the newest first. Entries never change; a correction is an entry of its own.",
        export=lens.query(**told, csv="entries"),
        older=lens.query(**told, before=shown[-1].pk) if more else "",
    )
    parts = Parts(tables=[table])
    return exported(request, parts, "ledger") or show(
        request, "desk/ledger.html", title="Ledger", parts=parts, lens=lens, told=told
    )


def _searched(found: QuerySet[Transfer], told: dict[str, str]) -> QuerySet[Transfer]:
    """By what is exact where it can be: a reference, a call's number, a customer."""
    if told["customer"]:
        found = found.filter(organization__public_id=told["customer"])
    if told["code"]:
        found = found.filter(code=told["code"])
    if told["q"]:
        asked = (
            Q(reference=told["q"]) | Q(uid=told["q"]) | Q(code=told["q"]) | Q(organization__name__icontains=told["q"])
        )
        if told["q"].isascii() and told["q"].isdigit() and len(told["q"]) <= 18:
            asked |= Q(hold_id=int(told["q"])) | Q(pk=int(told["q"]))
        found = found.filter(asked)
    return found


def _before(request: HttpRequest, found: QuerySet[Transfer]) -> QuerySet[Transfer]:
    before = request.GET.get("before", "")
    if before and not (before.isascii() and before.isdigit() and len(before) <= 18):
        raise BadQuestion("A page of entries begins before the number of an entry.")
    return found.filter(pk__lt=int(before)) if before else found


def entry(one: Transfer) -> list[tables.Cell]:
    """One entry as a row."""
    organization: Any = one.organization
    of_hold = f"call {one.hold_id}" if one.hold_id else ""
    return [
        tables.moment(one.created_at),
        tables.text(one.code.replace("_", " "), note=one.reason),
        tables.text(organization.name, link=reverse("admin:desk_customer", args=[organization.pk]))
        if organization
        else tables.text("the house"),
        _account(one.debit),
        _account(one.credit),
        amount(one.amount, one.debit.unit),
        tables.text(one.reference or of_hold, note=f"entry {one.pk}"),
        tables.text(one.reason),
        tables.text(str(one.pk)),
    ]


def _account(account: Account) -> tables.Cell:
    link = reverse("admin:desk_account", args=[account.pk]) if account.organization_id else ""
    return tables.text(str(WORDS_OF.get(account.kind, account.kind)), link=link)


# --- Accounts ---------------------------------------------------------------------------------------------------------


def accounts(request: HttpRequest) -> HttpResponse:
    """Accounts with something in them, the fullest first."""
    shop, shops, _ = shop_of(request)
    scope = scope_for(request)
    named = request.GET.get("customer", "")[:60].replace("\x00", "")
    found = rows.accounts(scope, shop=shop).filter(organization__isnull=False, posted__gt=0)
    found = found.filter(organization__public_id=named) if named else found
    sums = found.filter(unit=NANO_USD).order_by().values_list("kind").annotate(total=Sum("posted"))
    by_kind = dict(sums)
    lines = [
        [
            tables.text(str(WORDS_OF[one.kind]), link=reverse("admin:desk_account", args=[one.pk]), note=one.label),
            tables.text(one.organization.name, link=reverse("admin:desk_customer", args=[one.organization_id])),  # type: ignore[union-attr]
            amount(one.posted, one.unit),
            amount(one.held, one.unit),
            tables.Cell(words.moment(one.expires_at) if one.expires_at else "never", one.expires_at),
        ]
        for one in found.select_related("organization").order_by("-posted")[
            : MOST_SAVED if "csv" in request.GET else 200
        ]
    ]
    title = "Unspent credit and debts"
    query = f"?customer={named}" if named else f"?shop={shop.public_id}" if shop and len(shops) > 1 else "?"
    table = Table(
        "accounts",
        title,
        ACCOUNT_COLUMNS,
        lines,
        "Nobody has credit, and nobody owes anything.",
        note="The 200 fullest.",
        export=f"{query}&csv=accounts",
    )
    owed = sum(total for kind, total in by_kind.items() if kind != Kind.DEBT)
    cards = [
        Card("Owed to customers", words.money(owed), "all unspent credit in money"),
        *(Card(str(WORDS_OF[kind]), words.money(total)) for kind, total in sorted(by_kind.items())),
    ]
    parts = Parts(cards=cards, tables=[table])
    return exported(request, parts, "accounts") or show(request, "desk/page.html", title=title, parts=parts)


def account(request: HttpRequest, pk: int) -> HttpResponse:
    """The statement of one account."""
    found = rows.accounts(scope_for(request)).filter(organization__isnull=False).select_related("organization")
    one = get_object_or_404(found, pk=pk)
    organization: Any = one.organization
    entries = rows.transfers(scope_for(request)).filter(rows.of_account(one), organization=organization)
    shown = list(_before(request, entries)[: PAGE + 1])
    more = len(shown) > PAGE
    shown = shown[:PAGE]
    lines = [[*entry(line)[:5], _signed(line, one), *entry(line)[6:]] for line in shown]
    table = Table(
        "statement",
        "Statement",
        ENTRY_COLUMNS,
        lines,
        "Nothing has moved here yet.",
        note="The newest first; what went out has a minus.",
        export="?csv=statement",
        older=f"?before={shown[-1].pk}" if more else "",
    )
    cards = [
        Card("Unspent", amount(one.posted, one.unit).text, "" if one.unit == NANO_USD else one.unit),
        Card("Held by calls", amount(one.held, one.unit).text),
        Card("Customer", organization.name, "", reverse("admin:desk_customer", args=[organization.pk])),
    ]
    parts = Parts(cards=cards, tables=[table])
    return exported(request, parts, f"account-{pk}") or show(
        request, "desk/page.html", title=f"{WORDS_OF[one.kind]} of {organization.name}", parts=parts
    )


def _signed(line: Transfer, one: Account) -> tables.Cell:
    return amount(line.amount if line.credit_id == one.pk else -line.amount, one.unit)


# --- Trial balance ----------------------------------------------------------------------------------------------------


def trial_balance(request: HttpRequest) -> HttpResponse:
    """All debits and credits, by kind of account: whatever was taken from one was given to another."""
    shop, _, _ = shop_of(request)
    sides: dict[tuple[str, str], list[int]] = {}
    entries = rows.transfers(scope_for(request), shop=shop).select_related(None).order_by()
    summed = entries.values_list("debit__kind", "credit__kind", "debit__unit").annotate(total=Sum("amount"))
    for debit, credit, unit, total in summed:
        sides.setdefault((debit, unit), [0, 0])[0] += int(total)
        sides.setdefault((credit, unit), [0, 0])[1] += int(total)
    lines = [
        [
            tables.text(str(WORDS_OF.get(kind, kind))),
            tables.text("US dollars" if unit == NANO_USD else unit),
            amount(out, unit),
            amount(back, unit),
            amount(back - out, unit),
        ]
        for (kind, unit), (out, back) in sorted(sides.items(), key=lambda row: (row[0][1] != NANO_USD, row[0]))
    ]
    taken, given = (sum(pair[side] for (_, unit), pair in sides.items() if unit == NANO_USD) for side in (0, 1))
    table = Table("trial", "Trial balance", TRIAL_COLUMNS, lines, "Nothing has moved yet.", export="?csv=trial")
    cards = [
        Card("Debits", words.money(taken)),
        Card("Credits", words.money(given)),
        Card(
            "Difference",
            words.money(taken - given),
            "the books balance" if taken == given else "the books do not balance",
            tone=GOOD if taken == given else BAD,
        ),
    ]
    parts = Parts(cards=cards, tables=[table])
    return exported(request, parts, "books") or show(request, "desk/page.html", title="Trial balance", parts=parts)
