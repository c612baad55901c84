"""New prices: what a machine publishes, what waits for a person, and what no list can talk us into."""

import io
import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts import trail
from accounts.models import AuditEvent, User
from accounts.opening import default_storefront
from billing import pricebook
from billing.models.plans import CostCardVersion
from gateway import repricing, shipped, suppliers, tasks, wares
from gateway.models import AIModel, PriceProposal, Provider, Route
from gateway.models.prices import Decision
from gateway.pricelists import CannotTell, Modalities, genai, rails, written
from gateway.wares import Price
from plumbing.models import OutboxMessage
from tests import factories
from tests.gateway.fake_provider import Told, fake_provider

FIRST = {"prompt": "0.000003", "completion": "0.000015", "input_cache_read": "0.0000003"}
TEXT = {"m": Modalities()}


def listing(*models: tuple[str, dict[str, Any]]) -> bytes:
    rows = [{"id": name, "pricing": pricing, "context_length": 1} for name, pricing in models]
    return json.dumps({"data": rows}).encode()


def told(pricing: dict[str, Any]) -> Any:
    return written.bodies("openrouter", listing(("m", pricing)), provider="p", modalities=TEXT)["m"]


def card(**changes: Any) -> dict[str, Any]:
    body = {"provider": "p", "model": "m", "rates": [], **changes}
    return pricebook.normal_card(body)


def rate(price: str, direction: str = "input", **more: Any) -> dict[str, Any]:
    return {"direction": direction, "price": price, **more}


# --- Reading lists ----------------------------------------------------------------------------------------------------


def test_openrouters_list_is_read_exactly():
    body = told({**FIRST, "web_search": "0.004", "image": "0", "request": "0", "discount": 0})
    prices = {
        (one["direction"], one["modality"], one["cache"], one["unit"]): (one["price"], one["per"])
        for one in body["rates"]
    }
    assert prices == {
        ("input", "text", "none", "token"): ("3", 1_000_000),
        ("input", "text", "read", "token"): ("0.3", 1_000_000),
        ("output", "text", "none", "token"): ("15", 1_000_000),
        ("output", "search", "none", "search"): ("4", 1_000),
    }


@pytest.mark.parametrize(
    "pricing",
    [
        {"prompt": "0.000003"},
        {**FIRST, "prompt": "-1"},
        {**FIRST, "prompt": "NaN"},
        {**FIRST, "prompt": True},
        {**FIRST, "prompt": "1e-40"},
        {**FIRST, "prompt": "9" * 50},
        {**FIRST, "prompt": "5"},
        {**FIRST, "per_fortnight": "0.01"},
        {**FIRST, "overrides": [{"min_context": 200_000}]},
        {**FIRST, "completion": None},
    ],
)
def test_what_cannot_be_told_is_refused_and_not_guessed(pricing):
    assert isinstance(told(pricing), CannotTell)


@pytest.mark.parametrize("document", [b"", b"[]", b'{"data": {}}', b"[" * 100_000, b'{"models": []}', b"\xff\xfe"])
def test_a_document_that_is_no_list_is_refused(document):
    with pytest.raises(CannotTell):
        written.bodies("openrouter", document, provider="p", modalities=TEXT)


def test_a_model_that_is_named_twice_is_not_believed():
    bodies = written.bodies("openrouter", listing(("m", FIRST), ("m", FIRST)), provider="p", modalities=TEXT)
    assert isinstance(bodies["m"], CannotTell)


def test_a_plain_list_is_in_dollars_per_million():
    document = (
        b'{"models": [{"model": "m", "input": 3.1, "cached_input": "0.3", "output": 15}, {"model": "n", "x": 1}]}'
    )
    body = written.bodies("plain", document, provider="p", modalities=TEXT)["m"]
    assert isinstance(body, dict)
    assert {one["price"] for one in body["rates"]} == {"3.1", "0.3", "15"}
    odd = written.bodies("plain", document, provider="p", modalities={"n": Modalities()})
    assert isinstance(odd["n"], CannotTell)


def test_what_a_model_reads_beside_text_is_never_unpriced():
    bodies = written.bodies(
        "openrouter", listing(("m", FIRST)), provider="p", modalities={"m": Modalities(["image", "audio"], ["audio"])}
    )
    body = bodies["m"]
    assert isinstance(body, dict)
    prices = {(one["direction"], one["modality"], one["cache"]): one["price"] for one in body["rates"]}
    assert prices["input", "image", "none"] == prices["input", "audio", "none"] == "3"
    assert prices["input", "image", "read"] == "0.3"
    assert prices["output", "audio", "none"] == "15"


def test_the_package_is_asked_offline():
    body = genai.body(
        reference="openai/gpt-6-astra", provider="p", model="m", at=timezone.now(), modalities=Modalities()
    )
    assert [tier["above_tokens"] for tier in body["context_tiers"]] == [272_000]
    with pytest.raises(CannotTell):
        genai.body(reference="openai/nobody", provider="p", model="m", at=timezone.now(), modalities=Modalities())


