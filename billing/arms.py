"""Which arm of an experiment an organization is in, and what it multiplies that customer's prices by, at any moment.

Promise: an arm follows from the organization's public id and the experiment's name alone, so it never changes and needs
no table. What is read of an experiment holds until the wallet's epoch moves: it carries its own beginning and end, so a
view that was kept in memory charges the list price from the very moment an experiment is over.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

from accounts.models import Organization
from billing.models.experiments import Experiment

LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Draw:
    """What one experiment holds for one organization."""

    name: str  # experiment.arm, as receipts carry it
    multiplier: Fraction
    starts_at: datetime
    ends_at: datetime

    def holds(self, at: datetime) -> bool:
        """Whether it counts at this moment."""
        return self.starts_at <= at < self.ends_at


def arm_of(experiment: Experiment, organization: Organization) -> str:
    """The arm this organization is in, for as long as the experiment exists."""
    return str(_drawn(experiment, organization)["name"])


def draws_of(organization: Organization) -> tuple[Draw, ...]:
    """What experiments that were not stopped hold for this organization, past ones included."""
    rows = Experiment.objects.filter(storefront_id=organization.storefront_id, stopped_at__isnull=True)
    found = []
    for row in rows:
        arm = _drawn(row, organization)
        name = f"{row.name}.{arm['name']}"[:LONGEST_NAME]
        found.append(Draw(name, Fraction(str(arm["multiplier"])), row.starts_at, row.ends_at))
    return tuple(found)


def _drawn(experiment: Experiment, organization: Organization) -> dict[str, Any]:
    weights = [arm.get("weight", 1) for arm in experiment.arms]
    digest = hashlib.sha256(f"{experiment.storefront_id}:{experiment.name}:{organization.public_id}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") % sum(weights)
    for arm, weight in zip(experiment.arms, weights, strict=True):
        if place < weight:
            return dict(arm)
        place -= weight
    raise AssertionError("weights add up to their sum")
