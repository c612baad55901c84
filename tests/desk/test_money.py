"""The desk's tables of money: each page opens, stays within its shop, and its deeds go through the rooms."""

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import trail
from accounts.models import AuditEvent
from billing import adjustments, codes
from billing.models import Adjustment, CodeBatch, InboxEvent, Mismatch, Payment, PaymentAccount, Reversal, TopUpTerms
from tests import factories
from tests.billing.payment_stage import Till, configure, proven

pytestmark = pytest.mark.django_db
TABLES = (
    *("topup", "payment", "reversal", "mismatch", "inboxevent", "adjustment", "codebatch", "autorecharge"),
    *("topupterms", "paymentaccount"),
)


class Desk:
    def __init__(self, user):
        self.client = Client()
        self.client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")

    def get(self, name: str, *arguments):
        return self.client.get(reverse(f"admin:billing_{name}", args=arguments), headers={"host": "localhost"})

    def post(self, name: str, /, *arguments, **fields):
        fields.setdefault("reason", "because")
        return self.client.post(reverse(f"admin:billing_{name}", args=arguments), fields, headers={"host": "localhost"})


@pytest.fixture
def desk() -> Desk:
    return Desk(factories.make_staff())


@pytest.fixture
def rows(organization, shop, settings):
    """One of each."""
    configure(settings)
    till = Till(organization)
    till.deliver(till.session(), till.refund(amount=500), till.session(id="cs_other", payment_intent="pi_x"))
    now = timezone.now()
    wish = codes.Batch(name="Launch", value_nano=1, count=3)
    TopUpTerms.objects.create(storefront=shop)
    PaymentAccount.objects.create(
        storefront=factories.make_storefront(host="own.test"), method="stripe", secret_key="sk_test_canary-key",
        webhook_secrets="whsec_canary-secret", last_four="-key",
    )  # fmt: skip
    return {
        "topup": till.order,
        "payment": Payment.unscoped.get(),
        "reversal": Reversal.objects.get(),
        "mismatch": Mismatch.objects.get(),
        "inboxevent": InboxEvent.objects.first(),
        "adjustment": adjustments.ask(
            organization, amount_nano=5, is_paid=False, reason="r", source=trail.SYSTEM, now=now
        ),
        "codebatch": codes.make_batch(storefront=shop, wish=wish, source=trail.SYSTEM, now=now),
        "topupterms": TopUpTerms.objects.get(),
        "paymentaccount": PaymentAccount.objects.get(),
    }


def test_every_table_and_row_opens_and_shows_no_secret(desk, rows) -> None:
    for table in TABLES:
        assert desk.get(f"{table}_changelist").status_code == 200, table
    for table, row in rows.items():
        page = desk.get(f"{table}_change", row.pk)
        assert page.status_code == 200, table
        assert b"canary" not in page.content, table


def test_the_flight_record_tells_the_story_of_a_payment(desk, rows) -> None:
    page = desk.get("topup_change", rows["topup"].pk).content.decode()
    for word in ("checkout.session.completed", "open -&gt; paid", "top_up", "refund"):
        assert word in page, word


def test_staff_of_another_shop_see_none_of_it(rows, other_shop) -> None:
    desk = Desk(factories.make_staff(other_shop))
    for table, row in rows.items():
        if table != "paymentaccount":
            assert desk.get(f"{table}_change", row.pk).status_code == 302, table


def test_a_refund_from_the_desk(desk, rows) -> None:
    answer = desk.post("payment_deed", rows["payment"].pk, "refund")
    assert answer.status_code == 302
    requested = Reversal.objects.get(state="requested")
    assert (requested.amount_minor, requested.reason) == (1_500, "because")
    proven()


def test_a_mismatch_is_replayed_and_closed(desk, rows) -> None:
    mismatch = rows["mismatch"]
    assert desk.post("mismatch_deed", mismatch.pk, "replay").status_code == 302
    mismatch.refresh_from_db()
    assert mismatch.resolved_at is None  # it still does not fit
    assert desk.post("mismatch_deed", mismatch.pk, "resolve").status_code == 302
    mismatch.refresh_from_db()
    assert mismatch.resolution == "because"