# --- Rails ------------------------------------------------------------------------------------------------------------

OLD = card(
    rates=[rate("3"), rate("0.3", cache="read"), rate("15", "output")],
    context_tiers=[{"above_tokens": 200_000, "rates": [rate("6")]}],
    service_tiers={"priority": "2"},
    peak=[{"from": "01:00", "to": "04:00", "multiplier": "2"}],
)


@pytest.mark.parametrize("price", ["2", "2.5", "3.3", "4.5"])
def test_small_steps_pass(price):
    assert rails.reasons_to_wait(OLD, {**OLD, "rates": [rate(price), *OLD["rates"][1:]]} | {}) == ()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rates": [rate("4.6"), rate("0.3", cache="read"), rate("15", "output")]}, "moves from $3 to $4.6"),
        ({"rates": [rate("1.9"), rate("0.3", cache="read"), rate("15", "output")]}, "moves from $3 to $1.9"),
        ({"rates": [rate("0"), rate("0.3", cache="read"), rate("15", "output")]}, "drops to zero"),
        ({"rates": [rate("3000"), rate("0.3", cache="read"), rate("15", "output")]}, "another unit"),
        ({"rates": [rate("3", unit="character"), rate("15", "output")]}, "counted by the character"),
        ({"rates": [rate("3"), rate("15", "output")]}, "no price for input text token (cache read)"),
        ({"context_tiers": []}, "above 200000 tokens"),
        ({"context_tiers": [{"above_tokens": 200_000, "rates": [rate("60")]}]}, "moves from $6 to $60"),
        ({"service_tiers": {}}, "priority is gone"),
        ({"service_tiers": {"priority": "1"}}, "multiplies by 1 instead of 2"),
        ({"peak": []}, "hours"),
        ({"free": True, "rates": [rate("0"), rate("0", "output")], "context_tiers": []}, "becomes free"),
    ],
)
def test_everything_else_waits_with_its_reason(change, says):
    assert says in " ".join(rails.reasons_to_wait(OLD, {**OLD, **change}))


def test_a_first_price_waits():
    assert rails.reasons_to_wait(None, OLD)


# --- The whole way ----------------------------------------------------------------------------------------------------


@pytest.fixture
def operator(db: None) -> User:
    default_storefront()
    return factories.make_staff()


def bought(pricing: dict[str, str] = FIRST, *, author: User | None = None) -> Provider:
    """A model bought by the list of a provider, at that price until now."""
    provider: Provider = suppliers.add_provider(
        name="Listed", kind="openrouter", key="sk-or-1234567890", source=trail.SYSTEM
    ).row
    Provider.objects.filter(pk=provider.pk).update(price_list_shape="openrouter")
    model = AIModel.objects.create(slug="m", name="m")
    Route.objects.create(model=model, provider=provider, upstream_model="m")
    body = {**told(pricing), "provider": "listed"}
    source = trail.Source(user=author) if author else trail.SYSTEM
    pricebook.publish_card(body=body, effective_from=timezone.now() - timedelta(hours=1), note="", source=source)
    return provider


def refresh(pricing: dict[str, Any]) -> repricing.Refreshed:
    documents = {"listed": listing(("m", {**FIRST, **pricing}))}
    return repricing.refresh(now=timezone.now(), source=trail.SYSTEM, provider="listed", documents=documents)


def versions() -> list[str]:
    rows = CostCardVersion.objects.filter(provider="listed").order_by("version")
    return [next(rate["price"] for rate in row.body["rates"] if rate["direction"] == "output") for row in rows]


def test_the_same_price_changes_nothing(operator):
    bought()
    assert refresh({}).unchanged == 1
    assert versions() == ["15"]


def test_a_small_step_is_a_new_version_with_a_line_in_the_trail(operator):
    bought()
    before = AuditEvent.objects.filter(action="cost_card.published").count()
    assert refresh({"completion": "0.000018"}).published == ["listed/m"]
    assert versions() == ["15", "18"]
    assert AuditEvent.objects.filter(action="cost_card.published").count() == before + 1
    assert not PriceProposal.objects.exists()


def test_a_large_step_waits_rings_once_and_is_put_in_force_by_a_person(operator):
    bought()
    for _ in range(3):
        refresh({"completion": "0.00015"})
    [proposal] = PriceProposal.objects.all()
    assert versions() == ["15"]
    assert proposal.reasons
    assert any(one["after"] == "150" for one in proposal.differences)
    assert OutboxMessage.objects.filter(key__startswith="supply_alarm").count() == 1
    version = repricing.accept(proposal, now=timezone.now(), source=trail.Source(user=operator), reason="checked")
    proposal.refresh_from_db()
    assert (proposal.state, proposal.decided_by, proposal.became) == (Decision.ACCEPTED, operator, version)
    assert versions() == ["15", "150"]
    with pytest.raises(repricing.AlreadyDecided):
        repricing.refuse(proposal, now=timezone.now(), source=trail.Source(user=operator))
    event = AuditEvent.objects.get(action="price_proposal.accepted")
    assert (event.actor, event.reason) == (operator, "checked")


