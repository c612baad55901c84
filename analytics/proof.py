"""The proof that rollups are their calls: every cell computed once more, by other means, and compared.

Promise: nothing is shared with the statements that made the cells. Calls are read row by row; a call's quarter, its
bucket in a histogram and what its cached tokens saved come from Python and the pricing engine; sums are made here. A
difference names the table, the cell and the figure. It only reads, an hour of calls at a time.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

from django.db import connection

from analytics import rollups, savings
from analytics.histograms import bucket
from analytics.rollup_sql import CUSTOMER_QUARTER, FOLDED, SHOP_QUARTER, SUMS, Grain
from analytics.rows import read_date, read_json, read_moment
from gateway.callid import first_id

HOUR = timedelta(hours=1)
PLAIN = {("token", modality, cache) for modality in ("text", "reasoning") for cache in ("none", "read")}
COLUMNS = (
    *("c.id", "c.ended_at", "o.storefront_id", "c.organization_id", "c.user_id", "c.api_key_id", "c.model_served"),
    *("c.provider", "c.country", "c.state", "c.status", "c.usage", "c.usage_source", "c.input_tokens"),
    *("c.cached_tokens", "c.output_tokens", "c.reasoning_tokens", "c.price_nano", "c.cost_nano", "c.latency_ms"),
    *("c.first_byte_ms", "c.plan_version_id", "c.card_version_id", "h.charged_nano", "h.unrecovered_nano"),
)

Cells = dict[tuple[Any, ...], Counter[str]]


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of one cell that is not what its calls make."""

    table: str
    cell: str
    figure: str
    stored: int
    computed: int

    def __str__(self) -> str:
        return f"{self.table} {self.cell}: {self.figure} is {self.stored}, its calls make {self.computed}"


@dataclass(slots=True)
class Proof:
    """What was compared."""

    calls: int = 0
    cells: int = 0
    figures: int = 0
    differences: int = 0


def prove_day(day: date, *, proof: Proof, most: int = 20) -> list[Difference]:
    """Compare every cell of one UTC day with its calls; at most so many differences are named, all are counted."""
    start = rollups.day_of(day)
    found: list[Difference] = []
    days: dict[Grain, Cells] = {grain: defaultdict(Counter) for grain in FOLDED if grain.time == "day"}
    for hour in (start + n * HOUR for n in range(24)):
        quarters: dict[Grain, Cells] = {CUSTOMER_QUARTER: defaultdict(Counter), SHOP_QUARTER: defaultdict(Counter)}
        for call in _calls(hour, hour + HOUR):
            proof.calls += 1
            counted = _measures(call)
            for grain, cells in (*quarters.items(), *days.items()):
                cells[_key(grain, call)].update(_kept(grain, counted))
        for grain, cells in quarters.items():
            found += _compare(grain, cells, hour, hour + HOUR, proof)
    for grain, cells in days.items():
        found += _compare(grain, cells, start, start + rollups.DAY, proof)
    return found[:most]


def _calls(start: datetime, end: datetime) -> Iterator[dict[str, Any]]:
    statement = (
        f"SELECT {', '.join(COLUMNS)} FROM gateway_call c JOIN accounts_organization o ON o.id = c.organization_id"
        " LEFT JOIN billing_hold h ON h.id = c.id WHERE c.id >= %s AND c.id < %s"
    )
    names = [column.partition(".")[2] for column in COLUMNS]
    with connection.cursor() as cursor:
        cursor.execute(statement, [first_id(start - rollups.LONGEST), first_id(end)])
        while rows := cursor.fetchmany(5_000):
            for row in rows:
                call = dict(zip(names, row, strict=True))
                call["ended_at"] = read_moment(call["ended_at"])
                call["quarter"] = rollups.moment(call_id=call["id"], ended_at=call["ended_at"])
                if start <= call["quarter"] < end:
                    yield call


def _key(grain: Grain, call: dict[str, Any]) -> tuple[Any, ...]:
    values = {
        **call,
        "starts_at": call["quarter"],
        "day": call["quarter"].date(),
        "model": call["model_served"],
        "user_id": call["user_id"] or 0,
        "api_key_id": call["api_key_id"] or 0,
    }
    return tuple(values[name] for name in (grain.time, *grain.dimensions))


