"""The figures behind ``/user/monitor`` and ``/admin/monitor``; the doors put them into the JSON that clients expect.

Promise: totals come from rollups, the last minutes are folded in before, and what is shown of a key is masked. Money is
nano-USD and days are UTC, as the limits are.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import connection

from accounts.models import ApiKey, Organization, Storefront, User
from analytics import reports
from analytics.reports import Figures, Scope
from analytics.rows import read_moment

EVER = date(2026, 1, 1)  # the first day of call ids
MOST_ROWS = 10


@dataclass(frozen=True, slots=True)
class CustomerFigures:
    """What one customer, or one of its keys, has used."""

    ever: Figures
    month: Figures
    today: Figures
    most_used_model: str | None
    last_request_at: datetime | None

    @property
    def average_tokens(self) -> float:
        """Tokens per request."""
        return self.ever.tokens / self.ever.requests if self.ever.requests else 0.0


@dataclass(frozen=True, slots=True)
class ShopFigures:
    """What a shop did today."""

    users: int
    active_users_today: int
    today: Figures
    top_keys: list[dict[str, Any]]
    recent: list[dict[str, Any]]


def of_customer(organization: Organization, *, now: datetime, key: ApiKey | None = None) -> CustomerFigures:
    """Figures of an organization, or of one key of it."""
    today, month = now.date(), now.date().replace(day=1)

    def figures(since: date) -> Figures:
        scope = Scope(since, today, organization=organization)
        if key is None:
            return reports.total(scope)
        return reports.by(scope, "api_key_id").get((key.pk,), Figures())

    ever = Scope(EVER, today, organization=organization)
    models = [
        (one.requests, names[-1])
        for names, one in reports.by(ever, "api_key_id", "model").items()
        if key is None or names[0] == key.pk
    ]
    counted: dict[str, int] = {}
    for requests, name in models:
        counted[name] = counted.get(name, 0) + requests
    most = max(counted, key=lambda name: (counted[name], name), default=None)
    return CustomerFigures(figures(EVER), figures(month), figures(today), most, _last_request(organization, key))


def of_shop(storefront: Storefront | None, *, now: datetime) -> ShopFigures:
    """Figures of one shop, or of all of them."""
    scope = Scope(now.date(), now.date(), storefront=storefront)
    by_key = [(key, figures) for (key,), figures in reports.by(scope, "api_key_id").items() if key]
    by_key.sort(key=lambda row: (-row[1].tokens, row[0]))
    users = [user for (user,) in reports.by(scope, "user_id") if user]
    return ShopFigures(
        users=_users(storefront),
        active_users_today=len(users),
        today=reports.total(scope),
        top_keys=_named(by_key[:MOST_ROWS]),
        recent=_recent(storefront),
    )


def _users(storefront: Storefront | None) -> int:
    people = User.objects.filter(is_active=True)
    if storefront is not None:
        people = people.filter(memberships__organization__storefront=storefront).distinct()
    return people.count()


def _named(by_key: list[tuple[int, Figures]]) -> list[dict[str, Any]]:
    masks = _masks([key for key, _ in by_key])
    return [
        {
            "api_key": masks.get(key, ""),
            "tokens_used": figures.tokens,
            "cost_nano": figures.charge_nano,
            "requests": figures.requests,
        }
        for key, figures in by_key
    ]


def _masks(keys: list[int]) -> dict[int, str]:
    if not keys:
        return {}
    marks = ", ".join(["%s"] * len(keys))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id, visible_start, last_four FROM accounts_apikey WHERE id IN ({marks})", keys)
        return {pk: f"{start}…{end}" for pk, start, end in cursor.fetchall()}


def _last_request(organization: Organization, key: ApiKey | None) -> datetime | None:
    of_key, parameters = ("", [organization.pk])
    if key is not None:
        of_key, parameters = " AND api_key_id = %s", [organization.pk, key.pk]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT ended_at FROM gateway_call WHERE organization_id = %s{of_key} ORDER BY id DESC LIMIT 1", parameters
        )
        row = cursor.fetchone()
    return read_moment(row[0]) if row else None


def _recent(storefront: Storefront | None) -> list[dict[str, Any]]:
    where = "WHERE o.storefront_id = %s" if storefront else ""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.api_key_id, c.model_served, c.input_tokens + c.output_tokens, c.ended_at FROM gateway_call c"
            f" JOIN accounts_organization o ON o.id = c.organization_id {where} ORDER BY c.id DESC LIMIT {MOST_ROWS}",
            [storefront.pk] if storefront else [],
        )
        found = cursor.fetchall()
    masks = _masks([key for key, *_ in found if key])
    return [
        {"api_key": masks.get(key, ""), "model": model, "tokens_used": tokens, "timestamp": read_moment(at)}
        for key, model, tokens, at in found
    ]
