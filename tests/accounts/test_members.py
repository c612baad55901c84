import re
import threading
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from allauth.account.models import EmailAddress
from django.core import mail
from django.core.exceptions import ValidationError
from django.db import connection, connections
from django.test import Client

from accounts import access, impersonation, keys, members, trail
from accounts.access import Seat
from accounts.models import AuditEvent, Invitation, Membership, Organization, Role
from accounts.models.keys import KeyKind
from accounts.models.organizations import Standing
from accounts.signals import access_changed
from plumbing import outbox
from plumbing.models import OutboxMessage
from tests import factories

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
SYSTEM = trail.SYSTEM


def token_in(letter):
    return re.search(r"/invitations/([A-Za-z0-9_-]+)/", letter.body)[1]


@pytest.fixture
def letters():
    """Run an act and what waits for its commit, and hand out the letters."""

    def run(act):
        outbox.drain()
        mail.outbox.clear()
        act()
        outbox.drain()
        return list(mail.outbox)

    return run


@pytest.fixture
def invite(letters, seat_of, alice, organization):
    """Invite a mailbox as alice; returns the token."""

    def send(email, role=Role.DEVELOPER, now=NOW):
        seat = seat_of(alice, organization)
        sent = letters(lambda: members.invite(seat, email=email, role=role, source=SYSTEM, now=now))
        return token_in(sent[0])

    return send


@pytest.fixture
def announced():
    heard = []

    def listen(sender, organization, **_):
        heard.append(organization.pk)

    access_changed.connect(listen)
    yield heard
    access_changed.disconnect(listen)


def accept(token, user, shop, now=NOW, source=SYSTEM):
    return members.accept(token=token, user=user, storefront=shop, source=source, now=now)


