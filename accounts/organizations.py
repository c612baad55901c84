"""Workspaces: how one begins, and how its bounds and standing change.

Promise: a workspace appears with its owner and whatever listens to ``organization_created`` in one transaction; every
change is in the trail and announced; names are one line and zones exist. People are the same at all shops, so a shop's
policy also decides who of them may open a workspace here: having signed up elsewhere is no way around it.
"""

import zoneinfo
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.text import slugify

from accounts import access, keys, trail
from accounts.models import Invitation, Membership, Organization, Role, SignUpPolicy, Storefront, User
from accounts.models.organizations import Standing
from accounts.operators import scope_of
from accounts.signals import access_changed, organization_created
from plumbing.identifiers import new_id
from plumbing.refusals import Refusal
from plumbing.text import NotOneLine, one_line

TRIES = 5
LONGEST_NAME = 80
MOST_OWNED = 50


class TooManyWorkspaces(Refusal, ValueError):
    """Somebody owns as many workspaces as anyone may (409)."""

    code = "too_many_organizations"


class NotOpen(Refusal, PermissionError):
    """The shop opens no workspace for this person (403)."""

    status = 403
    code = "storefront_not_open"


class NotTheOwner(Refusal, PermissionError):
    """Only an owner does this, and in person (403)."""

    status = 403
    code = "not_the_owner"


def may_open(storefront: Storefront, person: User) -> bool:
    """Whether this person may open a workspace here: anyone where anyone signs up, else who belongs here already."""
    if not storefront.is_open:
        return False
    if storefront.sign_up_policy == SignUpPolicy.OPEN or scope_of(person).may_see(storefront):
        return True
    return access.memberships_of(person, storefront).exists()


def open_own(*, storefront: Storefront, person: User, name: str, source: trail.Source) -> Organization:
    """Open a workspace because somebody asks for one, if this shop opens one for them."""
    if not may_open(storefront, person):
        message = (
            f"{storefront.name} opens no new organizations for you; write to its support, or ask for an invitation."
        )
        raise NotOpen(message)
    return create(storefront=storefront, owner=person, name=name, source=source)


@transaction.atomic
def create(*, storefront: Storefront, owner: User, name: str, source: trail.Source) -> Organization:
    """Open a workspace with its first owner; announces ``organization_created`` in the same transaction."""
    if owner.memberships.filter(role=Role.OWNER).count() >= MOST_OWNED:
        message = f"One person can own {MOST_OWNED} organizations at most."
        raise TooManyWorkspaces(message)
    organization = _insert(storefront, _clean_name(name))
    Membership.objects.create(organization=organization, user=owner, role=Role.OWNER)
    trail.record("organization.created", source=source, target=organization)
    organization_created.send(sender=Organization, organization=organization)
    return organization


def _insert(storefront: Storefront, name: str) -> Organization:
    stem = slugify(name)[:36] or "workspace"
    slug = stem
    for _ in range(TRIES):
        try:
            with transaction.atomic():
                return Organization.objects.create(storefront=storefront, name=name, slug=slug)
        except IntegrityError:
            slug = f"{stem}-{new_id('x')[2:8]}"
    message = f"no free slug for {name!r}"
    raise RuntimeError(message)


def _clean_name(name: str) -> str:
    try:
        return one_line(name, longest=LONGEST_NAME)
    except NotOneLine as error:
        raise ValidationError({"name": str(error)}) from error


@transaction.atomic
def update(organization: Organization, *, source: trail.Source, reason: str = "", **changes: Any) -> None:
    """Change a workspace's name, zone, caps or limits."""
    if "name" in changes:
        changes["name"] = _clean_name(changes["name"])
    if "time_zone" in changes and changes["time_zone"] not in zoneinfo.available_timezones():
        raise ValidationError({"time_zone": "This is not a time zone such as Europe/Paris."})
    before = {name: getattr(organization, name) for name in changes}
    for name, value in changes.items():
        setattr(organization, name, value)
    organization.full_clean()
    organization.save(update_fields=list(changes))
    trail.record(
        "organization.changed", source=source, target=organization, before=before, after=changes, reason=reason
    )
    access_changed.send(sender=Organization, organization=organization)


def set_standing(organization: Organization, standing: Standing, *, reason: str, source: trail.Source) -> None:
    """Suspend, close, or welcome back."""
    update(organization, source=source, reason=reason, standing=standing, standing_reason=reason[:200])


@transaction.atomic
def close(seat: access.Seat, *, source: trail.Source, now: datetime) -> None:
    """End a workspace for good, by its owner: keys and invitations end, its rows and its books stay."""
    organization = Organization.objects.select_for_update(no_key=True).get(pk=seat.organization.pk)
    membership = Membership.objects.of(organization).filter(user=seat.user).first()
    in_person = seat.impersonation is None and seat.api_key is None
    if not in_person or membership is None or membership.role != Role.OWNER:
        message = "Only the owner closes an organization, in person."
        raise NotTheOwner(message)
    end(organization, why="Its owner closed the organization.", source=source, now=now)


def end(organization: Organization, *, why: str, source: trail.Source, now: datetime) -> None:
    """What closing comes to, inside the transaction of whoever decided it."""
    for key in organization.api_keys.filter(revoked_at__isnull=True):
        keys.revoke(key, now=now, source=source, reason=why)
    letters = Invitation.objects.of(organization).filter(accepted_at__isnull=True, revoked_at__isnull=True)
    letters.update(revoked_at=now)
    set_standing(organization, Standing.CLOSED, reason=why, source=source)