def test_a_correction_above_the_limit_takes_two(desk, organization, settings) -> None:
    settings.CREDIT_LIMIT_ALONE_NANO = 1_000_000_000
    made = desk.post("adjustment_add", organization=organization.pk, amount_usd="5.00")
    row = Adjustment.unscoped.get()
    assert (made.status_code, row.posted_at) == (302, None)
    assert b"other than" in desk.post("adjustment_deed", row.pk, "approve").content
    assert Desk(factories.make_staff()).post("adjustment_deed", row.pk, "approve").status_code == 302
    row.refresh_from_db()
    assert row.posted_at is not None


def test_a_batch_is_made_and_taken_away_as_a_file(desk, shop) -> None:
    fields = {"storefront": shop.pk, "name": "Spring", "value_usd": "2.50", "count": 4, "uses_per_code": 1}
    assert desk.post("codebatch_add", **fields).status_code == 302
    batch = CodeBatch.objects.get()
    assert (batch.value_nano, batch.codes.count()) == (2_500_000_000, 4)
    answer = desk.post("codebatch_deed", batch.pk, "export")
    assert answer["Content-Type"].startswith("text/csv")
    assert len(b"".join(answer.streaming_content).splitlines()) == 5


def test_keys_of_a_shop_go_in_sealed(desk, shop) -> None:
    fields = {"storefront": shop.pk, "new_key": "sk_test_1234567890", "new_webhook_secret": "whsec_1234567890"}
    assert desk.post("paymentaccount_add", **fields).status_code == 302
    row = PaymentAccount.objects.get()
    assert (row.secret_key, row.last_four) == ("sk_test_1234567890", "7890")
    assert b"sk_test_1234567890" not in desk.get("paymentaccount_change", row.pk).content


def test_terms_are_changed_through_the_room(desk, shop) -> None:
    fields = {"currency": "jpy", "nano_per_minor": 6_700_000, "presets_minor": "[500]", "minimum_minor": 100}
    fields |= {"maximum_minor": 100_000, "storefront": shop.pk}
    assert desk.post("topupterms_add", **fields).status_code == 302
    assert TopUpTerms.objects.get().currency == "jpy"


TOLD_ABOVE = {
    *(("payment", "refund"), ("mismatch", "replay"), ("mismatch", "resolve"), ("adjustment", "approve")),
    ("codebatch", "export"),
}
THE_OTHERS = {
    *(("topup", "look"), ("inboxevent", "replay"), ("adjustment", "decline"), ("codebatch", "revoke")),
    ("paymentaccount", "close"),
}


def test_every_deed_with_money_has_its_story() -> None:
    tables = {model: table for model, table in admin.site._registry.items() if model._meta.app_label == "billing"}
    deeds = {(model._meta.model_name, deed.slug) for model, table in tables.items() for deed in table.deeds}
    assert deeds == TOLD_ABOVE | THE_OTHERS


@pytest.mark.parametrize(("table", "slug"), sorted(THE_OTHERS))
def test_a_deed_is_done_with_a_reason_alone_and_leaves_an_event(
    desk, rows, organization, settings, table, slug
) -> None:
    row = rows.get(table)
    if table == "adjustment":
        settings.CREDIT_LIMIT_ALONE_NANO = 1
        row = adjustments.ask(
            organization, amount_nano=5, is_paid=False, reason="r", source=trail.SYSTEM, now=timezone.now()
        )
    before = AuditEvent.objects.count()
    assert desk.post(f"{table}_deed", row.pk, slug, reason="").status_code == 200
    assert AuditEvent.objects.count() == before
    assert desk.post(f"{table}_deed", row.pk, slug).status_code == 302
    assert AuditEvent.objects.filter(reason="because").count() == 1
