"""Read-only questions about the business, answered from rollups: nothing here reads a call.

Promise: every answer names its money three ways (what was charged, what it cost, what stayed) and both ratios by their
names, markup on cost and margin on price; calls whose cost nobody knows are counted apart and never pass for profit.
Sums over days, weeks, months and quarters are sums of the same rows, so they agree. Days are the asker's: in UTC they
are read from days, in any other zone from quarters of an hour. Rollups are a minute behind; ``fresh`` folds the minutes
since in first.

Whole shops are asked through the shop's tables, whose size does not depend on how many customers there are; a customer
through its own rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection

from accounts.models import Organization, Storefront
from analytics import rollups
from analytics.histograms import percentile
from analytics.rollup_sql import SUMS, WORDS
from analytics.rows import read_date, read_json, read_moment

UTC_ZONE = ZoneInfo("UTC")
PERIODS = ("day", "week", "month", "quarter")
BY_SHOP = ("model", "provider")
BY_CUSTOMER = ("organization_id", "api_key_id", "user_id", "country")
TIMINGS = {"latency_ms": "l", "first_byte_ms": "f", "tokens_per_second": "s"}
TENTHS = "s"  # speeds are counted in tenths of a token a second


class BadQuestion(ValueError):
    """A question that has no answer; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose figures, and of which days: from the first moment of ``since`` to the last of ``until``, in ``zone``."""

    since: date
    until: date
    zone: ZoneInfo = UTC_ZONE
    storefront: Storefront | None = None
    organization: Organization | None = None
    customers: tuple[int, ...] = ()  # only these organizations, by primary key; empty: all

    def __post_init__(self) -> None:
        if self.since > self.until:
            raise BadQuestion("The first day comes after the last one.")
        if (self.until - self.since).days > 3_700:
            raise BadQuestion("Ask about ten years at most.")

    @property
    def starts_at(self) -> datetime:
        """The first moment, wherever its midnight is."""
        return _midnight(self.since, self.zone)

    @property
    def ends_at(self) -> datetime:
        """The first moment that no longer belongs to it."""
        return _midnight(self.until + timedelta(days=1), self.zone)

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.until - self.since).days + 1

    @property
    def before(self) -> "Scope":
        """As many days just before it."""
        last = self.since - timedelta(days=1)
        return replace(self, since=last - timedelta(days=self.days - 1), until=last)


@dataclass(frozen=True, slots=True)
class Figures:
    """What a row of a report says; all money in nano-USD."""

    requests: int = 0
    errors: int = 0
    partial: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    price_nano: int = 0
    charge_nano: int = 0
    unrecovered_nano: int = 0
    cost_nano: int = 0
    unknown_cost: int = 0
    unknown_cost_charge_nano: int = 0
    estimated: int = 0
    estimated_charge_nano: int = 0
    cache_savings_nano: int = 0

    @property
    def tokens(self) -> int:
        """All tokens, in and out."""
        return self.input_tokens + self.output_tokens

    @property
    def profit_nano(self) -> int:
        """What stayed of the calls whose cost is known."""
        return self.charge_nano - self.unknown_cost_charge_nano - self.cost_nano

    @property
    def margin(self) -> Fraction | None:
        """Profit per dollar charged."""
        known = self.charge_nano - self.unknown_cost_charge_nano
        return Fraction(self.profit_nano, known) if known else None

    @property
    def markup(self) -> Fraction | None:
        """Profit per dollar of cost."""
        return Fraction(self.profit_nano, self.cost_nano) if self.cost_nano else None

    @property
    def error_rate(self) -> Fraction | None:
        """Failed requests per request."""
        return Fraction(self.errors, self.requests) if self.requests else None

    @property
    def estimated_share(self) -> Fraction | None:
        """Dollars charged for estimated usage per dollar charged."""
        return Fraction(self.estimated_charge_nano, self.charge_nano) if self.charge_nano else None

    def __add__(self, other: "Figures") -> "Figures":
        return Figures(*(getattr(self, name) + getattr(other, name) for name in SUMS))


def fresh(*, now: datetime) -> None:
    """Fold in what happened since the last run, so that the current hour is complete."""
    rollups.roll_recent(now=now)


def total(scope: Scope) -> Figures:
    """Everything in one row."""
    [figures] = _ask(scope, ()).values() or [Figures()]
    return figures


def active_customers(scope: Scope) -> int:
    """Organizations with at least one call."""
    found: set[int] = set()
    for table, time, low, high in _parts(scope, ("organization_id",)):
        where, parameters = _where(scope, time, low, high)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT DISTINCT organization_id FROM {table} WHERE {where}", parameters)
            found.update(pk for (pk,) in cursor.fetchall())
    return len(found)


def by_time(scope: Scope, *, period: str = "day") -> dict[date, Figures]:
    """One row for each day, week (from Monday), month or quarter, by the first day of it; empty ones are there too."""
    if period not in PERIODS:
        message = f"A period is one of {', '.join(PERIODS)}."
        raise BadQuestion(message)
    found = {begin_of(scope.since + timedelta(days=n), period): Figures() for n in range(scope.days)}
    for (when,), figures in _ask(scope, ("time",)).items():
        day = when if isinstance(when, date) and not isinstance(when, datetime) else _local(when, scope.zone)
        begin = begin_of(day, period)
        found[begin] = found.get(begin, Figures()) + figures
    return found


def by(scope: Scope, *dimensions: str) -> dict[tuple[Any, ...], Figures]:
    """One row for each model, provider, ``organization_id``, ``api_key_id``, ``user_id`` or country, largest first."""
    unknown = set(dimensions) - {*BY_SHOP, *BY_CUSTOMER, "storefront_id"}
    if unknown or not dimensions:
        message = f"Figures are told apart by {', '.join((*BY_SHOP, *BY_CUSTOMER))}."
        raise BadQuestion(message)
    found = _ask(scope, dimensions)
    return dict(sorted(found.items(), key=lambda row: (-row[1].charge_nano, -row[1].requests, str(row[0]))))


def percentiles(
    scope: Scope, *, shares: Sequence[float] = (0.5, 0.95, 0.99), by_model: bool = False
) -> dict[str, dict[str, dict[float, float | None]]]:
    """Latency, first byte and speed: {model or "": {"latency_ms": {0.5: ...}}}."""
    histograms = _histograms(scope, by_model=by_model)
    return {
        model: {
            name: {share: _scaled(letter, percentile(timings.get(letter, {}), share)) for share in shares}
            for name, letter in TIMINGS.items()
        }
        for model, timings in histograms.items()
    }


def begin_of(day: date, period: str) -> date:
    """The first day of the period a day lies in."""
    if period == "week":
        return day - timedelta(days=day.weekday())
    if period == "month":
        return day.replace(day=1)
    if period == "quarter":
        return date(day.year, (day.month - 1) // 3 * 3 + 1, 1)
    return day


# --- Asking -----------------------------------------------------------------------------------------------------------


def _ask(scope: Scope, dimensions: Sequence[str]) -> dict[tuple[Any, ...], Figures]:
    """Sum the coarsest rows that can answer; ``time`` among the dimensions stands for the table's own time."""
    parts = _parts(scope, dimensions)
    found: dict[tuple[Any, ...], Figures] = {}
    for table, time, low, high in parts:
        columns = [time if name == "time" else name for name in dimensions]
        sums = ", ".join(f"coalesce(sum({name}), 0)" for name in SUMS)
        picked = ", ".join((*columns, sums))
        grouped = f" GROUP BY {', '.join(columns)}" if columns else ""
        where, parameters = _where(scope, time, low, high)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {picked} FROM {table} WHERE {where}{grouped}", parameters)
            for row in cursor.fetchall():
                key = tuple(_read(name, value) for name, value in zip(columns, row[: len(columns)], strict=True))
                figures = Figures(*(int(value) for value in row[len(columns) :]))
                found[key] = found.get(key, Figures()) + figures
    return found


