from datetime import UTC, datetime

import pytest
import time_machine
from allauth.account.models import EmailAddress
from allauth.core.context import request_context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.models import SocialAccount, SocialLogin
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.db import SessionStore
from django.core import mail
from django.test import Client

from accounts import members, organizations, signup, trail
from accounts.access import Seat
from accounts.models import AuditEvent, Invitation, Membership, Organization, Role, Storefront, User
from tests import factories

pytestmark = pytest.mark.django_db


def visitor(host="localhost", **headers):
    return Client(headers={"host": host, **headers})


def sign_up(client, email):
    return client.post("/accounts/signup/", {"email": email, "password1": factories.PASSWORD})


@pytest.fixture
def invited_only(shop):
    Storefront.objects.update(sign_up_policy="invited")


@pytest.fixture
def letter(organization, alice, monkeypatch):
    """An invitation to dora; returns the path of its page."""
    monkeypatch.setattr(members.secrets, "token_urlsafe", lambda _: "the-token")
    seat = Seat(organization, alice, Role.OWNER, Membership.objects.of(organization).get(user=alice))
    members.invite(seat, email="dora@example.com", role=Role.VIEWER, source=trail.SYSTEM, now=datetime.now(UTC))
    return "/invitations/the-token/"


def test_a_new_person_gets_a_workspace_and_keeps_where_they_came_from(shop):
    client = visitor(referer="https://news.example/story")
    client.get("/?utm_source=letter&utm_campaign=a%00b%0a&ref=" + "x" * 500 + "&other=1")
    assert sign_up(client, "New@Example.com").status_code == 302
    user = User.objects.get()
    assert user.email == "new@example.com"
    assert user.acquisition["utm_source"] == "letter"
    assert user.acquisition["utm_campaign"] == "ab"
    assert len(user.acquisition["ref"]) == 120
    assert user.acquisition["referrer"] == "https://news.example/story"
    assert user.acquisition["landing"] == "/"
    assert user.terms_accepted_at
    assert user.memberships.get().role == "owner"
    assert set(AuditEvent.objects.values_list("action", flat=True)) >= {"user.signed_up", "organization.created"}


def test_the_first_arrival_counts_and_our_own_pages_are_no_referrer(shop):
    client = visitor(referer="http://localhost/pricing")
    client.get("/")
    assert signup.SESSION_KEY not in client.session
    client.get("/?ref=first")
    client.get("/?ref=second")
    assert client.session[signup.SESSION_KEY]["ref"] == "first"


def test_a_known_mailbox_is_told_nothing_different(shop, alice):
    fresh, known = visitor(), visitor()
    answers = [sign_up(fresh, "fresh@example.com"), sign_up(known, alice.email)]
    assert answers[0].status_code == answers[1].status_code == 302
    assert answers[0]["Location"] == answers[1]["Location"]
    assert User.objects.count() == 2


def test_a_closed_shop_takes_nobody(shop):
    Storefront.objects.update(sign_up_policy="closed")
    sign_up(visitor(), "new@example.com")
    assert not User.objects.exists()


def test_a_campaign_that_leads_straight_to_sign_up_counts_too(shop):
    client = visitor(referer="https://ads.example/")
    client.get("/accounts/signup/?utm_source=ads")
    sign_up(client, "new@example.com")
    acquisition = User.objects.get().acquisition
    assert acquisition == {"utm_source": "ads", "referrer": "https://ads.example/", "landing": "/accounts/signup/"}


def test_a_shop_that_sells_nothing_new_takes_nobody_and_says_so(shop):
    Storefront.objects.update(is_open=False)
    assert "not taking new people" in visitor().get("/accounts/signup/").content.decode()
    assert "Sign up" not in visitor().get("/").content.decode()
    sign_up(visitor(), "new@example.com")
    assert not User.objects.exists()


def test_nobody_is_flooded_with_letters_by_somebody_who_signs_up_with_their_mailbox(shop, alice):
    with time_machine.travel(datetime(2026, 11, 24, 12, tzinfo=UTC), tick=False) as clock:
        for n in range(60):
            Client(headers={"host": "localhost"}, REMOTE_ADDR=f"203.0.113.{n}").post(
                "/accounts/signup/", {"email": alice.email, "password1": factories.PASSWORD}
            )
            clock.shift(11)
    assert len(mail.outbox) == 20


class TestAnotherShopsPeople:
    """Somebody with an account from elsewhere, at a shop that would not have taken them."""

    @pytest.fixture(params=["invited", "closed", "not open"])
    def strict(self, request, other_shop):
        if request.param == "not open":
            other_shop.is_open = False
        else:
            other_shop.sign_up_policy = request.param
        other_shop.save()
        return other_shop

    def as_person(self, person):
        client = Client(headers={"host": "canary.test"})
        client.force_login(person, backend="allauth.account.auth_backends.AuthenticationBackend")
        return client

    def test_they_open_no_workspace_by_page_or_api(self, strict, alice):
        client = self.as_person(alice)
        welcome = client.get("/app/").content.decode()
        assert "belong to no organization" in welcome
        assert "Begin" not in welcome
        refused = client.post("/app/new/", {"name": "Sneaked in"})
        assert "opens no new organizations for you" in refused.content.decode()
        refused = client.post("/api/v1/organizations", {"name": "Sneaked in"}, content_type="application/json")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "storefront_not_open")
        assert not Organization.objects.filter(storefront=strict).exists()

    def test_whoever_belongs_there_opens_another_while_the_shop_is_open(self, strict, alice):
        factories.make_organization(storefront=strict, owner=alice)
        answer = self.as_person(alice).post("/app/new/", {"name": "One more"})
        opened = Organization.objects.filter(storefront=strict, name="One more").exists()
        assert opened == strict.is_open == (answer.status_code == 302)

    def test_its_own_staff_open_one_while_the_shop_is_open(self, strict):
        worker = factories.make_staff(strict)
        assert organizations.may_open(strict, worker) == strict.is_open


