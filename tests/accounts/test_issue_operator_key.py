"""The command that makes operator keys: for staff alone, one shop or all, and never more than was asked."""

from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import ApiKey, AuditEvent, StorefrontStaff
from tests import factories

pytestmark = pytest.mark.django_db


def issue(*arguments: str) -> str:
    said = StringIO()
    call_command("issue_operator_key", *arguments, stdout=said)
    return said.getvalue().strip()


def me(secret: str, host: str) -> Any:
    return Client(headers={"host": host, "authorization": f"Bearer {secret}"}).get("/api/v1/me")


def test_a_shops_key_works_at_its_shop_and_ends_with_the_job(shop: Any, other_shop: Any) -> None:
    worker = factories.make_staff(other_shop, "worker@example.com")
    secret = issue("--email", "Worker@example.com", "--storefront", other_shop.slug, "--label", "nightly export")
    assert "-op-" in secret
    assert me(secret, "canary.test").json()["key"]["kind"] == "operator"
    assert me(secret, "localhost").status_code == 401
    assert AuditEvent.objects.get(action="key.created").storefront == other_shop
    StorefrontStaff.objects.filter(user=worker).delete()
    assert me(secret, "canary.test").status_code == 401


def test_the_platforms_key_carries_what_was_asked_and_expires(shop: Any) -> None:
    factories.make_staff(email="root@example.com")
    secret = issue("--email", "root@example.com", "--scope", "operator:read", "--days", "30")
    key = ApiKey.unscoped.get()
    assert (key.scopes, key.storefront, key.last_four) == (["operator:read"], None, secret[-4:])
    assert key.expires_at is not None
    assert 29 <= (key.expires_at - datetime.now(UTC)).days <= 30


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--email", "nobody@example.com"], "nobody with the mailbox"),
        (["--email", "alice@example.com"], "Only the staff make operator keys"),
        (["--email", "worker@example.com"], "Only the staff make operator keys"),  # a shop's staff, the platform's key
        (["--email", "onlooker@example.com", "--storefront", "the-shop"], "Only the staff make operator keys"),
        (["--email", "root@example.com", "--storefront", "never-was"], "no storefront"),
        (["--email", "root@example.com", "--days", "-1"], "--days"),
        (["--email", "root@example.com", "--label", "a\x00b"], ""),
        (["--email", "root@example.com", "--scope", "keys:write"], "invalid choice"),
    ],
)
def test_what_cannot_be_is_a_sentence_and_makes_nothing(
    shop: Any, alice: Any, arguments: list[str], words: str
) -> None:
    shop.slug = "the-shop"
    shop.save()
    factories.make_staff(email="root@example.com")
    factories.make_staff(shop, "worker@example.com")
    factories.make_staff(shop, "onlooker@example.com", can_change=False)
    with pytest.raises(CommandError) as refused:
        issue(*arguments)
    assert words in str(refused.value)
    assert not ApiKey.unscoped.exists()
