import re

import pytest
from django.core import mail
from django.urls import reverse

from accounts.models import Invitation, Membership
from plumbing import outbox
from tests import factories

pytestmark = pytest.mark.django_db


def page(name, organization, *rest):
    return reverse(f"dashboard:{name}", args=[organization.slug, *rest])


def seat_of(organization, user):
    return Membership.objects.of(organization).get(user=user)


def test_an_invitation_is_written_resent_and_taken_back(client, organization, alice):
    client.force_login(alice)
    client.post(page("invite", organization), {"email": "New@Example.com", "role": "developer"})
    letter = Invitation.objects.of(organization).get()
    assert (letter.email, letter.role, letter.invited_by) == ("new@example.com", "developer", alice)
    assert "new@example.com" in client.get(page("members", organization)).content.decode()
    too_soon = client.post(page("invitation_resend", organization, letter.public_id), follow=True)
    assert "less than a minute ago" in too_soon.content.decode()
    client.post(page("invitation_revoke", organization, letter.public_id))
    letter.refresh_from_db()
    assert letter.revoked_at
    assert "is taken back" in client.get(page("members", organization)).content.decode()
    assert "new@example.com" not in client.get(page("members", organization)).content.decode()


@pytest.mark.parametrize(
    ("email", "role", "words"),
    [
        ("not a mailbox", "developer", "valid email"),
        ("x@example.com", "owner", "not one of the available choices"),
        ("x@example.com", "emperor", "not one of the available choices"),
        ("bob@example.com", "viewer", "is a member already"),
        ("a\x00b@example.com", "viewer", "valid email"),
    ],
)
def test_a_strange_invitation_is_refused_with_a_sentence(client, organization, alice, bob, email, role, words):
    client.force_login(alice)
    response = client.post(page("invite", organization), {"email": email, "role": role})
    assert response.status_code == 400
    assert words in response.content.decode()
    assert not Invitation.objects.of(organization).exists()


def test_admins_invite_below_themselves(client, organization):
    admin = factories.make_membership(organization, role="admin")
    client.force_login(admin.user)
    client.post(page("invite", organization), {"email": "x@example.com", "role": "admin"})
    assert not Invitation.objects.of(organization).exists()


def test_a_role_changes_and_a_member_goes(client, organization, alice, bob):
    member = seat_of(organization, bob)
    key, _ = factories.make_key(organization)
    key.created_by = bob
    key.save()
    client.force_login(alice)
    client.post(page("member_role", organization, member.public_id), {"role": "viewer"})
    member.refresh_from_db()
    assert member.role == "viewer"
    client.post(page("member_role", organization, member.public_id), {"role": "emperor"})
    member.refresh_from_db()
    assert member.role == "viewer"
    assert "keys they made end" in client.get(page("member_remove", organization, member.public_id)).content.decode()
    client.post(page("member_remove", organization, member.public_id))
    key.refresh_from_db()
    assert key.revoked_at
    assert not Membership.objects.of(organization).filter(user=bob).exists()


def test_the_last_owner_stays_and_others_may_leave(client, organization, alice, bob):
    client.force_login(alice)
    stays = client.post(page("member_remove", organization, seat_of(organization, alice).public_id), follow=True)
    assert "last owner stays" in stays.content.decode()
    client.force_login(bob)
    client.post(page("member_remove", organization, seat_of(organization, bob).public_id))
    assert client.get(page("overview", organization)).status_code == 404


def test_a_developer_manages_nobody(client, organization, alice, bob):
    client.force_login(bob)
    owner = seat_of(organization, alice)
    assert "Send the letter" not in client.get(page("members", organization)).content.decode()
    assert client.post(page("invite", organization), {"email": "x@example.com", "role": "viewer"}).status_code == 403
    assert client.post(page("member_role", organization, owner.public_id), {"role": "viewer"}).status_code == 403
    assert client.post(page("member_offer", organization, owner.public_id)).status_code == 403
    client.post(page("member_remove", organization, owner.public_id))
    assert seat_of(organization, alice).role == "owner"


def test_members_and_letters_of_others_do_not_exist(client, organization, alice, charlie):
    own = charlie.memberships.get().organization
    client.force_login(alice)
    client.post(page("invite", organization), {"email": "x@example.com", "role": "viewer"})
    letter = Invitation.objects.of(organization).get()
    client.force_login(charlie)
    member = seat_of(organization, alice)
    for name in ("member_role", "member_remove", "member_offer"):
        assert client.post(page(name, own, member.public_id), {"role": "viewer"}).status_code == 404
    for name in ("invitation_resend", "invitation_revoke"):
        assert client.post(page(name, own, letter.public_id)).status_code == 404
    letter.refresh_from_db()
    assert letter.revoked_at is None


def test_an_organization_is_handed_over_by_letter(client, organization, alice, bob):
    client.force_login(alice)
    client.post(page("member_offer", organization, seat_of(organization, bob).public_id))
    outbox.drain()
    assert seat_of(organization, alice).role == "owner"
    letter = Invitation.objects.of(organization).get()
    assert letter.transfers_ownership
    for sent in mail.outbox:
        if found := re.search(r"/invitations/[^/\s]+/", sent.body):
            client.force_login(bob)
            shown = client.get(found[0])
            assert "Take over Alice &amp; Co" in shown.content.decode()
            client.post(found[0])
            assert seat_of(organization, bob).role == "owner"
            assert seat_of(organization, alice).role == "admin"
            return
    pytest.fail(f"no letter with a link among {len(mail.outbox)}")