@pytest.mark.django_db
class TestInviting:
    def test_the_token_is_in_the_letter_and_nowhere_else(self, invite, organization):
        token = invite("dora@example.com")
        tables = (Invitation.unscoped, AuditEvent.objects, OutboxMessage.objects)
        rows = str([list(table.values()) for table in tables])
        assert token not in rows
        assert len(token) >= 40

    def test_the_link_is_the_storefronts_own_whatever_the_host_said(self, letters, other_shop, settings):
        settings.PUBLIC_PORT = 0
        organization = factories.make_organization(storefront=other_shop)
        owner = organization.memberships.get().user
        seat = access.organization_for(owner, other_shop, organization.slug)
        sent = letters(lambda: members.invite(seat, email="x@example.com", role=Role.VIEWER, source=SYSTEM, now=NOW))
        assert "http://canary.test/invitations/" in sent[0].body
        assert sent[0].to == ["x@example.com"]
        assert "http://canary.test/invitations/" in sent[0].alternatives[0][0]

    def test_a_name_cannot_break_the_letters_subject(self, letters, seat_of, alice, organization):
        alice.name = "Alice\r\nBcc: victim@example.com"
        alice.save()
        seat = seat_of(alice, organization)
        sent = letters(lambda: members.invite(seat, email="x@example.com", role=Role.VIEWER, source=SYSTEM, now=NOW))
        assert "\n" not in sent[0].subject
        assert sent[0].bcc == []

    def test_one_open_invitation_per_mailbox_whatever_its_case(self, invite):
        invite("dora@example.com")
        with pytest.raises(members.AlreadyInvited):
            invite("DORA@example.com")

    def test_an_expired_invitation_makes_room_for_a_new_one(self, invite):
        invite("dora@example.com")
        assert invite("dora@example.com", now=NOW + members.LIFETIME)

    def test_members_are_not_invited_again(self, invite, bob):
        with pytest.raises(members.AlreadyInvited):
            invite("bob@example.com")

    def test_a_members_second_mailbox_counts_as_them(self, invite, bob):
        EmailAddress.objects.create(user=bob, email="bobby@example.com", verified=True)
        with pytest.raises(members.AlreadyInvited):
            invite("Bobby@example.com")

    @pytest.mark.parametrize(
        "email",
        ["", "x", "x@", "a b@example.com", "ä@example.com", "x" * 300 + "@e.com", "a\x00@b.com"],
    )
    def test_what_is_not_a_mailbox_is_refused(self, seat_of, alice, organization, email):
        with pytest.raises(ValidationError):
            members.invite(seat_of(alice, organization), email=email, role=Role.VIEWER, source=SYSTEM, now=NOW)

    def test_nobody_invites_an_owner(self, invite):
        with pytest.raises(members.NotAllowed):
            invite("dora@example.com", role=Role.OWNER)

    @pytest.mark.parametrize("role", ["developer", "billing", "viewer"])
    def test_roles_without_the_permission_do_not_invite(self, seat_of, organization, role):
        user = factories.make_membership(organization, role=role).user
        with pytest.raises(members.NotAllowed):
            members.invite(seat_of(user, organization), email="x@example.com", role=Role.VIEWER, source=SYSTEM, now=NOW)

    def test_an_admin_invites_below_themselves_only(self, seat_of, organization):
        admin = factories.make_membership(organization, role="admin").user
        seat = seat_of(admin, organization)
        members.invite(seat, email="x@example.com", role=Role.DEVELOPER, source=SYSTEM, now=NOW)
        with pytest.raises(members.NotAllowed):
            members.invite(seat, email="y@example.com", role=Role.ADMIN, source=SYSTEM, now=NOW)

    def test_a_seat_that_was_lost_meanwhile_is_no_seat(self, seat_of, alice, bob, organization):
        admin = factories.make_membership(organization, role="admin")
        stale = seat_of(admin.user, organization)
        members.remove(seat_of(alice, organization), admin, source=SYSTEM, now=NOW)
        with pytest.raises(members.NotAllowed):
            members.invite(stale, email="x@example.com", role=Role.VIEWER, source=SYSTEM, now=NOW)

    def test_letters_are_counted_per_day(self, seat_of, alice, organization, monkeypatch):
        monkeypatch.setattr(members, "MOST_LETTERS_A_DAY", 2)
        seat = seat_of(alice, organization)
        now = datetime.now(UTC)
        for name in "ab":
            members.invite(seat, email=f"{name}@example.com", role=Role.VIEWER, source=SYSTEM, now=now)
        with pytest.raises(members.TooManyLetters):
            members.invite(seat, email="c@example.com", role=Role.VIEWER, source=SYSTEM, now=now)

    def test_resending_replaces_the_link_and_waits_a_minute(self, invite, letters, seat_of, alice, organization, shop):
        old = invite("dora@example.com")
        seat, invitation = seat_of(alice, organization), Invitation.objects.of(organization).get()
        with pytest.raises(members.TooManyLetters):
            members.resend(seat, invitation, source=SYSTEM, now=NOW + timedelta(seconds=59))
        sent = letters(lambda: members.resend(seat, invitation, source=SYSTEM, now=NOW + timedelta(minutes=1)))
        with pytest.raises(members.InvitationNotThere):
            members.invitation_for(old, storefront=shop, now=NOW)
        assert members.invitation_for(token_in(sent[0]), storefront=shop, now=NOW) == invitation

    def test_revoking_ends_it_once(self, invite, seat_of, alice, organization, shop):
        token = invite("dora@example.com")
        seat, invitation = seat_of(alice, organization), Invitation.objects.of(organization).get()
        first = members.revoke_invitation(seat, invitation, source=SYSTEM, now=NOW)
        second = members.revoke_invitation(seat, invitation, source=SYSTEM, now=NOW + timedelta(days=1))
        assert first.revoked_at == second.revoked_at == NOW
        with pytest.raises(members.InvitationEnded):
            members.invitation_for(token, storefront=shop, now=NOW)
        with pytest.raises(members.InvitationEnded):
            members.resend(seat, invitation, source=SYSTEM, now=NOW + timedelta(hours=1))


