"""What other prices would have made of the calls that really happened.

Promise: a call is priced again by the engine, with its own usage and circumstances, exactly as it would have been
admitted under the proposed versions; to the nano-dollar it is what a real re-pricing gives, because it is one. Only
calls of the plan (and of the cards) that are proposed anew change; all others count as they were. Nothing is written.
How customers would have answered to other prices is not in it: the same calls are assumed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from functools import lru_cache
from typing import Any

from django.db import connection

from accounts.models import Storefront
from analytics import rollups
from analytics.rows import read_json
from billing.models.plans import CostCardVersion, PlanVersion
from billing.pricing import Card, Circumstances, OutOfRange, Plan, Rates, Unpriced, Usage, charge
from gateway.callid import first_id

MOST_CALLS = 500_000


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would be other: a plan of one storefront, cards by (provider, model), or both."""

    plan: Plan | None = None
    cards: Mapping[tuple[str, str], Card] = field(default_factory=dict)


@dataclass(slots=True)
class Side:
    """What one side of the comparison adds up to."""

    price_nano: int = 0
    cost_nano: int = 0
    known_price_nano: int = 0  # of the calls whose cost is known

    @property
    def margin(self) -> Fraction | None:
        """Profit per dollar of price, of the calls whose cost is known."""
        known = self.known_price_nano
        return Fraction(known - self.cost_nano, known) if known else None

    def count(self, price: int, cost: int | None) -> None:
        """Add one call."""
        self.price_nano += price
        if cost is not None:
            self.cost_nano += cost
            self.known_price_nano += price


@dataclass(slots=True)
class Outcome:
    """Before and after, in all and told apart."""

    calls: int = 0
    changed: int = 0
    no_longer_sold: int = 0
    complete: bool = True  # False: only the newest calls were looked at
    before: Side = field(default_factory=Side)
    after: Side = field(default_factory=Side)
    customers: dict[int, tuple[int, int]] = field(default_factory=dict)
    models: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def revenue_change(self) -> Fraction | None:
        """How much more (or less) would have been charged, as a part of what was."""
        before = self.before.price_nano
        return Fraction(self.after.price_nano - before, before) if before else None

    @property
    def pay_more(self) -> list[tuple[int, int]]:
        """Customers who would have paid more, and how much, the most first."""
        more = [(pk, after - before) for pk, (before, after) in self.customers.items() if after > before]
        return sorted(more, key=lambda row: (-row[1], row[0]))


def what_if(
    proposal: Proposal, *, storefront: Storefront | None, since: datetime, until: datetime, most: int = MOST_CALLS
) -> Outcome:
    """Price the calls of a stretch of time again; at most so many, the newest."""
    outcome = Outcome()
    price_again = _Pricer(proposal)
    for call in _calls(storefront, since, until, most + 1):
        if outcome.calls == most:
            outcome.complete = False
            break
        outcome.calls += 1
        before = (call["price_nano"], call["cost_nano"])
        try:
            after = price_again(call)
        except (Unpriced, OutOfRange):
            outcome.no_longer_sold += 1
            after = (0, 0)
        outcome.changed += before != after
        outcome.before.count(*before)
        outcome.after.count(*after)
        for told, name in ((outcome.customers, call["organization_id"]), (outcome.models, call["model_served"])):
            was, would_be = told.get(name, (0, 0))
            told[name] = (was + before[0], would_be + after[0])
    return outcome


class _Pricer:
    """Prices a call's row under a proposal; rates are made ready once for each pair of versions."""

    def __init__(self, proposal: Proposal) -> None:
        self._proposal = proposal
        self._rates: dict[tuple[int, int | None, str], Rates | None] = {}

    def __call__(self, call: Mapping[str, Any]) -> tuple[int, int | None]:
        """Return price and cost; what the proposal does not touch is what it was."""
        key = (call["plan_version_id"], call["card_version_id"], call["model_served"])
        if key not in self._rates:
            self._rates[key] = self._rates_of(*key)
        rates = self._rates[key]
        usage = Usage.from_json(read_json(call["usage"]))
        if rates is None or usage.is_empty:
            return call["price_nano"], call["cost_nano"]
        made = charge(usage=usage, rates=rates, circumstances=Circumstances.from_json(read_json(call["circumstances"])))
        return made.charge_nano, made.cost_nano

    def _rates_of(self, plan_version: int, card_version: int | None, model: str) -> Rates | None:
        plan, card = _plan(plan_version), _card(card_version)
        proposed_plan = self._proposal.plan
        replaced = proposed_plan is not None and plan.name == proposed_plan.name
        new_card = self._proposal.cards.get((card.provider, card.model)) if card else None
        if not replaced and new_card is None:
            return None
        return Rates.of(
            plan=proposed_plan if proposed_plan is not None and replaced else plan, card=new_card or card, model=model
        )


@lru_cache(maxsize=1024)
def _plan(version: int) -> Plan:
    return Plan.from_json(PlanVersion.objects.get(pk=version).body)


@lru_cache(maxsize=4096)
def _card(version: int | None) -> Card | None:
    return None if version is None else Card.from_json(CostCardVersion.objects.get(pk=version).body)


COLUMNS = (
    *("organization_id", "model_served", "plan_version_id", "card_version_id", "circumstances", "usage"),
    *("price_nano", "cost_nano"),
)


def _calls(storefront: Storefront | None, since: datetime, until: datetime, most: int) -> Iterator[dict[str, Any]]:
    of = "AND o.storefront_id = %s" if storefront else ""
    statement = (
        f"SELECT {', '.join(f'c.{name}' for name in COLUMNS)} FROM gateway_call c"
        f" JOIN accounts_organization o ON o.id = c.organization_id WHERE c.id >= %s AND c.id < %s {of}"
        f" AND c.created_at >= %s AND c.created_at < %s ORDER BY c.id DESC LIMIT {int(most)}"
    )
    ids = [first_id(since - rollups.LONGEST), first_id(until + rollups.LONGEST)]
    moments: list[Any] = [since, until]
    if connection.vendor != "postgresql":
        moments = [f"{moment:%Y-%m-%d %H:%M:%S}" for moment in moments]
    parameters: list[Any] = [*ids, *([storefront.pk] if storefront else []), *moments]
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        while rows := cursor.fetchmany(2_000):
            for row in rows:
                yield dict(zip(COLUMNS, row, strict=True))
