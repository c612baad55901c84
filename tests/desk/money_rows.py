"""One of each row of money in a shop, named with its mark."""

from typing import Any

from django.utils import timezone

from accounts import trail
from accounts.models import Organization, Storefront
from billing import adjustments, codes
from billing.models import (
    Adjustment,
    AutoRecharge,
    CodeBatch,
    InboxEvent,
    Mismatch,
    Payment,
    PaymentAccount,
    Reversal,
    TopUp,
    TopUpTerms,
)
from tests import factories


def fill_money(organization: Organization, mark: str) -> None:
    """A payment with a refund, something that does not fit, a correction, codes, terms and an account."""
    shop, now = organization.storefront, timezone.now()
    order, payment = factories.make_payment(organization)
    here: dict[str, Any] = {"method": "operator", "account": "platform"}
    Reversal.objects.create(
        **here,
        kind="dispute",
        outside_id=f"{mark}-inquiry",
        payment_outside_id=payment.outside_id,
        payment=payment,
        currency="usd",
        amount_minor=5,
        state="inquiry",
        created_at=now,
        changed_at=now,
    )
    event = InboxEvent.objects.create(
        **here, outside_id=f"{mark}-event", name=f"{mark}.event", storefront=shop, body=b"{}", received_at=now
    )
    Mismatch.objects.create(
        **here,
        storefront=shop,
        outside_id=f"{mark}-mismatch",
        what="amount",
        sentence=f"{mark} sentence",
        top_up=order,
        event=event,
        created_at=now,
    )
    adjustments.ask(
        organization, amount_nano=5, is_paid=False, reason=f"{mark} correction", source=trail.SYSTEM, now=now
    )
    wish = codes.Batch(name=f"{mark} codes", value_nano=1, count=1)
    codes.make_batch(storefront=shop, wish=wish, source=trail.SYSTEM, now=now)
    AutoRecharge.objects.create(
        organization=organization, threshold_nano=1, amount_minor=500, month_cap_minor=500, changed_at=now,
        paused_because=f"{mark} pause",
    )  # fmt: skip
    TopUpTerms.objects.create(storefront=shop)
    PaymentAccount.objects.create(
        storefront=shop, method="stripe", secret_key="sk_test_x", webhook_secrets="whsec_x", last_four=mark[:4]
    )


def money_rows_of(shop: Storefront) -> dict[str, list[int]]:
    """The primary keys of a shop's rows of money, by model."""
    within = {"organization__storefront": shop}
    tables: dict[str, Any] = {
        "topup": TopUp.unscoped.filter(**within),
        "payment": Payment.unscoped.filter(**within),
        "reversal": Reversal.objects.filter(payment__organization__storefront=shop),
        "adjustment": Adjustment.unscoped.filter(**within),
        "autorecharge": AutoRecharge.unscoped.filter(**within),
        "mismatch": Mismatch.objects.filter(storefront=shop),
        "inboxevent": InboxEvent.objects.filter(storefront=shop),
        "codebatch": CodeBatch.objects.filter(storefront=shop),
        "topupterms": TopUpTerms.objects.filter(storefront=shop),
        "paymentaccount": PaymentAccount.objects.filter(storefront=shop),
    }
    return {name: list(rows.values_list("pk", flat=True)) for name, rows in tables.items()}
