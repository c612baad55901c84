"""Whose figures of which days a page shows: read from the address alone, so that a link says everything.

Promise: somebody of one shop looks at that shop whatever the address says, somebody of several at one of theirs, the
platform at all of them or at the one it names; a shop out of scope answers like one that does not exist. Days are UTC,
and a question without an answer (a day that is none, an end before its beginning) is a sentence with status 400.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest

from accounts.models import Storefront
from accounts.operators import scope_for
from analytics.reports import BadQuestion, Scope

DAYS = {"day": 1, "week": 7, "month": 30, "quarter": 91}
TITLES = {"day": "Today", "week": "7 days", "month": "30 days", "quarter": "13 weeks"}
STANDARD = "month"
MONTHLY_FROM_DAYS, WEEKLY_FROM_DAYS = 400, 120


@dataclass(frozen=True, slots=True)
class Lens:
    """The days and the shop of one page."""

    period: str  # day, week, month, quarter; empty for days of one's own
    scope: Scope
    shops: tuple[Storefront, ...]
    may_see_all: bool
    path: str
    kept: tuple[tuple[str, str], ...] = ()

    @property
    def shop(self) -> Storefront | None:
        """The shop, or None for all of them."""
        return self.scope.storefront

    @property
    def grain(self) -> str:
        """What one point of a chart is."""
        if self.scope.days > MONTHLY_FROM_DAYS:
            return "month"
        return "week" if self.scope.days > WEEKLY_FROM_DAYS else "day"

    @property
    def words(self) -> str:
        """The days, for a sentence."""
        since, until = self.scope.since, self.scope.until
        return f"{since:%-d %b %Y}" if since == until else f"{since:%-d %b %Y} to {until:%-d %b %Y}"

    @property
    def periods(self) -> list[dict[str, Any]]:
        """The ready-made choices, each a link."""
        return [
            {"title": TITLES[name], "link": self.path + self._of(name), "chosen": name == self.period} for name in DAYS
        ]

    def query(self, **more: Any) -> str:
        """The same days and shop as the tail of another address."""
        days = {"period": self.period} if self.period else {}
        if not self.period:
            days = {"since": f"{self.scope.since}", "until": f"{self.scope.until}"}
        told = {**days, **self._shop(), **{name: value for name, value in more.items() if value not in {None, ""}}}
        return "?" + urlencode(told)

    def _of(self, period: str) -> str:
        return "?" + urlencode({"period": period, **self._shop(), **dict(self.kept)})

    def _shop(self) -> dict[str, str]:
        return {"shop": self.shop.public_id} if self.shop and len(self.shops) > 1 else {}


def lens_of(request: HttpRequest, *, today: date, standard: str = STANDARD, keep: tuple[str, ...] = ()) -> Lens:
    """Read the address."""
    shop, shops, may_see_all = shop_of(request)
    period = request.GET.get("period", "")
    if request.GET.get("since") or request.GET.get("until"):
        period, until = "", _day(request, "until", today)
        since = _day(request, "since", until - timedelta(days=DAYS[standard] - 1))
    else:
        period = period or standard
        if period not in DAYS:
            message = f"A period is one of {', '.join(DAYS)}; or name days with since and until."
            raise BadQuestion(message)
        since, until = today - timedelta(days=DAYS[period] - 1), today
    kept = tuple((name, request.GET[name]) for name in keep if request.GET.get(name))
    return Lens(period, Scope(since, until, storefront=shop), shops, may_see_all, request.path, kept)


def shop_of(request: HttpRequest) -> tuple[Storefront | None, tuple[Storefront, ...], bool]:
    """The shop that is looked at, those to choose from, and whether all of them together are a choice."""
    scope = scope_for(request)
    shops = tuple(scope.storefronts().order_by("-is_default", "name"))
    named = request.GET.get("shop", "")
    if named:
        chosen = next((shop for shop in shops if shop.public_id == named), None)
        if chosen is None:
            raise Http404
        return chosen, shops, scope.platform
    if scope.platform:
        return None, shops, True
    return (shops[0] if shops else None), shops, False


def _day(request: HttpRequest, name: str, otherwise: date) -> date:
    written = request.GET.get(name, "")
    if not written:
        return otherwise
    try:
        day = date.fromisoformat(written)
    except ValueError as error:
        message = f"{written[:20]!r} is no day; write it like 2026-11-24."
        raise BadQuestion(message) from error
    if not date(2020, 1, 1) <= day <= date(2100, 1, 1):
        raise BadQuestion("Ask about days of this century, from 2020 on.")
    return day