def _parts(scope: Scope, dimensions: Sequence[str]) -> list[tuple[str, str, Any, Any]]:
    """Tables with the stretch each answers for: whole UTC days, and quarters at the edges of a local stretch."""
    names = set(dimensions) - {"time", "storefront_id"}
    if names <= {"organization_id"} and (names or scope.organization is not None or scope.customers):
        fine, coarse = "analytics_customerquarter", "analytics_organizationday"
    elif scope.organization is not None or scope.customers or names - {*BY_SHOP, "country"}:
        fine, coarse = "analytics_customerquarter", "analytics_customerday"
    elif "country" in names:
        if "provider" in names:
            fine, coarse = "analytics_customerquarter", "analytics_customerday"
        else:
            fine, coarse = "analytics_customerquarter", "analytics_countryday"
    else:
        fine, coarse = "analytics_shopquarter", "analytics_shopday"
    start, end = scope.starts_at, scope.ends_at
    if scope.zone.key == "UTC":
        return [(coarse, "day", *rollups.time_bounds("day", start, end))]
    if "time" in dimensions:
        return [(fine, "starts_at", *rollups.time_bounds("starts_at", start, end))]
    first, last = rollups.day_of((start + rollups.DAY - timedelta(microseconds=1)).date()), rollups.day_of(end.date())
    if first >= last:
        return [(fine, "starts_at", *rollups.time_bounds("starts_at", start, end))]
    parts = [(coarse, "day", *rollups.time_bounds("day", first, last))]
    edges = [(low, high) for low, high in ((start, first), (last, end)) if low < high]
    return parts + [(fine, "starts_at", *rollups.time_bounds("starts_at", low, high)) for low, high in edges]


