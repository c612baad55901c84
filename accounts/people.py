"""People as the platform's staff handle them: change what may be changed, and erase somebody who asks for it.

Promise: nobody hands out a power they do not have (only superusers make operators, and never out of themselves);
erasing keeps the books: every row stays, but the name, the mailbox, the ways to sign in and the keys are gone. Nobody
is erased out of an organization that others still work in and that would be left without an owner.
"""

import zoneinfo
from datetime import datetime
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.core.exceptions import ValidationError
from django.db import transaction

from accounts import keys, organizations, trail
from accounts.models import ApiKey, Invitation, Membership, Organization, Role, StorefrontStaff, User
from accounts.models.organizations import Standing
from accounts.operators import scope_of
from accounts.signals import access_changed
from plumbing.refusals import Refusal
from plumbing.text import NotOneLine, one_line

LONGEST_NAME = 120
CHANGEABLE = frozenset({"name", "time_zone", "is_active"})
POWERS = frozenset({"is_staff", "is_superuser"})


class PersonRefused(Refusal, PermissionError):
    """What was asked cannot be done to this person; the sentence says why."""


@transaction.atomic
def update(user: User, *, by: User, source: trail.Source, reason: str = "", **changes: Any) -> None:
    """Change a person's name, zone or standing; superusers also change who is an operator."""
    _check(user, by=by)
    if unknown := set(changes) - CHANGEABLE - POWERS:
        message = f"{', '.join(sorted(unknown))} cannot be changed here."
        raise PersonRefused(message)
    if POWERS & set(changes) and (not by.is_superuser or by.pk == user.pk):
        raise PersonRefused("Only a superuser makes operators, and never out of themselves.")
    if by.pk == user.pk and changes.get("is_active") is False:
        raise PersonRefused("You cannot switch yourself off.")
    if changes.get("name"):
        changes["name"] = _clean_name(changes["name"])
    if "time_zone" in changes and changes["time_zone"] not in zoneinfo.available_timezones():
        raise ValidationError({"time_zone": "This is not a time zone such as Europe/Paris."})
    before = {name: getattr(user, name) for name in changes}
    for name, value in changes.items():
        setattr(user, name, value)
    user.full_clean(exclude=["password"])
    user.save(update_fields=list(changes))
    trail.record("user.changed", source=source, target=user, before=before, after=changes, reason=reason)
    if "is_active" in changes:
        _announce(user)
        if not user.is_active:
            _end_sessions(user)


@transaction.atomic
def erase(user: User, *, by: User, now: datetime, source: trail.Source, reason: str = "") -> None:
    """Forget who somebody is: mailbox, name, ways to sign in and keys; what they bought stays on the books."""
    _check(user, by=by)
    if by.pk == user.pk:
        raise PersonRefused("You cannot erase yourself; ask a colleague.")
    _leave_no_orphans(user)
    _forget(user, now=now, source=source, reason=reason, why="Its maker was erased.")


@transaction.atomic
def erase_oneself(user: User, *, now: datetime, source: trail.Source) -> None:
    """Somebody ends their own account: places beside others are given up, workspaces of their own are closed."""
    if user.is_staff or user.is_superuser or StorefrontStaff.objects.filter(user=user).exists():
        raise PersonRefused("An operator's account is ended by a colleague.")
    places = Membership.unscoped.filter(user=user).values("organization_id")
    list(Organization.objects.select_for_update(no_key=True).filter(pk__in=places).order_by("pk"))  # hold them still
    _leave_no_orphans(user)
    why = "Its maker ended their account."
    for membership in user.memberships.select_related("organization").order_by("organization_id"):
        organization = membership.organization
        if Membership.objects.of(organization).filter(user__is_active=True).exclude(user=user).exists():
            trail.record("member.left", source=source, target=membership, before={"role": membership.role})
            for key in ApiKey.objects.of(organization).filter(created_by=user, revoked_at__isnull=True):
                keys.revoke(key, now=now, source=source, reason=why)
            membership.delete()
            access_changed.send(sender=Membership, organization=organization)
        elif organization.standing != Standing.CLOSED:
            organizations.end(organization, why="Its only member ended their account.", source=source, now=now)
    _forget(user, now=now, source=source, reason="They asked for it themselves.", why=why)


def alone_in(user: User) -> list[Organization]:
    """The open workspaces that nobody else works in."""
    mine = Organization.objects.filter(memberships__user=user).exclude(standing=Standing.CLOSED).order_by("name")
    others = Membership.unscoped.filter(user__is_active=True).exclude(user=user).values("organization_id")
    return list(mine.exclude(pk__in=others))


def _forget(user: User, *, now: datetime, source: trail.Source, reason: str, why: str) -> None:
    for key in ApiKey.unscoped.filter(created_by=user, revoked_at__isnull=True):
        keys.revoke(key, now=now, source=source, reason=why)
    _end_sessions(user)
    for rows in (EmailAddress, Authenticator, SocialAccount, StorefrontStaff):
        rows.objects.filter(user=user).delete()
    nobody = f"{user.public_id}@erased.invalid"
    letters = Invitation.unscoped.filter(email__iexact=user.email)
    letters.filter(accepted_at__isnull=True, revoked_at__isnull=True).update(revoked_at=now)
    letters.update(email=nobody)
    user.email, user.name, user.acquisition = nobody, "", {}
    user.is_active = user.is_staff = user.is_superuser = False
    user.set_unusable_password()
    user.save()
    trail.record("user.erased", source=source, target=user, reason=reason)
    _announce(user)


def _leave_no_orphans(user: User) -> None:
    """Refuse while somebody else would be left behind in an organization nobody owns."""
    for owned in user.memberships.filter(role=Role.OWNER).exclude(organization__standing=Standing.CLOSED):
        others = Membership.objects.of(owned.organization).filter(user__is_active=True).exclude(user=user)
        if others.exists() and not others.filter(role=Role.OWNER).exists():
            message = f"{owned.organization.name} has other members and no other owner; hand it over or close it first."
            raise PersonRefused(message)


def _clean_name(name: str) -> str:
    try:
        return one_line(name, longest=LONGEST_NAME)
    except NotOneLine as error:
        raise ValidationError({"name": str(error)}) from error


def _check(user: User, *, by: User) -> None:
    scope = scope_of(by)
    if not scope.platform:
        raise PersonRefused("A person belongs to all shops; only the platform's staff may change them.")
    if (user.is_staff or user.is_superuser) and not scope.superuser and by.pk != user.pk:
        raise PersonRefused("Only a superuser changes another operator.")


def _end_sessions(user: User) -> None:
    for session in UserSession.objects.filter(user=user):
        session.end()


def _announce(user: User) -> None:
    # In the order of their numbers, as whoever locks several wallets does.
    for organization in Organization.objects.filter(memberships__user=user).order_by("pk"):
        access_changed.send(sender=User, organization=organization)
