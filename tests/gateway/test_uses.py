"""When a key was last used: noted beside the calls, once a minute, in one statement."""

import asyncio
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import keys
from accounts.models import ApiKey
from accounts.opening import default_storefront
from gateway.uses import Uses
from tests import factories
from tests.gateway.houses import open_house

CHAT = {"model": "sandbox-standard", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_call_is_seen_on_its_key():
    with open_house() as house:
        assert house.post("/v1/chat/completions", CHAT).status_code == 200
    used = ApiKey.unscoped.get(pk=house.key.pk)  # a stopping server carries what still waits
    assert used.last_used_ip == "127.0.0.1"
    assert timezone.now() - used.last_used_at < timedelta(minutes=1)


@pytest.mark.django_db(transaction=True)
def test_a_key_is_carried_once_a_minute():
    organization = factories.make_organization(storefront=default_storefront())
    ids = [factories.make_key(organization)[0].pk for _ in range(3)]
    uses, now = Uses(), timezone.now()

    async def carry(moment):
        for key in ids:
            uses.note(key, ip_address="127.0.0.9", now=moment)
        await uses.flush()

    asyncio.run(carry(now))
    asyncio.run(carry(now + timedelta(seconds=30)))
    seen = set(ApiKey.unscoped.filter(pk__in=ids).values_list("last_used_at", "last_used_ip"))
    assert seen == {(now, "127.0.0.9")}
    uses._carried = dict.fromkeys(ids, now - timedelta(minutes=2))
    asyncio.run(carry(now))
    asyncio.run(carry(now + timedelta(minutes=2)))
    assert set(ApiKey.unscoped.filter(pk__in=ids).values_list("last_used_at", flat=True)) == {
        now + timedelta(minutes=2)
    }


@pytest.mark.django_db
def test_many_keys_are_noted_in_one_statement(django_assert_num_queries):
    organization, now = factories.make_organization(storefront=default_storefront()), timezone.now()
    ids = [factories.make_key(organization)[0].pk for _ in range(5)]
    with django_assert_num_queries(1):
        keys.note_uses({key: keys.Use(now, "::1") for key in ids})
    assert ApiKey.unscoped.filter(pk__in=ids, last_used_ip="::1").count() == 5
