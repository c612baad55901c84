"""How tests here speak to the management API: as a person with a session, or with a key."""

import json
from typing import Any

import pytest
from django.test import Client

from accounts import access
from accounts.models.keys import KeyKind
from tests import factories


class Caller:
    """A Django client that sends and reads JSON, with a key or a session or neither."""

    def __init__(self, *, user: Any = None, secret: str = "", host: str = "localhost") -> None:
        self.client = Client(raise_request_exception=True)
        self.headers = {"host": host} | ({"authorization": f"Bearer {secret}"} if secret else {})
        if user is not None:
            self.client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")

    def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = self.headers | options.pop("headers", {})
        return self.client.generic(
            method, path, data, content_type=options.pop("content_type", "application/json"), headers=headers, **options
        )


@pytest.fixture
def caller():
    return Caller


@pytest.fixture
def base(organization):
    """Where alice's organization lies in the API."""
    return f"/api/v1/organizations/{organization.public_id}"


@pytest.fixture
def as_alice(alice, organization):
    return Caller(user=alice)


@pytest.fixture
def as_bob(bob):
    return Caller(user=bob)


@pytest.fixture
def as_charlie(charlie):
    return Caller(user=charlie)


@pytest.fixture
def management(organization):
    """Make a caller with a management key of the organization's owner, with the scopes and bounds given."""

    def make(*scopes: str, **bounds: Any) -> Caller:
        named = {"scopes": list(scopes)} if scopes else {}
        _, secret = factories.make_key(organization, kind=KeyKind.MANAGEMENT, **named, **bounds)
        return Caller(secret=secret)

    return make


@pytest.fixture
def seat_of(shop):
    """The seat a person has in an organization now."""

    def find(user: Any, organization: Any) -> Any:
        return access.organization_for(user, shop, organization.slug)

    return find
