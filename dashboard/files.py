"""What customers may take with them: calls, use, use by label, and costs as FOCUS has them.

Promise: a file holds what was charged and never what it cost us; amounts are exact dollars; a text that a spreadsheet
would run as a formula is written as text (``analytics.exports``). Each file is rows made as they are read.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from accounts.models import Organization
from analytics import call_lists, customer
from analytics.call_lists import Listed, Wanted
from analytics.customer import Use
from analytics.reports import UTC_ZONE
from billing.money import usd_text
from dashboard.naming import Names
from dashboard.periods import Span

Row = dict[str, Any]

# The columns of FOCUS 1.2 (FinOps Open Cost and Usage Specification) that say something of a prepaid API, in the
# specification's order; ours begin with x_, as it asks.
FOCUS = (
    *("BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency"),
    *("BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription"),
    *("ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit", "ContractedCost"),
    *("EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingCategory", "PricingCurrency", "PricingQuantity"),
    *("PricingUnit", "ProviderName", "PublisherName", "RegionId", "ResourceId", "ResourceName", "ResourceType"),
    *("ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId", "SubAccountId", "SubAccountName"),
    *("SubAccountType", "Tags", "x_Requests", "x_InputTokens", "x_CachedInputTokens", "x_OutputTokens"),
)
CALLS = (
    *("id", "created_at", "ended_at", "state", "status", "error", "endpoint", "streamed", "model", "model_served"),
    *("key", "member", "label", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "usage_source"),
    *("charged_usd", "waived_usd", "billing_rule", "latency_ms", "first_byte_ms", "request_id"),
)
USE = (
    *("starts_at", "name", "requests", "failed", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"),
    *("charged_usd", "cache_savings_usd"),
)
LABELS = ("label", "requests", "tokens", "charged_usd")


def calls(organization: Organization, wanted: Wanted, names: Names) -> Iterator[Row]:
    """One row for each call, newest first."""
    key, member = names.naming("key"), names.naming("member")
    for one in call_lists.everything(organization, wanted):
        yield _call(one, key(one.call.api_key_id), member(one.call.user_id))


def _call(one: Listed, key: str, member: str) -> Row:
    call = one.call
    same = (
        "state",
        "status",
        "error",
        "endpoint",
        "streamed",
        "model_served",
        "label",
        "input_tokens",
        "cached_tokens",
    )
    more = ("output_tokens", "reasoning_tokens", "usage_source", "billing_rule", "latency_ms", "first_byte_ms")
    row = {name: getattr(call, name) for name in (*same, *more, "request_id")}
    row |= {
        "id": str(call.pk),
        "created_at": _iso(call.created_at),
        "ended_at": _iso(call.ended_at),
        "model": call.model_asked,
        "key": key,
        "member": member,
        "charged_usd": usd(one.charged_nano),
        "waived_usd": usd(one.unrecovered_nano),
    }
    return {name: row[name] for name in CALLS}


def use(organization: Organization, span: Span, names: Names, *, by: str) -> Iterator[Row]:
    """One row for each step and name."""
    stretches, naming = span.slots(), names.naming(by)
    found = customer.series(organization, stretches, by=by)
    for (place, name), one in sorted(found.items(), key=lambda row: (row[0][0], -row[1].charge_nano)):
        yield _use(stretches[place].begins, naming(name), one)


def _use(begins: datetime, name: str, one: Use) -> Row:
    return {
        "starts_at": begins.isoformat(timespec="seconds"),
        "name": name,
        "requests": one.requests,
        "failed": one.errors,
        "input_tokens": one.input_tokens,
        "cached_tokens": one.cached_tokens,
        "output_tokens": one.output_tokens,
        "reasoning_tokens": one.reasoning_tokens,
        "charged_usd": usd(one.charge_nano),
        "cache_savings_usd": usd(one.cache_savings_nano),
    }


def labels(organization: Organization, span: Span) -> Iterator[Row]:
    """One row for each label; read a day at a time, so that a long time holds nobody up."""
    found: dict[str, tuple[int, ...]] = {}
    start = span.starts_at
    while start < span.ends_at:
        end = min(start + timedelta(days=1), span.ends_at)
        for label, sums in call_lists.by_label(organization, since=start, until=end).items():
            found[label] = tuple(map(sum, zip(found.get(label, (0, 0, 0)), sums, strict=True)))
        start = end
    for label, (many, tokens, charged) in sorted(found.items(), key=lambda row: (-row[1][2], row[0])):
        yield {"label": label, "requests": many, "tokens": tokens, "charged_usd": usd(charged)}


def focus(organization: Organization, span: Span, keys: Mapping[int, Any]) -> Iterator[Row]:
    """Costs by UTC day, model and key as FOCUS 1.2 has them; a day is read when its turn comes."""
    day = span.since
    while day <= span.until:
        slot = customer.slots(since=day, until=day, zone=UTC_ZONE)
        for (model, pk), one in customer.by_model_and_key(organization, slot[0]).items():
            yield _focus(organization, slot[0].starts_at, model, keys.get(pk), one)
        day += timedelta(days=1)


def _focus(organization: Organization, day: datetime, model: str, key: tuple[str, str] | None, one: Use) -> Row:
    month = day.replace(day=1)
    cost, shop = usd(one.charge_nano), organization.storefront.name
    row: Row = dict.fromkeys(FOCUS)
    row |= {
        **dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), cost),
        "BillingAccountId": organization.public_id,
        "BillingAccountName": organization.name,
        "BillingAccountType": "Organization",
        **dict.fromkeys(("BillingCurrency", "PricingCurrency"), "USD"),
        "BillingPeriodStart": _iso(month),
        "BillingPeriodEnd": _iso((month + timedelta(days=32)).replace(day=1)),
        "ChargeCategory": "Usage",
        "ChargeDescription": f"Calls of {model}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": _iso(day),
        "ChargePeriodEnd": _iso(day + timedelta(days=1)),
        **dict.fromkeys(("ConsumedQuantity", "PricingQuantity"), one.tokens),
        **dict.fromkeys(("ConsumedUnit", "PricingUnit"), "Tokens"),
        **dict.fromkeys(("InvoiceIssuerName", "ProviderName", "PublisherName"), shop),
        "PricingCategory": "Standard",
        **dict.fromkeys(("ResourceId", "ResourceName", "SkuId"), model),
        "ResourceType": "Model",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "Model API",
        "ServiceSubcategory": "Generative AI",
        "SubAccountType": "API key" if key else None,
        "SubAccountId": key[0] if key else None,
        "SubAccountName": key[1] if key else None,
        "Tags": "{}",
        "x_Requests": one.requests,
        "x_InputTokens": one.input_tokens,
        "x_CachedInputTokens": one.cached_tokens,
        "x_OutputTokens": one.output_tokens,
    }
    return row


def usd(nano: int) -> Decimal:
    """Exact dollars as a number for a spreadsheet."""
    return Decimal(usd_text(nano))


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
