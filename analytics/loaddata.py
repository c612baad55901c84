"""Ten million calls in minutes: a load to measure pages and rollups against, on PostgreSQL.

Promise: the invariants of money hold afterwards and the audit says so. Each call has a settled hold with its line and
its transfer, a call row and an attempt; prices are the pricing engine's, computed once for a few dozen patterns of
usage. Half of all calls are one organization's. Rows are made by SQL, in batches that follow time, and where the
database lets us (a superuser) without firing triggers row by row; what they would have refused is what the audit looks
for.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, connection, transaction

from accounts import opening, trail
from accounts.models import Organization
from billing import ledger, pricebook
from billing.models import Account, ProcessLease, Wallet
from billing.models.ledger import HOUSE_IDS, House, Kind
from billing.operations import Credit
from billing.pricing import Bucket, Card, Line, Plan, Rates, Usage, charge
from gateway.callid import first_id
from plumbing.identifiers import new_id

TEMPLATES = 64
BATCH = 250_000
MODELS = 8
PROVIDERS = ("scale-north", "scale-south")
COUNTRIES = ("US", "DE", "GB", "IN", "BR", "JP", "FR", "")
RATES = [
    {"direction": "input", "price": "3.00"},
    {"direction": "input", "cache": "read", "price": "0.30"},
    {"direction": "output", "price": "15.00"},
]


class WrongEngine(RuntimeError):
    """Only PostgreSQL takes such a load."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked for."""

    calls: int
    organizations: int
    days: int
    until: datetime

    @property
    def since(self) -> datetime:
        """When the first call begins."""
        return self.until - timedelta(days=self.days)


def load(asked: Load, *, say: Callable[[str], object]) -> None:
    """Make the rows; each batch is a transaction of its own."""
    if connection.vendor != "postgresql":
        raise WrongEngine("A load of this size is for PostgreSQL; set DATABASE_URL.")
    first = _organizations(asked)
    process = ProcessLease.objects.create(
        name="loaddata_scale", started_at=asked.since, heartbeat_at=asked.until, ended_at=asked.until
    )
    _months(asked)
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        _without_triggers(cursor)
        _templates(cursor, asked)
    for low in range(0, asked.calls, BATCH):
        high = min(low + BATCH, asked.calls)
        with transaction.atomic(), connection.cursor() as cursor:
            for statement in _statements(asked, first, process.pk):
                cursor.execute(statement.replace(" % ", " %% "), [low, high - 1])
        say(f"{high:,} calls")
    _balance(first, asked)


def _organizations(asked: Load) -> int:
    shop = opening.default_storefront()
    made = Organization.objects.bulk_create(
        Organization(storefront=shop, name=f"Load {n}", slug=new_id("load")[5:]) for n in range(asked.organizations)
    )
    ids = [organization.pk for organization in made]
    Wallet.unscoped.bulk_create([Wallet(organization_id=pk) for pk in ids], batch_size=5_000)
    Account.unscoped.bulk_create(
        [
            Account(organization_id=pk, kind=kind, priority=4, created_at=asked.since)
            for pk in ids
            for kind in (Kind.PAID, Kind.DEBT)
        ],
        batch_size=5_000,
    )
    enough = 20_000_000 * max(asked.calls, 1)  # no call of the load is dearer than two cents
    for place in range(0, len(ids), 500):
        credits_ = [Credit(new_id("load"), pk, min(enough, 10**17)) for pk in ids[place : place + 500]]
        with transaction.atomic():
            ledger.apply(connection, credits_, asked.since)
    return int(ids[0])


def _months(asked: Load) -> None:
    """Partitions of the months the load lies in, as they would have been made ahead."""
    from gateway.partitions import make_ahead  # a function of the moment it is told

    make_ahead(connection, now=asked.since)


def _without_triggers(cursor: Any) -> None:
    try:
        with transaction.atomic():
            cursor.execute("SET session_replication_role = replica")
    except DatabaseError:  # not a superuser: every trigger looks at every row, which takes its time
        return


