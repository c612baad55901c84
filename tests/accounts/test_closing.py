"""Ends: an owner closes an organization, a person ends their account; the rows and the books stay."""

import pytest
from allauth.account.models import EmailAddress
from django.utils import timezone

from accounts import access, members, organizations, people, trail
from accounts.access import Seat
from accounts.models import ApiKey, AuditEvent, Invitation, Membership, Role
from accounts.models.organizations import Standing
from billing.models import Wallet
from tests import factories

pytestmark = pytest.mark.django_db


def seat_of(user, organization):
    membership = Membership.objects.of(organization).get(user=user)
    return Seat(organization, user, Role(membership.role), membership)


def test_an_owner_closes_and_everything_stops(organization, alice, bob, shop):
    key, _ = factories.make_key(organization)
    epoch = Wallet.unscoped.get(organization=organization).epoch
    organizations.close(seat_of(alice, organization), source=trail.Source(user=alice), now=timezone.now())
    organization.refresh_from_db()
    key.refresh_from_db()
    wallet = Wallet.unscoped.get(organization=organization)
    assert organization.standing == Standing.CLOSED
    assert key.revoked_at
    assert wallet.suspended
    assert wallet.epoch > epoch
    assert access.seats_of(bob, shop) == []
    assert AuditEvent.objects.filter(organization=organization, action="organization.changed").exists()


@pytest.mark.parametrize("role", ["admin", "billing", "viewer"])
def test_nobody_but_the_owner_closes(organization, role):
    member = factories.make_membership(organization, role=role)
    with pytest.raises(organizations.NotTheOwner):
        organizations.close(seat_of(member.user, organization), source=trail.SYSTEM, now=timezone.now())
    organization.refresh_from_db()
    assert organization.standing == Standing.ACTIVE


def test_a_person_ends_their_account_and_shared_work_goes_on(organization, alice, bob, charlie):
    own = factories.make_organization(storefront=organization.storefront, owner=bob, name="Bob alone")
    for place in (organization, own):
        ApiKey.unscoped.filter(pk=factories.make_key(place)[0].pk).update(created_by=bob)
    people.erase_oneself(bob, now=timezone.now(), source=trail.Source(user=bob))
    bob.refresh_from_db()
    own.refresh_from_db()
    organization.refresh_from_db()
    assert (bob.email, bob.name, bob.is_active) == (f"{bob.public_id}@erased.invalid", "", False)
    assert not EmailAddress.objects.filter(user=bob).exists()
    assert not ApiKey.unscoped.filter(created_by=bob, revoked_at=None).exists()
    assert own.standing == Standing.CLOSED
    assert organization.standing == Standing.ACTIVE
    assert not Membership.objects.of(organization).filter(user=bob).exists()
    assert AuditEvent.objects.filter(action="user.erased", target_id=bob.public_id).exists()


def test_an_owner_others_depend_on_hands_over_first(organization, alice, bob):
    with pytest.raises(people.PersonRefused, match="hand it over or close it first"):
        people.erase_oneself(alice, now=timezone.now(), source=trail.Source(user=alice))
    alice.refresh_from_db()
    assert alice.email == "alice@example.com"


def test_operators_are_ended_by_colleagues(shop):
    for staff in (factories.make_staff(), factories.make_staff(shop)):
        with pytest.raises(people.PersonRefused, match="colleague"):
            people.erase_oneself(staff, now=timezone.now(), source=trail.Source(user=staff))


def test_letters_to_somebody_who_left_are_taken_back(organization, alice):
    charlie = factories.make_user("later@example.com")
    members.invite(
        seat_of(alice, organization), email=charlie.email, role=Role.VIEWER, source=trail.SYSTEM, now=timezone.now()
    )
    people.erase_oneself(charlie, now=timezone.now(), source=trail.Source(user=charlie))
    letter = Invitation.objects.of(organization).get()
    assert letter.revoked_at
    assert letter.email.endswith("@erased.invalid")


def test_alone_is_who_works_with_nobody(organization, alice, bob):
    own = factories.make_organization(storefront=organization.storefront, owner=alice, name="Alice alone")
    assert people.alone_in(alice) == [own]
    assert people.alone_in(bob) == []