@pytest.mark.django_db
class TestAccepting:
    def test_the_invited_person_joins_in_the_role_of_the_letter(self, invite, shop, organization, announced):
        token = invite("Dora@Example.com", role=Role.BILLING)
        dora = factories.make_user("dora@example.com")
        membership = accept(token, dora, shop)
        assert (membership.user, membership.role) == (dora, "billing")
        assert organization.pk in announced
        assert AuditEvent.objects.filter(action="member.joined", organization=organization).count() == 1

    def test_a_second_time_changes_nothing(self, invite, shop, organization):
        token, dora = invite("dora@example.com"), factories.make_user("dora@example.com")
        assert accept(token, dora, shop) == accept(token, dora, shop)
        assert AuditEvent.objects.filter(action="member.joined").count() == 1

    def test_the_link_does_not_work_for_anybody_else_afterwards(self, invite, shop, charlie):
        token, dora = invite("dora@example.com"), factories.make_user("dora@example.com")
        accept(token, dora, shop)
        with pytest.raises(members.InvitationEnded):
            accept(token, charlie, shop)

    def test_a_person_with_another_mailbox_is_turned_away(self, invite, shop, charlie, organization):
        token = invite("dora@example.com")
        with pytest.raises(members.WrongMailbox) as refused:
            accept(token, charlie, shop)
        assert "dora@" not in str(refused.value)
        assert not Membership.objects.of(organization).filter(user=charlie).exists()

    def test_an_unverified_mailbox_does_not_count(self, invite, shop):
        token, dora = invite("dora@example.com"), factories.make_user("dora@example.com")
        EmailAddress.objects.filter(user=dora).update(verified=False)
        with pytest.raises(members.WrongMailbox):
            accept(token, dora, shop)

    def test_a_verified_second_mailbox_counts(self, invite, shop, charlie):
        token = invite("second@example.com")
        EmailAddress.objects.create(user=charlie, email="Second@example.com", verified=True)
        assert accept(token, charlie, shop).user == charlie

    def test_after_seven_days_it_is_over(self, invite, shop):
        token, dora = invite("dora@example.com"), factories.make_user("dora@example.com")
        with pytest.raises(members.InvitationEnded):
            accept(token, dora, shop, now=NOW + members.LIFETIME)
        assert accept(token, dora, shop, now=NOW + members.LIFETIME - timedelta(seconds=1))

    def test_it_does_not_exist_at_another_storefront(self, invite, other_shop):
        token, dora = invite("dora@example.com"), factories.make_user("dora@example.com")
        with pytest.raises(members.InvitationNotThere):
            accept(token, dora, other_shop)

    def test_it_dies_with_the_inviters_right_to_invite(self, invite, shop, alice, organization):
        token, dora = invite("dora@example.com", role=Role.ADMIN), factories.make_user("dora@example.com")
        Membership.objects.of(organization).filter(user=alice).update(role="admin")
        with pytest.raises(members.InvitationEnded):
            accept(token, dora, shop)

    def test_a_closed_organization_takes_nobody(self, invite, shop, organization):
        token, dora = invite("dora@example.com"), factories.make_user("dora@example.com")
        Organization.objects.update(standing=Standing.CLOSED)
        with pytest.raises(members.InvitationNotThere):
            accept(token, dora, shop)

    def test_a_full_organization_takes_nobody(self, invite, shop, monkeypatch):
        token, dora = invite("dora@example.com"), factories.make_user("dora@example.com")
        monkeypatch.setattr(members, "MOST_MEMBERS", 1)
        with pytest.raises(members.MembersRefused):
            accept(token, dora, shop)

    def test_whoever_left_does_not_return_by_the_old_letter(self, invite, shop, seat_of, organization):
        token, dora = invite("dora@example.com"), factories.make_user("dora@example.com")
        membership = accept(token, dora, shop)
        members.remove(seat_of(dora, organization), membership, source=SYSTEM, now=NOW)
        with pytest.raises(members.InvitationEnded):
            accept(token, dora, shop)

    def test_a_member_by_another_way_keeps_their_role(self, invite, shop, organization):
        token, dora = invite("dora@example.com", role=Role.VIEWER), factories.make_user("dora@example.com")
        factories.make_membership(organization, dora, role="admin")
        assert accept(token, dora, shop).role == "admin"

    def test_neither_key_nor_visit_accepts(self, invite, shop, organization):
        token, dora = invite("dora@example.com"), factories.make_user("dora@example.com")
        key, _ = factories.make_key(organization, kind=KeyKind.MANAGEMENT)
        with pytest.raises(members.NotAllowed):
            accept(token, dora, shop, source=trail.Source(user=dora, api_key=key))

    @pytest.mark.parametrize("token", ["", "x", "\ud800", "\x00", "ü" * 1000])
    def test_garbage_is_no_invitation(self, shop, token):
        with pytest.raises(members.InvitationNotThere):
            members.invitation_for(token, storefront=shop, now=NOW)


