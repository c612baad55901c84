import sys
import types
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts import access, trail
from accounts.models import Organization, User
from tests import factories

pytestmark = pytest.mark.django_db


def issue(*arguments):
    out = StringIO()
    call_command("issue_key", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def wallets(monkeypatch):
    """The ledger's public function, as the command calls it."""
    credited = []
    module = types.ModuleType("billing.wallets")
    module.credit = lambda **what: credited.append(what)
    module.__spec__ = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "billing.wallets", module)
    return credited


def test_it_prints_a_working_key_and_nothing_else(shop):
    printed = issue("--email", "New@Example.com")
    secret = printed.strip()
    assert printed == secret + "\n"
    key = access.key_for(
        secret,
        storefront=shop,
        on_platform_host=True,
        ip_address="127.0.0.1",
        now=Organization.objects.get().created_at,
    )
    assert key.created_by.email == "new@example.com"
    assert not key.created_by.has_usable_password()


def test_a_second_time_uses_the_same_person_and_organization(shop):
    assert issue("--email", "a@example.com") != issue("--email", "A@example.com")
    assert (User.objects.count(), Organization.objects.count()) == (1, 1)


def test_an_owner_gets_a_key_for_their_own_organization(organization, alice, bob):
    issue("--email", "alice@example.com")
    assert organization.api_keys.count() == 1
    issue("--email", "bob@example.com")  # only a member there: their own is made
    assert organization.api_keys.count() == 1
    assert Organization.objects.count() == 2


def test_credit_goes_to_the_wallet_exactly(shop, wallets):
    issue("--email", "a@example.com", "--credit", "5.000000001")
    assert wallets == [
        {
            "organization": Organization.objects.get(),
            "amount_nano": 5_000_000_001,
            "reason": "issued from the command line",
            "source": trail.SYSTEM,
        }
    ]


def test_another_storefront_by_slug(shop, other_shop):
    secret = issue("--email", "a@example.com", "--storefront", other_shop.slug).strip()
    assert Organization.objects.get().storefront == other_shop
    assert secret


@pytest.mark.parametrize(
    "arguments",
    [
        ("--email", "nonsense"),
        ("--email", "a@example.com", "--storefront", "nowhere"),
        ("--email", "a@example.com", "--credit", "-5"),
        ("--email", "a@example.com", "--credit", "1e3"),
        ("--email", "a@example.com", "--credit", "five"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_nothing_is_made(shop, arguments):
    with pytest.raises(CommandError):
        issue(*arguments)
    assert not User.objects.exists()


def test_without_a_storefront_it_says_so(db):
    with pytest.raises(CommandError, match="storefront"):
        issue("--email", "a@example.com")


def test_without_wallets_credit_is_refused(shop, monkeypatch):
    monkeypatch.setitem(sys.modules, "billing.wallets", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CommandError, match="wallets"):
        issue("--email", "a@example.com", "--credit", "5")


def test_a_suspended_maker_is_a_sentence(shop, monkeypatch):
    monkeypatch.setattr("accounts.organizations.MOST_OWNED", 0)
    with pytest.raises(CommandError, match="organizations"):
        issue("--email", factories.make_user("a@example.com").email)
