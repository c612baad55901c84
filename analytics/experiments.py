"""What came of prices that are tried on some customers, and when to stop.

Promise: results compare organizations, because they were drawn, not calls, and an interval that too few of them could
carry is not given; an experiment that goes surely worse than it may is ended, which ``billing.experiments`` does.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import fmean

from accounts import trail
from accounts.models import Organization
from analytics import reports
from analytics.reports import Scope
from billing import experiments
from billing.arms import arm_of
from billing.models import Experiment

LEAST_ORGANIZATIONS = 10  # in an arm, before an interval means anything
RESAMPLES = 2_000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Arm:
    """What came of one arm, per organization and day; money is nano-USD."""

    name: str
    organizations: int
    active: int
    revenue_nano: float
    profit_nano: float
    difference_percent: float | None = None  # of revenue, to the control
    interval_percent: tuple[float, float] | None = None


def results(experiment: Experiment, *, now: datetime) -> list[Arm]:
    """Revenue and profit per organization and day in each arm, with the difference to the control."""
    until = min(filter(None, (experiment.ends_at, experiment.stopped_at, now)))
    if until <= experiment.starts_at:
        return []
    scope = Scope(
        experiment.starts_at.astimezone(UTC).date(),
        until.astimezone(UTC).date(),
        storefront=experiment.storefront,
    )
    earned = {pk: figures for (pk,), figures in reports.by(scope, "organization_id").items()}
    members: dict[str, list[int]] = {arm["name"]: [] for arm in experiment.arms}
    there = Organization.objects.filter(storefront=experiment.storefront, created_at__lt=until)
    for organization in there.only("pk", "public_id", "storefront_id"):
        members[arm_of(experiment, organization)].append(organization.pk)
    revenue = {
        name: [earned[pk].charge_nano / scope.days if pk in earned else 0.0 for pk in pks]
        for name, pks in members.items()
    }
    control = revenue[experiment.arms[0]["name"]]
    found = []
    for place, (name, pks) in enumerate(members.items()):
        profit = [earned[pk].profit_nano / scope.days if pk in earned else 0.0 for pk in pks]
        found.append(
            Arm(
                name=name,
                organizations=len(pks),
                active=sum(pk in earned for pk in pks),
                revenue_nano=fmean(revenue[name]) if pks else 0.0,
                profit_nano=fmean(profit) if pks else 0.0,
                difference_percent=_difference(revenue[name], control) if place else None,
                interval_percent=interval(revenue[name], control) if place else None,
            )
        )
    return found


def interval(arm: Sequence[float], control: Sequence[float], *, seed: int = 1) -> tuple[float, float] | None:
    """Where the difference of means, in per cent of the control's, lies with 95 % confidence: a bootstrap."""
    if min(len(arm), len(control)) < LEAST_ORGANIZATIONS:
        return None
    chance = random.Random(seed)  # noqa: S311 - the same data give the same interval
    found = []
    for _ in range(RESAMPLES):
        one, other = chance.choices(arm, k=len(arm)), chance.choices(control, k=len(control))
        difference = _difference(one, other)
        if difference is not None:
            found.append(difference)
    if len(found) < RESAMPLES // 2:
        return None
    found.sort()
    edge = (1 - LEVEL) / 2
    return found[int(edge * len(found))], found[int((1 - edge) * len(found)) - 1]


def stop_if_due(experiment: Experiment, *, now: datetime) -> bool:
    """Stop an experiment whose time is over, or an arm of which is surely worse than allowed; returns whether."""
    if experiment.stopped_at is not None:
        return False
    reason = "Its time is over." if now >= experiment.ends_at else ""
    for arm in results(experiment, now=now) if not reason else ():
        if arm.interval_percent and arm.interval_percent[1] < experiment.stop_below_percent:
            low, high = arm.interval_percent
            reason = f"{arm.name} earns {low:.0f} to {high:.0f} per cent against the control."
    return bool(reason) and experiments.stop(experiment, reason=reason, source=trail.SYSTEM, now=now)


def _difference(arm: Sequence[float], control: Sequence[float]) -> float | None:
    base = fmean(control) if control else 0.0
    return 100 * (fmean(arm) - base) / base if base and arm else None
