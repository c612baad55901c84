"""The statements behind ``analytics.rollups``: one that adds up calls, and one for each table that adds up another.

Both engines run the same text but for the words in ``WORDS``. A cell of a rollup only ever grows (calls are inserted
and never change), so an upsert takes the new value if, and only if, it has seen more calls: whoever comes late, twice
or with an older view of the database changes nothing.
"""

from dataclasses import dataclass
from functools import cache

from analytics.histograms import bucket_sql
from gateway.callid import EPOCH_MS, PROCESS_BITS, SEQUENCE_BITS

QUARTER_S = 900
LONGEST_QUARTERS = 12  # a call that says it took longer than three hours belongs to the end of the third
SUMS = (
    *("requests", "errors", "partial", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"),
    *("price_nano", "charge_nano", "unrecovered_nano", "cost_nano", "unknown_cost", "unknown_cost_charge_nano"),
    *("estimated", "estimated_charge_nano", "cache_savings_nano"),
)
CUSTOMER = ("storefront_id", "organization_id", "user_id", "api_key_id", "model", "provider", "country")


@dataclass(frozen=True, slots=True)
class Grain:
    """A rollup: its table, the column of its time, its dimensions, and the table it is the sum of."""

    table: str
    time: str
    dimensions: tuple[str, ...]
    source: "Grain | None" = None

    @property
    def key(self) -> tuple[str, ...]:
        """What a cell is known by; an organization's storefront goes without saying."""
        owned = "organization_id" in self.dimensions
        return (self.time, *(name for name in self.dimensions if not (owned and name == "storefront_id")))

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns in the order in which rows are made."""
        return (self.time, *self.dimensions, *SUMS, "spread")


CUSTOMER_QUARTER = Grain("analytics_customerquarter", "starts_at", CUSTOMER)
CUSTOMER_DAY = Grain("analytics_customerday", "day", CUSTOMER, CUSTOMER_QUARTER)
SHOP_QUARTER = Grain("analytics_shopquarter", "starts_at", ("storefront_id", "model", "provider"), CUSTOMER_QUARTER)
SHOP_DAY = Grain("analytics_shopday", "day", ("storefront_id", "model", "provider", "country"), CUSTOMER_DAY)
FOLDED = (CUSTOMER_DAY, SHOP_QUARTER, SHOP_DAY)
GRAINS = (CUSTOMER_QUARTER, *FOLDED)

WORDS = {
    "postgresql": {
        "ended_quarter": f"floor(extract(epoch FROM c.ended_at) / {QUARTER_S})::bigint",
        "least": "LEAST",
        "greatest": "GREATEST",
        "starts_at": f"to_timestamp(quarter * {QUARTER_S})",
        "day_of_quarter": "(s.starts_at AT TIME ZONE 'UTC')::date",
        "lines": "jsonb_array_elements(CASE jsonb_typeof(raw.usage) WHEN 'string' THEN (raw.usage #>> '{}')::jsonb"
        " ELSE raw.usage END) AS line",
        "line": "(line ->> '{}')",
        "quantity": "(line ->> 'quantity')::bigint",
        "spread": "jsonb_object_agg(name, n)",
        "nothing": "'{}'::jsonb",
        "counters": "jsonb_each_text(s.spread) AS e(name, n)",
        "counter": "e.name, e.n::bigint",
        "whole": "::bigint",
    },
    "sqlite": {  # the seconds are cut off first: strftime would round 23:59:59.9999 up into the next day
        "ended_quarter": f"CAST(strftime('%%s', substr(c.ended_at, 1, 19)) AS INTEGER) / {QUARTER_S}",
        "least": "min",
        "greatest": "max",
        "starts_at": f"datetime(quarter * {QUARTER_S}, 'unixepoch')",
        "day_of_quarter": "date(s.starts_at)",
        "lines": "json_each(raw.usage) AS line",
        "line": "json_extract(line.value, '$.{}')",
        "quantity": "json_extract(line.value, '$.quantity')",
        "spread": "json_group_object(name, n)",
        "nothing": "'{}'",
        "counters": "json_each(s.spread) AS e",
        "counter": "e.key AS name, e.value AS n",
        "whole": "",
    },
}

ID_QUARTER = f"((c.id >> {PROCESS_BITS + SEQUENCE_BITS}) + {EPOCH_MS}) / {QUARTER_S * 1000}"
ERROR = "CASE WHEN c.state IN ('failed', 'lost') OR c.status >= 400 THEN 1 ELSE 0 END"
SPEED = (
    "CASE WHEN c.state = 'done' AND c.output_tokens > 0 AND c.latency_ms > coalesce(c.first_byte_ms, 0)"
    " THEN c.output_tokens * 10000 / (c.latency_ms - coalesce(c.first_byte_ms, 0)) END"
)
SAVED = "coalesce(c.cached_tokens * v.nano_per_million / 1000000, 0)"


@cache
def calls_added_up(vendor: str) -> str:
    """Select the cells of ``CUSTOMER_QUARTER`` from calls; parameters: ids from, to, and again; quarters from, to."""
    words = WORDS[vendor]
    names = "".join(f"'.' || {words['line'].format(part)} || " for part in ("modality", "cache", "unit"))
    name = f"{words['line'].format('direction')} || {names.removesuffix(' || ')}"
    plain = (
        f"{words['line'].format('unit')} = 'token' AND {words['line'].format('modality')} IN ('text', 'reasoning')"
        f" AND {words['line'].format('cache')} IN ('none', 'read')"
    )
    dimensions = ", ".join(("quarter", *CUSTOMER))
    timed = " UNION ALL ".join(
        f"SELECT {dimensions}, '{letter}' || {column} AS name, 1 AS n FROM raw WHERE {column} IS NOT NULL"
        for letter, column in (("l", "latency"), ("f", "first_byte"), ("s", "speed"))
    )
    sums = ", ".join(f"sum({column}){words['whole']} AS {column}" for column in SUMS)
    same = " AND ".join(f"b.{column} = p.{column}" for column in ("quarter", *CUSTOMER))
    picked = ", ".join(f"b.{column}" for column in (*CUSTOMER, *SUMS))
    return f"""
WITH bounded AS (
    SELECT c.*, {words["least"]}({words["greatest"]}({words["ended_quarter"]}, {ID_QUARTER}),
        {ID_QUARTER} + {LONGEST_QUARTERS}) AS quarter
    FROM gateway_call c WHERE c.id >= %s AND c.id < %s
), raw AS (
    SELECT c.quarter, o.storefront_id, c.organization_id, coalesce(c.user_id, 0) AS user_id,
        coalesce(c.api_key_id, 0) AS api_key_id, c.model_served AS model, c.provider, c.country, c.usage,
        1 AS requests, {ERROR} AS errors, CASE WHEN c.state = 'partial' THEN 1 ELSE 0 END AS partial,
        c.input_tokens, c.cached_tokens, c.output_tokens, c.reasoning_tokens, c.price_nano,
        coalesce(h.charged_nano, 0) AS charge_nano, coalesce(h.unrecovered_nano, 0) AS unrecovered_nano,
        coalesce(c.cost_nano, 0) AS cost_nano, CASE WHEN c.cost_nano IS NULL THEN 1 ELSE 0 END AS unknown_cost,
        CASE WHEN c.cost_nano IS NULL THEN coalesce(h.charged_nano, 0) ELSE 0 END AS unknown_cost_charge_nano,
        CASE WHEN c.usage_source = 'estimated' THEN 1 ELSE 0 END AS estimated,
        CASE WHEN c.usage_source = 'estimated' THEN coalesce(h.charged_nano, 0) ELSE 0 END AS estimated_charge_nano,
        {SAVED} AS cache_savings_nano, {_bucket("c.latency_ms")} AS latency, {_bucket("c.first_byte_ms")} AS first_byte,
        {_bucket(f"({SPEED})")} AS speed
    FROM bounded c
    JOIN accounts_organization o ON o.id = c.organization_id
    LEFT JOIN billing_hold h ON h.id = c.id AND h.id >= %s AND h.id < %s
    LEFT JOIN analytics_cachesaving v ON v.plan_version_id = c.plan_version_id
        AND v.card_version_id = coalesce(c.card_version_id, 0) AND v.model = c.model_served
    WHERE c.quarter >= %s AND c.quarter < %s
), base AS (
    SELECT {dimensions}, {sums} FROM raw GROUP BY {dimensions}
), tall AS (
    {timed} UNION ALL SELECT {dimensions}, {name} AS name, {words["quantity"]} AS n
    FROM raw, {words["lines"]} WHERE NOT ({plain})
), named AS (
    SELECT {dimensions}, name, sum(n){words["whole"]} AS n FROM tall GROUP BY {dimensions}, name
), packed AS (
    SELECT {dimensions}, {words["spread"]} AS spread FROM named GROUP BY {dimensions}
)
SELECT {words["starts_at"].replace("quarter", "b.quarter")}, {picked}, coalesce(p.spread, {words["nothing"]})
FROM base b LEFT JOIN packed p ON {same}
"""


def _bucket(value: str) -> str:
    return f"CASE WHEN {value} IS NOT NULL THEN {bucket_sql(value)} END"


@cache
def added_up(grain: Grain, vendor: str) -> str:
    """Select the cells of a rollup from the one it is the sum of; parameters: its time from, to, and again."""
    words, source = WORDS[vendor], grain.source
    assert source is not None, "only the calls themselves add up to the finest grain"
    time = words["day_of_quarter"] if grain.time != source.time else f"s.{source.time}"
    dimensions = ", ".join(grain.dimensions)
    own = ", ".join(f"s.{column}" for column in grain.dimensions)
    sums = ", ".join(f"sum({column}){words['whole']} AS {column}" for column in SUMS)
    same = " AND ".join(f"b.{column} = p.{column}" for column in (grain.time, *grain.dimensions))
    picked = ", ".join(f"b.{column}" for column in (grain.time, *grain.dimensions, *SUMS))
    within = f"FROM {source.table} s WHERE s.{source.time} >= %s AND s.{source.time} < %s"
    return f"""
WITH base AS (
    SELECT {time} AS {grain.time}, {own}, {sums} {within} GROUP BY {time}, {own}
), tall AS (
    SELECT {time} AS {grain.time}, {own}, {words["counter"]}
    {within.replace(" s WHERE", f" s CROSS JOIN {words['counters']} WHERE")}
), named AS (
    SELECT {grain.time}, {dimensions}, name, sum(n){words["whole"]} AS n FROM tall
    GROUP BY {grain.time}, {dimensions}, name
), packed AS (
    SELECT {grain.time}, {dimensions}, {words["spread"]} AS spread FROM named GROUP BY {grain.time}, {dimensions}
)
SELECT {picked}, coalesce(p.spread, {words["nothing"]}) FROM base b LEFT JOIN packed p ON {same}
"""


@cache
def upsert(grain: Grain, rows: str) -> str:
    """Insert rows, or replace cells that have seen fewer calls; ``rows`` is a select or a list of placeholders."""
    columns = ", ".join(grain.columns)
    sets = ", ".join(f"{column} = excluded.{column}" for column in (*SUMS, "spread"))
    # Savings of versions that were priced a moment later may be the only thing that grew.
    return (
        f"INSERT INTO {grain.table} AS t ({columns}) {rows} ON CONFLICT ({', '.join(grain.key)}) DO UPDATE SET {sets}"
        " WHERE excluded.requests > t.requests"
        " OR excluded.requests = t.requests AND excluded.cache_savings_nano > t.cache_savings_nano"
    )
