"""A call's receipt for its customer: what was used, what it costs step by step, what was held, charged and let go.

Promise: it is computed from the stored rows by the engine that charged, and holds prices and charges alone. Cost,
ratio, markup, the provider's name and whatever it said of our account there never appear; they are the desk's.
"""

from typing import Any

from billing.models import Hold, Transfer
from billing.models.ledger import NANO_USD
from billing.money import usd_text
from billing.pricing import explain
from gateway import replays
from gateway.fair_billing import TABLE, Rule
from gateway.models import Attempt, Call


def brief(call: Call) -> dict[str, Any]:
    """A call in a list."""
    return {
        "id": str(call.pk),
        "created_at": call.created_at,
        "ended_at": call.ended_at,
        "state": call.state,
        "status": call.status,
        "error": call.error,
        "endpoint": call.endpoint,
        "streamed": call.streamed,
        "model": call.model_asked,
        "model_served": call.model_served,
        "input_tokens": call.input_tokens,
        "cached_tokens": call.cached_tokens,
        "output_tokens": call.output_tokens,
        "reasoning_tokens": call.reasoning_tokens,
        "usage_source": call.usage_source,
        "price_usd": usd_text(call.price_nano),
        "billing_rule": call.billing_rule,
        "latency_ms": call.latency_ms,
        "first_byte_ms": call.first_byte_ms,
        "request_id": call.request_id,
    }


def receipt(call: Call) -> dict[str, Any]:
    """The whole story of one call's money."""
    hold = Hold.objects.of(call.organization).filter(pk=call.pk).first()
    attempts = list(Attempt.objects.of(call.organization).filter(call_id=call.pk).order_by("number"))
    versions = replays.Versions()
    try:
        made = replays.replay(call, attempts, versions).made
    except replays.NotRecomputable:  # the audit tells it too; the customer still sees what is on the row
        made = None
    tokens, worth = _from_grants(call)
    rule = TABLE.get(Rule(call.billing_rule)) if call.billing_rule in set(Rule) else None
    steps = [] if made is None else [step for step in explain(made) if not step.private]
    return {
        "call": brief(call),
        "rule": {
            "name": call.billing_rule,
            "happened": rule.happened if rule else "",
            "charged": rule.charged if rule else "",
        },
        "usage": call.usage,
        "steps": [{"label": step.label, "detail": step.detail, "usd": step.usd} for step in steps],
        "held_usd": usd_text(hold.held_nano if hold else call.hold_nano),
        "price_usd": usd_text(call.price_nano),
        "charged_usd": usd_text(hold.charged_nano if hold else 0),
        "waived_usd": usd_text(hold.unrecovered_nano if hold else 0),
        "tokens_from_grants": tokens,
        "from_grants_usd": usd_text(worth),
        "settlement": hold.outcome if hold else None,
        "settled_at": (hold.late_settled_at or hold.resolved_at) if hold else None,
        "attempts": [_attempt(one, is_last=one is attempts[-1], call=call) for one in attempts],
        "recomputes": not list(replays.differences(call, hold, attempts, versions)),
    }


def _from_grants(call: Call) -> tuple[int, int]:
    """The tokens of grants that paid, and what of the charge they were worth."""
    burned = Transfer.objects.of(call.organization).filter(hold_id=call.pk).exclude(debit__unit=NANO_USD)
    rows = list(burned.values_list("amount", "value_nano"))
    return sum(amount for amount, _ in rows), sum(value_nano for _, value_nano in rows)


def _attempt(one: Attempt, *, is_last: bool, call: Call) -> dict[str, Any]:
    """One wire request, without whom we asked and what they said of us."""
    answered = is_last and call.first_byte_ms is not None
    return {
        "number": one.number,
        "started_at": one.started_at,
        "answered": answered,
        "first_byte_ms": one.first_byte_ms,
        "latency_ms": one.latency_ms,
    }
