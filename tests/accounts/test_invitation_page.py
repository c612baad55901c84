from datetime import UTC, datetime

import pytest
from django.test import Client

from accounts import members, signup, trail
from accounts.access import Seat
from accounts.models import Invitation, Membership, Role
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def token(monkeypatch, organization, alice):
    monkeypatch.setattr(members.secrets, "token_urlsafe", lambda _: "the-token-of-the-letter")
    seat = Seat(organization, alice, Role.OWNER, Membership.objects.of(organization).get(user=alice))
    members.invite(seat, email="dora@example.com", role=Role.DEVELOPER, source=trail.SYSTEM, now=datetime.now(UTC))
    return "the-token-of-the-letter"


def visit(user=None):
    client = Client(headers={"host": "localhost"})
    if user:
        client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


def test_a_stranger_sees_who_invites_and_is_remembered_for_sign_up(token, organization):
    client = visit()
    answer = client.get(f"/invitations/{token}/")
    assert answer.status_code == 200
    assert organization.name.replace("&", "&amp;") in answer.content.decode()
    assert client.session[signup.INVITATION_SESSION_KEY] == Invitation.unscoped.get().public_id
    posted = client.post(f"/invitations/{token}/")
    assert posted.status_code == 302
    assert posted["Location"] == f"/accounts/login/?next=/invitations/{token}/"
    assert not Membership.objects.of(organization).filter(role="developer").exists()


def test_the_invited_person_joins_by_post_and_not_by_get(token, organization):
    dora = factories.make_user("dora@example.com")
    client = visit(dora)
    assert client.get(f"/invitations/{token}/").status_code == 200
    assert not Membership.objects.of(organization).filter(user=dora).exists()
    for _ in range(2):
        answer = client.post(f"/invitations/{token}/")
        assert answer["Location"] == f"/app/{organization.slug}/"
    assert Membership.objects.of(organization).get(user=dora).role == "developer"


def test_somebody_else_reads_a_sentence(token, charlie):
    answer = visit(charlie).post(f"/invitations/{token}/")
    assert answer.status_code == 403
    assert "d…@example.com" in answer.content.decode()


@pytest.mark.parametrize("wrong", ["nothing", "%00", "%ed%a0%80", "x" * 5000])
def test_an_unknown_token_is_404(shop, wrong):
    assert visit().get(f"/invitations/{wrong}/").status_code == 404


def test_an_ended_invitation_is_a_sentence(token, organization):
    Invitation.unscoped.update(revoked_at=datetime.now(UTC))
    answer = visit().get(f"/invitations/{token}/")
    assert answer.status_code == 409
    assert "taken back" in answer.content.decode()


def test_a_post_without_its_csrf_token_is_refused(token, organization):
    client = Client(enforce_csrf_checks=True, headers={"host": "localhost"})
    client.force_login(
        factories.make_user("dora@example.com"), backend="allauth.account.auth_backends.AuthenticationBackend"
    )
    assert client.post(f"/invitations/{token}/").status_code == 403
    assert Invitation.unscoped.get().accepted_at is None


def test_whoever_signs_up_by_invitation_gets_no_workspace_of_their_own(token, organization):
    client = visit()
    client.get(f"/invitations/{token}/")
    answer = client.post("/accounts/signup/", {"email": "dora@example.com", "password1": factories.PASSWORD})
    assert answer.status_code == 302
    from accounts.models import User

    assert not User.objects.get(email="dora@example.com").memberships.exists()