def _templates(cursor: Any, asked: Load) -> None:
    """Patterns of usage, priced by the engine under a plan and cards of their own."""
    shop = opening.default_storefront()
    plan = pricebook.publish_plan(
        storefront=shop,
        name="scale",
        body={"method": "cost_plus", "percent": "25"},
        effective_from=asked.since,
        note="Load.",
        source=trail.SYSTEM,
    )
    cards = {}
    for provider in PROVIDERS:
        for model in range(MODELS):
            body = {"provider": provider, "model": f"scale/model-{model}", "rates": RATES}
            cards[provider, model] = pricebook.publish_card(
                body=body, effective_from=asked.since, note="Load.", source=trail.SYSTEM
            )
    cursor.execute(
        "CREATE TEMP TABLE load_template (place int PRIMARY KEY, usage jsonb, fresh bigint, cached bigint,"
        " output bigint, price bigint, cost bigint, model text, provider text, card bigint, plan bigint)"
    )
    chance = random.Random(1)  # noqa: S311 - a load, not a secret
    for place in range(TEMPLATES):
        provider, model = PROVIDERS[place % len(PROVIDERS)], place // 2 % MODELS
        card = cards[provider, model]
        rates = Rates.of(plan=Plan.from_json(plan.body), card=Card.from_json(card.body), model=card.model)
        fresh, cached = chance.randrange(200, 2_000), chance.choice((0, 0, 500))
        output = chance.randrange(20, 500)
        lines = [Line(Bucket("input"), fresh), Line(Bucket("output"), output)]
        lines += [Line(Bucket("input", cache="read"), cached)] if cached else []
        made = charge(usage=Usage(tuple(lines)), rates=rates)
        cursor.execute(
            "INSERT INTO load_template VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                *(place, json.dumps(made.usage.to_json()), fresh + cached, cached, output, made.charge_nano),
                *(made.cost_nano, card.model, provider, card.pk, plan.pk),
            ],
        )