def _kept(grain: Grain, counted: Counter[str]) -> dict[str, int]:
    """What a table keeps of a call: all sums, and of the named counters those it is for."""
    named = grain.counters
    return {
        name: many
        for name, many in counted.items()
        if name in SUMS or named == "all" or (named == "usage" and "." in name)
    }


def _measures(call: dict[str, Any]) -> Counter[str]:
    charge, cost = call["charged_nano"] or 0, call["cost_nano"]
    estimated = call["usage_source"] == "estimated"
    counted = Counter(
        requests=1,
        errors=int(call["state"] in {"failed", "lost"} or call["status"] >= 400),
        partial=int(call["state"] == "partial"),
        charge_nano=charge,
        unrecovered_nano=call["unrecovered_nano"] or 0,
        cost_nano=cost or 0,
        unknown_cost=int(cost is None),
        unknown_cost_charge_nano=charge if cost is None else 0,
        estimated=int(estimated),
        estimated_charge_nano=charge if estimated else 0,
        cache_savings_nano=_saved(call),
        **{name: call[name] for name in ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")},
        price_nano=call["price_nano"],
    )
    counted.update(_spread(call))
    return counted


def _saved(call: dict[str, Any]) -> int:
    cached: int = call["cached_tokens"]
    if not cached:
        return 0
    return cached * _saving(call["plan_version_id"], call["card_version_id"] or 0, call["model_served"]) // 1_000_000


@lru_cache(maxsize=4096)
def _saving(plan: int, card: int, model: str) -> int:
    return savings.saving(plan, card, model)


def _spread(call: dict[str, Any]) -> Counter[str]:
    named: Counter[str] = Counter()
    latency, first_byte = call["latency_ms"], call["first_byte_ms"]
    if latency is not None:
        named[f"l{bucket(latency)}"] += 1
    if first_byte is not None:
        named[f"f{bucket(first_byte)}"] += 1
    writing = (latency or 0) - (first_byte or 0)
    if call["state"] == "done" and call["output_tokens"] > 0 and latency is not None and writing > 0:
        named[f"s{bucket(call['output_tokens'] * 10_000 // writing)}"] += 1
    for line in read_json(call["usage"]):
        if (line["unit"], line["modality"], line["cache"]) not in PLAIN:
            named[".".join(line[part] for part in ("direction", "modality", "cache", "unit"))] += line["quantity"]
    return named


def _compare(grain: Grain, cells: Cells, start: datetime, end: datetime, proof: Proof) -> list[Difference]:
    stored = dict(_stored(grain, start, end))
    proof.cells += len(cells.keys() | stored.keys())
    found = []
    for key in sorted(cells.keys() | stored.keys(), key=str):
        before, now = stored.get(key, Counter()), cells.get(key, Counter())
        for figure in sorted(before.keys() | now.keys()):
            proof.figures += 1
            if before[figure] != now[figure]:
                proof.differences += 1
                found.append(Difference(grain.table, _named(key), figure, before[figure], now[figure]))
    return found


def _named(key: tuple[Any, ...]) -> str:
    return "(" + ", ".join(str(part) for part in key) + ")"


def _stored(grain: Grain, start: datetime, end: datetime) -> Iterator[tuple[tuple[Any, ...], Counter[str]]]:
    low, high = rollups.time_bounds(grain.time, start, end)
    when: Callable[[Any], Any] = read_moment if grain.time == "starts_at" else read_date
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(grain.columns)} FROM {grain.table} WHERE {grain.time} >= %s AND {grain.time} < %s",
            [low, high],
        )
        while rows := cursor.fetchmany(5_000):
            for row in rows:
                time, *rest = row
                dimensions, values, spread = rest[: -len(SUMS) - 1], rest[-len(SUMS) - 1 : -1], rest[-1]
                counted = Counter(dict(zip(SUMS, values, strict=True)))
                counted.update(_words(spread) if grain is CUSTOMER_QUARTER else read_json(spread))
                yield (when(time), *dimensions), counted


def _words(spread: str) -> Counter[str]:
    counted: Counter[str] = Counter()
    for word in spread.split():
        name, _, many = word.partition("=")
        counted[name] += int(many or 1)
    return counted
