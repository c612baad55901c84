"""Prices as a governed process: a draft, its difference, what it would have meant, a second person, a version.

Promise: what is in use is never edited; a draft starts from the newest version and is refused if somebody published
meanwhile. It is weighed against the calls of the last ``WEIGHED_DAYS`` by the pricing engine itself before it can be
published, and whenever its text changes it is weighed anew. If revenue would move by more than
``FREE_REVENUE_CHANGE`` or margin would fall by more than ``FREE_MARGIN_FALL``, somebody other than the author agrees
first; only where nobody else runs this shop does one person decide alone, and the trail says so. A plan that raises any
price is published at least ``PRICE_NOTICE_DAYS`` ahead; customers are told as soon as it is.
"""

from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from accounts import trail
from accounts.models import Storefront, User
from analytics import what_if
from analytics.what_if import Outcome, Proposal
from billing import pricebook
from billing.models import CostCardVersion, PlanVersion
from billing.pricing import Card, Difference, Malformed, Plan, Rates, Unpriced, differences, price_list
from desk.models import DraftKind, DraftState, PriceDraft
from plumbing.refusals import Refusal

WEIGHED_DAYS = 30
MOST_CALLS = 50_000
MOST_NAMED = 20
FREE_REVENUE_CHANGE = Fraction(5, 100)
FREE_MARGIN_FALL = Fraction(2, 100)


class DraftRefused(Refusal, ValueError):
    """It cannot be done; the sentence says why."""

    code = "draft_refused"


# --- Writing ----------------------------------------------------------------------------------------------------------


@transaction.atomic
def begin(version: PlanVersion | CostCardVersion, *, source: trail.Source, now: datetime) -> PriceDraft:
    """Start a draft from the newest version of a plan or card; it would hold from the next midnight."""
    assert source.user is not None
    of: dict[str, Any] = (
        {"kind": DraftKind.PLAN, "storefront": version.storefront, "name": version.name}
        if isinstance(version, PlanVersion)
        else {"kind": DraftKind.CARD, "provider": version.provider, "name": version.model}
    )
    draft = PriceDraft(
        **of,
        base_version=version.version,
        body=version.body,
        effective_from=(now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0),
        author=source.user,
        created_at=now,
        changed_at=now,
    )
    newest = newest_of(draft)
    if newest is not None and newest.version != version.version:
        draft.base_version, draft.body = newest.version, newest.body
    draft.save(force_insert=True)
    _record("price_draft.begun", draft, source)
    return draft


@transaction.atomic
def change(
    draft: PriceDraft, *, body: Any, effective_from: datetime, note: str, source: trail.Source, now: datetime
) -> PriceDraft:
    """Write it anew; what was weighed or waited for counts no more."""
    fresh = _open(draft)
    fresh.body = body
    fresh.body = parsed(fresh).to_json()
    if fresh.body != draft.body:
        fresh.forecast = {}
    fresh.effective_from, fresh.note, fresh.changed_at = effective_from, note[:200], now
    fresh.state = DraftState.DRAFT
    fresh.save()
    after = {"body": fresh.body, "effective_from": effective_from}
    _record("price_draft.changed", fresh, source, before={"body": draft.body}, after=after)
    return fresh


def parsed(draft: PriceDraft) -> Plan | Card:
    """The draft as the pricing engine reads it; what it cannot read is refused with its sentence."""
    if not isinstance(draft.body, dict):
        raise DraftRefused("A plan or card is a JSON object.")
    fixed: dict[str, Any] = {"version": draft.base_version + 1}
    try:
        if draft.kind == DraftKind.PLAN:
            return Plan.from_json({**draft.body, **fixed, "name": draft.name})
        return Card.from_json({**draft.body, **fixed, "provider": draft.provider, "model": draft.name})
    except Malformed as error:
        raise DraftRefused(str(error)) from error


def newest_of(draft: PriceDraft) -> PlanVersion | CostCardVersion | None:
    """The newest published version of what it would change."""
    if draft.kind == DraftKind.PLAN:
        plans = PlanVersion.objects.filter(storefront=draft.storefront, name=draft.name)
        return plans.order_by("-version").first()
    cards = CostCardVersion.objects.filter(provider=draft.provider, model=draft.name)
    return cards.order_by("-version").first()


