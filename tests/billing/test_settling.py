"""What Stripe says, settled: the cases of real losses, each told once, through the public webhook address."""

import pytest

from billing.models import TopUpTerms
from billing.models.ledger import Kind
from billing.models.payments import Origin
from tests.billing.ledger_stage import Stage
from tests.billing.payment_stage import CENT, Till, configure, nothing_failed, proven

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _shop_with_keys(settings):
    configure(settings)
    yield
    proven()


@pytest.fixture
def till(organization) -> Till:
    return Till(organization)


def test_a_paid_session_is_credited_once_however_often_it_is_told(till) -> None:
    event = till.session()
    till.deliver(event, event, till.session(), till.intent(), till.charge(), event)
    assert till.balances() == (2_000 * CENT, 0, 0)
    assert (till.state(), till.payments()) == ("paid", 1)
    nothing_failed()


# --- Duplicates, order, and news that is not money (F-061, F-064, F-065) ---


def test_an_asynchronous_payment_is_credited_when_the_money_is_there_and_not_before(till) -> None:
    till.deliver(till.session(payment_status="unpaid"))
    assert (till.balances(), till.state()) == ((0, 0, 0), "processing")
    till.deliver(till.session("checkout.session.async_payment_succeeded"))
    assert (till.balances(), till.state()) == ((2_000 * CENT, 0, 0), "paid")


def test_an_asynchronous_payment_that_fails_credits_nothing(till) -> None:
    till.deliver(till.session(payment_status="unpaid"))
    till.deliver(till.session("checkout.session.async_payment_failed", payment_status="unpaid"))
    assert (till.balances(), till.state()) == ((0, 0, 0), "failed")


def test_one_that_failed_and_then_succeeded_is_credited(till) -> None:
    till.deliver(till.session("checkout.session.async_payment_failed", payment_status="unpaid"))
    till.deliver(till.session("checkout.session.async_payment_succeeded"))
    assert (till.balances(), till.state()) == ((2_000 * CENT, 0, 0), "paid")


def test_late_news_of_failure_takes_nothing_back(till) -> None:
    till.deliver(till.session("checkout.session.async_payment_succeeded"))
    till.deliver(till.session("checkout.session.async_payment_failed", payment_status="unpaid"))
    assert (till.balances(), till.state()) == ((2_000 * CENT, 0, 0), "paid")


def test_a_declined_card_does_not_end_a_page_that_is_still_open(till) -> None:
    till.deliver(till.intent("payment_intent.payment_failed"))
    assert till.state() == "open"
    till.deliver(till.session())
    assert till.balances() == (2_000 * CENT, 0, 0)


# --- Late, canceled, second payments (F-074) ---


def test_money_that_comes_after_the_session_expired_is_credited(till) -> None:
    till.deliver(till.session("checkout.session.expired", status="expired", payment_status="unpaid"))
    assert till.state() == "expired"
    till.deliver(till.session())
    assert (till.balances(), till.state()) == ((2_000 * CENT, 0, 0), "paid")


def test_money_that_comes_after_the_customer_gave_up_is_credited(till) -> None:
    from django.utils import timezone

    from accounts import trail
    from billing import topups

    topups.cancel(till.order, source=trail.SYSTEM, now=timezone.now())
    assert till.state() == "canceled"
    till.deliver(till.session())
    assert (till.balances(), till.state()) == ((2_000 * CENT, 0, 0), "paid")
    with pytest.raises(topups.NotOpen):
        topups.cancel(till.order, source=trail.SYSTEM, now=timezone.now())


def test_a_second_payment_of_one_order_is_a_credit_of_its_own(till) -> None:
    till.deliver(till.session())
    till.deliver(till.session(payment_intent="pi_second"))
    assert (till.balances(), till.payments()) == ((4_000 * CENT, 0, 0), 2)


def test_money_for_business_that_is_not_ours_is_none_of_our_business(till) -> None:
    till.deliver(
        till.session(id="cs_elsewhere", client_reference_id=None, metadata={}, payment_intent="pi_elsewhere"),
        till.intent(id="pi_elsewhere", metadata={}),
        till.refund(payment_intent="pi_elsewhere"),
    )
    assert (till.balances(), till.mismatches(), till.state()) == ((0, 0, 0), [], "open")


# --- What does not fit is credited to nobody (F-060, F-066) ---

