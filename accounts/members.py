"""Members of an organization: invite, accept, change a role, leave, hand over.

Promise: an organization always has an owner; nobody gives or touches a role above their own reach; whoever leaves
takes their keys' life with them. Each act locks the organization's row first and looks at the actor's role again
behind that lock, so two acts at once cannot undo a promise together; each leaves a trail and announces
``access_changed`` in its own transaction. An invitation's token is in the letter alone, here only its hash.
"""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from allauth.account.models import EmailAddress
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Q

from accounts import access, keys, letters, roles, trail
from accounts.access import Seat
from accounts.models import Invitation, Membership, Organization, Role, Storefront, User
from accounts.models.bounds import SPEND_CAPS
from accounts.models.organizations import Standing
from accounts.roles import Permission
from accounts.signals import access_changed
from plumbing.refusals import Refusal

LIFETIME = timedelta(days=7)
RESEND_PAUSE = timedelta(minutes=1)
ACTIVE_NOTED_EVERY = timedelta(minutes=10)
MOST_LETTERS_A_DAY = 100
MOST_MEMBERS = 500


class MembersRefused(Refusal, ValueError):
    """The members stay as they are; the sentence says why (409)."""

    code = "members_refused"


class LastOwner(MembersRefused):
    """An organization keeps at least one owner (409)."""

    code = "last_owner"


class AlreadyInvited(MembersRefused):
    """The mailbox has an open invitation, or belongs to a member (409)."""

    code = "already_invited"


class TooManyLetters(MembersRefused):
    """Another letter now would be one too many (429)."""

    status = 429
    code = "too_many_letters"


class NotAllowed(Refusal, PermissionError):
    """Neither role, key nor visit allows that (403)."""

    status = 403
    code = "role_too_low"


class InvitationNotThere(Refusal, LookupError):
    """No invitation with this token at this storefront (404)."""

    status = 404
    code = "not_found"


class InvitationEnded(Refusal, ValueError):
    """The invitation was revoked, has expired, or was used by somebody (409)."""

    code = "invitation_ended"


class WrongMailbox(Refusal, PermissionError):
    """The invitation went to another mailbox than this person has verified (403)."""

    status = 403
    code = "wrong_mailbox"


# --- Inviting ---------------------------------------------------------------------------------------------------------


@transaction.atomic
def invite(seat: Seat, *, email: str, role: Role, source: trail.Source, now: datetime) -> Invitation:
    """Write a letter to a mailbox; it is open for seven days."""
    seat = _lock(seat, Permission.MANAGE_MEMBERS)
    if not roles.may_grant(seat.role, role):
        message = f"Your role does not invite people as {role.label}."
        raise NotAllowed(message)
    return _write(seat, email=email, role=role, transfers_ownership=False, source=source, now=now)


@transaction.atomic
def offer_ownership(seat: Seat, membership: Membership, *, source: trail.Source, now: datetime) -> Invitation:
    """Ask a member to take over; nothing changes until they accept."""
    seat = _lock(seat, Permission.TRANSFER_OWNERSHIP)
    receiver = _behind_lock(seat, membership)
    if receiver.user_id == seat.user.pk:
        message = "You are the owner already."
        raise MembersRefused(message)
    return _write(seat, email=receiver.user.email, role=Role.OWNER, transfers_ownership=True, source=source, now=now)


def _write(
    seat: Seat, *, email: str, role: Role, transfers_ownership: bool, source: trail.Source, now: datetime
) -> Invitation:
    email = _clean_email(email)
    organization = seat.organization
    invitations = Invitation.objects.of(organization)
    invitations.filter(_open(), email=email, expires_at__lte=now).update(revoked_at=now)
    if invitations.filter(_open(), email=email).exists():
        message = "This mailbox has an open invitation; resend or revoke that one."
        raise AlreadyInvited(message)
    if not transfers_ownership and _belongs(organization, email):
        message = "Whoever reads this mailbox is a member already."
        raise AlreadyInvited(message)
    if invitations.filter(created_at__gt=now - timedelta(days=1)).count() >= MOST_LETTERS_A_DAY:
        message = f"{MOST_LETTERS_A_DAY} invitations a day are the most; go on tomorrow."
        raise TooManyLetters(message)
    token = secrets.token_urlsafe(32)
    invitation: Invitation = Invitation.objects.create(
        organization=organization,
        email=email,
        role=role,
        transfers_ownership=transfers_ownership,
        token_hash=_hash(token),
        invited_by=seat.user,
        expires_at=now + LIFETIME,
    )
    action = "ownership.offered" if transfers_ownership else "member.invited"
    trail.record(action, source=source, target=invitation, after={"email": email, "role": role})
    _send_invitation(invitation, token, now)
    return invitation


