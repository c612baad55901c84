"""The tables that other tools expect by name, as views on both engines: nothing is stored twice.

Promise: what the product's sources print as SQL runs as written, on the engine it was written for. A view of single
requests reads calls and what their holds charged; a view of days or models reads rollups, so it is a minute behind and
cheap. Ids of people and organizations are texts (``usr_...``), but for ``ai_usage_analytics.user_id``, which joins
``users.id``. Money is in USD.

A view stands in the way of changing a table under it, so ``migrate`` takes the views down before it begins and puts
them up when it is done; there is no migration of views to keep in step with the tables of lower rooms.
"""

from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

CALLS = """
FROM gateway_call c
JOIN accounts_organization o ON o.id = c.organization_id
LEFT JOIN billing_hold h ON h.id = c.id
LEFT JOIN users u ON u.id = c.user_id
LEFT JOIN accounts_apikey k ON k.id = c.api_key_id
"""
MASKED = "k.visible_start || '…' || k.last_four"
SUBJECT = "coalesce(u.public_id, o.public_id)"

AI_USAGE_ANALYTICS = f"""
SELECT CAST(c.id AS {{text}}) AS id, c.created_at, c.user_id, {SUBJECT} AS subject_id, o.public_id AS organization_id,
    c.model_served AS model, c.provider, c.input_tokens, c.output_tokens, c.cached_tokens,
    c.input_tokens + c.output_tokens AS total_tokens, c.cost_nano / {{nano}} AS provider_cost_usd,
    coalesce(h.charged_nano, 0) / {{nano}} AS user_charge_usd,
    (coalesce(h.charged_nano, 0) - c.cost_nano) / {{nano}} AS markup_usd, c.state, c.status, c.latency_ms, c.country
{CALLS}
"""
USER_SUMMARY = """
SELECT CAST(d.user_id AS {text}) AS user_id, u.public_id AS user_public_id, d.day AS date,
    sum(d.requests) AS total_requests, sum(d.input_tokens) AS input_tokens, sum(d.output_tokens) AS output_tokens,
    sum(d.input_tokens + d.output_tokens) AS total_tokens, sum(d.charge_nano) / {nano} AS total_charge_usd,
    sum(d.cost_nano) / {nano} AS total_cost_usd, count(DISTINCT d.model) AS models_used
FROM analytics_customerday d LEFT JOIN users u ON u.id = d.user_id
GROUP BY d.user_id, u.public_id, d.day
"""
MODEL_POPULARITY = """
SELECT d.model, sum(d.requests) AS total_requests, sum(d.input_tokens + d.output_tokens) AS total_tokens,
    count(DISTINCT d.organization_id) AS customers, sum(d.charge_nano) / {nano} AS total_revenue_usd,
    (sum(d.charge_nano - d.unknown_cost_charge_nano) - sum(d.cost_nano)) / {nano} AS total_profit_usd
FROM analytics_customerday d GROUP BY d.model ORDER BY total_requests DESC
"""
SUMS = """sum(d.requests) AS total_requests, sum(d.input_tokens + d.output_tokens) AS total_tokens,
    sum(d.charge_nano) / {nano} AS total_revenue_usd, sum(d.cost_nano) / {nano} AS total_cost_usd,
    (sum(d.charge_nano - d.unknown_cost_charge_nano) - sum(d.cost_nano)) / {nano} AS total_profit_usd,
    100.0 * (sum(d.charge_nano - d.unknown_cost_charge_nano) - sum(d.cost_nano))
        / nullif(sum(d.charge_nano - d.unknown_cost_charge_nano), 0) AS margin_percent,
    100.0 * (sum(d.charge_nano - d.unknown_cost_charge_nano) - sum(d.cost_nano))
        / nullif(sum(d.cost_nano), 0) AS markup_percent, sum(d.unknown_cost) AS requests_of_unknown_cost"""
REVENUE = f"SELECT d.day AS date, {SUMS} FROM analytics_shopday d GROUP BY d.day"
PROFITABILITY = (
    f"SELECT d.model, d.provider, {SUMS} FROM analytics_shopday d GROUP BY d.model, d.provider"
    " ORDER BY total_profit_usd DESC"
)

# Under a plan that adjusts tokens every line of usage counts by its ratio, rounded up; under any other once.
ADJUSTED = """(SELECT coalesce(sum(CASE WHEN r.id IS NULL THEN {quantity}
        ELSE ({quantity} * r.numerator + r.denominator - 1) / r.denominator END), 0)
    FROM {lines} LEFT JOIN analytics_tokenratio r ON r.plan_version_id = c.plan_version_id
        AND r.card_version_id = coalesce(c.card_version_id, 0) AND r.model = c.model_served AND r.bucket = {bucket}
    WHERE {unit} = 'token' AND {direction} = '%s')"""
