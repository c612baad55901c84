"""Supply on the desk: what is typed goes through a room, keys stay unseen, and what is wrong is a sentence."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.opening import default_storefront
from billing.models.plans import CostCardVersion
from gateway.models import AIModel, Credential, PriceProposal, Provider, Route
from tests import factories
from tests.gateway.fake_provider import Told, fake_provider

pytestmark = pytest.mark.django_db
SECRET = "sk-upstream-9876543210-seen-by-nobody"
WHY = {"reason": "we buy there now"}


@pytest.fixture
def desk() -> Client:
    default_storefront()
    client = Client(HTTP_HOST="localhost")
    client.force_login(factories.make_staff(email="root@example.com"))
    return client


def post(client: Client, table: str, page: str, *args: Any, **values: Any) -> Any:
    return client.post(reverse(f"admin:gateway_{table}_{page}", args=args), {**values, **WHY})


def test_a_whole_supply_is_set_up_by_hand(desk):
    assert post(desk, "provider", "add", name="Mine", kind="openai", base_url="").status_code == 302
    provider = Provider.objects.get(slug="mine")
    key = {"provider": provider.pk, "label": "first", "weight": 2, "secret": SECRET}
    assert post(desk, "credential", "add", **key).status_code == 302
    credential = Credential.objects.get()
    assert (credential.secret, credential.last_four, credential.weight) == (SECRET, "body", 2)
    limits = {"context_tokens": 1000, "max_output_tokens": 100}
    named = {"slug": "hand-made", "name": "Hand-made", "purpose": "chat", **limits}
    assert post(desk, "aimodel", "add", **named).status_code == 302
    model = AIModel.objects.get(slug="hand-made")
    assert model.default_output_tokens == 100
    way = {"model": model.pk, "provider": provider.pk, "upstream_model": "hm", "priority": 1, "weight": 1}
    assert post(desk, "route", "add", **way).status_code == 302
    assert Route.objects.get().upstream_model == "hm"
    for table, pk in (("provider", provider.pk), ("credential", credential.pk)):
        for page in ("change", "history"):
            assert SECRET not in desk.get(reverse(f"admin:gateway_{table}_{page}", args=[pk])).content.decode()


@pytest.mark.parametrize("address", ["http://127.0.0.1:8000/v1", "https://10.0.0.8/v1", "https://localhost/v1"])
def test_the_desk_opens_no_way_into_the_house(desk, address):
    post(desk, "provider", "add", name="Inside", kind="openai", base_url=address)
    assert not Provider.objects.filter(slug="inside").exists()


def test_an_unfit_key_is_a_sentence_and_is_not_written_back(desk):
    provider = Provider.objects.create(name="P", slug="p", kind="openai")
    bad = {"provider": provider.pk, "label": "x", "weight": 1, "secret": "has a space in it"}
    answer = post(desk, "credential", "add", **bad)
    assert answer.status_code == 302
    assert "has a space in it" not in desk.get(answer["Location"]).content.decode()
    assert not Credential.objects.exists()


def test_a_policy_nobody_could_follow_is_not_saved(desk):
    provider = Provider.objects.create(name="P", slug="p", kind="openai")
    model = AIModel.objects.create(slug="m", name="m")
    route = Route.objects.create(model=model, provider=provider, upstream_model="m")
    for policy in ('{"refused_patterns": ["*"]}', '{"nonsense": 1}', "[]", "not json"):
        post(desk, "route", "change", route.pk, priority=1, weight=1, is_active="on", policy=policy)
        route.refresh_from_db()
        assert route.policy == {}
    good = '{"refused_patterns": ["launch codes"]}'
    assert post(desk, "route", "change", route.pk, priority=1, weight=1, policy=good).status_code == 302
    route.refresh_from_db()
    assert route.policy == {"refused_patterns": ["launch codes"]}


def test_the_button_tries_a_key_and_keeps_what_came_of_it(desk):
    with fake_provider(lambda heard: Told(200 if heard.key == SECRET else 401)) as fake:
        provider = Provider.objects.create(name="P", slug="p", kind="openai", base_url=fake.url, may_be_private=True)
        for secret, says in ((SECRET, "takes the key"), ("sk-wrong", "refuses the key")):
            credential = Credential.objects.create(provider=provider, secret=secret)
            assert post(desk, "credential", "deed", credential.pk, "try").status_code == 302
            credential.refresh_from_db()
            assert says in credential.tried_says
            assert credential.tried_at is not None


def test_a_waiting_price_is_read_and_accepted(desk):
    body = {"provider": "p", "model": "m", "rates": [{"direction": "input", "price": "7"}]}
    proposal = PriceProposal.objects.create(
        provider="p",
        model="m",
        body=body,
        reasons=["It has had no price until now."],
        differences=[{"field": "rates[<b>]", "before": "1", "after": "7"}],
        source="a list",
        seen_at=timezone.now(),
    )
    page = desk.get(reverse("admin:gateway_priceproposal_change", args=[proposal.pk])).content.decode()
    assert "It has had no price until now." in page
    assert "rates[&lt;b&gt;]" in page
    assert post(desk, "priceproposal", "deed", proposal.pk, "accept").status_code == 302
    proposal.refresh_from_db()
    assert proposal.became == CostCardVersion.objects.get(provider="p", model="m")
    assert proposal.decided_by is not None
    assert post(desk, "priceproposal", "deed", proposal.pk, "accept").status_code == 403


def test_a_shops_staff_see_none_of_it(desk):
    client = Client(HTTP_HOST="localhost")
    client.force_login(factories.make_staff(default_storefront(), "shop-staff@example.com"))
    for table in ("provider", "credential", "aimodel", "route", "priceproposal"):
        assert client.get(reverse(f"admin:gateway_{table}_changelist")).status_code == 403
        assert client.get(reverse(f"admin:gateway_{table}_add")).status_code == 403