@transaction.atomic
def resend(seat: Seat, invitation: Invitation, *, source: trail.Source, now: datetime) -> Invitation:
    """Send a fresh letter for another seven days; the link of the old one stops working."""
    seat = _lock(seat, Permission.MANAGE_MEMBERS)
    invitation = _open_invitation(seat, invitation)
    if now - (invitation.expires_at - LIFETIME) < RESEND_PAUSE:
        message = "A letter left less than a minute ago; give it a moment to arrive."
        raise TooManyLetters(message)
    token = secrets.token_urlsafe(32)
    invitation.token_hash, invitation.expires_at = _hash(token), now + LIFETIME
    invitation.save(update_fields=["token_hash", "expires_at"])
    trail.record("invitation.resent", source=source, target=invitation)
    _send_invitation(invitation, token, now)
    return invitation


@transaction.atomic
def revoke_invitation(seat: Seat, invitation: Invitation, *, source: trail.Source, now: datetime) -> Invitation:
    """Take an invitation back; a second time changes nothing."""
    seat = _lock(seat, Permission.MANAGE_MEMBERS)
    current: Invitation = Invitation.objects.of(seat.organization).get(pk=invitation.pk)
    if current.revoked_at:
        return current
    current = _open_invitation(seat, invitation)
    current.revoked_at = now
    current.save(update_fields=["revoked_at"])
    trail.record("invitation.revoked", source=source, target=current)
    return current


def _open_invitation(seat: Seat, invitation: Invitation) -> Invitation:
    current: Invitation = Invitation.objects.of(seat.organization).select_related("invited_by").get(pk=invitation.pk)
    if current.transfers_ownership and not seat.may(Permission.TRANSFER_OWNERSHIP):
        message = "Only the owner decides about an offer of ownership."
        raise NotAllowed(message)
    if current.accepted_at or current.revoked_at:
        message = "This invitation was accepted." if current.accepted_at else "This invitation was revoked."
        raise InvitationEnded(message)
    return current


def _send_invitation(invitation: Invitation, token: str, now: datetime) -> None:
    storefront = invitation.organization.storefront
    letters.send(
        "invitation",
        storefront=storefront,
        recipients=[invitation.email],
        context={
            "inviter": invitation.invited_by.name or invitation.invited_by.email,
            "organization": invitation.organization.name,
            "role": Role(invitation.role).label.lower(),
            "transfers_ownership": invitation.transfers_ownership,
            "expires_at": f"{invitation.expires_at:%d %B %Y %H:%M} UTC",
            "link": f"{access.canonical_base(storefront)}/invitations/{token}/",
        },
        key=invitation.token_hash,
        now=now,
    )


# --- Accepting --------------------------------------------------------------------------------------------------------


def invitation_for(token: str, *, storefront: Storefront, now: datetime, user: User | None = None) -> Invitation:
    """The invitation with this token, if it can still be accepted (or was, by this very person)."""
    invitation = (
        Invitation.unscoped.filter(token_hash=_hash(token), organization__storefront=storefront)
        .exclude(organization__standing=Standing.CLOSED)
        .select_related("organization__storefront", "invited_by")
        .first()
    )
    if invitation is None:
        message = "There is no invitation at this address; a newer letter may have replaced it."
        raise InvitationNotThere(message)
    _check_alive(invitation, now=now, user=user)
    return invitation


def open_invitation(public_id: str, *, storefront: Storefront, now: datetime) -> Invitation | None:
    """The invitation somebody arrived with, while it is open: what a shop for invited people looks at on sign-up."""
    return (
        Invitation.unscoped.filter(
            _open(), public_id=public_id, organization__storefront=storefront, expires_at__gt=now
        )
        .exclude(organization__standing=Standing.CLOSED)
        .first()
    )


def _check_alive(invitation: Invitation, *, now: datetime, user: User | None) -> None:
    again = user is not None and invitation.accepted_by_id == user.pk
    for ended, message in (
        (invitation.revoked_at, "This invitation was taken back; ask for a new one."),
        (invitation.accepted_at and not again, "This invitation was used already."),
        (
            not invitation.accepted_at and invitation.expires_at <= now,
            "This invitation has expired; ask for a new one.",
        ),
    ):
        if ended:
            raise InvitationEnded(message)


