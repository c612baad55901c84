from datetime import UTC, datetime

import pytest
from django.db import connection

from gateway import partitions
from gateway.callid import first_id
from gateway.models import Call

NOW = datetime(2041, 11, 21, tzinfo=UTC)  # far from the months that the migration makes for today


def test_months_run_over_the_end_of_the_year():
    months = partitions.months_from(datetime(2026, 11, 30, 23, 59, tzinfo=UTC), 4)
    assert [f"{month:%Y-%m-%d}" for month in months] == ["2026-11-01", "2026-12-01", "2027-01-01", "2027-02-01"]


def add_call(organization, moment):
    return Call.objects.create(
        id=first_id(moment),
        organization=organization,
        created_at=moment,
        ended_at=moment,
        state="done",
        plan_version_id=1,
        endpoint="chat",
    )


def table_of(call):
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM gateway_call WHERE id = %s", [call.pk])
        return cursor.fetchone()[0]


@pytest.mark.django_db
def test_each_call_lands_in_its_month_and_strays_are_told(organization):
    if connection.vendor != "postgresql":
        assert partitions.make_ahead(connection, now=NOW) == []
        assert partitions.strays(connection) == {}
        return
    made = partitions.make_ahead(connection, now=NOW)
    assert partitions.make_ahead(connection, now=datetime.now(UTC)) == []  # the migration made them
    assert len(made) == len(partitions.TABLES) * (partitions.AHEAD + 1)
    assert partitions.make_ahead(connection, now=NOW) == []
    assert table_of(add_call(organization, datetime(2041, 11, 1, tzinfo=UTC))) == "gateway_call_2041_11"
    assert table_of(add_call(organization, datetime(2041, 11, 30, 23, 59, 59, tzinfo=UTC))) == "gateway_call_2041_11"
    assert table_of(add_call(organization, datetime(2041, 12, 1, tzinfo=UTC))) == "gateway_call_2041_12"
    assert partitions.strays(connection) == {}
    assert table_of(add_call(organization, datetime(2045, 1, 1, tzinfo=UTC))) == "gateway_call_rest"
    assert partitions.strays(connection) == {"gateway_call": 1}


@pytest.mark.django_db
def test_a_sealed_credential_is_plain_only_in_python(db):
    from gateway.models import Credential, Provider

    provider = Provider.objects.create(slug="x", name="X", kind="openai")
    Credential.objects.create(provider=provider, secret="sk-canary-upstream")
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM gateway_credential")
        assert "canary" not in cursor.fetchone()[0]
    assert Credential.objects.get().secret == "sk-canary-upstream"
