"""Money over the API: what each role and key may ask, and what the answers say."""

import uuid

import pytest
from django.test import Client
from django.utils import timezone

from accounts import trail
from accounts.models.keys import KeyKind
from billing import codes, wallets
from billing.models import Payment, TopUp
from billing.models.ledger import Kind
from sandbox.stripe.running import running_stripe
from tests import factories
from tests.billing.payment_stage import Till, configure, proven

pytestmark = pytest.mark.django_db
SCOPES = ["billing:read", "billing:write"]


class Api:
    """A management key of the organization."""

    def __init__(self, organization, scopes=SCOPES):
        _, secret = factories.make_key(organization, kind=KeyKind.MANAGEMENT, scopes=scopes)
        self.base = f"/api/v1/organizations/{organization.public_id}"
        self.headers = {"host": "localhost", "authorization": f"Bearer {secret}"}
        self.client = Client(raise_request_exception=True)

    def get(self, path: str):
        return self.client.get(self.base + path, headers=self.headers)

    def send(self, method: str, path: str, body=None):
        return self.client.generic(
            method, self.base + path, __import__("json").dumps(body or {}), "application/json", headers=self.headers
        )


@pytest.fixture
def api(organization) -> Api:
    return Api(organization)


def test_the_balance_names_cash_gifts_and_debt(api, organization) -> None:
    wallets.credit(organization, 5_000_000_000, "gift", trail.SYSTEM)
    wallets.credit(organization, 2_500_000_000, "bank", trail.SYSTEM, kind=Kind.PAID)
    shown = api.get("/balance").json()
    assert (shown["available_usd"], shown["paid_usd"], shown["debt_usd"]) == ("7.50", "2.50", "0.00")
    assert [(grant["kind"], grant["unit"], grant["available"]) for grant in shown["grants"]] == [
        ("promo", "usd", "5.00")
    ]
    moved = api.get("/movements").json()["results"]
    assert [(row["what"], row["amount"]) for row in moved] == [
        ("Credit from the shop", "2.50"),
        ("Credit from the shop", "5.00"),
    ]


def test_a_debt_is_shown_and_the_balance_is_never_below_zero(api, organization, settings) -> None:
    from tests.billing.ledger_stage import Stage
    from tests.billing.payment_stage import CENT

    configure(settings)
    till = Till(organization)
    till.deliver(till.session())
    stage = Stage(organization)
    hold, _ = stage.reserve(1_500 * CENT)
    stage.settle(hold, 1_500 * CENT)
    till.deliver(till.dispute())
    shown = api.get("/balance").json()
    assert (shown["available_usd"], shown["debt_usd"]) == ("0.00", "15.00")
    proven()


def test_a_top_up_from_the_api_to_its_receipt(api, organization, settings) -> None:
    with running_stripe(key=f"sk_test_{uuid.uuid4().hex}") as box:
        configure(settings, key=box.key, base=box.url)
        asked = {"amount": "20.00", "attempt_key": "attempt-1"}
        made = api.send("POST", "/top-ups", asked)
        assert made.status_code == 201, made.content
        again = api.send("POST", "/top-ups", asked)
        assert again.json()["id"] == made.json()["id"]
        other = api.send("POST", "/top-ups", asked | {"amount": "21.00"})
        assert (other.status_code, other.json()["error"]["code"]) == (409, "attempt_key_reused")
        order = TopUp.objects.of(organization).get()
        box.pay(order.session_id)
        from billing import topups

        topups.look(order, now=timezone.now())
        shown = api.get(f"/top-ups/{order.public_id}").json()
        assert (shown["state"], shown["amount"], shown["url"]) == ("paid", "20.00", "")
        receipt = api.get(f"/receipts/{shown['payments'][0]}").json()
        assert (receipt["total"], receipt["credit_usd"], receipt["play_money"]) == ("20.00", "20.00", True)
        assert api.send("POST", f"/top-ups/{order.public_id}/cancel").status_code == 409
        assert len(api.get("/top-ups").json()["results"]) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"amount": "4.99", "attempt_key": "attempt-1"}, 400),
        ({"amount": 20, "attempt_key": "attempt-1"}, 400),
        ({"amount": "20.001", "attempt_key": "attempt-1"}, 400),
        ({"amount": "-20", "attempt_key": "attempt-1"}, 400),
        ({"amount": "20", "attempt_key": "short"}, 400),
        ({"amount": "20", "attempt_key": "attempt-1", "credit": "1000"}, 400),
        ({"amount": "20"}, 400),
    ],
)
def test_a_senseless_top_up_is_refused(api, settings, body, status) -> None:
    configure(settings)
    assert api.send("POST", "/top-ups", body).status_code == status
    assert TopUp.unscoped.count() == 0


