"""New purchase prices: asked for by command and by schedule, published within rails, or put before a person.

Promise: a price changes only as a new version of its cost card, effective from the moment it was published, with a line
in the trail; a pinned price and one that a person published are never changed by a machine; what goes beyond the rails
waits as a proposal with its reasons and differences, and is decided once, by somebody who is named; a list that cannot
be read changes nothing and says so. What was refused is not proposed again until the list says something else.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction

from accounts import trail
from billing import pricebook
from billing.models.plans import CostCardVersion
from billing.pricing import Card, differences
from gateway import alarms, shipped
from gateway.models import PriceProposal, Provider, Route
from gateway.models.prices import Decision
from gateway.pricelists import CannotTell, Modalities, genai, written
from gateway.pricelists.rails import reasons_to_wait
from plumbing import outbound
from plumbing.refusals import Refusal

LARGEST_LIST = 32 * 1024 * 1024
PATIENCE_S = 30.0


class AlreadyDecided(Refusal):
    """Somebody was faster."""

    code = "already_decided"


class Outdated(Refusal):
    """The price it was proposed against is no longer the one in force."""

    code = "outdated"


@dataclass(slots=True)
class Refreshed:
    """What a refresh did, by provider/model."""

    published: list[str] = field(default_factory=list)
    proposed: list[str] = field(default_factory=list)
    unchanged: int = 0
    untold: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As the command prints it."""
        return {
            "published": self.published,
            "proposed": self.proposed,
            "unchanged": self.unchanged,
            "untold": self.untold,
        }


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A model of a provider whose price is asked for."""

    provider: Provider
    upstream: str
    modalities: Modalities
    reference: str

    @property
    def name(self) -> str:
        return f"{self.provider.slug}/{self.upstream}"


# --- Asking -----------------------------------------------------------------------------------------------------------


def refresh(
    *, now: datetime, source: trail.Source, provider: str = "", documents: Mapping[str, bytes] | None = None
) -> Refreshed:
    """Ask every price list there is (or one provider's) and act on what it says."""
    done = Refreshed()
    by_provider: dict[str, list[_Wanted]] = {}
    for wanted in _wanted(provider):
        by_provider.setdefault(wanted.provider.slug, []).append(wanted)
    for slug, several in by_provider.items():
        before = len(done.proposed)
        for wanted, told, origin in _told(several, now, (documents or {}).get(slug)):
            if isinstance(told, CannotTell):
                done.untold[wanted.name] = str(told)
            else:
                consider(wanted.name, told, origin=origin, now=now, source=source, done=done)
        if len(done.proposed) > before:
            _ring(done.proposed[before:], now)
    return done


def _wanted(provider: str) -> Iterator[_Wanted]:
    """One for each model of a provider that is bought there, unless its price is pinned."""
    references = {
        (route["provider"], route["upstream"]): route.get("priced_by", "")
        for model in shipped.catalogue()["models"]
        for route in model["routes"]
    }
    routes = Route.objects.filter(provider__is_sandbox=False).select_related("provider", "model")
    if provider:
        routes = routes.filter(provider__slug=provider)
    found: dict[tuple[str, str], _Wanted | None] = {}
    for route in routes:
        key = (route.provider.slug, route.upstream_model)
        if route.is_price_pinned or found.get(key, ...) is None:
            found[key] = None
            continue
        modalities = shipped.modalities_of(route.model.input_modalities, route.model.output_modalities)
        known = found.get(key)
        if known is not None:
            read = [*dict.fromkeys([*known.modalities.read, *modalities.read])]
            made = [*dict.fromkeys([*known.modalities.written, *modalities.written])]
            modalities = Modalities(read, made)
        found[key] = _Wanted(route.provider, route.upstream_model, modalities, references.get(key, ""))
    yield from (wanted for wanted in found.values() if wanted is not None)


def _told(
    wanted: Sequence[_Wanted], now: datetime, document: bytes | None
) -> Iterator[tuple[_Wanted, dict[str, Any] | CannotTell, str]]:
    provider = wanted[0].provider
    if provider.price_list_url or document is not None:
        yield from _from_list(provider, wanted, document)
        return
    for one in wanted:
        if not one.reference:
            continue
        try:
            body = genai.body(
                reference=one.reference,
                provider=provider.slug,
                model=one.upstream,
                at=now,
                modalities=one.modalities,
            )
            yield one, body, genai.source()
        except CannotTell as error:
            yield one, error, ""


def _from_list(
    provider: Provider, wanted: Sequence[_Wanted], document: bytes | None
) -> Iterator[tuple[_Wanted, dict[str, Any] | CannotTell, str]]:
    origin = provider.price_list_url if document is None else "a file"
    asked = {one.upstream: one.modalities for one in wanted}
    try:
        content = document if document is not None else _fetched(provider)
        bodies = written.bodies(provider.price_list_shape or "plain", content, provider=provider.slug, modalities=asked)
    except CannotTell as error:
        yield wanted[0], error, origin
        return
    for one in wanted:
        yield one, bodies.get(one.upstream, CannotTell("The price list does not name it.")), origin


def _fetched(provider: Provider) -> bytes:
    bounds = outbound.Bounds(
        total_s=PATIENCE_S,
        largest_body=LARGEST_LIST,
        allow_http=provider.may_be_private,
        allow_private=provider.may_be_private,
    )
    try:
        answer = outbound.send("GET", provider.price_list_url, bounds=bounds)
    except outbound.OutboundError as error:
        message = f"The price list of {provider.name} cannot be had: {error}"
        raise CannotTell(message) from error
    if answer.status != 200:
        message = f"The price list of {provider.name} answered {answer.status}."
        raise CannotTell(message)
    return answer.content


# --- Acting -----------------------------------------------------------------------------------------------------------


@transaction.atomic
def consider(
    name: str, body: Mapping[str, Any], *, origin: str, now: datetime, source: trail.Source, done: Refreshed
) -> None:
    """Publish what is within the rails, propose what is not, and leave alone what is the same."""
    try:
        body = pricebook.normal_card(body)
    except ValueError as error:
        done.untold[name] = str(error)
        return
    provider, model = str(body["provider"]), str(body["model"])
    in_force = pricebook.card_in_force(provider, model, at=now)
    waiting = (
        PriceProposal.objects.select_for_update().filter(provider=provider, model=model, state=Decision.WAITING).first()
    )
    if waiting is not None and waiting.body != body:
        _decide(waiting, Decision.OVERTAKEN, now=now, source=source, reason="The list says something else by now.")
        waiting = None
    if in_force is not None and pricebook.same_card(in_force.body, body):
        done.unchanged += 1
        return
    reasons = _reasons(in_force, body)
    if not reasons:
        version = pricebook.publish_card(body=body, effective_from=now, note=f"From {origin}"[:200], source=source)
        done.published.append(name)
        _ring_losses(version, now)
    elif waiting is None and not _refused_before(provider, model, body):
        _propose(provider, model, body, in_force, reasons, origin=origin, now=now, source=source)
        done.proposed.append(name)
    else:
        done.unchanged += 1


def _reasons(in_force: CostCardVersion | None, body: Mapping[str, Any]) -> tuple[str, ...]:
    reasons = reasons_to_wait(None if in_force is None else in_force.body, body)
    if in_force is not None and in_force.author_id is not None:
        return (f"{in_force.author} set the price in force by hand.", *reasons)
    return reasons


def _refused_before(provider: str, model: str, body: Mapping[str, Any]) -> bool:
    last = PriceProposal.objects.filter(provider=provider, model=model).exclude(state=Decision.OVERTAKEN).first()
    return last is not None and last.state == Decision.REFUSED and last.body == body


def _propose(
    provider: str,
    model: str,
    body: Mapping[str, Any],
    in_force: CostCardVersion | None,
    reasons: Sequence[str],
    *,
    origin: str,
    now: datetime,
    source: trail.Source,
) -> None:
    changed: list[dict[str, Any]] = []
    if in_force is not None:
        before, after = Card.from_json({**in_force.body, "version": 0}), Card.from_json({**body, "version": 0})
        changed = [{"field": one.field, "before": one.before, "after": one.after} for one in differences(before, after)]
    proposal = PriceProposal.objects.create(
        provider=provider,
        model=model,
        body=dict(body),
        against=in_force,
        differences=changed,
        reasons=list(reasons),
        source=origin[:200],
        seen_at=now,
    )
    trail.record("price_proposal.made", source=source, target=proposal, after={"reasons": list(reasons)})


def _ring(names: Sequence[str], now: datetime) -> None:
    named = ", ".join(names[:3]) + (" and others" if len(names) > 3 else "")
    alarms.tell("price", f"New prices wait for a person: {named}.", now=now)


def _ring_losses(version: CostCardVersion, now: datetime) -> None:
    for plan, problems in pricebook.losses(Card.from_json(version.body), at=now).items():
        sentence = f"Plan {plan} loses money on {version.provider}/{version.model} now: {problems[0].sentence}"
        alarms.tell("loss", sentence, now=now)


# --- Deciding ---------------------------------------------------------------------------------------------------------


@transaction.atomic
def accept(proposal: PriceProposal, *, now: datetime, source: trail.Source, reason: str = "") -> CostCardVersion:
    """Put a proposed price in force, from this moment on."""
    proposal = _undecided(proposal)
    in_force = pricebook.card_in_force(proposal.provider, proposal.model, at=now)
    if (in_force.pk if in_force else None) != proposal.against_id:
        raise Outdated("The price in force has changed since this was proposed; ask the list again.")
    note = reason or f"From {proposal.source}"
    version = pricebook.publish_card(body=proposal.body, effective_from=now, note=note[:200], source=source)
    proposal.became = version
    _decide(proposal, Decision.ACCEPTED, now=now, source=source, reason=reason)
    _ring_losses(version, now)
    return version


@transaction.atomic
def refuse(proposal: PriceProposal, *, now: datetime, source: trail.Source, reason: str = "") -> None:
    """Leave the price as it is; the same proposal does not come back."""
    _decide(_undecided(proposal), Decision.REFUSED, now=now, source=source, reason=reason)


def _undecided(proposal: PriceProposal) -> PriceProposal:
    found = PriceProposal.objects.select_for_update().get(pk=proposal.pk)
    if found.state != Decision.WAITING:
        message = f"This was decided already: {found.get_state_display().lower()}."
        raise AlreadyDecided(message)
    return found


def _decide(proposal: PriceProposal, decision: Decision, *, now: datetime, source: trail.Source, reason: str) -> None:
    proposal.state, proposal.decided_at, proposal.decided_by = decision, now, source.user
    proposal.save(update_fields=["state", "decided_at", "decided_by", "became"])
    trail.record(
        f"price_proposal.{decision.value}",
        source=source,
        target=proposal,
        before={"state": Decision.WAITING.value},
        after={"state": decision.value},
        reason=reason,
    )
