"""Rows of many customers for the operators' pages: every question is narrowed by the operator's scope here.

Promise: whoever may see one shop gets that shop's rows, whichever page asks and whatever its address says. Calls are
read along their ids, which are in order of time, so a page of them costs the same however many there are.
"""

from typing import Any

from django.db.models import Q, QuerySet

from accounts.models import Organization, Storefront
from accounts.operators import Scope
from analytics import rollups
from analytics.reports import Scope as Days
from billing.models import Account, Hold, Transfer
from gateway.callid import first_id
from gateway.models import Call

SHOP = "organization__storefront"


def organizations(scope: Scope, *, shop: Storefront | None = None) -> QuerySet[Organization]:
    """Customers."""
    found = scope.visible(Organization.objects.all(), "storefront")
    return found.filter(storefront=shop) if shop else found


def calls(scope: Scope, days: Days) -> QuerySet[Call]:
    """Calls that began in these days, the newest first."""
    low, high = first_id(days.starts_at - rollups.LONGEST), first_id(days.ends_at + rollups.LONGEST)
    began = {"created_at__gte": days.starts_at, "created_at__lt": days.ends_at}
    found = scope.visible(Call.unscoped.filter(id__gte=low, id__lt=high, **began), SHOP)
    found = found.filter(organization__storefront=days.storefront) if days.storefront else found
    return found.select_related("organization").order_by("-id")


def charged(ids: list[int]) -> dict[int, int]:
    """What was charged for calls that somebody in scope was shown; a call's hold has its id."""
    return dict(Hold.unscoped.filter(pk__in=ids).values_list("pk", "charged_nano"))


def transfers(scope: Scope, *, shop: Storefront | None = None) -> QuerySet[Transfer]:
    """Transfers, the newest first; those of the house alone are the platform's."""
    found = scope.visible(Transfer.unscoped.all(), SHOP)
    found = found.filter(organization__storefront=shop) if shop else found
    return found.select_related("organization", "debit", "credit").order_by("-id")


def accounts(scope: Scope, *, shop: Storefront | None = None) -> QuerySet[Account]:
    """Accounts of customers, and for the platform those of the house."""
    found = scope.visible(Account.unscoped.all(), SHOP)
    return found.filter(organization__storefront=shop) if shop else found


def of_account(account: Account) -> Q:
    """Transfers in and out of one account."""
    return Q(debit=account) | Q(credit=account)


def balances(customers: list[int]) -> dict[int, list[dict[str, Any]]]:
    """What customers in scope have, by kind and unit of credit."""
    found: dict[int, list[dict[str, Any]]] = {}
    wanted: Any = Account.unscoped.filter(organization__in=customers, posted__gt=0)
    for row in wanted.values("organization_id", "kind", "unit", "posted", "held", "expires_at", "label", "pk"):
        found.setdefault(row["organization_id"], []).append(row)
    return found