def test_an_invited_outside_identity_with_another_first_mailbox_gets_no_workspace_of_its_own(rf, shop, letter):
    Storefront.objects.update(sign_up_policy="invited")
    request = rf.post("/")
    request.storefront, request.session, request.user = Storefront.objects.get(), SessionStore(), AnonymousUser()
    request.session[signup.INVITATION_SESSION_KEY] = Invitation.unscoped.get().public_id
    person = factories.make_user("other@example.com")
    signup.welcome(request, person)
    assert not person.memberships.exists()


@pytest.mark.usefixtures("invited_only")
class TestInvitedOnly:
    def test_nobody_comes_without_a_letter(self):
        sign_up(visitor(), "new@example.com")
        assert not User.objects.exists()

    def test_the_invited_mailbox_comes_and_joins(self, letter, organization):
        client = visitor()
        client.get(letter)
        sign_up(client, "Dora@example.com")
        dora = User.objects.get(email="dora@example.com")
        assert not dora.memberships.exists()
        EmailAddress.objects.filter(user=dora).update(verified=True)
        client.force_login(dora, backend="allauth.account.auth_backends.AuthenticationBackend")
        assert client.post(letter).status_code == 302
        assert dora.memberships.get().organization == organization

    def test_another_mailbox_does_not_come_in_on_somebodys_letter(self, letter):
        client = visitor()
        client.get(letter)
        answer = sign_up(client, "mallory@example.com")
        assert answer.status_code == 200
        assert "the invitation went to" in answer.content.decode()
        assert not User.objects.filter(email="mallory@example.com").exists()

    def test_a_letter_that_was_taken_back_opens_nothing(self, letter):
        client = visitor()
        client.get(letter)
        Invitation.unscoped.update(revoked_at=datetime.now(UTC))
        sign_up(client, "dora@example.com")
        assert not User.objects.filter(email="dora@example.com").exists()


def test_in_an_open_shop_somebody_elses_letter_costs_nobody_their_workspace(letter, organization):
    client = visitor()
    client.get(letter)
    sign_up(client, "mallory@example.com")
    assert User.objects.get(email="mallory@example.com").memberships.get().role == "owner"


@pytest.mark.parametrize("host", ["canary.test", "canary.test:8443", "CANARY.test"])
def test_links_in_mails_are_the_shops_own_whatever_the_host_header_says(other_shop, host):
    user = factories.make_user("reset@example.com")
    client = Client(headers={"host": host, "x-forwarded-host": "evil.example", "forwarded": "host=evil.example"})
    client.post("/accounts/password/reset/", {"email": user.email})
    (letter,) = mail.outbox
    assert "http://canary.test/accounts/password/reset/key/" in letter.body
    assert "evil.example" not in letter.body
    assert "8443" not in letter.body


@pytest.mark.parametrize(
    "host", ["evil.example", "canary.test.evil.example", "canary.test@evil.example", "", "a b", "canary.test\x00"]
)
def test_a_host_nobody_owns_is_421_and_sends_nothing(other_shop, host):
    factories.make_user("reset@example.com")
    answer = Client(headers={"host": host}).post("/accounts/password/reset/", {"email": "reset@example.com"})
    assert answer.status_code in {400, 421}
    assert mail.outbox == []


class TestOutsideIdentities:
    @pytest.fixture
    def request_(self, shop, rf):
        from django.contrib.auth.models import AnonymousUser

        request = rf.get("/accounts/github/login/callback/")
        request.storefront, request.user, request.session = shop, AnonymousUser(), SessionStore()
        request.session["acquisition"] = {"ref": "friend"}
        return request

    def login(self, *, verified):
        user = User(email="outside@example.com")
        address = EmailAddress(email=user.email, verified=verified, primary=True)
        return SocialLogin(user=user, account=SocialAccount(provider="github", uid="1"), email_addresses=[address])

    def test_an_unverified_mailbox_is_turned_away(self, request_):
        with pytest.raises(ImmediateHttpResponse) as refused:
            signup.SocialAccountAdapter(request_).pre_social_login(request_, self.login(verified=False))
        assert refused.value.response.status_code == 403

    def test_a_verified_one_passes_and_a_signed_in_person_links(self, request_, shop):
        adapter = signup.SocialAccountAdapter(request_)
        assert adapter.pre_social_login(request_, self.login(verified=True)) is None
        request_.user = factories.make_user()
        assert adapter.pre_social_login(request_, self.login(verified=False)) is None

    def test_the_shops_policy_holds_here_too(self, request_, shop):
        adapter = signup.SocialAccountAdapter(request_)
        assert adapter.is_open_for_signup(request_, None)
        shop.sign_up_policy = "closed"
        assert not adapter.is_open_for_signup(request_, None)

    def test_a_new_person_is_welcomed_like_any_other(self, request_):
        with request_context(request_):
            user = signup.SocialAccountAdapter(request_).save_user(request_, self.login(verified=True))
        user.refresh_from_db()
        assert user.acquisition == {"ref": "friend"}
        assert Organization.objects.get(memberships__user=user).storefront == request_.storefront

    @pytest.mark.parametrize("provider", ["github", "google", "nothing"])
    def test_a_way_in_that_is_not_configured_does_not_exist(self, shop, provider):
        assert visitor().get(f"/accounts/{provider}/login/").status_code == 404
