"""No free money: what was bought in the payment sandbox buys nothing that costs real money."""

import types
from datetime import UTC, datetime

import pytest

from billing import topups
from billing.payments import registry
from billing.payments.driver import NotConfigured
from gateway import callers
from gateway.callers import keep_play_money_in_the_sandbox as keep
from gateway.errors import NotAllowed
from gateway.models import Credential, Provider
from tests import factories
from tests.billing.payment_stage import Till, configure

pytestmark = pytest.mark.django_db


def offer(*sandboxes: bool):
    return types.SimpleNamespace(servings=[types.SimpleNamespace(is_sandbox=sandbox) for sandbox in sandboxes])


def test_an_organization_that_bought_in_the_sandbox_calls_sandbox_models_alone(organization, settings) -> None:
    configure(settings)
    _, secret = factories.make_key(organization)
    before = callers.load(secret, now=datetime.now(UTC))
    keep(before, offer(False).servings)
    till = Till(organization)
    till.deliver(till.session())
    assert topups.plays(organization)
    after = callers.load(secret, now=datetime.now(UTC))
    assert after.epoch > before.epoch  # so the cached view is refused at the very next call
    keep(after, offer(True, True).servings)
    for servings in ((False,), (True, False)):
        with pytest.raises(NotAllowed, match="play money"):
            keep(after, offer(*servings).servings)


def test_the_payment_sandbox_is_closed_while_a_real_key_is_in_use(shop, settings) -> None:
    configure(settings)
    provider = Provider.objects.create(slug="real", name="Real", kind="openai")
    registry.account_for(shop)
    key = Credential.objects.create(provider=provider, secret="sk-real")
    with pytest.raises(NotConfigured, match="sandbox is closed"):
        registry.account_for(shop)
    key.is_active = False
    key.save()
    registry.account_for(shop)