TAMPERED = {
    "less came": ({"amount_total": 100, "amount_subtotal": 100}, "amount"),
    "the sum is wrong": ({"amount_total": 1_999}, "amount"),
    "more came": ({"amount_total": 200_000, "amount_subtotal": 200_000}, "amount"),
    "a discount nobody offered": (
        {"amount_total": 1_000, "total_details": {"amount_discount": 1_000, "amount_tax": 0}},
        "amount",
    ),
    "a negative discount": (
        {"amount_total": 3_000, "total_details": {"amount_discount": -1_000, "amount_tax": 0}},
        "amount",
    ),
    "a tax nobody asked": (
        {"amount_total": 2_400, "total_details": {"amount_discount": 0, "amount_tax": 400}},
        "amount",
    ),
    "yen for dollars": ({"currency": "jpy"}, "currency"),
    "another mode": ({"livemode": True}, "mode"),
    "another session": ({"id": "cs_other"}, "session"),
    "another order's name": ({"metadata": {"tollgate_order": "top_00000000000000000000"}}, "order"),
    "no number for the payment": ({"payment_intent": None}, "payment"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_tampered_event_credits_nobody_and_waits_for_a_person(till, name, mailoutbox) -> None:
    from tests import factories

    factories.make_staff()
    changes, what = TAMPERED[name]
    till.deliver(till.session(**changes))
    till.deliver(till.session(**changes))
    assert (till.balances(), till.payments(), till.mismatches()) == ((0, 0, 0), 0, [what])
    till.work()
    assert len([mail for mail in mailoutbox if "does not fit" in mail.subject]) == 1


def test_the_metadata_of_another_organization_moves_nothing_there(till, charlie) -> None:
    other = Till(charlie.memberships.get().organization)
    till.deliver(till.session(metadata={"tollgate_order": other.order.public_id}))
    assert (till.balances(), other.balances(), till.mismatches()) == ((0, 0, 0), (0, 0, 0), ["order"])


def test_an_order_begun_another_way_is_not_completed_by_stripe(organization) -> None:
    till = Till(organization, method="telegram")
    till.deliver(till.session(), till.intent(), till.charge())
    assert (till.balances(), set(till.mismatches())) == ((0, 0, 0), {"account"})


def test_a_shops_own_account_cannot_complete_an_order_of_the_platforms(organization, other_shop) -> None:
    from billing.models import PaymentAccount
    from tests.billing import payment_stage

    PaymentAccount.objects.create(
        storefront=other_shop, method="stripe", secret_key="sk_test_theirs", webhook_secrets="whsec_theirs"
    )
    till = Till(organization)
    body = payment_stage.json.dumps(till.session()).encode()
    answer = till.client.post(
        f"/webhooks/stripe/{other_shop.public_id}",
        body,
        content_type="application/json",
        headers={"host": "localhost", "Stripe-Signature": payment_stage.sign(body, secret="whsec_theirs")},
    )
    till.work()
    assert answer.status_code == 200
    assert (till.balances(), till.mismatches()) == ((0, 0, 0), ["account"])


# --- Discounts, tax, currencies (F-067, F-068) ---


@pytest.fixture
def discounting(organization) -> Till:
    return Till(organization, with_promotions=True, with_tax=True)


def details(discount: int, tax: int) -> dict:
    return {"total_details": {"amount_discount": discount, "amount_tax": tax}, "amount_total": 2_000 - discount + tax}


@pytest.mark.parametrize(
    ("discount", "tax", "cash", "promo"),
    [(0, 0, 2_000, 0), (1_000, 0, 1_000, 1_000), (0, 380, 2_000, 0), (500, 285, 1_500, 500)],
)
def test_cash_is_what_came_without_tax_and_the_discount_is_a_gift(discounting, discount, tax, cash, promo) -> None:
    discounting.deliver(discounting.session(**details(discount, tax)))
    assert discounting.balances() == (cash * CENT, promo * CENT, 0)


def test_a_discount_of_everything_is_a_gift_of_everything_once(discounting) -> None:
    event = discounting.session(payment_intent=None, payment_status="no_payment_required", **details(2_000, 0))
    discounting.deliver(event, event)
    assert discounting.balances() == (0, 2_000 * CENT, 0)


def test_a_refund_of_everything_leaves_the_gift_and_takes_the_cash(discounting) -> None:
    discounting.deliver(discounting.session(**details(500, 285)))
    discounting.deliver(discounting.refund(amount=1_785))
    assert discounting.balances() == (0, 500 * CENT, 0)


def test_yen_have_no_cents_and_are_credited_at_the_shops_rate(organization) -> None:
    TopUpTerms.objects.create(
        storefront=organization.storefront, currency="jpy", nano_per_minor=6_700_000, minimum_minor=100
    )
    till = Till(organization, amount_minor=500)
    till.deliver(till.session())
    assert till.balances() == (500 * 6_700_000, 0, 0)


# --- Refunds and disputes (F-087, F-091) ---


@pytest.mark.parametrize("spent", [0, 1_000, 2_000])
def test_a_refund_of_spent_credit_becomes_a_debt_and_blocks(till, spent) -> None:
    from billing.operations import InDebt

    till.deliver(till.session())
    stage = Stage(till.organization)
    if spent:
        hold, _ = stage.reserve(spent * CENT)
        stage.settle(hold, spent * CENT)
    till.deliver(till.refund(), till.refund("refund.updated"), till.charge("charge.refunded", amount_refunded=2_000))
    assert till.balances() == (0, 0, spent * CENT)
    assert till.reversals() == [("done", 2_000 * CENT)]
    if spent:
        assert isinstance(stage.reserve(CENT, epoch=stage.epoch)[1], InDebt)
        second = Till(till.organization, amount_minor=5_000)
        second.deliver(second.session())
        assert second.balances() == ((5_000 - spent) * CENT, 0, 0)


def test_several_partial_refunds_take_exactly_what_went_back(till) -> None:
    till.deliver(till.session())
    for number, amount in enumerate((500, 700, 800), start=1):
        till.deliver(till.refund(number=number, amount=amount))
        till.deliver(till.refund("refund.updated", number=number, amount=amount))
    assert till.balances() == (0, 0, 0)


def test_a_refund_that_fails_gives_the_credit_back(till) -> None:
    till.deliver(till.session())
    till.deliver(till.refund(status="pending"))
    assert till.balances() == (0, 0, 0)
    till.deliver(till.refund("refund.failed", status="failed"))
    assert till.balances() == (2_000 * CENT, 0, 0)
    till.deliver(till.refund("refund.updated", status="succeeded"))  # older news, told late
    assert till.balances() == (2_000 * CENT, 0, 0)


def test_an_inquiry_moves_nothing(till) -> None:
    till.deliver(till.session())
    till.deliver(till.dispute(status="warning_needs_response"))
    till.deliver(till.dispute("charge.dispute.closed", status="warning_closed"))
    assert till.balances() == (2_000 * CENT, 0, 0)


def test_a_dispute_takes_the_credit_and_winning_it_brings_it_back(till) -> None:
    till.deliver(till.session())
    till.deliver(till.dispute())
    assert till.balances() == (0, 0, 0)
    till.deliver(till.dispute("charge.dispute.closed", status="won"))
    till.deliver(till.dispute("charge.dispute.funds_reinstated", status="won"))
    assert till.balances() == (2_000 * CENT, 0, 0)


def test_a_payment_can_be_refunded_after_its_dispute_was_won(till) -> None:
    till.deliver(till.session())
    till.deliver(till.dispute(), till.dispute("charge.dispute.closed", status="won"))
    till.deliver(till.refund())
    assert till.balances() == (0, 0, 0)


def test_a_payment_refunded_and_lost_in_dispute_is_taken_once(till) -> None:
    till.deliver(till.session())
    till.deliver(till.refund(amount=1_500), till.dispute(), till.dispute("charge.dispute.closed", status="lost"))
    assert till.balances() == (0, 0, 0)
    till.deliver(till.refund("refund.failed", amount=1_500, status="failed"))
    assert till.balances() == (0, 0, 0)


def test_a_refund_in_another_currency_waits_for_a_person(till) -> None:
    till.deliver(till.session())
    till.deliver(till.refund(currency="eur"))
    assert (till.balances(), till.mismatches()) == ((2_000 * CENT, 0, 0), ["currency"])


def test_a_refund_that_comes_before_its_payment_waits_for_it(till) -> None:
    till.deliver(till.refund(amount=500), till.session())
    assert till.balances() == (1_500 * CENT, 0, 0)


def test_a_recharge_is_known_by_its_intent_alone(organization) -> None:
    till = Till(organization, origin=Origin.RECHARGE)
    till.deliver(till.intent("payment_intent.processing"))
    assert till.state() == "processing"
    till.deliver(till.charge(), till.intent())
    assert (till.balances(), till.payments(), till.state()) == ((2_000 * CENT, 0, 0), 1, "paid")


def test_promotional_credit_is_not_refundable(discounting) -> None:
    discounting.deliver(discounting.session(**details(1_000, 0)), discounting.refund(amount=1_000))
    assert (discounting.money(), discounting.money(Kind.PROMO)) == (0, 1_000 * CENT)