def base_of(draft: PriceDraft) -> PlanVersion | CostCardVersion | None:
    """The version it was drafted from."""
    if draft.kind == DraftKind.PLAN:
        plans = PlanVersion.objects.filter(storefront=draft.storefront, name=draft.name)
        return plans.filter(version=draft.base_version).first()
    cards = CostCardVersion.objects.filter(provider=draft.provider, model=draft.name)
    return cards.filter(version=draft.base_version).first()


def differences_of(draft: PriceDraft) -> tuple[Difference, ...]:
    """What would change, field by field; the version number is no change."""
    base = base_of(draft)
    if base is None:
        return ()
    before = Plan.from_json(base.body) if isinstance(base, PlanVersion) else Card.from_json(base.body)
    return tuple(one for one in differences(before, parsed(draft)) if one.field != "version")


# --- Weighing ---------------------------------------------------------------------------------------------------------


@transaction.atomic
def weigh(draft: PriceDraft, *, now: datetime) -> PriceDraft:
    """Price the calls of the last days again and keep what came out beside the draft."""
    fresh = _open(draft)
    fresh.forecast = told(_outcome(fresh, now=now), now=now)
    fresh.save(update_fields=["forecast"])
    return fresh


def _outcome(draft: PriceDraft, *, now: datetime) -> Outcome:
    proposed = parsed(draft)
    proposal = (
        Proposal(plan=proposed)
        if isinstance(proposed, Plan)
        else Proposal(cards={(draft.provider, draft.name): proposed})
    )
    since = now - timedelta(days=WEIGHED_DAYS)
    return what_if.what_if(proposal, storefront=draft.storefront, since=since, until=now, most=MOST_CALLS)


def told(outcome: Outcome, *, now: datetime) -> dict[str, Any]:
    """An outcome as it is kept: whole nano-dollars and exact shares."""
    return {
        "weighed_at": now.isoformat(),
        "calls": outcome.calls,
        "changed": outcome.changed,
        "no_longer_sold": outcome.no_longer_sold,
        "complete": outcome.complete,
        "revenue_before_nano": outcome.before.price_nano,
        "revenue_after_nano": outcome.after.price_nano,
        "cost_before_nano": outcome.before.cost_nano,
        "cost_after_nano": outcome.after.cost_nano,
        "revenue_change": _written(outcome.revenue_change),
        "margin_before": _written(outcome.before.margin),
        "margin_after": _written(outcome.after.margin),
        "pay_more": outcome.pay_more[:MOST_NAMED],
        "pay_more_count": len(outcome.pay_more),
        "pay_less_count": sum(after < before for before, after in outcome.customers.values()),
    }


def _written(share: Fraction | None) -> str | None:
    return None if share is None else str(share)


def share_in(forecast: dict[str, Any], name: str) -> Fraction | None:
    """Read an exact share back."""
    written = forecast.get(name)
    return None if written is None else Fraction(written)


def wants_second_person(draft: PriceDraft) -> str:
    """Why somebody else has to agree; empty if the author may decide alone."""
    revenue = share_in(draft.forecast, "revenue_change")
    if revenue is not None and abs(revenue) > FREE_REVENUE_CHANGE:
        return f"revenue would move by more than {int(100 * FREE_REVENUE_CHANGE)} %"
    before, after = (share_in(draft.forecast, name) for name in ("margin_before", "margin_after"))
    if before is not None and after is not None and before - after > FREE_MARGIN_FALL:
        return f"the margin would fall by more than {int(100 * FREE_MARGIN_FALL)} points"
    if draft.forecast.get("no_longer_sold"):
        return "calls that were sold would no longer be"
    return ""


def raised(draft: PriceDraft, *, now: datetime) -> list[str]:
    """The models for which a plan's draft asks more than its base does, in any bucket or tier."""
    base, proposed = base_of(draft), parsed(draft)
    if not isinstance(base, PlanVersion) or not isinstance(proposed, Plan):
        return []
    before = Plan.from_json(base.body)
    return sorted({card.model for card in pricebook.cards_in_force(at=now) if _is_dearer(before, proposed, card)})


def _is_dearer(before: Plan, after: Plan, card: Card) -> bool:
    try:
        was, will = (
            {(one.bucket, one.above_tokens): one.price_usd for one in price_list(rates=Rates.of(plan=plan, card=card))}
            for plan in (before, after)
        )
    except Unpriced:
        return False
    return any(price is not None and price > (was.get(name) or 0) for name, price in will.items())