@transaction.atomic
def accept(*, token: str, user: User, storefront: Storefront, source: trail.Source, now: datetime) -> Membership:
    """Join (or take over) as the letter says; a second time returns the same membership."""
    if source.impersonation is not None or source.api_key is not None:
        message = "Only the invited person accepts an invitation."
        raise NotAllowed(message)
    found = invitation_for(token, storefront=storefront, now=now, user=user)
    organization = _lock_organization(found.organization)
    invitation = invitation_for(token, storefront=storefront, now=now, user=user)
    if not EmailAddress.objects.filter(user=user, email__iexact=invitation.email, verified=True).exists():
        message = f"This invitation went to {_hint(invitation.email)}; sign in with that mailbox and verify it first."
        raise WrongMailbox(message)
    membership: Membership | None = Membership.objects.of(organization).filter(user=user).first()
    if invitation.accepted_at:
        if membership is None:
            message = "You used this invitation and have left since; ask for a new one."
            raise InvitationEnded(message)
        return membership
    membership = (
        _take_over(invitation, membership, source)
        if invitation.transfers_ownership
        else _join(invitation, user, membership, source)
    )
    invitation.accepted_at, invitation.accepted_by = now, user
    invitation.save(update_fields=["accepted_at", "accepted_by"])
    access_changed.send(sender=Membership, organization=organization)
    return membership


def _join(invitation: Invitation, user: User, membership: Membership | None, source: trail.Source) -> Membership:
    if membership is not None:
        return membership
    inviter = Membership.objects.of(invitation.organization).filter(user=invitation.invited_by_id).first()
    if inviter is None or not roles.may_grant(Role(inviter.role), Role(invitation.role)):
        message = "Whoever invited you may no longer do so; ask for a new invitation."
        raise InvitationEnded(message)
    if Membership.objects.of(invitation.organization).count() >= MOST_MEMBERS:
        message = f"This organization is full; {MOST_MEMBERS} members are the most."
        raise MembersRefused(message)
    joined: Membership = Membership.objects.create(
        organization=invitation.organization, user=user, role=invitation.role
    )
    trail.record("member.joined", source=source, target=joined, after={"role": joined.role})
    return joined


def _take_over(invitation: Invitation, membership: Membership | None, source: trail.Source) -> Membership:
    owner = (
        Membership.objects.of(invitation.organization).filter(user=invitation.invited_by_id, role=Role.OWNER).first()
    )
    if owner is None or membership is None:
        message = "This offer no longer stands; ask the owner for a new one."
        raise InvitationEnded(message)
    before = {"owner": owner.user.email, "role": membership.role}
    owner.role, membership.role = Role.ADMIN, Role.OWNER
    owner.save(update_fields=["role"])
    membership.save(update_fields=["role"])
    trail.record(
        "ownership.transferred", source=source, target=membership, before=before, after={"owner": membership.user.email}
    )
    return membership


@transaction.atomic
def appoint(membership: Membership, *, source: trail.Source, reason: str) -> Membership:
    """Make a member the owner without an offer: the platform's way out when an owner cannot be reached any more."""
    organization = _lock_organization(membership.organization)
    member: Membership = Membership.objects.of(organization).select_related("user").get(pk=membership.pk)
    if not member.user.is_active:
        message = "Somebody who is switched off cannot own an organization."
        raise MembersRefused(message)
    owners = Membership.objects.of(organization).filter(role=Role.OWNER).exclude(pk=member.pk)
    before = {"owners": list(owners.values_list("user__email", flat=True)), "role": member.role}
    owners.update(role=Role.ADMIN)
    member.role = Role.OWNER
    member.save(update_fields=["role"])
    after = {"owner": member.user.email}
    trail.record("ownership.assigned", source=source, target=member, before=before, after=after, reason=reason)
    access_changed.send(sender=Membership, organization=organization)
    return member


# --- Changing and leaving ---------------------------------------------------------------------------------------------


@transaction.atomic
def change_role(seat: Seat, membership: Membership, *, role: Role, source: trail.Source) -> Membership:
    """Give a member another role; one may also step down oneself."""
    seat = _lock(seat, None)
    member = _behind_lock(seat, membership)
    held = Role(member.role)
    if role is held:
        return member
    in_person = member.user_id == seat.user.pk and seat.api_key is None and seat.impersonation is None
    stepping_down = in_person and roles.GRANTED[role] < roles.GRANTED[held]
    if not stepping_down:
        _require(seat, Permission.MANAGE_MEMBERS)
        if not (roles.may_touch(seat.role, held) and roles.may_grant(seat.role, role)):
            message = f"Your role does not turn {held.label} into {role.label}; ownership is handed over by an offer."
            raise NotAllowed(message)
    if held is Role.OWNER:
        _keep_an_owner(member)
    member.role = role
    member.save(update_fields=["role"])
    trail.record("member.role_changed", source=source, target=member, before={"role": held}, after={"role": role})
    access_changed.send(sender=Membership, organization=seat.organization)
    return member