def test_a_shop_without_payments_says_so(api) -> None:
    answer = api.send("POST", "/top-ups", {"amount": "20.00", "attempt_key": "attempt-1"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "payments_not_configured")


def test_a_code_over_the_api(api, organization, shop) -> None:
    wish = codes.Batch(name="b", value_nano=5_000_000_000, count=1)
    batch = codes.make_batch(storefront=shop, wish=wish, source=trail.SYSTEM, now=timezone.now())
    code = codes.written(batch.codes.get().code)
    made = api.send("POST", "/codes/redeem", {"code": code})
    assert (made.status_code, made.json()["credit_usd"]) == (201, "5.00")
    assert api.send("POST", "/codes/redeem", {"code": code}).status_code == 409
    assert api.send("POST", "/codes/redeem", {"code": "XXXX-XXXX-XXXX-XXXX"}).status_code == 404


def test_the_standing_order_needs_a_card(api, settings) -> None:
    configure(settings)
    assert api.get("/auto-recharge").status_code == 404
    wish = {"is_on": True, "threshold_usd": "5.00", "amount": "10.00", "month_cap": "50.00"}
    answer = api.send("PUT", "/auto-recharge", wish)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "no_saved_card")
    off = api.send("PUT", "/auto-recharge", wish | {"is_on": False})
    assert (off.status_code, off.json()["amount"], off.json()["card"]) == (200, "10.00", None)
    assert api.get("/cards").json()["results"] == []


def test_a_key_without_the_scope_and_a_stranger_see_nothing(organization, charlie) -> None:
    reader = Api(organization, scopes=["billing:read"])
    assert reader.get("/balance").status_code == 200
    assert reader.send("POST", "/codes/redeem", {"code": "x"}).status_code == 403
    assert Api(organization, scopes=["keys:read"]).get("/balance").status_code == 403
    stranger = Api(charlie.memberships.get().organization)
    stranger.base = reader.base
    assert stranger.get("/balance").status_code == 404


def test_the_receipt_is_a_pdf_for_its_own_organization_alone(organization, alice, charlie) -> None:
    _, payment = factories.make_payment(organization)
    path = f"/app/{organization.slug}/credits/receipts/{payment.public_id}.pdf"
    client = Client()
    client.force_login(alice, backend="allauth.account.auth_backends.AuthenticationBackend")
    answer = client.get(path, headers={"host": "localhost"})
    assert (answer.status_code, answer["Content-Type"], answer.content[:5]) == (200, "application/pdf", b"%PDF-")
    client.force_login(charlie, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert client.get(path, headers={"host": "localhost"}).status_code == 404


def test_coming_back_credits_nothing_and_asks_only_for_ones_own(organization, alice, charlie, settings) -> None:
    with running_stripe(key=f"sk_test_{uuid.uuid4().hex}") as box:
        configure(settings, key=box.key, base=box.url)
        client = Client()
        client.force_login(alice, backend="allauth.account.auth_backends.AuthenticationBackend")
        page = client.get(f"/app/{organization.slug}/credits/", headers={"host": "localhost"})
        assert page.status_code == 200
        key = page.context["form"].initial["attempt_key"]
        buying = f"/app/{organization.slug}/credits/buy/"
        sent = client.post(buying, {"amount": "20", "attempt_key": key}, headers={"host": "localhost"})
        order = TopUp.objects.of(organization).get()
        assert (sent.status_code, sent["Location"]) == (302, order.url)
        back = f"/app/{organization.slug}/credits/{order.public_id}/?from=provider"
        assert b"Waiting for you" in client.get(back, headers={"host": "localhost"}).content
        assert Payment.unscoped.count() == 0
        TopUp.unscoped.update(looked_at=None)
        box.pay(order.session_id)
        assert b"Paid." in client.get(back, headers={"host": "localhost"}).content
        client.get(back, headers={"host": "localhost"})
        assert Payment.unscoped.count() == 1
        elsewhere = charlie.memberships.get().organization
        client.force_login(charlie, backend="allauth.account.auth_backends.AuthenticationBackend")
        for slug in (organization.slug, elsewhere.slug):
            swapped = f"/app/{slug}/credits/{order.public_id}/?from=provider"
            assert client.get(swapped, headers={"host": "localhost"}).status_code == 404
        proven()