@pytest.mark.django_db
class TestRoles:
    @pytest.mark.parametrize(
        ("actor", "target", "given", "allowed"),
        [
            ("owner", "admin", "viewer", True),
            ("owner", "viewer", "admin", True),
            ("owner", "viewer", "owner", False),
            ("admin", "viewer", "developer", True),
            ("admin", "developer", "viewer", True),
            ("admin", "viewer", "admin", False),
            ("admin", "admin", "viewer", False),
            ("admin", "owner", "viewer", False),
            ("developer", "viewer", "developer", False),
            ("billing", "viewer", "billing", False),
            ("viewer", "viewer", "developer", False),
        ],
    )
    def test_who_turns_whom_into_what(self, seat_of, organization, alice, actor, target, given, allowed):
        acting = alice if actor == "owner" else factories.make_membership(organization, role=actor).user
        if target == "owner":
            member = Membership.objects.of(organization).get(user=alice)
        else:
            member = factories.make_membership(organization, role=target)
        seat = seat_of(acting, organization)
        if allowed:
            assert members.change_role(seat, member, role=Role(given), source=SYSTEM).role == given
        else:
            with pytest.raises(members.NotAllowed):
                members.change_role(seat, member, role=Role(given), source=SYSTEM)
            member.refresh_from_db()
            assert member.role == target

    def test_anyone_steps_down_and_nobody_up(self, seat_of, organization):
        member = factories.make_membership(organization, role="admin")
        seat = seat_of(member.user, organization)
        assert members.change_role(seat, member, role=Role.VIEWER, source=SYSTEM).role == "viewer"
        with pytest.raises(members.NotAllowed):
            members.change_role(seat, member, role=Role.ADMIN, source=SYSTEM)

    def test_the_last_owner_does_not_step_down(self, seat_of, organization, alice):
        member = Membership.objects.of(organization).get(user=alice)
        with pytest.raises(members.LastOwner):
            members.change_role(seat_of(alice, organization), member, role=Role.ADMIN, source=SYSTEM)

    def test_the_same_role_is_no_change(self, seat_of, organization, alice, bob, announced):
        member = Membership.objects.of(organization).get(user=bob)
        members.change_role(seat_of(alice, organization), member, role=Role.DEVELOPER, source=SYSTEM)
        assert announced == []

    def test_a_change_is_in_the_trail_and_announced(self, seat_of, organization, alice, bob, announced):
        member = Membership.objects.of(organization).get(user=bob)
        members.change_role(seat_of(alice, organization), member, role=Role.VIEWER, source=SYSTEM)
        event = AuditEvent.objects.get(action="member.role_changed")
        assert (event.before, event.after) == ({"role": "developer"}, {"role": "viewer"})
        assert announced == [organization.pk]

    def test_caps_are_set_by_those_above(self, seat_of, organization, alice, bob, announced):
        member = Membership.objects.of(organization).get(user=bob)
        members.set_caps(seat_of(alice, organization), member, source=SYSTEM, cap_day_nano=5, cap_month_nano=None)
        member.refresh_from_db()
        assert member.cap_day_nano == 5
        assert announced == [organization.pk]
        with pytest.raises(members.NotAllowed):
            members.set_caps(seat_of(bob, organization), member, source=SYSTEM, cap_day_nano=50)

    def test_an_admin_does_not_cap_the_owner(self, seat_of, organization, alice):
        admin = factories.make_membership(organization, role="admin").user
        member = Membership.objects.of(organization).get(user=alice)
        with pytest.raises(members.NotAllowed):
            members.set_caps(seat_of(admin, organization), member, source=SYSTEM, cap_day_nano=1)

    @pytest.mark.parametrize("cap", [-1, 2**63 - 1])
    def test_absurd_caps_are_refused(self, seat_of, organization, alice, bob, cap):
        member = Membership.objects.of(organization).get(user=bob)
        with pytest.raises(ValidationError):
            members.set_caps(seat_of(alice, organization), member, source=SYSTEM, cap_day_nano=cap)


