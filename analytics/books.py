"""Profit and loss of a month, from transfers and attempts: what was received, what was earned, what it cost.

Promise: money that was received and not yet used is deferred revenue, a liability; it becomes revenue with the charge
that uses it. Gifts that are used are a cost of promotion, not revenue: revenue is shown gross, what was paid with gifts
is taken off by name. Deferred revenue at the end is that of the beginning plus what came in less what was used, and the
statement says so itself (``agrees``). A month that was closed keeps its figures; what moved since is a difference.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from accounts.models import Storefront, User
from analytics.models import ClosedMonth


class NotOver(ValueError):
    """A month that still goes on is not closed."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One month in nano-USD."""

    month: date
    deferred_before: int  # paid credit unspent when the month began
    received: int  # paid in, less refunds and disputes
    used: int  # of paid credit, by calls
    deferred_after: int
    moved: int  # between paid credit and what is owed, or corrections
    revenue: int  # everything charged
    paid_with_gifts: int
    late_revenue: int  # charged after its hold had been given back
    unrecovered: int
    gifts_given: int
    gifts_expired: int
    provider_cost: int
    unknown_cost_attempts: int

    @property
    def agrees(self) -> bool:
        """Whether what was there, came and went is what is there."""
        return self.deferred_before + self.received - self.used + self.moved == self.deferred_after

    @property
    def profit(self) -> int:
        """Revenue that somebody paid for, less what providers cost. Fees of payments are on no account of ours."""
        return self.revenue - self.paid_with_gifts - self.provider_cost


def statement(month: date, *, storefront: Storefront | None = None) -> Statement:
    """Add up one UTC month."""
    start = datetime(month.year, month.month, 1, tzinfo=UTC)
    end = (start + timedelta(days=32)).replace(day=1)
    before, after = (_paid_balance(at, storefront) for at in (start, end))
    legs = _legs(start, end, storefront)

    def moved(code: str | tuple[str, ...] = "", *, debit: str = "", credit: str = "") -> int:
        codes = (code,) if isinstance(code, str) else code
        return sum(
            value
            for (one, source, target), value in legs.items()
            if (not any(codes) or one in codes) and debit in {"", source} and credit in {"", target}
        )

    received = moved(debit="payments", credit="paid") - moved(debit="paid", credit="payments")
    used = moved(debit="paid", credit="revenue")
    charged = moved(("usage", "late_usage"), credit="revenue")
    cost, unknown = _cost(start, end, storefront)
    return Statement(
        month=start.date(),
        deferred_before=before,
        received=received,
        used=used,
        deferred_after=after,
        moved=moved(credit="paid") - moved(debit="paid") - received + used,
        revenue=charged,
        paid_with_gifts=charged - used,
        late_revenue=moved("late_usage", credit="revenue"),
        unrecovered=moved(debit="unrecovered_usage"),
        gifts_given=moved(debit="promotions") - moved(debit="promotions", credit="paid"),
        gifts_expired=moved(credit="expired_grants"),
        provider_cost=cost,
        unknown_cost_attempts=unknown,
    )


def close(month: date, *, storefront: Storefront | None, by: User | None, now: datetime) -> ClosedMonth:
    """Keep a month's figures as they are now; the first closing stands."""
    made = statement(month, storefront=storefront)
    end = (datetime(made.month.year, made.month.month, 1, tzinfo=UTC) + timedelta(days=32)).replace(day=1)
    if now < end:
        message = f"{made.month:%B %Y} is not over yet."
        raise NotOver(message)
    with transaction.atomic():
        kept, _ = ClosedMonth.objects.get_or_create(
            storefront=storefront,
            month=made.month,
            defaults={"figures": _figures(made), "closed_at": now, "closed_by": by},
        )
    return kept


def since_closed(kept: ClosedMonth) -> dict[str, int]:
    """What has moved in a closed month since, by figure; nothing if it still is what it was."""
    now = _figures(statement(kept.month, storefront=kept.storefront))
    return {name: now[name] - before for name, before in kept.figures.items() if now.get(name, before) != before}


def _figures(made: Statement) -> dict[str, int]:
    return {name: value for name, value in asdict(made).items() if name != "month"}


# --- Sums -------------------------------------------------------------------------------------------------------------

JOINED = (
    " FROM billing_transfer t JOIN billing_account d ON d.id = t.debit_id JOIN billing_account c ON c.id = t.credit_id"
    " LEFT JOIN accounts_organization o ON o.id = t.organization_id"
)


def _legs(start: datetime, end: datetime, storefront: Storefront | None) -> dict[tuple[str, str, str], int]:
    where, parameters = _within("t.created_at", start, end, storefront)
    found = _rows(
        f"SELECT t.code, d.kind, c.kind, sum(t.value_nano){JOINED} WHERE {where} GROUP BY t.code, d.kind, c.kind",
        parameters,
    )
    return {(code, debit, credit): int(value) for code, debit, credit, value in found}


def _paid_balance(at: datetime, storefront: Storefront | None) -> int:
    where, parameters = _within("t.created_at", None, at, storefront)
    [(nano,)] = _rows(
        "SELECT coalesce(sum(CASE WHEN c.kind = 'paid' THEN t.amount ELSE 0 END)"
        f" - sum(CASE WHEN d.kind = 'paid' THEN t.amount ELSE 0 END), 0){JOINED} WHERE {where}",
        parameters,
    )
    return int(nano)


def _cost(start: datetime, end: datetime, storefront: Storefront | None) -> tuple[int, int]:
    """From the days' sums: they outlive the attempts, which may have been archived."""
    parameters: list[Any] = [start.date().isoformat(), end.date().isoformat()]
    of = ""
    if storefront is not None:
        of = " AND storefront_id = %s"
        parameters.append(storefront.pk)
    [(cost, unknown)] = _rows(
        "SELECT coalesce(sum(cost_nano), 0), coalesce(sum(unknown_cost), 0) FROM analytics_shopday"
        f" WHERE day >= %s AND day < %s{of}",
        parameters,
    )
    return int(cost), int(unknown)


def _within(column: str, start: datetime | None, end: datetime, storefront: Storefront | None) -> tuple[str, list[Any]]:
    where, parameters = [f"{column} < %s"], [_written(end)]
    if start is not None:
        where.append(f"{column} >= %s")
        parameters.append(_written(start))
    if storefront is not None:
        where.append("o.storefront_id = %s")
        parameters.append(storefront.pk)
    return " AND ".join(where), parameters


def _written(moment: datetime) -> Any:
    return moment if connection.vendor == "postgresql" else f"{moment:%Y-%m-%d %H:%M:%S}"


def _rows(statement_: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement_, parameters)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found
