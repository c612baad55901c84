"""First steps: the list greets whoever has not called yet, shows a key once, and turns green with the first call."""

import re

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts import trail
from accounts.models import ApiKey
from billing.wallets import credit
from dashboard.models import FirstSteps
from gateway.models import Call
from gateway.models.calls import CallState
from tests import factories

pytestmark = pytest.mark.django_db


def page(name, organization):
    return reverse(f"dashboard:{name}", args=[organization.slug])


def a_call(organization, key, number=1):
    now = timezone.now()
    return Call.objects.create(
        id=number, organization=organization, api_key_id=key.pk, created_at=now, ended_at=now, state=CallState.DONE,
        endpoint="chat", model_asked="sandbox-standard", model_served="sandbox-standard", plan_version_id=1,
        input_tokens=12, output_tokens=34, price_nano=5,
    )  # fmt: skip


def test_whoever_has_not_called_is_greeted_by_the_list(client, organization, alice):
    client.force_login(alice)
    assert client.get("/app/")["Location"] == page("first_steps", organization)
    client.post(page("first_dismiss", organization))
    assert client.get("/app/")["Location"] == page("overview", organization)


def test_whoever_has_called_or_makes_no_keys_is_not(client, organization, alice):
    viewer = factories.make_membership(organization, role="viewer").user
    client.force_login(viewer)
    assert client.get("/app/")["Location"] == page("overview", organization)
    key, _ = factories.make_key(organization)
    a_call(organization, key)
    client.force_login(alice)
    assert client.get("/app/")["Location"] == page("overview", organization)


def test_a_name_is_remembered_and_a_bad_one_is_told(client, organization, alice):
    client.force_login(alice)
    assert client.post(page("first_name", organization), {"name": "Nine Bars"}).status_code == 302
    organization.refresh_from_db()
    assert organization.name == "Nine Bars"
    assert FirstSteps.objects.of(organization).get().named_at
    assert "Nine Bars" in client.get(page("first_steps", organization)).content.decode()
    FirstSteps.objects.of(organization).update(named_at=None)
    assert "is required" in client.post(page("first_name", organization), {"name": ""}).content.decode()


def test_the_key_is_shown_once_with_code_that_holds_it(client, organization, alice):
    credit(organization, 5_000_000_000, "welcome", trail.SYSTEM)
    client.force_login(alice)
    answer = client.post(page("first_key", organization), {"label": "laptop"})
    assert "no-store" in answer["Cache-Control"]
    text = answer.content.decode()
    secret = re.search(r'id="secret"[^>]*>([^<]+)<', text)[1]
    assert text.count(secret) == 5  # the line to copy and four snippets
    assert ApiKey.objects.of(organization).get().label == "laptop"
    again = client.get(page("first_steps", organization)).content.decode()
    assert secret not in again
    assert "$5.00" in again


def test_the_waiting_line_turns_green(client, organization, alice, charlie):
    client.force_login(alice)
    waiting = client.get(page("first_call", organization)).content.decode()
    assert "every 2s" in waiting
    key, _ = factories.make_key(organization)
    a_call(organization, key)
    arrived = client.get(page("first_call", organization)).content.decode()
    assert "Your first call arrived." in arrived
    assert "12 tokens in, 34 out" in arrived
    assert "every 2s" not in arrived
    client.force_login(charlie)
    assert client.get(page("first_call", organization)).status_code == 404