@pytest.mark.django_db
class TestLeaving:
    def test_keys_of_whoever_leaves_end_in_the_same_moment(self, seat_of, organization, bob, announced):
        made = [
            keys.create(
                organization=organization, storefront=None, made_by=bob, kind=kind, label="bob's", source=SYSTEM
            ).key
            for kind in (KeyKind.INFERENCE, KeyKind.MANAGEMENT)
        ]
        other, _ = factories.make_key(organization)
        announced.clear()
        member = Membership.objects.of(organization).get(user=bob)
        members.remove(seat_of(bob, organization), member, source=SYSTEM, now=NOW)
        for key in made:
            key.refresh_from_db()
            assert key.revoked_at == NOW
        other.refresh_from_db()
        assert other.revoked_at is None
        assert announced == [organization.pk] * 3
        assert AuditEvent.objects.filter(action="member.left").count() == 1
        assert AuditEvent.objects.filter(action="key.revoked", reason__contains="left").count() == 2

    def test_the_last_owner_cannot_leave(self, seat_of, organization, alice, bob):
        member = Membership.objects.of(organization).get(user=alice)
        with pytest.raises(members.LastOwner):
            members.remove(seat_of(alice, organization), member, source=SYSTEM, now=NOW)

    @pytest.mark.parametrize(("actor", "target", "allowed"), [
        ("admin", "developer", True), ("admin", "admin", False), ("developer", "viewer", False),
        ("owner", "admin", True),
    ])  # fmt: skip
    def test_who_removes_whom(self, seat_of, organization, alice, actor, target, allowed):
        acting = alice if actor == "owner" else factories.make_membership(organization, role=actor).user
        member = factories.make_membership(organization, role=target)
        seat = seat_of(acting, organization)
        if allowed:
            members.remove(seat, member, source=SYSTEM, now=NOW)
            assert AuditEvent.objects.filter(action="member.removed").count() == 1
        else:
            with pytest.raises(members.NotAllowed):
                members.remove(seat, member, source=SYSTEM, now=NOW)

    def test_removing_twice_is_a_sentence(self, seat_of, organization, alice, bob):
        member = Membership.objects.of(organization).get(user=bob)
        members.remove(seat_of(alice, organization), member, source=SYSTEM, now=NOW)
        with pytest.raises(members.MembersRefused):
            members.remove(seat_of(alice, organization), Membership(pk=member.pk or 0), source=SYSTEM, now=NOW)

    def test_a_key_does_not_make_its_maker_leave(self, organization, bob):
        member = Membership.objects.of(organization).get(user=bob)
        key = keys.create(
            organization=organization, storefront=None, made_by=bob, kind=KeyKind.MANAGEMENT, label="k", source=SYSTEM
        ).key
        with pytest.raises(members.NotAllowed):
            members.remove(access.seat_of_key(key), member, source=SYSTEM, now=NOW)

    def test_a_visit_removes_nobody(self, organization, bob):
        staff = factories.make_staff()
        visit = _visit(staff, organization)
        seat = Seat(organization, staff, Role.VIEWER, impersonation=visit)
        member = Membership.objects.of(organization).get(user=bob)
        with pytest.raises(members.NotAllowed):
            members.remove(seat, member, source=trail.Source(user=staff, impersonation=visit), now=NOW)
        with pytest.raises(members.NotAllowed):
            members.invite(seat, email="x@example.com", role=Role.VIEWER, source=SYSTEM, now=NOW)


def _visit(staff, organization):
    from accounts.models import Impersonation

    return Impersonation.objects.create(
        staff=staff,
        organization=organization,
        reason="asked to",
        started_at=NOW,
        expires_at=NOW + impersonation.LONGEST_VISIT,
    )


