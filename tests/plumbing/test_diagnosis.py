"""The doctor: every room's questions are asked, a broken one is a finding, and trouble is told by the exit code."""

import contextlib
import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts import trail
from accounts.opening import default_storefront
from billing.wallets import credit
from gateway import suppliers
from gateway.seed import stock
from plumbing import diagnosis
from plumbing.diagnosis import Finding, Visit
from tests import factories
from tests.gateway.fake_provider import Told, fake_provider

pytestmark = pytest.mark.django_db
SECRET = "sk-upstream-do-not-show-1234"


def doctor(*words: str) -> tuple[bool, list[dict[str, str]]]:
    out = io.StringIO()
    with contextlib.suppress(CommandError):
        call_command("doctor", "--json", *words, stdout=out)
    told = json.loads(out.getvalue())
    return told["ok"], told["findings"]


def of(area: str, findings: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(finding["grade"], finding["sentence"]) for finding in findings if finding["area"] == area]


@pytest.fixture
def shop() -> Any:
    shop = default_storefront()
    stock(shop, sandbox_url="http://127.0.0.1:1/sandbox/provider", now=timezone.now())
    return shop


def test_a_healthy_house_ends_well_and_every_area_speaks(shop):
    ok, findings = doctor("--offline")
    assert ok, findings
    assert {"settings", "database", "cache", "queue", "mail", "providers", "catalogue"} <= {f["area"] for f in findings}


def test_an_empty_house_is_told_what_it_lacks():
    ok, findings = doctor("--offline")
    assert not ok
    assert ("bad", "No provider has a key.") in of("providers", findings)


def test_a_provider_that_refuses_our_key_is_found_and_the_key_is_not_shown(shop):
    with fake_provider(lambda heard: Told(401, json.dumps({"error": heard.key}).encode())) as upstream:
        suppliers.add_provider(
            name="Mock", kind="openai", base_url=upstream.url, key=SECRET, from_command_line=True, source=trail.SYSTEM
        )
        ok, findings = doctor()
    assert not ok
    assert any(grade == "bad" and "refuses the key" in said for grade, said in of("providers", findings))
    assert SECRET not in json.dumps(findings)


def test_openrouters_credit_is_told_when_it_runs_low(shop):
    def answer(heard: Any) -> Told:
        if heard.path.endswith("/credits"):
            return Told(200, b'{"data": {"total_credits": 10, "total_usage": 9.5}}')
        return Told(200, b'{"data": []}')

    with fake_provider(answer) as upstream:
        suppliers.add_provider(
            name="OR", kind="openrouter", base_url=upstream.url, key=SECRET, from_command_line=True, source=trail.SYSTEM
        )
        _, findings = doctor()
    assert ("bad", "OR says that 0.50 USD are left.") in of("providers", findings)


def test_a_customers_key_is_explained(shop):
    organization = factories.make_organization(storefront=shop)
    _key, secret = factories.make_key(organization)
    _, findings = doctor("--offline", "--key", secret)
    said = of("key", findings)
    assert ("bad", "Its organization has 0.00 USD available.") in said
    assert any("models" in sentence for _, sentence in said)
    credit(organization, 2_000_000_000, "test", trail.SYSTEM)
    _, findings = doctor("--offline", "--key", secret)
    assert ("good", "Its organization has 2.00 USD available.") in of("key", findings)
    _, findings = doctor("--offline", "--key", secret[:-1] + ("a" if secret[-1] != "a" else "b"))
    assert of("key", findings)[0][0] == "bad"
    assert secret not in json.dumps(findings)


def test_a_question_that_breaks_is_a_finding(monkeypatch):
    def breaks(visit: Visit) -> list[Finding]:
        raise RuntimeError("Authorization: Bearer sk-secretsecretsecret1234567890")

    monkeypatch.setitem(diagnosis._questions, "odd", breaks)
    [finding] = [found for found in diagnosis.examine(Visit(leaves_the_house=False)) if found.area == "odd"]
    assert finding.grade == "bad"
    assert "sk-secretsecret" not in finding.sentence


def test_two_rooms_cannot_examine_the_same_area():
    with pytest.raises(ValueError, match="two rooms"):
        diagnosis.examines("providers")(lambda visit: [])