def _where(scope: Scope, time: str, low: Any, high: Any) -> tuple[str, list[Any]]:
    where, parameters = [f"{time} >= %s", f"{time} < %s"], [low, high]
    if scope.storefront is not None:
        where.append("storefront_id = %s")
        parameters.append(scope.storefront.pk)
    if scope.organization is not None:
        where.append("organization_id = %s")
        parameters.append(scope.organization.pk)
    if scope.customers:
        where.append(f"organization_id IN ({', '.join(['%s'] * len(scope.customers))})")
        parameters += scope.customers
    return " AND ".join(where), parameters


def _histograms(scope: Scope, *, by_model: bool) -> dict[str, dict[str, dict[int, int]]]:
    words = WORDS[connection.vendor]
    model = "s.model" if by_model else "''"
    found: dict[str, dict[str, dict[int, int]]] = {}
    for table, time, low, high in _parts(scope, ("model",)):
        where, parameters = _where(scope, f"s.{time}", low, high)
        if scope.organization is not None:  # a customer's percentiles lie in its quarters alone
            table, time = "analytics_customerquarter", "starts_at"  # noqa: PLW2901 - the same stretch, finer
            where, parameters = _where(
                scope, "s.starts_at", *rollups.time_bounds("starts_at", scope.starts_at, scope.ends_at)
            )
            counted = f"{words['token_name']} AS name, {words['token_count']} AS n"
            source = f"{table} s CROSS JOIN {words['tokens']}"
            where += " AND s.spread <> ''"
        else:
            counted, source = words["counter"], f"{table} s CROSS JOIN {words['counters']}"
        statement = (
            f"SELECT m, name, sum(n) FROM (SELECT {model} AS m, {counted} FROM {source} WHERE {where}) AS counted"
            " WHERE name NOT LIKE '%%.%%' GROUP BY m, name"
        )
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            for name, counter, many in cursor.fetchall():
                histogram = found.setdefault(name, {}).setdefault(counter[0], {})
                number = int(counter[1:])
                histogram[number] = histogram.get(number, 0) + int(many)
        if scope.organization is not None:
            break
    return found


def unusual_usage(scope: Scope) -> Mapping[str, int]:
    """Usage that is no plain text token, by bucket: audio, images, cache writes, searches."""
    counted: dict[str, int] = {}
    for table, time, low, high in _parts(scope, ("organization_id", "model")):
        where, parameters = _where(scope, time, low, high)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT spread FROM {table} WHERE {where}", parameters)
            for (spread,) in cursor.fetchall():
                for name, many in _counters(spread).items():
                    counted[name] = counted.get(name, 0) + many
    return counted


def _counters(spread: Any) -> dict[str, int]:
    if isinstance(spread, str) and not spread.startswith("{"):
        words = [word.partition("=") for word in spread.split()]
        return {name: int(many) for name, _, many in words if many}
    return {name: int(many) for name, many in read_json(spread).items() if "." in name}


def _scaled(letter: str, value: float | None) -> float | None:
    return value / 10 if value is not None and letter == TENTHS else value


def _read(name: str, value: Any) -> Any:
    if name == "day":
        return read_date(value)
    return read_moment(value) if name == "starts_at" else value


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    """Where clocks jump over midnight, the day begins with the first moment that exists."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _local(moment: datetime, zone: ZoneInfo) -> date:
    return moment.astimezone(zone).date()


def by_time_of_model(scope: Scope, model: str) -> dict[date, Figures]:
    """One row for each day of one model, empty ones too."""
    return by_time_of_models(scope).get(model) or _empty_days(scope)


def by_time_of_models(scope: Scope) -> dict[str, dict[date, Figures]]:
    """One row for each day of every model that was called, empty ones too."""
    found: dict[str, dict[date, Figures]] = {}
    for (when, name), figures in _ask(scope, ("time", "model")).items():
        day = when if not isinstance(when, datetime) else _local(when, scope.zone)
        days = found.setdefault(name, _empty_days(scope))
        days[day] = days.get(day, Figures()) + figures
    return found


def _empty_days(scope: Scope) -> dict[date, Figures]:
    return {scope.since + timedelta(days=n): Figures() for n in range(scope.days)}


def by_day_and_model(scope: Scope) -> dict[tuple[date, str], Figures]:
    """One row for each UTC day and model that had calls."""
    if scope.zone.key != "UTC":
        raise BadQuestion("Days and models together are asked in UTC.")
    return {(when, model): figures for (when, model), figures in _ask(scope, ("time", "model")).items()}