def _check_notice(draft: PriceDraft, *, now: datetime) -> None:
    earliest = now + timedelta(days=settings.PRICE_NOTICE_DAYS)
    if draft.effective_from < earliest and settings.PRICE_NOTICE_DAYS and (models := raised(draft, now=now)):
        message = (
            f"{models[0]} would become dearer{f' and {len(models) - 1} more' if len(models) > 1 else ''}, and customers"
            f" are to hear of that {settings.PRICE_NOTICE_DAYS} days ahead: let it hold from {earliest:%-d %B %Y} on."
        )
        raise DraftRefused(message)


def others(draft: PriceDraft) -> int:
    """How many other people could agree."""
    runs = Q(is_staff=True)
    if draft.storefront_id is not None:
        runs |= Q(storefront_jobs__storefront=draft.storefront, storefront_jobs__can_change=True)
    return User.objects.filter(runs, is_active=True).exclude(pk=draft.author_id).distinct().count()


# --- Deciding ---------------------------------------------------------------------------------------------------------


@transaction.atomic
def submit(draft: PriceDraft, *, source: trail.Source, now: datetime) -> PriceDraft:
    """The author is done: it is published, or waits for somebody else."""
    fresh = _open(draft)
    if not differences_of(fresh):
        raise DraftRefused("Nothing would change.")
    if not fresh.forecast:
        raise DraftRefused("Weigh it against the calls of the last days first.")
    if wants_second_person(fresh) and others(fresh):
        fresh.state = DraftState.WAITING
        fresh.save(update_fields=["state"])
        _record("price_draft.submitted", fresh, source, after={"why": wants_second_person(fresh)})
        return fresh
    return _publish(fresh, source=source, now=now, alone=bool(wants_second_person(fresh)))


@transaction.atomic
def approve(draft: PriceDraft, *, source: trail.Source, now: datetime) -> PriceDraft:
    """A second person agrees, and it is published."""
    fresh = _open(draft)
    if fresh.state != DraftState.WAITING:
        raise DraftRefused("This draft does not wait for anybody.")
    if source.user is None or source.user.pk == fresh.author_id:
        raise DraftRefused("Somebody other than its author has to agree.")
    fresh.approved_by = source.user
    return _publish(fresh, source=source, now=now, alone=False)


@transaction.atomic
def discard(draft: PriceDraft, *, source: trail.Source, now: datetime) -> PriceDraft:
    """It does not happen."""
    fresh = _open(draft)
    fresh.state, fresh.decided_at = DraftState.DISCARDED, now
    fresh.save(update_fields=["state", "decided_at"])
    _record("price_draft.discarded", fresh, source)
    return fresh


def _publish(draft: PriceDraft, *, source: trail.Source, now: datetime, alone: bool) -> PriceDraft:
    newest = newest_of(draft)
    if newest is None or newest.version != draft.base_version:
        message = f"Somebody published v{newest.version if newest else 0} meanwhile; begin a new draft from it."
        raise DraftRefused(message)
    _check_notice(draft, now=now)
    effective_from = max(draft.effective_from, now)
    note = draft.note or f"Draft {draft.pk}"
    made: PlanVersion | CostCardVersion
    try:
        if draft.storefront is not None:
            made = pricebook.publish_plan(
                storefront=draft.storefront,
                name=draft.name,
                body=draft.body,
                effective_from=effective_from,
                note=note,
                source=source,
            )
        else:
            made = pricebook.publish_card(body=draft.body, effective_from=effective_from, note=note, source=source)
    except (pricebook.Refused, pricebook.Overtaken) as error:
        raise DraftRefused(str(error) or "Somebody published the same version a moment earlier.") from error
    draft.state, draft.decided_at, draft.published_version = DraftState.PUBLISHED, now, made.version
    draft.save()
    after = {"version": made.version, "effective_from": effective_from, "nobody_else_could_agree": alone}
    _record("price_draft.published", draft, source, after=after)
    return draft


def _open(draft: PriceDraft) -> PriceDraft:
    fresh = PriceDraft.objects.select_for_update(of=("self",)).select_related("storefront", "author").get(pk=draft.pk)
    if fresh.state not in {DraftState.DRAFT, DraftState.WAITING}:
        message = f"This draft is done with: {fresh.get_state_display().lower()}."
        raise DraftRefused(message)
    return fresh


def _record(action: str, draft: PriceDraft, source: trail.Source, **told_: Any) -> None:
    shop: Storefront | None = draft.storefront
    trail.record(action, source=source, target=draft, storefront=shop, reason=draft.note, **told_)