def _statements(asked: Load, first: int, process: int) -> list[str]:
    """One batch; the numbers are our own, only the bounds of the batch are parameters."""
    span_ms = asked.days * 86_400_000
    begins = first_id(asked.since) >> 22
    at = "to_timestamp((m.ms + 1767225600000) / 1000.0)"
    rest = max(asked.organizations - 1, 1)
    # A few of the rest are busy and many are not: the square of a share.
    other = f"{first} + {min(1, asked.organizations - 1)} + floor({rest} * power((n * 7919 % 100003) / 100003.0, 2))"
    source = f"""
    FROM (
        SELECT n, (({begins} + (n::bigint * {span_ms}) / {asked.calls}) << 22) + n % 4194304 AS id,
            {begins} + (n::bigint * {span_ms}) / {asked.calls} AS ms,
            CASE WHEN n % 2 = 0 THEN {first} ELSE ({other})::bigint END AS organization,
            200 + (n * 104729 % 9000) AS latency, n % 97 = 0 AS failed
        FROM generate_series(%s::bigint, %s::bigint) AS n
    ) AS m JOIN load_template t ON t.place = (m.organization * 5 + m.n * 31 % 6) % {TEMPLATES}
    """
    paid = (
        f"{source} JOIN billing_account a ON a.organization_id = m.organization AND a.kind = 'paid' WHERE NOT m.failed"
    )
    countries = "ARRAY[" + ", ".join(f"'{country}'" for country in COUNTRIES) + "]"
    late = f"{at} + m.latency * interval '1 millisecond'"
    return [
        (
            "INSERT INTO billing_hold (id, organization_id, process_id, held_nano, caps, created_at, outcome,"
            f" charged_nano, unrecovered_nano, resolved_at) SELECT m.id, m.organization, {process}, CASE WHEN m.failed THEN 0"
            f" ELSE t.price * 2 END, '[]', {at}, CASE WHEN m.failed THEN 'released' ELSE 'settled' END,"
            f" CASE WHEN m.failed THEN 0 ELSE t.price END, 0, {late} {source}"
        ),
        (
            "INSERT INTO billing_holdline (organization_id, hold_id, step, position, account_id, amount, value_nano)"
            f" SELECT m.organization, m.id, 0, 0, a.id, t.price * 2, t.price * 2 {paid}"
        ),
        (
            "INSERT INTO billing_transfer (organization_id, debit_id, credit_id, amount, value_nano, code, reference,"
            f" reason, hold_id, position, created_at) SELECT m.organization, a.id, {HOUSE_IDS[House.REVENUE]}, t.price,"
            f" t.price, 'usage', 'call:' || m.id, '', m.id, 0, {late} {paid}"
        ),
        (
            "INSERT INTO gateway_call (id, organization_id, api_key_id, user_id, created_at, ended_at, state, endpoint,"
            " streamed, model_asked, model_served, provider, plan_version_id, card_version_id, circumstances, usage,"
            " usage_source, billing_rule, input_tokens, cached_tokens, output_tokens, reasoning_tokens, hold_nano,"
            " price_nano, cost_nano, latency_ms, first_byte_ms, status, error, finish, country, label, request_id)"
            f" SELECT m.id, m.organization, m.organization * 10 + m.n / 2 % 2, m.organization, {at}, {late},"
            " CASE WHEN m.failed THEN 'failed' ELSE 'done' END, 'chat', m.n % 2 = 0, t.model, t.model,"
            " t.provider, t.plan, t.card, '{}', CASE WHEN m.failed THEN '[]' ELSE t.usage END, CASE WHEN m.failed THEN"
            " 'none' ELSE 'reported' END, CASE WHEN m.failed THEN 'failed_free' ELSE 'used' END, CASE WHEN m.failed THEN 0 ELSE t.fresh END, CASE WHEN m.failed THEN 0"
            " ELSE t.cached END, CASE WHEN m.failed THEN 0 ELSE t.output END, 0, t.price * 2, CASE WHEN m.failed THEN 0 ELSE"
            " t.price END, CASE WHEN m.failed THEN 0 ELSE t.cost END, m.latency, m.latency / 4, CASE WHEN m.failed THEN"
            f" 502 ELSE 200 END, CASE WHEN m.failed THEN 'upstream_error' ELSE '' END, '',"
            f" ({countries})[1 + m.organization % {len(COUNTRIES)}], '', '' {source}"
        ),
        (
            "INSERT INTO gateway_departure (id, call_id, organization_id, number, model, provider, endpoint, leaves_at)"
            f" SELECT m.id, m.id, m.organization, 1, t.model, t.provider, 'chat', {at} {source}"
        ),
        (
            "INSERT INTO gateway_attempt (id, call_id, organization_id, number, provider, credential_id,"
            " upstream_model, started_at, status, error, usage, card_version_id, cost_nano, first_byte_ms, latency_ms, upstream_request_id) SELECT m.id,"
            f" m.id, m.organization, 1, t.provider, NULL, t.model, {at}, CASE WHEN m.failed THEN 502 ELSE 200 END, '',"
            " CASE WHEN m.failed THEN '[]' ELSE t.usage END, t.card, CASE WHEN m.failed THEN 0 ELSE t.cost END, m.latency / 4,"
            f" m.latency, '' {source}"
        ),
    ]


def _balance(first: int, asked: Load) -> None:
    """What the calls took, taken from the accounts at once."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE billing_account a SET posted = a.posted - s.spent FROM (SELECT debit_id, sum(amount) AS spent"
            " FROM billing_transfer WHERE code = 'usage' AND organization_id >= %s AND organization_id < %s"
            " GROUP BY debit_id) AS s WHERE s.debit_id = a.id",
            [first, first + asked.organizations],
        )
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = origin")
        cursor.execute("DROP TABLE load_template")
        cursor.execute("ANALYZE")
