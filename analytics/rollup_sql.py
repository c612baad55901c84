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
    """A rollup: its table, the column of its time, its dimensions, and the table it is the sum of.

    ``counters`` are the named ones it keeps: none, what is no plain text token, or everything.
    """

    table: str
    time: str
    dimensions: tuple[str, ...]
    source: "Grain | None" = None
    counters: str = "all"

    @property
    def key(self) -> tuple[str, ...]:
        """What a cell is known by; an organization's storefront goes without saying."""
        owned = "organization_id" in self.dimensions
        return (self.time, *(name for name in self.dimensions if not (owned and name == "storefront_id")))

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns in the order in which rows are made."""
        return (self.time, *self.dimensions, *SUMS, "spread")


SHOP = ("storefront_id", "model", "provider")
CUSTOMER_QUARTER = Grain("analytics_customerquarter", "starts_at", CUSTOMER)
CUSTOMER_DAY = Grain("analytics_customerday", "day", CUSTOMER, CUSTOMER_QUARTER, "usage")
SHOP_QUARTER = Grain("analytics_shopquarter", "starts_at", SHOP, CUSTOMER_QUARTER)
SHOP_DAY = Grain("analytics_shopday", "day", SHOP, SHOP_QUARTER)
COUNTRY_DAY = Grain("analytics_countryday", "day", ("storefront_id", "country", "model"), CUSTOMER_DAY, "none")
ORGANIZATION_DAY = Grain("analytics_organizationday", "day", ("storefront_id", "organization_id"), CUSTOMER_DAY, "none")
FOLDED = (CUSTOMER_DAY, SHOP_QUARTER, SHOP_DAY, COUNTRY_DAY, ORGANIZATION_DAY)
GRAINS = (CUSTOMER_QUARTER, *FOLDED)

WORDS = {
    "postgresql": {
        "ended_quarter": f"floor(extract(epoch FROM c.ended_at) / {QUARTER_S})::bigint",
        "least": "LEAST",
        "greatest": "GREATEST",
        "starts_at": f"to_timestamp(quarter * {QUARTER_S})",
        "day_of_quarter": "(s.starts_at AT TIME ZONE 'UTC')::date",
        "lines": "jsonb_array_elements(CASE jsonb_typeof(c.usage) WHEN 'string' THEN (c.usage #>> '{}')::jsonb"
        " ELSE c.usage END) AS line",
        "line": "(line ->> '{}')",
        # Almost every call is plain text, and asking that first is cheaper than taking its usage apart.
        "perhaps_unusual": "jsonb_typeof(c.usage) = 'string' OR jsonb_path_exists(c.usage, '$[*] ? (@.unit != \"token\""
        ' || (@.modality != "text" && @.modality != "reasoning") || (@.cache != "none" && @.cache != "read"))\')',
        "fence": " OFFSET 0",  # words are made before anything is sorted, so the usage is not carried through it
        "joined": "string_agg({}, ' ')",
        "spread": "jsonb_object_agg(name, n)",
        "nothing": "'{}'::jsonb",
        "tokens": "string_to_table(s.spread, ' ') AS token",
        "token_name": "split_part(token, '=', 1)",
        "token_count": "coalesce(nullif(split_part(token, '=', 2), ''), '1')::bigint",
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
        "lines": "json_each(c.usage) AS line",
        "line": "json_extract(line.value, '$.{}')",
        "perhaps_unusual": "1",
        "fence": "",
        "joined": "group_concat({}, ' ')",
        "spread": "json_group_object(name, n)",
        "nothing": "'{}'",
        "tokens": """json_each('["' || replace(s.spread, ' ', '","') || '"]') AS token""",
        "token_name": "CASE instr(token.value, '=') WHEN 0 THEN token.value"
        " ELSE substr(token.value, 1, instr(token.value, '=') - 1) END",
        "token_count": "CASE instr(token.value, '=') WHEN 0 THEN 1"
        " ELSE CAST(substr(token.value, instr(token.value, '=') + 1) AS INTEGER) END",
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
TIMED = (("l", "c.latency_ms"), ("f", "c.first_byte_ms"), ("s", f"({SPEED})"))
CALL_COLUMNS = ", ".join(
    f"c.{name}"
    for name in (
        *("id", "organization_id", "user_id", "api_key_id", "model_served", "provider", "country", "state", "status"),
        *("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "price_nano", "cost_nano"),
        *("usage_source", "plan_version_id", "card_version_id"),
    )
)
SAVED = "coalesce(c.cached_tokens * v.nano_per_million / 1000000, 0)"


@cache
def calls_added_up(vendor: str, *, packed: bool = True) -> str:
    """Select the cells of ``CUSTOMER_QUARTER`` from calls; parameters: ids from, to; quarters from, to; ids again.

    Its ``spread`` is a list of words, ``l57`` for a latency in bucket 57 and ``input.audio.none.token=9`` for usage
    that is no plain text: one pass over the calls makes it, and the coarser tables count the words.
    """
    words = WORDS[vendor]
    dimensions = ", ".join(("quarter", *CUSTOMER))
    sums = ", ".join(f"sum({column}){words['whole']} AS {column}" for column in SUMS)
    timed = "trim(" + " || ".join(f"coalesce(' {letter}' || {_bucket(of)}, '')" for letter, of in TIMED) + ")"
    spread = f"coalesce({words['joined'].format('spread')}, '')" if packed else "''"
    said = f"nullif(trim({timed} || coalesce(' ' || {_unusual(words)}, '')), '')" if packed else "''"
    return f"""
