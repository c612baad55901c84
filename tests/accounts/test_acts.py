"""Each act on one's own ways of signing in leaves its event, at the shop it happened at, and no secret in it."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal.auth import (
    TOTP,
    format_hotp_value,
    generate_totp_secret,
    hotp_value,
    yield_hotp_counters_from_time,
)
from allauth.socialaccount.models import SocialAccount
from allauth.socialaccount.signals import social_account_added, social_account_removed
from django.core import mail
from django.test import Client

from accounts.models import AuditEvent, StorefrontDomain
from tests import factories
from tests.journeys.conftest import code_from_mail

pytestmark = pytest.mark.django_db


def log_in(person: Any, host: str = "localhost") -> Client:
    client = Client(headers={"host": host, "user-agent": "A browser"}, REMOTE_ADDR="203.0.113.9")
    answer = client.post("/accounts/login/", {"login": person.email, "password": factories.PASSWORD})
    assert answer.status_code == 302
    return client


def confirmed(person: Any) -> Client:
    """Signed in, and shown once more that it is them."""
    client = log_in(person)
    client.post("/accounts/reauthenticate/", {"password": factories.PASSWORD})
    return client


def events(action: str) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(action=action))


def the_only(action: str) -> AuditEvent:
    (found,) = events(action)
    return found


def test_coming_in_is_told_with_shop_and_address(shop: Any, other_shop: Any, alice: Any) -> None:
    log_in(alice, StorefrontDomain.objects.get(storefront=other_shop).host)
    event = the_only("user.signed_in")
    assert (event.actor, event.target_id, event.storefront) == (alice, alice.public_id, other_shop)
    assert (event.ip_address, event.user_agent) == ("203.0.113.9", "A browser")
    assert event.request_id


def test_a_wrong_password_leaves_nothing_that_could_be_timed(shop: Any, alice: Any) -> None:
    Client(headers={"host": "localhost"}).post("/accounts/login/", {"login": alice.email, "password": "wrong"})
    assert not events("user.signed_in")
    assert not AuditEvent.objects.filter(target_id=alice.public_id).exists()


def test_a_changed_password_is_told_and_not_shown(shop: Any, alice: Any) -> None:
    client = log_in(alice)
    new = "an-entirely-new-Passphrase-7"
    form = {"oldpassword": factories.PASSWORD, "password1": new, "password2": new}
    assert client.post("/accounts/password/change/", form).status_code == 302
    event = the_only("user.password_changed")
    assert event.actor == alice
    assert new not in json.dumps([event.before, event.after, event.reason, event.target_name])


def test_a_reset_password_is_told(shop: Any, alice: Any) -> None:
    client = Client(headers={"host": "localhost"})
    client.post("/accounts/password/reset/", {"email": alice.email})
    address = next(line for line in mail.outbox[-1].body.splitlines() if "/password/reset/key/" in line).strip()
    form_at = client.get("/" + address.partition("//")[2].partition("/")[2])["Location"]
    new = "an-entirely-new-Passphrase-7"
    assert client.post(form_at, {"password1": new, "password2": new}).status_code == 302
    assert the_only("user.password_reset").target_id == alice.public_id
    assert "key" not in json.dumps(the_only("user.password_reset").after)


def test_a_changed_mailbox_is_told_before_and_after(shop: Any, alice: Any) -> None:
    client = confirmed(alice)
    assert client.post("/accounts/email/", {"action_add": "", "email": "new@example.com"}).status_code == 302
    assert not events("user.email_changed")
    client.post("/accounts/confirm-email/", {"code": code_from_mail()})
    assert EmailAddress.objects.get(user=alice).email == "new@example.com"
    event = the_only("user.email_changed")
    assert (event.before, event.after) == ({"email": "alice@example.com"}, {"email": "new@example.com"})


def totp_code(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, next(iter(yield_hotp_counters_from_time()))))


@pytest.mark.django_db(transaction=True)
def test_second_factors_come_and_go(shop: Any, alice: Any) -> None:
    client = confirmed(alice)
    secret = client.get("/accounts/2fa/totp/activate/").context["form"].secret
    assert client.post("/accounts/2fa/totp/activate/", {"code": totp_code(secret)}).status_code == 302
    assert {event.after["factor"] for event in events("user.factor_added")} == {"totp", "recovery_codes"}
    client.post("/accounts/2fa/recovery-codes/generate/")
    assert the_only("user.factor_renewed").after == {"factor": "recovery_codes"}
    client.post("/accounts/2fa/totp/deactivate/")
    assert "totp" in {event.before["factor"] for event in events("user.factor_removed")}
    assert secret not in json.dumps([[event.before, event.after] for event in AuditEvent.objects.all()])


def test_a_wrong_second_factor_is_told_and_claims_nobody_did_it(shop: Any, alice: Any) -> None:
    TOTP.activate(alice, generate_totp_secret())
    client = log_in(alice)
    assert not events("user.signed_in")
    client.post("/accounts/2fa/authenticate/", {"code": "000000"})
    event = the_only("user.factor_failed")
    assert (event.actor, event.target_id) == (None, alice.public_id)


def test_ended_sessions_are_counted(shop: Any, alice: Any) -> None:
    log_in(alice)
    log_in(alice)
    client = log_in(alice)
    assert client.post("/accounts/sessions/").status_code == 302
    assert the_only("user.sessions_ended").after == {"count": 2}
    client.post("/accounts/sessions/")
    assert len(events("user.sessions_ended")) == 1


def test_outside_identities_come_and_go(rf: Any, shop: Any, alice: Any) -> None:
    request = rf.get("/")
    request.storefront, request.user = shop, alice
    account = SocialAccount(user=alice, provider="github", uid="1")
    social_account_added.send(sender=None, request=request, sociallogin=SimpleNamespace(user=alice, account=account))
    social_account_removed.send(sender=None, request=request, socialaccount=account)
    assert the_only("user.identity_added").after == {"provider": "github"}
    assert the_only("user.identity_removed").before == {"provider": "github"}


def test_a_password_for_somebody_who_had_none_is_told(shop: Any, alice: Any) -> None:
    alice.set_unusable_password()
    alice.save()
    client = Client(headers={"host": "localhost"})
    client.force_login(alice, backend="allauth.account.auth_backends.AuthenticationBackend")
    new = "an-entirely-new-Passphrase-7"
    assert client.post("/accounts/password/set/", {"password1": new, "password2": new}).status_code == 302
    assert the_only("user.password_set").actor == alice
