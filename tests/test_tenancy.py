"""Charlie's walk: every URL there is, asked by people and keys that must see nothing of alice's.

The walk is generated from the URL table, so a new page joins it by existing. A parameter in a URL needs one entry in
``PARAMETERS``: how to name alice's thing by it, and how a thing of that kind that never existed is named.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.regex_helper import normalize

from accounts import members, trail
from accounts.access import Seat
from accounts.models import Invitation, Membership, Role
from accounts.models.keys import KeyKind
from plumbing.identifiers import new_id
from tests import factories

NOW = datetime(2026, 11, 1, tzinfo=UTC)
CANARY = "canary-of-alice"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True)
class Parameter:
    """How a URL's parameter names a thing of alice's, and one that never existed; None where it names no tenant's."""

    alices: Callable[[dict[str, Any]], str]
    nobodys: Callable[[], str] | None = None


def public(name: str, prefix: str) -> Parameter:
    return Parameter(lambda things: str(things[name].public_id), lambda: new_id(prefix))


def plain(value: str) -> Parameter:
    return Parameter(lambda things: value)


PARAMETERS = {
    "organization_slug": Parameter(lambda things: str(things["organization"].slug), lambda: "never-was"),
    "organization_id": public("organization", "org"),
    "member_id": public("membership", "mem"),
    "invitation_id": public("invitation", "inv"),
    "key_id": public("key", "key"),
    "top_up_id": public("top_up", "top"),
    "payment_id": public("payment", "pay"),
    "storefront_id": Parameter(lambda things: str(things["organization"].storefront.public_id)),
    "method": plain("stripe"),
    "month": plain("2026-11"),
    "alert_id": public("alert", "alr"),
    "call_id": Parameter(lambda things: str(things["call"].pk), lambda: "987654321"),
    # Django admin: rows by primary key, whatever their table.
    "object_id": Parameter(lambda things: str(things["organization"].pk), lambda: "987654321"),
    "content_type_id": plain("1"),
    "app_label": plain("accounts"),
    "url": plain("accounts/organization/"),
    "pk": Parameter(lambda things: str(things["authenticator"].pk), lambda: "987654321"),  # allauth's passkeys
    # Capabilities: whoever holds the letter may open it, so the walk has none.
    "token": plain("not-a-token"),
    "key": plain("not-a-key"),
    "uidb36": plain("zz"),
    "provider": plain("github"),
    "process": plain("login"),
    "model": plain("sandbox-standard"),
    "model_id": plain("nothing"),
    "slug": plain("disable"),  # the name of a deed in the admin
    # Static names.
    "path": plain("nothing.css"),
    "kind": plain("use"),  # of a file
    "name": plain("nothing"),
}


@dataclass(frozen=True)
class Page:
    """One entry of the URL table."""

    template: str
    parameters: tuple[str, ...]

    @property
    def names_a_tenant(self) -> bool:
        return any(PARAMETERS[name].nobodys for name in self.parameters)

    def alices(self, things: dict[str, Any]) -> str:
        return "/" + self.template % {name: PARAMETERS[name].alices(things) for name in self.parameters}

    def nobodys(self, things: dict[str, Any]) -> str:
        return "/" + self.template % {
            name: (PARAMETERS[name].nobodys or (lambda name=name: PARAMETERS[name].alices(things)))()
            for name in self.parameters
        }


def url_table() -> list[Page]:
    return list(_walk(get_resolver(), ""))


def _walk(resolver: URLResolver, prefix: str) -> Iterator[Page]:
    for entry in resolver.url_patterns:
        for template, parameters in normalize(entry.pattern.regex.pattern):
            joined = prefix + template
            if isinstance(entry, URLPattern):
                names = tuple(name for name in _names(joined, parameters))
                yield Page(joined, names)
            else:
                yield from _walk(entry, joined)


def _names(template: str, parameters: list[str]) -> list[str]:
    return re.findall(r"%\((\w+)\)s", template) or list(parameters)


@pytest.fixture
def things(organization, alice, bob):
    """Everything of alice's that a URL may name, each with a canary in what its page would show."""
    organization.name = f"{CANARY} organization"
    organization.save()
    bob.name = f"{CANARY} bob"
    bob.save()
    key, _ = factories.make_key(organization, label=f"{CANARY} key")
    seat = Seat(organization, alice, Role.OWNER, Membership.objects.of(organization).get(user=alice))
    members.invite(seat, email=f"{CANARY}@example.com", role=Role.VIEWER, source=trail.SYSTEM, now=NOW)
    top_up, payment = factories.make_payment(organization)
    return {
        "organization": organization,
        "top_up": top_up,
        "payment": payment,
        "membership": Membership.objects.of(organization).get(user=bob),
        "invitation": Invitation.objects.of(organization).get(),
        "key": key,
        "call": factories.make_call(organization, model_asked=f"{CANARY} model"),
        "alert": factories.make_alert(organization, sentence=f"{CANARY} alert"),
        "authenticator": Authenticator.objects.create(user=alice, type="webauthn", data={"name": f"{CANARY} passkey"}),
    }


