"""Questions about the shop that no call can answer alone: who came, what is owed, what packages are used for.

Promise: read-only, from rollups and the ledger's own running totals; money is nano-USD. Liabilities are what customers
could still spend, by kind of credit, and what they owe us.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from django.db import connection

from accounts.models import Storefront
from analytics import reports
from analytics.models import ChannelSpend
from analytics.reports import Scope
from analytics.rows import read_json

DIRECT = "direct"


@dataclass(frozen=True, slots=True)
class Acquired:
    """What one channel brought."""

    channel: str
    customers: int
    paying: int
    spent_nano: int
    revenue_nano: int  # of its customers, in the same days

    @property
    def cost_per_customer_nano(self) -> int | None:
        """What one paying customer cost to win, rounded up; None where nobody paid."""
        return -(-self.spent_nano // self.paying) if self.paying else None


@dataclass(frozen=True, slots=True)
class Utilisation:
    """How much of what was granted has been used, in the grant's own unit."""

    kind: str
    unit: str
    granted: int
    used: int
    expired: int

    @property
    def share(self) -> Fraction | None:
        """The part that was used."""
        return Fraction(self.used, self.granted) if self.granted else None


def liabilities(*, storefront: Storefront | None = None) -> dict[str, int]:
    """Unspent credit by kind; ``debt`` is what customers owe us. Counted in money; packages of tokens are left out."""
    statement = (
        "SELECT a.kind, sum(a.posted) FROM billing_account a JOIN accounts_organization o ON o.id = a.organization_id"
        " WHERE a.unit = 'nano_usd' AND a.posted > 0"
    )
    return {kind: int(nano) for kind, nano in _rows(statement + _of(storefront) + " GROUP BY a.kind", storefront)}


def active_customers(scope: Scope) -> int:
    """Organizations with at least one call."""
    return reports.active_customers(scope)


def acquisition(scope: Scope) -> list[Acquired]:
    """Customers who joined in these days, by the channel that brought their first member, and what that cost."""
    joined = _rows(
        "SELECT o.id, (SELECT u.acquisition FROM accounts_membership m JOIN users u ON u.id = m.user_id"
        " WHERE m.organization_id = o.id ORDER BY m.id LIMIT 1) FROM accounts_organization o"
        " WHERE o.created_at >= %s AND o.created_at < %s" + _of(scope.storefront),
        *_between(scope),
        scope.storefront,
    )
    channels = {pk: channel_of(read_json(told or "{}")) for pk, told in joined}
    revenue = {pk: figures.charge_nano for (pk,), figures in reports.by(scope, "organization_id").items()}
    spent: dict[str, int] = {}
    for row in ChannelSpend.objects.filter(month__gte=scope.since.replace(day=1), month__lte=scope.until):
        if scope.storefront is None or row.storefront_id == scope.storefront.pk:
            spent[row.channel] = spent.get(row.channel, 0) + row.spent_nano
    found = []
    for channel in sorted({*channels.values(), *spent}):
        members = [pk for pk, name in channels.items() if name == channel]
        paid = [pk for pk in members if revenue.get(pk)]
        found.append(
            Acquired(channel, len(members), len(paid), spent.get(channel, 0), sum(revenue.get(pk, 0) for pk in paid))
        )
    return found


def channel_of(acquisition: Mapping[str, Any]) -> str:
    """The name of a way in: a campaign's source, else the host that linked to us."""
    return str(acquisition.get("utm_source") or acquisition.get("referrer") or DIRECT)[:80]


def utilisation(*, storefront: Storefront | None = None) -> list[Utilisation]:
    """What became of packages, trials and gifts: used, expired, or still there."""
    statement = (
        "SELECT a.kind, a.unit, sum(CASE WHEN t.credit_id = a.id THEN t.amount ELSE 0 END),"
        " sum(CASE WHEN t.debit_id = a.id AND t.code IN ('usage', 'late_usage') THEN t.amount ELSE 0 END),"
        " sum(CASE WHEN t.debit_id = a.id AND t.code = 'grant_expired' THEN t.amount ELSE 0 END)"
        " FROM billing_account a JOIN accounts_organization o ON o.id = a.organization_id"
        " JOIN billing_transfer t ON t.organization_id = a.organization_id AND a.id IN (t.credit_id, t.debit_id)"
        " WHERE a.kind NOT IN ('paid', 'debt')"
    )
    rows = _rows(statement + _of(storefront) + " GROUP BY a.kind, a.unit ORDER BY a.kind, a.unit", storefront)
    return [Utilisation(kind, unit, int(granted), int(used), int(lapsed)) for kind, unit, granted, used, lapsed in rows]


def get_arbitrage_stats(days: int, *, now: datetime, storefront: Storefront | None = None) -> dict[str, Any]:
    """The figures of a reseller of packages over the last days: profit, packages sold, profit for each.

    Packages are grants that were paid for; a shop that has sold none is told its profit and no average.
    """
    if days < 1:
        raise reports.BadQuestion("Ask about one day at least.")
    scope = Scope((now - timedelta(days=days - 1)).date(), now.date(), storefront=storefront)
    figures = reports.total(scope)
    [(sold,)] = _rows(
        "SELECT count(*) FROM billing_transfer t JOIN billing_account a ON a.id = t.credit_id"
        " JOIN accounts_organization o ON o.id = t.organization_id"
        " WHERE a.kind IN ('package', 'subscription') AND t.created_at >= %s AND t.created_at < %s" + _of(storefront),
        *_between(scope),
        storefront,
    )
    return {
        "period_days": days,
        "total_profit": Fraction(figures.profit_nano, 10**9),
        "total_packages_sold": int(sold),
        "average_profit_per_package": Fraction(figures.profit_nano, 10**9 * sold) if sold else None,
        "total_revenue": Fraction(figures.charge_nano, 10**9),
        "margin_on_price": figures.margin,
        "markup_on_cost": figures.markup,
        "requests_of_unknown_cost": figures.unknown_cost,
    }


def _between(scope: Scope) -> list[Any]:
    if connection.vendor == "postgresql":
        return [scope.starts_at, scope.ends_at]
    return [f"{moment:%Y-%m-%d %H:%M:%S}" for moment in (scope.starts_at, scope.ends_at)]


def _of(storefront: Storefront | None) -> str:
    return " AND o.storefront_id = %s" if storefront else ""


def _rows(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    bound = [
        parameter.pk if isinstance(parameter, Storefront) else parameter
        for parameter in parameters
        if parameter is not None
    ]
    with connection.cursor() as cursor:
        cursor.execute(statement, bound)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found
