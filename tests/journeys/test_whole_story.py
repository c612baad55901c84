"""The whole story of a customer in a real browser before the whole server: from the front page to the exported bill."""

import csv
import io
import re
from pathlib import Path

import pytest
from django.core import mail
from django.utils import timezone
from stripe import StripeClient

from accounts import trail
from accounts.models import Organization
from analytics import rollups
from billing.models import TopUp
from billing.wallets import credit
from dashboard import tasks
from gateway.models import Call
from plumbing import outbox
from sandbox.stripe.running import running_stripe
from tests.billing.payment_stage import configure, proven
from tests.gateway.house import DOLLAR, opened
from tests.journeys.conftest import Visitor, code_from_mail

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume:Warning"),  # whitenoise's files, under ASGI
]
PASSWORD = "a gate of nine bars and a bell"


@pytest.fixture
def town(settings, shop):
    """A whole server with its gateway, and a payment sandbox whose webhooks knock at it; our browser's address."""
    with opened() as house, running_stripe(key="sk_test_journey") as box:
        base = house.base.replace("127.0.0.1", "localhost")
        client = StripeClient(box.key, base_addresses={"api": box.url})
        address = f"{base}/webhooks/stripe/{shop.public_id}"
        made = client.v1.webhook_endpoints.create({"url": address, "enabled_events": ["*"]})
        configure(settings, key=box.key, base=box.url, secret=made.secret)
        settings.PUBLIC_PORT = int(base.rpartition(":")[2])
        directives = settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]
        allowed = [*directives["form-action"], box.url, base]
        settings.CONTENT_SECURITY_POLICY = {"DIRECTIVES": directives | {"form-action": allowed}}
        yield base, box


def test_from_the_front_page_to_the_exported_bill(chromium, town, tmp_path):
    base, box = town
    visitor = Visitor(chromium, base)
    try:
        organization = signs_up(visitor)
        credit(organization, DOLLAR, "a welcome", trail.SYSTEM)
        call = makes_the_first_call(visitor, organization)
        tops_up(visitor, organization, box)
        is_warned(visitor, organization)
        exports(visitor, organization, call, tmp_path)
        visitor.trouble = [line for line in visitor.trouble if box.url not in line]
        assert not visitor.trouble
        proven()
    finally:
        visitor.page.goto("about:blank")
        visitor.close()


def signs_up(visitor):
    page = visitor.page
    visitor.go("/")
    page.get_by_role("link", name="Get a key").click()
    page.get_by_label("Email").fill("nora@example.com")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()
    page.get_by_role("heading", name="Check your mailbox").wait_for()
    page.get_by_label("Code").fill(code_from_mail())
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("heading", name="First steps").wait_for()
    return Organization.objects.get(memberships__user__email="nora@example.com")


def makes_the_first_call(visitor, organization):
    page = visitor.page
    page.get_by_role("button", name="Make the key").click()
    secret = page.locator("#secret").inner_text()
    page.get_by_role("button", name="Send a test request").click()
    page.get_by_text("This is the sandbox").wait_for()
    told = page.locator("[data-told]").inner_text()
    page.get_by_text("Your first call arrived.").wait_for()
    page.locator("[data-receipt]").click()
    page.get_by_text("agrees to the last digit").wait_for()
    call = Call.objects.of(organization).get()
    assert page.url.endswith(f"/activity/{call.pk}/")
    assert f"{call.input_tokens} tokens in, {call.output_tokens} out" in told
    assert secret not in page.content()
    return call


def tops_up(visitor, organization, box):
    page = visitor.page
    page.get_by_role("link", name="Credits").click()
    page.get_by_label("25.00 USD").check()
    page.get_by_role("button", name="Go to payment").click()
    page.wait_for_url(f"{box.url}/**")
    page.get_by_role("button", name="Pay", exact=False).first.click()
    page.wait_for_url(re.compile("/credits/top_"))
    assert box.settle()
    outbox.drain()
    page.reload()
    page.get_by_text("The credit is yours to spend").wait_for()
    assert TopUp.objects.of(organization).get().state == "paid"


def is_warned(visitor, organization):
    page = visitor.page
    page.get_by_role("link", name="Alerts").click()
    page.locator("[name=low_balance_nano]").fill("100")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Saved", exact=False).first.wait_for()
    rollups.roll_recent(now=timezone.now())
    assert tasks.look_for_alerts() == 1
    outbox.drain()
    assert "are left" in mail.outbox[-1].body
    page.reload()
    page.get_by_text("are left", exact=False).first.wait_for()


def exports(visitor, organization, call, folder):
    page = visitor.page
    page.get_by_role("link", name="Activity").click()
    page.locator("summary", has_text="Export").click()
    with page.expect_download() as coming:
        page.get_by_role("link", name="CSV").click()
    path = folder / "calls.csv"
    coming.value.save_as(path)
    [row] = csv.DictReader(io.StringIO(Path(path).read_text(encoding="utf-8-sig")))
    assert row["id"] == str(call.pk)
    assert float(row["charged_usd"]) > 0