SELECT {words["starts_at"]}, {", ".join((*CUSTOMER, *SUMS))}, spread FROM (
SELECT {dimensions}, {sums}, {spread} AS spread FROM (
    SELECT c.quarter, o.storefront_id, c.organization_id, coalesce(c.user_id, 0) AS user_id,
        coalesce(c.api_key_id, 0) AS api_key_id, c.model_served AS model, c.provider, c.country,
        1 AS requests, {ERROR} AS errors, CASE WHEN c.state = 'partial' THEN 1 ELSE 0 END AS partial,
        c.input_tokens, c.cached_tokens, c.output_tokens, c.reasoning_tokens, c.price_nano,
        coalesce(h.charged_nano, 0) AS charge_nano, coalesce(h.unrecovered_nano, 0) AS unrecovered_nano,
        coalesce(c.cost_nano, 0) AS cost_nano, CASE WHEN c.cost_nano IS NULL THEN 1 ELSE 0 END AS unknown_cost,
        CASE WHEN c.cost_nano IS NULL THEN coalesce(h.charged_nano, 0) ELSE 0 END AS unknown_cost_charge_nano,
        CASE WHEN c.usage_source = 'estimated' THEN 1 ELSE 0 END AS estimated,
        CASE WHEN c.usage_source = 'estimated' THEN coalesce(h.charged_nano, 0) ELSE 0 END AS estimated_charge_nano,
        {SAVED} AS cache_savings_nano, c.spread
    FROM (
        SELECT {CALL_COLUMNS}, c.quarter, {said} AS spread FROM (
            SELECT c.*, {words["least"]}({words["greatest"]}({words["ended_quarter"]}, {ID_QUARTER}),
                {ID_QUARTER} + {LONGEST_QUARTERS}) AS quarter
            FROM gateway_call c WHERE c.id >= %s AND c.id < %s
        ) c WHERE c.quarter >= %s AND c.quarter < %s{words["fence"]}
    ) c
    JOIN accounts_organization o ON o.id = c.organization_id
    LEFT JOIN billing_hold h ON h.id = c.id AND h.id >= %s AND h.id < %s
    LEFT JOIN analytics_cachesaving v ON v.plan_version_id = c.plan_version_id
        AND v.card_version_id = coalesce(c.card_version_id, 0) AND v.model = c.model_served
) raw GROUP BY {dimensions}
) cells
"""


def _bucket(value: str) -> str:
    return f"CASE WHEN {value} IS NOT NULL THEN {bucket_sql(value)} END"


def _unusual(words: dict[str, str]) -> str:
    """The usage of one call that is no plain text token, as words."""
    plain = (
        f"{words['line'].format('unit')} = 'token' AND {words['line'].format('modality')} IN ('text', 'reasoning')"
        f" AND {words['line'].format('cache')} IN ('none', 'read')"
    )
    name = " || '.' || ".join(words["line"].format(part) for part in ("direction", "modality", "cache", "unit"))
    word = f"{name} || '=' || {words['line'].format('quantity')}"
    found = f"(SELECT {words['joined'].format(word)} FROM {words['lines']} WHERE NOT ({plain}))"
    return f"CASE WHEN {words['perhaps_unusual']} THEN {found} END"


@cache
def added_up(grain: Grain, vendor: str) -> str:
    """Select the cells of a rollup from the one it is the sum of; parameters: its time from, to (and again)."""
    words, source = WORDS[vendor], grain.source
    assert source is not None, "only the calls themselves add up to the finest grain"
    time = words["day_of_quarter"] if grain.time != source.time else f"s.{source.time}"
    own = ", ".join(f"s.{column}" for column in grain.dimensions)
    sums = ", ".join(f"sum({column}){words['whole']} AS {column}" for column in SUMS)
    within = f"WHERE s.{source.time} >= %s AND s.{source.time} < %s"
    base = f"SELECT {time} AS {grain.time}, {own}, {sums} FROM {source.table} s {within} GROUP BY {time}, {own}"
    if grain.counters == "none":
        return f"SELECT b.*, {words['nothing']} FROM ({base}) b"
    dimensions = ", ".join((grain.time, *grain.dimensions))
    same = " AND ".join(f"b.{column} = p.{column}" for column in (grain.time, *grain.dimensions))
    return f"""
WITH base AS ({base}), tall AS (
    SELECT {time} AS {grain.time}, {own}, {_words_of(grain, source, words, within)}
), named AS (
    SELECT {dimensions}, name, sum(n){words["whole"]} AS n FROM tall GROUP BY {dimensions}, name
), packed AS (
    SELECT {dimensions}, {words["spread"]} AS spread FROM named GROUP BY {dimensions}
)
SELECT b.*, coalesce(p.spread, {words["nothing"]}) FROM base b LEFT JOIN packed p ON {same}
"""


def _words_of(grain: Grain, source: Grain, words: dict[str, str], within: str) -> str:
    if source is not CUSTOMER_QUARTER:
        return f"{words['counter']} FROM {source.table} s CROSS JOIN {words['counters']} {within}"
    wanted = "s.spread <> ''" if grain.counters == "all" else f"{words['token_name']} LIKE '%%.%%'"
    some = "" if grain.counters == "all" else " AND s.spread LIKE '%%=%%'"
    counted = f"{words['token_name']} AS name, {words['token_count']} AS n"
    return f"{counted} FROM {source.table} s CROSS JOIN {words['tokens']} {within}{some} AND {wanted}"


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
