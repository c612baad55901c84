"""Who may do what at which address: every route and method of the API that names an organization, for every role.

The routes come from the URL table; a route or method without a line in ``MATRIX`` fails, so that a new one is decided
here before it is served.
"""

import pytest

from accounts.api import urls
from accounts.models import Membership, Role
from accounts.models.keys import KeyKind
from tests import factories

EVERYONE = {"owner", "admin", "developer", "billing", "viewer"}
MAKERS = {"owner", "admin", "developer"}
ABOVE = {"owner", "admin"}

MATRIX = {
    ("api_organization", "GET"): EVERYONE,
    ("api_organization", "PATCH"): ABOVE,
    ("api_members", "GET"): EVERYONE,
    ("api_member", "GET"): EVERYONE,
    ("api_member", "PATCH"): ABOVE,
    ("api_member", "DELETE"): ABOVE,
    ("api_ownership", "POST"): {"owner"},
    ("api_invitations", "GET"): EVERYONE,
    ("api_invitations", "POST"): ABOVE,
    ("api_invitation", "GET"): EVERYONE,
    ("api_invitation_resend", "POST"): ABOVE,
    ("api_invitation_revoke", "POST"): ABOVE,
    ("api_keys", "GET"): MAKERS,
    ("api_keys", "POST"): MAKERS,
    ("api_key", "GET"): MAKERS,
    ("api_key", "PATCH"): ABOVE,  # a developer changes their own, which this key is not
    ("api_key_rotate", "POST"): ABOVE,
    ("api_key_disable", "POST"): ABOVE,
    ("api_key_enable", "POST"): ABOVE,
    ("api_key_revoke", "POST"): ABOVE,
    ("api_events", "GET"): ABOVE,
}
BODIES = {
    ("api_organization", "PATCH"): {"name": "x"},
    ("api_member", "PATCH"): {"role": "billing"},
    ("api_ownership", "POST"): lambda things: {"member_id": things["member_id"]},
    ("api_invitations", "POST"): {"email": "new@example.com", "role": "viewer"},
    ("api_keys", "POST"): {"label": "x"},
    ("api_key", "PATCH"): {"label": "y"},
}


def routes():
    for pattern in urls.urlpatterns:
        if "organization_id" in str(pattern.pattern):
            view = pattern.callback.cls
            for method in view.http_method_names:
                if hasattr(view, method) and method not in {"head", "options"}:
                    yield pattern.name, method.upper()


def test_every_route_and_method_is_decided():
    assert set(routes()) == set(MATRIX)


@pytest.fixture
def things(organization, alice):
    from datetime import timedelta

    from django.utils import timezone

    from accounts import members, trail
    from accounts.access import Seat

    key, _ = factories.make_key(organization)
    seat = Seat(organization, alice, Role.OWNER, Membership.objects.of(organization).get(user=alice))
    invitation = members.invite(
        seat, email="i@example.com", role=Role.VIEWER, source=trail.SYSTEM, now=timezone.now() - timedelta(hours=1)
    )
    return {
        "organization_id": organization.public_id,
        "member_id": factories.make_membership(organization, role="viewer").public_id,
        "invitation_id": invitation.public_id,
        "key_id": key.public_id,
    }


def path_of(name, things):
    from django.urls import reverse

    pattern = next(pattern for pattern in urls.urlpatterns if pattern.name == name)
    return reverse(name, kwargs={key: things[key] for key in pattern.pattern.converters})


@pytest.mark.django_db
@pytest.mark.parametrize("role", sorted(EVERYONE))
@pytest.mark.parametrize("by", ["session", "key"])
def test_each_role_at_each_route(role, by, things, organization, alice, caller):
    from accounts import keys, trail

    user = alice if role == "owner" else factories.make_membership(organization, role="admin").user
    secret = ""
    if by == "key":  # made while its maker was an admin, with every scope; the role shrinks afterwards
        secret = keys.create(
            organization=organization, storefront=None, made_by=user, kind=KeyKind.MANAGEMENT, label="k",
            source=trail.SYSTEM,
        ).secret  # fmt: skip
    if role != "owner":
        Membership.objects.of(organization).filter(user=user).update(role=role)
    ask = caller(secret=secret) if by == "key" else caller(user=user)
    # What ends things comes last, so that every route meets them alive.
    order = sorted(MATRIX, key=lambda route: ("revoke" in route[0], route[1] == "DELETE"))
    for name, method in order:
        body = BODIES.get((name, method))
        answer = ask(method, path_of(name, things), body(things) if callable(body) else body or {})
        allowed = role in MATRIX[name, method] and not (by == "key" and name == "api_ownership")
        where = f"{role} by {by}: {method} {name} -> {answer.status_code} {answer.content[:200]!r}"
        if allowed:
            assert answer.status_code < 300, where
        else:
            assert answer.status_code == 403, where
