"""What a call leaves behind, as riders of the ledger's own transactions: departures, then the call and its attempts.

Promise: a call's row appears in the transaction that ends its hold and in no other, however it ended: settled, given
back, abandoned before anybody knew, or swept after its process died.
"""

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from billing.operations import Rider
from billing.pricing import Charge, Line
from gateway.charging import circumstances_of, is_exact, lines_of
from gateway.costs import cost_of, together, told_cost
from gateway.fair_billing import Rule
from gateway.metering import Measured
from gateway.models.calls import CallState, UsageSource
from gateway.records import End, OpenCall, Try

CALL_COLUMNS = (
    *("id", "organization_id", "api_key_id", "user_id", "created_at", "ended_at", "state", "endpoint", "streamed"),
    *("model_asked", "model_served", "provider", "plan_version_id", "card_version_id", "circumstances", "usage"),
    *("usage_source", "billing_rule", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"),
    *("hold_nano", "price_nano", "cost_nano", "latency_ms", "first_byte_ms", "status", "error"),
    *("finish", "country", "label", "request_id"),
)
ATTEMPT_COLUMNS = (
    *("id", "call_id", "organization_id", "number", "provider", "credential_id", "upstream_model", "started_at"),
    *("status", "error", "usage", "card_version_id", "cost_nano", "cost_told", "first_byte_ms", "latency_ms"),
    "upstream_request_id",
)
DEPARTURE_COLUMNS = (
    *("id", "call_id", "organization_id", "api_key_id", "number", "model", "provider", "endpoint", "leaves_at"),
)


def departure(call: OpenCall, attempt: Try) -> Rider:
    """A wire request that is about to leave."""
    caller = call.plea.caller
    row = (
        *(attempt.id, call.id, caller.organization, caller.key, attempt.number),
        *(call.plea.offer.slug, attempt.serving.provider, call.plea.endpoint, attempt.started_at),
    )
    return Rider("gateway_departure", DEPARTURE_COLUMNS, [row])


def ended(call: OpenCall, end: End, made: Charge | None) -> tuple[Rider, ...]:
    """The call and its attempts."""
    costs = [_cost(call, one, end, made) for one in call.tries]
    attempts = [_attempt_row(call, one, end, cost) for one, cost in zip(call.tries, costs, strict=True)]
    return (
        Rider("gateway_call", CALL_COLUMNS, [_call_row(call, end, made, together(costs))]),
        Rider("gateway_attempt", ATTEMPT_COLUMNS, attempts),
    )


def _call_row(call: OpenCall, end: End, made: Charge | None, cost_nano: int | None) -> tuple[object, ...]:
    plea, caller, last = call.plea, call.plea.caller, call.tries[-1]
    lines = lines_of(end.measured)
    return (
        *(call.id, caller.organization, caller.key, caller.user, call.opened_at, datetime.now(UTC)),
        *(end.state.value, plea.endpoint, plea.streamed, plea.offer.slug, plea.offer.served_as or plea.offer.slug),
        *(last.serving.provider, call.priced.plan_version, call.priced.card_version),
        *(circumstances_of(call).to_json(), made.usage.to_json() if made else []),
        *(_source(end.measured, made), end.rule.value),
        *(_tokens(lines, "input"), _tokens(lines, "input", cache="read")),
        *(_tokens(lines, "output"), _tokens(lines, "output", modality="reasoning")),
        *(call.held_nano, made.charge_nano if made else 0, cost_nano),
        *(_since(call.started), call.first_byte_ms, end.status, kept(end.error, 60)),
        *(kept(end.measured.finish or "", 40) if end.measured else "", plea.country, plea.label, plea.request_id),
    )


def _attempt_row(call: OpenCall, one: Try, end: End, cost_nano: int | None) -> tuple[object, ...]:
    measured = _measured_by(call, one, end)
    usage = measured.usage.to_json() if measured is not None else []
    return (
        *(one.id, call.id, call.plea.caller.organization, one.number, one.serving.provider, one.serving.credential),
        *(one.serving.upstream_model, one.started_at, one.status, kept(one.error, 60), usage),
        *(one.priced.card_version, cost_nano, _is_told(measured), one.first_byte_ms, one.latency_ms),
        kept(one.upstream_request_id, 120),
    )


def _measured_by(call: OpenCall, one: Try, end: End) -> Measured | None:
    """What an attempt used: as charged, or, where nothing was charged for it, as its provider reported all the same."""
    if one is call.tries[-1] and end.measured is not None:
        return end.measured
    return one.meter.measured() if one.meter is not None and one.meter.tally is not None else None


def _is_told(measured: Measured | None) -> bool:
    return measured is not None and told_cost(measured.cost_usd) is not None


def _cost(call: OpenCall, one: Try, end: End, made: Charge | None) -> int | None:
    """What an attempt cost us; the usual one, served by the route that made the price, has been computed already."""
    measured = _measured_by(call, one, end)
    if measured is None:
        return None if one.is_unknown else 0
    same_card = one.priced.card_version == call.priced.card_version
    as_priced = made is not None and measured is end.measured and made.usage == measured.usage
    if same_card and as_priced and made is not None and measured.cost_usd is None:
        return made.cost_nano
    return cost_of(measured, one.priced.rates, circumstances_of(call))


# --- Calls whose process died -----------------------------------------------------------------------------------------


def lost(departures: Iterable[Any], *, now: datetime) -> tuple[Rider, ...]:
    """The rows of one call that nobody lived to close, from its departures (rows of ``Departure``, in order)."""
    left = list(departures)
    first, last = left[0], left[-1]
    call: tuple[object, ...] = (
        *(first.call_id, first.organization_id, first.api_key_id, None, first.leaves_at, now),
        *(CallState.LOST.value, first.endpoint, False, first.model, first.model),
        *(last.provider, 0, None, {}, [], UsageSource.NONE.value, Rule.SERVER_DIED.value, 0, 0, 0, 0),
        *(0, 0, None, None, None, 503, "server_died", "", "", "", ""),
    )
    attempts: list[tuple[object, ...]] = [
        (
            *(one.id, one.call_id, one.organization_id, one.number, one.provider, None, one.model, one.leaves_at),
            *(0, "server_died", [], None, None, False, None, None, ""),
        )
        for one in left
    ]
    return (Rider("gateway_call", CALL_COLUMNS, [call]), Rider("gateway_attempt", ATTEMPT_COLUMNS, attempts))


# --- Fields -----------------------------------------------------------------------------------------------------------


def kept(text: str, longest: int) -> str:
    """What a provider said, as a row can keep it: a text no database takes must not stop a settlement."""
    if text.isprintable():
        return text[:longest]
    return "".join(character for character in text if character.isprintable())[:longest]


def _source(measured: Measured | None, made: Charge | None) -> str:
    if measured is None:
        return UsageSource.NONE.value
    return UsageSource.REPORTED.value if is_exact(measured, made) else UsageSource.ESTIMATED.value


def _tokens(lines: Sequence[Line], direction: str, *, cache: str = "", modality: str = "") -> int:
    found = 0
    for line in lines:
        bucket = line.bucket
        if bucket.direction != direction or not line.is_tokens:
            continue
        if cache in {"", bucket.cache} and modality in {"", bucket.modality}:
            found += line.quantity
    return found


def _since(started: float) -> int:
    return int((time.monotonic() - started) * 1000)