@pytest.mark.django_db
class TestHandingOver:
    def test_the_receiver_accepts_and_the_old_owner_becomes_admin(
        self, letters, seat_of, alice, bob, organization, shop, announced
    ):
        receiver = Membership.objects.of(organization).get(user=bob)
        seat = seat_of(alice, organization)
        sent = letters(lambda: members.offer_ownership(seat, receiver, source=SYSTEM, now=NOW))
        assert "take over" in sent[0].subject
        assert Membership.objects.of(organization).get(user=bob).role == "developer"
        accept(token_in(sent[0]), bob, shop)
        assert Membership.objects.of(organization).get(user=bob).role == "owner"
        assert Membership.objects.of(organization).get(user=alice).role == "admin"
        assert AuditEvent.objects.filter(action="ownership.transferred").count() == 1

    def test_only_the_receiver_accepts(self, letters, seat_of, alice, bob, organization, shop, charlie):
        receiver = Membership.objects.of(organization).get(user=bob)
        seat = seat_of(alice, organization)
        sent = letters(lambda: members.offer_ownership(seat, receiver, source=SYSTEM, now=NOW))
        with pytest.raises(members.WrongMailbox):
            accept(token_in(sent[0]), charlie, shop)

    def test_an_admin_offers_nothing_and_cannot_send_the_owners_offer_again(self, seat_of, alice, bob, organization):
        admin = factories.make_membership(organization, role="admin").user
        receiver = Membership.objects.of(organization).get(user=bob)
        with pytest.raises(members.NotAllowed):
            members.offer_ownership(seat_of(admin, organization), receiver, source=SYSTEM, now=NOW)
        offer = members.offer_ownership(seat_of(alice, organization), receiver, source=SYSTEM, now=NOW)
        with pytest.raises(members.NotAllowed):
            members.revoke_invitation(seat_of(admin, organization), offer, source=SYSTEM, now=NOW)

    def test_an_offer_to_oneself_is_a_sentence(self, seat_of, alice, organization):
        own = Membership.objects.of(organization).get(user=alice)
        with pytest.raises(members.MembersRefused):
            members.offer_ownership(seat_of(alice, organization), own, source=SYSTEM, now=NOW)

    def test_an_offer_dies_when_the_receiver_has_left_or_the_offerer_no_longer_owns(
        self, letters, seat_of, alice, bob, organization, shop
    ):
        receiver = Membership.objects.of(organization).get(user=bob)
        seat = seat_of(alice, organization)
        sent = letters(lambda: members.offer_ownership(seat, receiver, source=SYSTEM, now=NOW))
        members.remove(seat_of(bob, organization), receiver, source=SYSTEM, now=NOW)
        with pytest.raises(members.InvitationEnded):
            accept(token_in(sent[0]), bob, shop)


@pytest.mark.django_db(transaction=True)
def test_two_owners_who_leave_at_once_leave_one_behind(shop, alice, organization):
    other = factories.make_membership(organization, role="owner")
    own = Membership.objects.of(organization).get(user=alice)
    start = threading.Barrier(2)
    results = []

    def leave(member):
        try:
            seat = access.organization_for(member.user, shop, organization.slug)
            start.wait(10)
            members.remove(seat, member, source=SYSTEM, now=NOW)
            results.append("left")
        except members.LastOwner:
            results.append("stayed")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=leave, args=(member,)) for member in (own, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(results) == ["left", "stayed"], connection.vendor
    assert Membership.objects.of(organization).filter(role="owner").count() == 1


class TestLastHere:
    """When a member was last here in person."""

    @pytest.fixture
    def client(self):
        return Client(headers={"host": "localhost"})

    def seen(self, organization, person):
        return Membership.objects.of(organization).get(user=person).last_active_at

    def test_a_page_of_the_organization_counts_and_not_more_often_than_needed(self, client, organization, alice):
        client.force_login(alice)
        with time_machine.travel(NOW, tick=False) as clock:
            client.get(f"/app/{organization.slug}/")
            assert self.seen(organization, alice) == NOW
            clock.shift(timedelta(minutes=9))
            client.get(f"/app/{organization.slug}/")
            assert self.seen(organization, alice) == NOW
            clock.shift(timedelta(minutes=1))
            assert "1 Nov 2026, 12:10" in client.get(f"/app/{organization.slug}/members/").content.decode()
            assert self.seen(organization, alice) == NOW + timedelta(minutes=10)

    def test_neither_a_key_nor_a_visit_is_somebody_being_here(self, client, organization, alice):
        _, secret = factories.make_key(organization, kind=KeyKind.MANAGEMENT)
        headers = {"authorization": f"Bearer {secret}"}
        assert client.get(f"/api/v1/organizations/{organization.public_id}", headers=headers).status_code == 200
        assert self.seen(organization, alice) is None
