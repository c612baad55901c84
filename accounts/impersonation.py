"""Visits by staff: explicit, short, to one organization, written in the trail, and harmless.

Promise: only somebody who runs the shop visits its customers, with a reason; a visit is to one organization, ends by
itself or when the visitor's job does, shows on every page, and its seat holds no permission that shows or makes a key
or moves money (``roles.VISITOR``). A session is on one visit at a time.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.http import HttpRequest

from accounts import trail
from accounts.models import Impersonation, Organization, User
from accounts.models.organizations import Standing
from accounts.operators import scope_of
from plumbing.refusals import Refusal

LONGEST_VISIT = timedelta(minutes=30)
SESSION_KEY = "impersonation"


class VisitRefused(Refusal, ValueError):
    """The visit cannot start; the sentence says why."""


@transaction.atomic
def start(
    request: HttpRequest, *, staff: User, organization: Organization, reason: str, now: datetime
) -> Impersonation:
    """Begin a visit; one that still runs ends first."""
    if not reason.strip():
        message = "Say why you visit; the customer may ask."
        raise VisitRefused(message)
    if not scope_of(staff).may_change(organization.storefront):
        message = "You do not run this organization's shop."
        raise VisitRefused(message)
    if organization.standing == Standing.CLOSED:
        message = "This organization is closed; there is nothing to visit."
        raise VisitRefused(message)
    if running := current(request, now=now):
        end(request, running, now=now)
    visit = Impersonation.objects.create(
        staff=staff,
        organization=organization,
        reason=reason.strip()[:200],
        started_at=now,
        expires_at=now + LONGEST_VISIT,
    )
    request.session[SESSION_KEY] = visit.public_id
    trail.record("impersonation.started", source=trail.source_of(request), target=visit, reason=visit.reason)
    return visit


def current(request: HttpRequest, *, now: datetime) -> Impersonation | None:
    """The visit this session is on, if it still runs and its visitor is still staff."""
    public_id = request.session.get(SESSION_KEY)
    if not public_id:
        return None
    visit = (
        Impersonation.objects.filter(
            public_id=public_id, staff=request.user.pk, ended_at__isnull=True, expires_at__gt=now
        )
        .exclude(organization__standing=Standing.CLOSED)
        .select_related("organization__storefront", "staff")
        .first()
    )
    if visit is None or not _still_staff(visit):
        del request.session[SESSION_KEY]
        return None
    return visit


@transaction.atomic
def end(request: HttpRequest, visit: Impersonation, *, now: datetime) -> None:
    """Finish the visit early."""
    Impersonation.objects.filter(pk=visit.pk, ended_at__isnull=True).update(ended_at=now)
    request.session.pop(SESSION_KEY, None)
    trail.record("impersonation.ended", source=trail.source_of(request), target=visit)


def _still_staff(visit: Impersonation) -> bool:
    return scope_of(visit.staff).may_change(visit.organization.storefront)
