"""Begin and end a price experiment, so that every process knows before the next call.

Promise: what begins or ends moves the epoch of every wallet of the shop in the same transaction, so no process prices
another call by what it kept in memory; one experiment at a time runs in a shop; an arm that would sell below cost under
a plan in force is refused unless that plan allows a loss. Costs may rise later, and customers have multipliers of their
own: then the engine leaves the arm out for that model (``Rates.product_of``), so it never sells at a loss either way.
"""

from collections.abc import Iterator
from datetime import datetime
from fractions import Fraction
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q

from accounts import trail
from accounts.models import Storefront
from billing import pricebook, wallets
from billing.models.experiments import Experiment
from billing.pricing import Malformed, Modifiers, Plan, Rates, Unpriced
from plumbing.refusals import Refusal

LEAST, MOST = Fraction(1, 2), Fraction(2)  # what a trial may multiply by; beyond that it is no trial
MOST_WEIGHT = 1_000


class ExperimentRefused(Refusal, ValueError):
    """It cannot begin; the sentence says why."""

    status = 400
    code = "experiment_refused"


def problems(arms: Any) -> list[str]:
    """Why these arms are none; empty if they are."""
    if not isinstance(arms, list) or len(arms) < 2:
        return ["An experiment has two arms at least; the first is the control."]
    found, names = [], set()
    for arm in arms:
        name = arm.get("name") if isinstance(arm, dict) else None
        if not name or name in names:
            found.append("Every arm has a name of its own.")
        names.add(name)
        weight = arm.get("weight", 1) if isinstance(arm, dict) else 0
        if type(weight) is not int or not 1 <= weight <= MOST_WEIGHT:
            found.append(f"The weight of {name!r} is a whole number from 1 to {MOST_WEIGHT}.")
        try:
            read = Modifiers.from_json({"arm": {"name": name, "multiplier": arm.get("multiplier")}})
        except (Malformed, AttributeError) as error:
            found.append(str(error))
            continue
        if not LEAST <= read.arm_multiplier <= MOST:
            found.append(f"{name} multiplies prices by something from {LEAST} to {MOST}.")
    if not found and Fraction(arms[0]["multiplier"]) != 1:
        found.append("The first arm is the control: it multiplies by 1.")
    return found


@transaction.atomic
def begin(
    *,
    storefront: Storefront,
    name: str,
    arms: list[dict[str, Any]],
    starts_at: datetime,
    ends_at: datetime,
    stop_below_percent: int,
    source: trail.Source,
    now: datetime,
) -> Experiment:
    """Try prices from a moment on; every customer of the shop is in one arm, the first being the control."""
    shop = Storefront.objects.select_for_update().get(pk=storefront.pk)
    starts_at = max(starts_at, now)
    if ends_at <= starts_at:
        raise ExperimentRefused("It ends after it begins, and not in the past.")
    if found := problems(arms):
        raise ExperimentRefused(" ".join(dict.fromkeys(found)))
    others = Experiment.objects.filter(storefront=shop, stopped_at__isnull=True)
    if other := others.filter(Q(starts_at__lt=ends_at) & Q(ends_at__gt=starts_at)).first():
        message = f"{other.name} runs in that time, and two at once could not be told apart."
        raise ExperimentRefused(message)
    if lost := next(losing(shop, arms, at=starts_at), ""):
        raise ExperimentRefused(lost)
    row = Experiment(
        storefront=shop,
        name=name,
        arms=arms,
        starts_at=starts_at,
        ends_at=ends_at,
        stop_below_percent=stop_below_percent,
    )
    try:
        row.clean_fields(exclude=["stopped_at"])
        with transaction.atomic():
            row.save(force_insert=True)
    except ValidationError as error:
        raise ExperimentRefused(" ".join(error.messages)) from error
    except IntegrityError as error:
        message = f"There was an experiment named {name} here; its name decides who is drawn, so take another."
        raise ExperimentRefused(message) from error
    wallets.bump_all(shop)
    after = {"arms": arms, "starts_at": starts_at, "ends_at": ends_at}
    trail.record("experiment.begun", source=source, target=row, storefront=shop, after=after)
    return row


@transaction.atomic
def stop(experiment: Experiment, *, reason: str, source: trail.Source, now: datetime) -> bool:
    """End it: the next call of every customer, in every process, is charged the list price. Returns whether it ran."""
    row = Experiment.objects.select_for_update().filter(pk=experiment.pk, stopped_at__isnull=True).first()
    if row is None:
        return False
    row.stopped_at, row.stop_reason = now, reason[:200]
    row.save(update_fields=["stopped_at", "stop_reason"])
    if now < row.ends_at:  # else every view that knows of it knows that it is over
        wallets.bump_all(row.storefront)
    trail.record("experiment.stopped", source=source, target=row, storefront=row.storefront, reason=reason[:200])
    experiment.stopped_at, experiment.stop_reason = row.stopped_at, row.stop_reason
    return True


def losing(storefront: Storefront, arms: list[dict[str, Any]], *, at: datetime) -> Iterator[str]:
    """What arms would sell below cost or a margin floor under the shop's plans, in sentences."""
    written = [{"name": arm["name"], "multiplier": arm["multiplier"]} for arm in arms]
    tried = [Modifiers.from_json({"arm": arm}) for arm in written]
    cards = pricebook.cards_in_force(at=at)
    plans = [version for version in pricebook.plans_in_force(at=at) if version.storefront_id == storefront.pk]
    for plan in (Plan.from_json(version.body) for version in plans):
        for card in cards:
            try:
                rates = Rates.of(plan=plan, card=card)
            except Unpriced:
                continue  # this plan does not sell it
            for modifiers in tried:
                if rates.product_of(modifiers) != modifiers.product:
                    name = modifiers.arm_name
                    yield f"{name} would sell {card.model} below cost, or the margin floor, under {plan.name}."
