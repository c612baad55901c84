"""The fair-billing table is what the code stamps, no more and no less; receipts and replays tell and prove it."""

import ast
import json
from io import StringIO
from pathlib import Path

import httpx
import pytest
from django.core.management import CommandError, call_command

from accounts.models import ApiKey
from gateway import receipts
from gateway.fair_billing import TABLE, Rule, Share, published
from gateway.models import Call
from gateway.models.calls import CallState
from tests import factories
from tests.gateway.houses import open_house, sell, stream, until_ended
from tests.gateway.test_settlement import CHAT

ROOM = Path(__file__).resolve().parents[2] / "gateway"
KEPT_FROM_CUSTOMERS = ("cost", "markup", "ratio", "multiplier", "provider", "credential", "margin", "sandbox-standard+")


def stamped() -> set[str]:
    """Every rule some code of the gateway names, the table itself left aside."""
    found = set()
    for path in ROOM.rglob("*.py"):
        if path.name != "fair_billing.py" and "migrations" not in path.parts:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Rule":
                    found.add(node.attr)
    return found


def test_every_rule_that_is_stamped_is_in_the_table_and_the_reverse():
    assert stamped() == {rule.name for rule in Rule} == {rule.name for rule in TABLE}
    assert all(line.happened.endswith(".") and line.charged.endswith(".") for line in TABLE.values())
    assert [line["rule"] for line in published()] == [rule.value for rule in Rule]
    assert all("Nothing" in line.charged for line in TABLE.values() if line.share is Share.NOTHING)


@pytest.fixture
def house():
    with open_house() as house:
        yield house


def manager(house):
    """A management key of the house's organization."""
    _, secret = factories.make_key(house.organization, kind="management", scopes=["billing:read"])
    return secret


def ask(house, path, secret=None):
    headers = {"authorization": f"Bearer {secret}"} if secret else {}
    return httpx.get(f"{house.base}/api/v1/{path}", headers=headers, timeout=20)


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_receipts_tell_each_step_and_nothing_of_ours(house):
    sell("cut", "sandbox-standard+cut=1500")
    sell("broken", "sandbox-standard+status=402")
    house.post("/v1/chat/completions", CHAT)
    with stream(house, {**CHAT, "model": "cut"}) as answer:
        answer.read()
    house.post("/v1/chat/completions", {**CHAT, "model": "broken"})
    calls = until_ended(house.organization, 3)
    secret = manager(house)
    own = f"organizations/{house.organization.public_id}"
    listed = ask(house, f"{own}/calls", secret)
    assert [call["id"] for call in listed.json()["results"]] == [str(call.pk) for call in reversed(calls)]
    for call in calls:
        answer = ask(house, f"{own}/calls/{call.pk}/receipt", secret)
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert told["recomputes"] is True
        assert told["rule"]["name"] == call.billing_rule
        assert told["charged_usd"] == receipts.usd_text(call.price_nano)
        assert float(told["held_usd"]) >= float(told["charged_usd"])
        assert bool(told["steps"]) == bool(call.price_nano)
        if told["steps"]:
            assert told["steps"][-1]["usd"] == told["price_usd"]
        for text in (answer.text, listed.text):
            assert not [
                word
                for word in KEPT_FROM_CUSTOMERS
                if word
                in text.lower().replace("the provider", "").replace("its provider", "").replace("no provider", "")
            ]
    assert [
        ask(house, f"{own}/calls?{query}", secret).status_code for query in ("colour=red", "state=x", "cursor=%00")
    ] == [400, 400, 400]
    failed = ask(house, f"{own}/calls?state=failed&limit=1", secret).json()
    assert [call["model"] for call in failed["results"]] == ["broken"]
    page = ask(house, f"{own}/calls?limit=2", secret).json()
    assert len(page["results"]) == 2
    rest = httpx.get(page["next"], headers={"authorization": f"Bearer {secret}"}, timeout=20).json()
    assert [call["id"] for call in rest["results"]] == [str(calls[0].pk)]
    stranger = factories.make_organization(storefront=house.organization.storefront)
    _, other = factories.make_key(stranger, kind="management", scopes=["billing:read"])
    assert ask(house, f"{own}/calls/{calls[0].pk}/receipt", other).status_code == 404
    theirs = f"organizations/{stranger.public_id}/calls"
    assert ask(house, f"{theirs}/{calls[0].pk}/receipt", other).status_code == 404
    assert ask(house, f"{theirs}/{'9' * 19}/receipt", other).status_code == 404
    assert ask(house, theirs, other).json()["results"] == []
    assert ask(house, f"{own}/calls").status_code == 401
    assert [line["rule"] for line in ask(house, "fair-billing").json()] == [rule.value for rule in Rule]
    assert ApiKey.unscoped.count() >= 3


def replayed(call_id):
    out = StringIO()
    try:
        call_command("replay", str(call_id), "--json", stdout=out)
    except SystemExit as ended:
        return ended.code, json.loads(out.getvalue())
    return 0, json.loads(out.getvalue())


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_replay_recomputes_any_call_and_says_what_differs(house):
    sell("cut", "sandbox-standard+cut=1500")
    house.post("/v1/chat/completions", CHAT)
    with stream(house, {**CHAT, "model": "cut"}) as answer:
        answer.read()
    for call in until_ended(house.organization, 2):
        code, story = replayed(call.pk)
        assert (code, story["differences"]) == (0, [])
        assert story["recomputed_nano"] == story["charged_nano"] == call.price_nano
        assert any(step["label"] == "Charge" for step in story["steps"])
    Call.unscoped.filter(pk=call.pk).update(price_nano=call.price_nano + 1)
    code, story = replayed(call.pk)
    assert code == 1
    assert "recomputed" in story["differences"][0]
    Call.unscoped.filter(pk=call.pk).update(price_nano=call.price_nano)
    assert call.state == CallState.PARTIAL
    for unknown in ("1", str(2**70)):
        with pytest.raises(CommandError):
            call_command("replay", unknown)