@pytest.fixture
def _unthrottled(settings):
    none = dict.fromkeys(settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"])
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": none}
    settings.ACCOUNT_RATE_LIMITS = False
    settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = "sk_test_walk", "whsec_of-the-walk"  # else 503


class Sender:
    """Somebody who asks."""

    def __init__(self, *, user: Any = None, secret: str = "") -> None:
        self.user, self.client = user, Client(raise_request_exception=True)
        self.headers = {"host": "localhost"} | ({"authorization": f"Bearer {secret}"} if secret else {})

    def ask(self, method: str, path: str) -> Any:
        if self.user is not None:  # some pages sign out
            self.client.force_login(self.user, backend="allauth.account.auth_backends.AuthenticationBackend")
        if method == "POST" and not path.startswith("/api/"):
            return self.client.post(path, {}, headers=self.headers)
        body = json.dumps({}) if method != "GET" else ""
        return self.client.generic(method, path, body, content_type="application/json", headers=self.headers)


def leads_to_login(answer: Any) -> bool:
    return answer.status_code == 302 and any(step in answer["Location"] for step in ("/login", "/reauthenticate"))


def body_of(answer: Any) -> str:
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return content.decode(errors="replace")


def test_every_parameter_of_the_url_table_has_an_entry():
    missing = {name for page in url_table() for name in page.parameters} - set(PARAMETERS)
    assert not missing, f"say in PARAMETERS how {missing} name a thing of alice's"


@pytest.mark.django_db
@pytest.mark.usefixtures("_unthrottled", "scanner")
def test_charlies_walk(things, shop, charlie, capsys):
    elsewhere = charlie.memberships.get().organization
    senders = {
        "charlie": Sender(user=charlie),
        "charlie's management key": Sender(secret=factories.make_key(elsewhere, kind=KeyKind.MANAGEMENT)[1]),
        "charlie's inference key": Sender(secret=factories.make_key(elsewhere)[1]),
        "anonymous": Sender(),
    }
    table = url_table()
    walked: set[Page] = set()
    asked = 0
    for page in table:
        for who, sender in senders.items():
            for method in METHODS if page.names_a_tenant else ("GET", "POST"):
                where = f"{who}: {method} {page.alices(things)}"
                answer = sender.ask(method, page.alices(things))
                asked += 1
                assert answer.status_code < 500, where
                assert CANARY not in body_of(answer) + str(dict(answer.items())), where
                if page.names_a_tenant:
                    refused = answer.status_code in {401, 403, 404, 405} or leads_to_login(answer)
                    assert refused, f"{where} -> {answer.status_code}"
                    if who == "charlie":
                        never = sender.ask(method, page.nobodys(things))
                        assert (answer.status_code, leads_to_login(answer)) == (
                            never.status_code,
                            leads_to_login(never),
                        ), f"{where} differs from a thing that never was"
                        assert answer.status_code in {404, 405} or leads_to_login(answer), where
        walked.add(page)
    assert walked == set(table)
    with capsys.disabled():
        print(  # noqa: T201 - the figure is the proof
            f"\nthe outsider walk: {len(walked)} of {len(set(table))} URLs, {asked} requests, 0 leaks"
        )


@pytest.mark.django_db
@pytest.mark.usefixtures("_unthrottled", "scanner")
def test_alice_does_see_her_canaries_on_the_same_walk(things, alice):
    """Or the walk would prove nothing."""
    sender = Sender(user=alice)
    seen = [
        page.template
        for page in url_table()
        if page.names_a_tenant and CANARY in body_of(sender.ask("GET", page.alices(things)))
    ]
    assert {page for page in seen if page.startswith("api/v1/organizations/")}, seen
    assert len(seen) >= 6, seen


@pytest.mark.django_db
@pytest.mark.usefixtures("_unthrottled", "scanner")
@pytest.mark.parametrize("host", ["canary.test", "evil.test"])
def test_alices_own_session_and_key_open_nothing_at_another_shop(things, alice, organization, other_shop, host):
    _, secret = factories.make_key(organization, kind=KeyKind.MANAGEMENT)
    for sender in (Sender(user=alice), Sender(secret=secret)):
        sender.headers["host"] = host
        for page in url_table():
            if page.names_a_tenant:
                answer = sender.ask("GET", page.alices(things))
                refused = answer.status_code in {401, 403, 404, 405, 421} or leads_to_login(answer)
                assert refused, f"{page.template} -> {answer.status_code}"
                assert CANARY not in body_of(answer)
