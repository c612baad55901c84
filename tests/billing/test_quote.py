import json

import pytest
from django.core.management import CommandError, call_command

from accounts import trail
from billing import pricebook
from tests.billing.test_pricebook import CARD, NOON, USAGE

pytestmark = pytest.mark.django_db


def quote(capsys, *arguments):
    call_command("quote", *arguments)
    return capsys.readouterr().out


@pytest.fixture
def card_file(tmp_path):
    path = tmp_path / "card.json"
    path.write_text(json.dumps({**CARD, "version": 1}))
    return str(path)


def test_every_step_is_shown_and_the_last_line_is_the_charge(capsys, card_file):
    shown = quote(capsys, "--plan", "s1", "--card", card_file, "input=1000", "output=500")
    assert shown.strip().splitlines()[-1] == "charge $0.013125 (0.013125 USD)   cost $0.0105"
    assert "x 1.25" in shown
    assert "$0.00375" in shown


def test_json_is_a_snapshot_that_recomputes(capsys, card_file, tmp_path):
    usage = tmp_path / "usage.json"
    usage.write_text(json.dumps(USAGE))
    shown = json.loads(quote(capsys, "--plan", "s1", "--card", card_file, "--json", str(usage)))
    assert shown["result"]["charge_nano"] == 13_125_000
    assert shown["steps"][-1]["label"] == "Charge"


def test_plans_and_cards_in_force_are_found_by_name(capsys, shop):
    pricebook.publish_card(body=CARD, effective_from=NOON, note="", source=trail.SYSTEM)
    pricebook.publish_plan(
        storefront=shop,
        name="standard",
        body={"method": "cost_plus", "percent": "100"},
        effective_from=NOON,
        note="",
        source=trail.SYSTEM,
    )
    found = ["--plan", "standard", "--provider", "sandbox", "--model", "m-std", "--at", "2026-11-02T00:00:00Z"]
    assert "charge $0.021 " in quote(capsys, *found, "input=1000", "output=500")
    assert "charge $0.021 " in quote(capsys, *found, "--storefront", shop.slug, "input=1000", "output=500")


def test_a_preset_prices_the_worked_example_of_an_unknown_model(capsys):
    assert "charge $0.00005 (5 token)   cost unknown" in quote(capsys, "--plan", "s4", "--model", "new", "input=5")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--plan", "s1", "input=1"], "needs its name"),
        (["--plan", "s1", "--model", "m", "input=1"], "no cost card"),
        (["--plan", "s1", "--model", "m", "input=x"], "is not direction"),
        (["--plan", "s1", "--provider", "p", "--model", "m", "input=1"], "has no card"),
        (["--plan", "nothing", "--model", "m", "input=1"], "no plan 'nothing' in force"),
        (["--plan", "nothing", "--storefront", "none", "--model", "m", "input=1"], "no such storefront"),
        (["--plan", "missing.json", "--model", "m", "input=1"], "No such file"),
        (["--plan", "s1", "--at", "yesterday", "--model", "m", "input=1"], "yesterday"),
    ],
)
def test_what_cannot_be_quoted_is_one_sentence(shop, arguments, sentence):
    with pytest.raises(CommandError, match=sentence):
        call_command("quote", *arguments)
