from datetime import UTC, datetime, timedelta

import pytest

from accounts import access, keys, trail
from accounts.models import ApiKey
from tests import factories

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


@pytest.mark.django_db
def test_a_secret_is_found_by_its_hash_and_stored_nowhere(organization, shop):
    key, secret = factories.make_key(organization)
    found = access.key_for(secret, storefront=shop, on_platform_host=True, ip_address="203.0.113.5", now=NOW)
    assert found == key
    stored = " ".join(str(value) for value in ApiKey.unscoped.values_list().get(pk=key.pk))
    assert secret not in stored
    assert secret[-10:] not in stored


@pytest.mark.django_db
def test_a_typo_is_refused_without_a_query(organization, shop, django_assert_num_queries):
    _, secret = factories.make_key(organization)
    typo = secret[:-8] + ("a" if secret[-8] != "a" else "b") + secret[-7:]
    with django_assert_num_queries(0), pytest.raises(access.KeyNotAccepted):
        access.key_for(typo, storefront=shop, on_platform_host=True, ip_address="203.0.113.5", now=NOW)


@pytest.mark.django_db(transaction=True)
def test_rotation_leaves_the_old_key_working_until_the_overlap_ends(organization, alice, shop):
    key, old = factories.make_key(organization)
    minted = keys.rotate(key, overlap=timedelta(hours=1), now=NOW, made_by=alice, source=trail.SYSTEM)

    def accepted(secret: str, now: datetime) -> bool:
        try:
            access.key_for(secret, storefront=shop, on_platform_host=True, ip_address="203.0.113.5", now=now)
        except access.KeyNotAccepted:
            return False
        return True

    assert accepted(old, NOW + timedelta(minutes=59))
    assert not accepted(old, NOW + timedelta(minutes=61))
    assert accepted(minted.secret, NOW + timedelta(days=365))