USAGE_LOGS = f"""
SELECT l.*, l.adjusted_input_tokens + l.adjusted_output_tokens AS adjusted_total_tokens,
    1.0 * l.adjusted_input_tokens / nullif(l.input_tokens, 0) AS input_ratio,
    1.0 * l.adjusted_output_tokens / nullif(l.output_tokens, 0) AS output_ratio
FROM (
    SELECT CAST(c.id AS {{text}}) AS id, {SUBJECT} AS subject_id, o.public_id AS organization_id,
        c.model_served AS model, c.provider, c.input_tokens, c.output_tokens,
        c.input_tokens + c.output_tokens AS total_tokens, {ADJUSTED % "input"} AS adjusted_input_tokens,
        {ADJUSTED % "output"} AS adjusted_output_tokens, coalesce(h.charged_nano, 0) / {{nano}} AS charge_usd,
        c.cost_nano / {{nano}} AS cost_usd, (coalesce(h.charged_nano, 0) - c.cost_nano) / {{nano}} AS profit_usd,
        c.created_at
    {CALLS}
) AS l
"""
DAILY = """
SELECT DATE(a.created_at) AS date, a.subject_id, a.model, count(*) AS requests, sum(a.input_tokens) AS input_tokens,
    sum(a.output_tokens) AS output_tokens, sum(a.total_tokens) AS total_tokens,
    sum(a.adjusted_total_tokens) AS adjusted_total_tokens, sum(a.charge_usd) AS charge_usd, sum(a.cost_usd) AS cost_usd,
    sum(a.profit_usd) AS profit_usd
FROM usage_logs a GROUP BY DATE(a.created_at), a.subject_id, a.model
"""
USAGE_RECORDS = f"""
SELECT CAST(c.id AS {{text}}) AS id, {SUBJECT} AS user_id, {MASKED} AS api_key, c.model_served AS model,
    c.input_tokens AS prompt_tokens, c.output_tokens AS completion_tokens,
    c.input_tokens + c.output_tokens AS total_tokens, coalesce(h.charged_nano, 0) / {{nano}} AS cost, c.created_at
{CALLS}
"""
LIMITS = ", ".join(f"k.{unit}_per_{window}" for unit in ("requests", "tokens") for window in ("minute", "hour", "day"))
RATE_LIMITS = f"""
SELECT k.public_id AS id, u.public_id AS user_id, {MASKED} AS api_key, {LIMITS}, k.created_at
FROM accounts_apikey k JOIN users u ON u.id = k.created_by_id WHERE k.kind = 'inference'
"""
RATE_LIMIT_USAGE = f"""
SELECT k.public_id AS id, {MASKED} AS api_key, 'day' AS window_type, d.day AS window_start,
    sum(d.requests) AS requests_count, sum(d.input_tokens + d.output_tokens) AS tokens_count
FROM analytics_customerday d JOIN accounts_apikey k ON k.id = d.api_key_id
GROUP BY k.public_id, k.visible_start, k.last_four, d.day
"""
SYSTEM_SETTINGS = """
SELECT s.slug || '.currency' AS setting_key, s.currency_display AS setting_value, 'Currency shown' AS description
FROM accounts_storefront s
UNION ALL SELECT s.slug || '.sign_up_policy', s.sign_up_policy, 'Who may open an account' FROM accounts_storefront s
UNION ALL SELECT s.slug || '.is_open', CASE WHEN s.is_open THEN 'true' ELSE 'false' END, 'Whether the shop sells'
FROM accounts_storefront s
UNION ALL SELECT s.slug || '.key_prefix', s.key_prefix, 'How its keys begin' FROM accounts_storefront s
"""

VIEWS = {
    "ai_usage_analytics": AI_USAGE_ANALYTICS,
    "user_ai_usage_summary": USER_SUMMARY,
    "model_popularity": MODEL_POPULARITY,
    "ai_revenue_analytics": REVENUE,
    "usage_logs": USAGE_LOGS,
    "usage_with_adjustments": "SELECT * FROM usage_logs",
    "daily_usage_summary": DAILY,
    "model_profitability": PROFITABILITY,
    "usage_records": USAGE_RECORDS,
    "rate_limits": RATE_LIMITS,
    "rate_limit_usage": RATE_LIMIT_USAGE,
    "system_settings": SYSTEM_SETTINGS,
}
TABLES = (
    *("gateway_call", "billing_hold", "users", "accounts_apikey", "accounts_organization", "accounts_storefront"),
    *("analytics_customerday", "analytics_shopday", "analytics_tokenratio"),
)

_PARTS = ("direction", "modality", "cache", "unit")
WORDS = {
    "postgresql": {
        "text": "text",
        "nano": "1000000000.0",
        "lines": "jsonb_array_elements(CASE jsonb_typeof(c.usage) WHEN 'string' THEN (c.usage #>> '{}')::jsonb"
        " ELSE c.usage END) AS line",
        "quantity": "(line ->> 'quantity')::bigint",
        "bucket": " || '.' || ".join(f"(line ->> '{part}')" for part in _PARTS),
        "unit": "(line ->> 'unit')",
        "direction": "(line ->> 'direction')",
    },
    "sqlite": {
        "text": "text",
        "nano": "1000000000.0",
        "lines": "json_each(c.usage) AS line",
        "quantity": "json_extract(line.value, '$.quantity')",
        "bucket": " || '.' || ".join(f"json_extract(line.value, '$.{part}')" for part in _PARTS),
        "unit": "json_extract(line.value, '$.unit')",
        "direction": "json_extract(line.value, '$.direction')",
    },
}


def put_up(connection: BaseDatabaseWrapper) -> list[str]:
    """Make every view whose tables are all there; those of a half-migrated database wait for the next time."""
    there = set(connection.introspection.table_names())
    if not there.issuperset(TABLES):
        return []
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        _drop(cursor)
        for name, select in VIEWS.items():
            cursor.execute(f"CREATE VIEW {name} AS {select.format(**WORDS[connection.vendor])}", None)
    return list(VIEWS)


def take_down(connection: BaseDatabaseWrapper) -> None:
    """Drop the views, so that the tables under them can be changed."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        _drop(cursor)


def _drop(cursor: Any) -> None:
    for name in reversed(VIEWS):
        cursor.execute(f"DROP VIEW IF EXISTS {name}", None)
