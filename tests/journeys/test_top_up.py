"""A top-up in a real browser: from the button, through the provider's own page, to a balance that can be spent."""

import re

import pytest
from django.utils import timezone
from stripe import StripeClient

from billing import statements
from billing.models import TopUp
from plumbing import outbox
from sandbox.stripe.running import running_stripe
from tests.billing.payment_stage import CENT, configure, proven

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def box(live_server, settings, shop):
    """A payment sandbox whose webhooks knock at the real address, and whose pages our forms may lead to."""
    with running_stripe(key="sk_test_journey") as box:
        address = f"{live_server.url}/webhooks/stripe/{shop.public_id}"
        client = StripeClient(box.key, base_addresses={"api": box.url})
        made = client.v1.webhook_endpoints.create({"url": address, "enabled_events": ["*"]})
        configure(settings, key=box.key, base=box.url, secret=made.secret)
        settings.PUBLIC_PORT = int(live_server.url.rpartition(":")[2])
        directives = settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]
        allowed = [*directives["form-action"], box.url, live_server.url]
        settings.CONTENT_SECURITY_POLICY = {"DIRECTIVES": directives | {"form-action": allowed}}
        yield box


def test_a_customer_buys_credit_and_sees_it(box, visitor, alice, organization, tmp_path):
    page = visitor.page
    visitor.log_in(alice)
    visitor.go(f"/app/{organization.slug}/credits/")
    page.screenshot(path=tmp_path / "1-credits.png")
    page.get_by_label("25.00 USD").check()
    page.get_by_role("button", name="Go to payment").click()
    page.wait_for_url(f"{box.url}/**")
    page.screenshot(path=tmp_path / "2-provider.png")
    page.get_by_role("button", name="Pay", exact=False).first.click()
    page.wait_for_url(re.compile("/credits/top_"))
    assert box.settle()
    outbox.drain()
    page.reload()
    page.get_by_text("The credit is yours to spend").wait_for()
    page.screenshot(path=tmp_path / "3-back.png")
    visitor.go(f"/app/{organization.slug}/credits/")
    page.get_by_text("$25.00").first.wait_for()
    page.screenshot(path=tmp_path / "4-balance.png")
    visitor.trouble = [line for line in visitor.trouble if box.url not in line]
    assert TopUp.objects.of(organization).get().state == "paid"
    assert statements.balance(organization, now=timezone.now()).available_nano == 2_500 * CENT
    proven()