def test_a_refused_price_does_not_come_back_until_the_list_says_something_else(operator):
    bought()
    refresh({"completion": "0.00015"})
    repricing.refuse(PriceProposal.objects.get(), now=timezone.now(), source=trail.Source(user=operator))
    assert refresh({"completion": "0.00015"}).proposed == []
    assert refresh({"completion": "0.00016"}).proposed == ["listed/m"]
    assert versions() == ["15"]


def test_a_proposal_that_the_list_takes_back_is_overtaken(operator):
    bought()
    refresh({"completion": "0.00015"})
    refresh({})
    assert PriceProposal.objects.get().state == Decision.OVERTAKEN


def test_a_proposal_against_a_price_that_has_changed_cannot_be_accepted(operator):
    bought()
    refresh({"completion": "0.00015"})
    body = {**told({**FIRST, "completion": "0.00002"}), "provider": "listed"}
    pricebook.publish_card(body=body, effective_from=timezone.now(), note="", source=trail.SYSTEM)
    with pytest.raises(repricing.Outdated):
        repricing.accept(PriceProposal.objects.get(), now=timezone.now(), source=trail.Source(user=operator))


def test_a_price_that_a_person_set_waits_even_for_a_small_step(operator):
    bought(author=operator)
    assert refresh({"completion": "0.000016"}).proposed == ["listed/m"]


def test_a_pinned_price_is_never_even_asked_for(operator):
    provider = bought()
    Route.objects.update(is_price_pinned=True)
    done = refresh({"completion": "0.000016"})
    assert (done.published, done.proposed, done.unchanged) == ([], [], 0)
    wares.add_model(
        slug="mine",
        provider=provider,
        upstream="mine",
        prices=[Price("input", Decimal(1)), Price("output", Decimal(2))],
        source=trail.SYSTEM,
        now=timezone.now(),
    )
    assert refresh({}).untold == {}


def test_a_list_is_fetched_through_the_guarded_door(operator):
    provider = bought()
    with fake_provider(lambda heard: Told(200, listing(("m", {**FIRST, "completion": "0.000016"})))) as fake:
        Provider.objects.filter(pk=provider.pk).update(price_list_url=fake.url + "/models", may_be_private=False)
        done = repricing.refresh(now=timezone.now(), source=trail.SYSTEM, provider="listed")
        assert not fake.heard, "a list's address is public unless the command line opened the account to others"
        assert "listed/m" in done.untold
        Provider.objects.filter(pk=provider.pk).update(may_be_private=True)
        assert repricing.refresh(now=timezone.now(), source=trail.SYSTEM, provider="listed").published == ["listed/m"]
        assert "authorization" not in fake.heard[0].headers


def test_a_list_that_fails_changes_nothing_and_says_so(operator):
    provider = bought()
    with fake_provider(lambda heard: Told(500)) as fake:
        Provider.objects.filter(pk=provider.pk).update(price_list_url=fake.url, may_be_private=True)
        done = repricing.refresh(now=timezone.now(), source=trail.SYSTEM, provider="listed")
    assert "500" in done.untold["listed/m"]
    assert versions() == ["15"]


def test_the_catalogue_agrees_with_the_package_it_was_made_of(operator):
    shipped.load(now=timezone.now() - timedelta(days=1), source=trail.SYSTEM)
    Provider.objects.update(price_list_url="")
    done = repricing.refresh(now=timezone.now(), source=trail.SYSTEM)
    assert not done.untold
    assert done.unchanged > 80
    assert tasks.refresh_prices() == 0 or done.published or done.proposed


def test_the_commands_decide(operator, tmp_path):
    bought()
    path = tmp_path / "list.json"
    path.write_bytes(listing(("m", {**FIRST, "completion": "0.00015"})))
    out = io.StringIO()
    call_command("catalogue", "refresh", "--provider", "listed", "--file", str(path), "--json", stdout=out)
    assert json.loads(out.getvalue())["proposed"] == ["listed/m"]
    out = io.StringIO()
    call_command("catalogue", "proposals", "--json", stdout=out)
    [proposal] = json.loads(out.getvalue())
    call_command("catalogue", "accept", str(proposal["id"]), "--reason", "looked it up", stdout=io.StringIO())
    assert versions() == ["15", "150"]
    with pytest.raises(CommandError, match="decided already"):
        call_command("catalogue", "refuse", str(proposal["id"]), "--reason", "no", stdout=io.StringIO())
    with pytest.raises(CommandError, match="no proposal"):
        call_command("catalogue", "refuse", "999999", "--reason", "no", stdout=io.StringIO())
