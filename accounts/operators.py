"""What an operator may see and touch: everything for the platform's staff, their own shops for a storefront's staff.

Promise: there is one answer, ``scope_of(person)``, and everything the desk shows or changes is narrowed by it; somebody
without a job here has an empty scope, which sees nothing. Rows are found by the path that leads from them to their
storefront, such as ``organization__storefront``; a row without a storefront belongs to the platform.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from accounts.models import Storefront, User

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True, slots=True)
class Scope:
    """The shops somebody runs: those they may see, and among them those they may change."""

    platform: bool = False
    superuser: bool = False
    sees: frozenset[int] = frozenset()
    changes: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return self.platform or bool(self.sees)

    def may_see(self, storefront: Storefront) -> bool:
        """Whether this shop is theirs to look at."""
        return self.platform or storefront.pk in self.sees

    def may_change(self, storefront: Storefront) -> bool:
        """Whether this shop is theirs to run."""
        return self.platform or storefront.pk in self.changes

    @property
    def may_change_something(self) -> bool:
        """Whether there is any shop they may run."""
        return self.platform or bool(self.changes)

    def visible(self, rows: QuerySet[Row], *paths: str) -> QuerySet[Row]:
        """Those of these rows they may see."""
        return rows if self.platform else _within(rows, paths, self.sees)

    def changeable(self, rows: QuerySet[Row], *paths: str) -> QuerySet[Row]:
        """Those of these rows they may change."""
        return rows if self.platform else _within(rows, paths, self.changes)

    def storefronts(self) -> QuerySet[Storefront]:
        """The shops they may see."""
        return self.visible(Storefront.objects.all(), "pk")


NOBODY = Scope()


def scope_of(person: Any) -> Scope:
    """The scope of a person; ``NOBODY`` for customers, strangers, and staff who were switched off."""
    if not isinstance(person, User) or not person.is_active:
        return NOBODY
    if person.is_staff:
        return Scope(platform=True, superuser=person.is_superuser)
    jobs = dict(person.storefront_jobs.values_list("storefront_id", "can_change"))
    return Scope(sees=frozenset(jobs), changes=frozenset(shop for shop, may in jobs.items() if may))


def scope_for(request: HttpRequest) -> Scope:
    """The scope of whoever sends this request, read once per request."""
    found: Scope | None = getattr(request, "operator_scope", None)
    if found is None:
        found = scope_of(request.user)
        request.operator_scope = found  # type: ignore[attr-defined]
    return found


def _within(rows: QuerySet[Row], paths: Sequence[str], storefronts: frozenset[int]) -> QuerySet[Row]:
    if not paths or not storefronts:
        return rows.none()
    condition = Q()
    for path in paths:
        condition |= Q(**{f"{path}__in": storefronts})
    if any(_meets_many(rows.model, path) for path in paths):
        # A join to many rows would show one thing several times.
        return rows.filter(pk__in=rows.model._base_manager.filter(condition).values("pk"))
    return rows.filter(condition)


def _meets_many(model: type[Model], path: str) -> bool:
    options = model._meta
    for part in path.split("__"):
        if part == "pk":
            return False
        field = options.get_field(part)
        if field.one_to_many or field.many_to_many:
            return True
        options = field.related_model._meta  # type: ignore[union-attr]
    return False
