"""The first day happens once: what it made is told by the run that made it, and found by every later one."""

import pytest
from allauth.account.models import EmailAddress

from accounts import keys, opening
from accounts.models import ApiKey, Organization, Storefront, User
from accounts.models.keys import KeyKind

pytestmark = pytest.mark.django_db


def test_the_first_run_makes_what_is_missing_and_the_second_nothing():
    made = opening.open_shop()
    operator = User.objects.get()
    assert operator.check_password(made.operator_password)
    assert (operator.is_staff, operator.is_superuser) == (True, True)
    assert EmailAddress.objects.get(user=operator).verified
    assert made.storefront == Storefront.objects.get(is_default=True)
    assert list(keys.with_secrets({made.key_secret}).values()) == [
        ApiKey.unscoped.get(kind=KeyKind.INFERENCE, label="First key")
    ]
    assert made.organization == Organization.objects.get()

    keys_made = ApiKey.unscoped.count()
    again = opening.open_shop()
    assert (again.operator_password, again.organization, again.key_secret) == (None, None, None)
    assert (User.objects.count(), Organization.objects.count(), ApiKey.unscoped.count()) == (1, 1, keys_made)


def test_an_operator_who_was_switched_off_stays_so_and_the_start_does_not_stumble():
    opening.open_shop()
    User.objects.update(is_active=False, is_superuser=False)
    again = opening.open_shop()
    assert again.operator_password is None
    assert not User.objects.get().is_active