@transaction.atomic
def set_caps(seat: Seat, membership: Membership, *, source: trail.Source, **caps: int | None) -> Membership:
    """Bound what a member's keys may spend per day, month and ever (``cap_day_nano`` and its sisters)."""
    assert set(caps) <= set(SPEND_CAPS), "only the three caps are set here"
    seat = _lock(seat, Permission.MANAGE_MEMBERS)
    member = _behind_lock(seat, membership)
    if not roles.may_touch(seat.role, Role(member.role)):
        message = "Your role does not set the caps of this member."
        raise NotAllowed(message)
    before = {name: getattr(member, name) for name in caps}
    for name, value in caps.items():
        setattr(member, name, value)
    member.full_clean()
    member.save(update_fields=list(caps))
    trail.record("member.caps_changed", source=source, target=member, before=before, after=caps)
    access_changed.send(sender=Membership, organization=seat.organization)
    return member


@transaction.atomic
def remove(seat: Seat, membership: Membership, *, source: trail.Source, now: datetime) -> None:
    """End somebody's membership, or one's own (leaving); keys they made end in the same moment."""
    seat = _lock(seat, None)
    member = _behind_lock(seat, membership)
    leaving = member.user_id == seat.user.pk
    if seat.impersonation is not None or (leaving and seat.api_key is not None):
        message = "Only the person themselves leaves an organization."
        raise NotAllowed(message)
    if not leaving:
        _require(seat, Permission.MANAGE_MEMBERS)
        if not roles.may_touch(seat.role, Role(member.role)):
            message = "Your role does not remove this member."
            raise NotAllowed(message)
    if member.role == Role.OWNER:
        _keep_an_owner(member)
    reason = "its maker left the organization" if leaving else "its maker was removed from the organization"
    for key in seat.organization.api_keys.filter(created_by=member.user_id, revoked_at__isnull=True):
        keys.revoke(key, now=now, source=source, reason=reason)
    trail.record(
        "member.left" if leaving else "member.removed", source=source, target=member, before={"role": member.role}
    )
    member.delete()
    access_changed.send(sender=Membership, organization=seat.organization)


def _keep_an_owner(member: Membership) -> None:
    others = Membership.objects.of(member.organization).filter(role=Role.OWNER, user__is_active=True)
    if not others.exclude(pk=member.pk).exists():
        message = "The last owner stays; hand the organization over first."
        raise LastOwner(message)


def note_active(membership: Membership, *, now: datetime) -> None:
    """Remember when somebody was last here in person, to within ``ACTIVE_NOTED_EVERY``."""
    if membership.last_active_at is None or now - membership.last_active_at >= ACTIVE_NOTED_EVERY:
        Membership.objects.of(membership.organization).filter(pk=membership.pk).update(last_active_at=now)


# --- Behind the lock --------------------------------------------------------------------------------------------------


def _lock_organization(organization: Organization) -> Organization:
    return Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)


def _lock(seat: Seat, permission: Permission | None) -> Seat:
    """Hold the organization still, and look again who is asking."""
    organization = _lock_organization(seat.organization)
    if seat.impersonation is None:
        membership = Membership.objects.of(organization).filter(user=seat.user).first()
        if membership is None:
            message = "You are no longer a member here."
            raise NotAllowed(message)
        seat = replace(seat, role=Role(membership.role), membership=membership)
    if permission is not None:
        _require(seat, permission)
    return seat


def _require(seat: Seat, permission: Permission) -> None:
    if not seat.may(permission):
        message = "Your role here does not allow this."
        raise NotAllowed(message)


def _behind_lock(seat: Seat, membership: Membership) -> Membership:
    current: Membership | None = (
        Membership.objects.of(seat.organization).select_related("user", "organization").filter(pk=membership.pk).first()
    )
    if current is None:
        message = "This person is no longer a member."
        raise MembersRefused(message)
    return current


def _open() -> Q:
    return Q(accepted_at__isnull=True, revoked_at__isnull=True)


def _belongs(organization: Organization, email: str) -> bool:
    people: Iterable[int] = EmailAddress.objects.filter(email__iexact=email, verified=True).values("user_id")
    members = Membership.objects.of(organization)
    return bool(members.filter(Q(user__in=people) | Q(user__email__iexact=email)).exists())


def _clean_email(email: str) -> str:
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError as error:
        raise ValidationError({"email": "This is not an email address."}) from error
    if not email.isascii() or len(email) > 254:
        raise ValidationError({"email": "Write the address in ASCII letters, 254 at most."})
    return email


def _hint(email: str) -> str:
    name, _, domain = email.partition("@")
    return f"{name[:1]}…@{domain}"


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
