"""The real Stripe client against the payment sandbox over HTTP: what we ask, what we make of the answers."""

import threading
import uuid
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from accounts import trail
from billing import recharging, reconciler, refunds, statements, topups
from billing.models import AutoRecharge, Payment, PaymentEvent, Reversal, SavedCard, TopUp, TopUpTerms
from billing.models.ledger import Kind
from billing.models.payments import State
from billing.operations import Insufficient
from billing.payments import registry
from billing.payments.driver import Declined, NotConfigured, Unreachable
from plumbing import outbox
from plumbing.models import OutboxMessage
from sandbox.stripe.running import Box, running_stripe
from tests import factories
from tests.billing.ledger_stage import Stage
from tests.billing.payment_stage import CENT, SECRET, configure, proven

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def running() -> Box:
    with running_stripe(key=f"sk_test_{uuid.uuid4().hex}") as box:
        yield box


@pytest.fixture
def box(running, settings) -> Box:
    running.reset()
    running.clear()
    configure(settings, key=running.key, base=running.url)
    yield running
    proven()


class Shopper:
    """Somebody with an organization, at a shop whose payments are the sandbox's."""

    def __init__(self, organization, box: Box) -> None:
        self.organization, self.box = organization, box

    def start(self, amount: int = 2_000, key: str = "", *, save: bool = False) -> TopUp:
        return topups.start(
            organization=self.organization,
            user=None,
            wish=topups.Wish(amount, key or uuid.uuid4().hex, save),
            source=trail.SYSTEM,
            now=timezone.now(),
        )

    def look(self, order: TopUp) -> str:
        TopUp.unscoped.filter(pk=order.pk).update(looked_at=None)
        order.refresh_from_db()
        topups.look(order, now=timezone.now())
        order.refresh_from_db()
        return str(order.state)

    def buy(self, amount: int = 2_000, *, save: bool = False, **how) -> Payment:
        order = self.start(amount, save=save)
        self.box.pay(order.session_id, save=save, **how)
        assert self.look(order) == State.PAID
        self.work()
        return Payment.objects.of(self.organization).get(top_up=order)

    @staticmethod
    def work() -> None:
        for _ in range(3):  # a message may cause another
            OutboxMessage.objects.filter(done_at=None, parked_at=None).update(due_at=timezone.now())
            outbox.drain(limit=500)

    def money(self, kind: Kind = Kind.PAID) -> int:
        found = statements.balance(self.organization, now=timezone.now())
        return found.debt_nano if kind == Kind.DEBT else found.paid_nano


@pytest.fixture
def shopper(organization, box) -> Shopper:
    return Shopper(organization, box)


# --- A top-up ---------------------------------------------------------------------------------------------------------


def test_a_top_up_from_the_wish_to_the_credit(shopper) -> None:
    order = shopper.start()
    assert order.url.startswith("http")
    assert shopper.look(order) == State.OPEN
    assert shopper.money() == 0
    shopper.box.pay(order.session_id)
    assert shopper.look(order) == State.PAID
    assert shopper.money() == 2_000 * CENT
    kinds = set(PaymentEvent.objects.filter(top_up=order).values_list("kind", flat=True))
    assert {"request", "check", "state", "transfer"} <= kinds


def test_the_same_attempt_key_is_the_same_session(shopper) -> None:
    first, second = shopper.start(key="attempt"), shopper.start(key="attempt")
    assert (first.pk, first.session_id) == (second.pk, second.session_id)
    with pytest.raises(topups.OtherWishes):
        shopper.start(3_000, key="attempt")


@pytest.mark.parametrize("amount", [0, -5, 499, 200_001, 10**18])
def test_amounts_out_of_bounds_are_refused_before_anybody_is_asked(shopper, amount) -> None:
    with pytest.raises(topups.OutOfBounds):
        shopper.start(amount)
    assert TopUp.objects.of(shopper.organization).count() == 0


def test_a_declined_card_credits_nothing_and_a_second_one_does(shopper) -> None:
    order = shopper.start()
    with pytest.raises(Exception, match="declined"):
        shopper.box.pay(order.session_id, card="declined")
    assert shopper.look(order) == State.OPEN
    shopper.box.pay(order.session_id)
    assert shopper.look(order) == State.PAID


def test_a_session_that_runs_out_of_time_is_over(shopper) -> None:
    order = shopper.start()
    shopper.box.expire(order.session_id)
    assert shopper.look(order) == State.EXPIRED
    assert shopper.money() == 0


def test_a_lost_answer_leaves_one_session(shopper) -> None:
    shopper.box.fault("cut", times=1, method="POST", path="/v1/checkout/sessions")
    with pytest.raises(Unreachable):
        shopper.start(key="once")
    order, again = shopper.start(key="once"), shopper.start(key="once")
    assert order.session_id == again.session_id
    made = [event for event in shopper.box.events() if event["type"] == "customer.created"]
    assert len(made) <= 1


def test_a_provider_that_is_down_is_said_so_and_the_next_attempt_goes_on(shopper) -> None:
    """Stripe keeps a 500 under its idempotency key for a day: the same attempt hears it again, a fresh one does not."""
    shopper.box.fault("500", times=1, method="POST", path="/v1/checkout/sessions")
    for _ in range(2):
        with pytest.raises(Unreachable):
            shopper.start(key="attempt")
    assert shopper.start(key="another").url


def test_a_key_that_stripe_does_not_know_is_a_shop_without_payments(organization, box, settings) -> None:
    settings.STRIPE_SECRET_KEY = "sk_test_of_nobody"
    with pytest.raises(NotConfigured):
        Shopper(organization, box).start()


def test_play_money_is_refused_while_real_calls_cost_money(shopper, monkeypatch) -> None:
    monkeypatch.setattr(registry, "_spends_real_money", [lambda: True])
    with pytest.raises(NotConfigured, match="sandbox is closed"):
        shopper.start()


def test_play_money_is_refused_in_production(shopper, settings) -> None:
    settings.PRODUCTION = True
    with pytest.raises(NotConfigured, match="refused in production"):
        shopper.start()


def test_tax_is_paid_and_not_credited(shopper) -> None:
    TopUpTerms.objects.create(storefront=shopper.organization.storefront, collect_tax=True)
    payment = shopper.buy(country="DE")
    assert payment.tax_minor > 0
    assert payment.total_minor == 2_000 + payment.tax_minor
    assert shopper.money() == 2_000 * CENT


def test_yen_from_end_to_end(shopper) -> None:
    TopUpTerms.objects.create(
        storefront=shopper.organization.storefront, currency="jpy", nano_per_minor=6_700_000, minimum_minor=100
    )
    payment = shopper.buy(500)
    assert (payment.currency, payment.total_minor) == ("jpy", 500)
    assert shopper.money() == 500 * 6_700_000


# --- What webhooks missed ---------------------------------------------------------------------------------------------


def test_the_reconciler_finds_a_payment_nobody_told_of(shopper) -> None:
    order = shopper.start()
    shopper.box.pay(order.session_id)
    found = reconciler.run(now=timezone.now())
    shopper.work()
    assert shopper.money() == 2_000 * CENT
    assert found.failed == 0
    again = reconciler.run(now=timezone.now())
    assert (again.missed, again.failed) == (0, 0)


def test_the_reconciler_finds_a_refund_made_at_the_provider(shopper) -> None:
    payment = shopper.buy()
    account = registry.account_for(shopper.organization.storefront)
    from billing.payments.driver import RefundOrder

    registry.driver("stripe").refund(account, RefundOrder("rev_elsewhere", payment.outside_id, 500, ""))
    assert reconciler.run(now=timezone.now()).missed == 1
    assert shopper.money() == 1_500 * CENT


# --- Refunds and disputes ---------------------------------------------------------------------------------------------


def refund(payment: Payment, amount: int) -> Reversal:
    return refunds.ask(payment, amount_minor=amount, source=trail.SYSTEM, reason="asked nicely", now=timezone.now())


def test_an_operator_refunds_a_part_and_then_the_rest(shopper) -> None:
    payment = shopper.buy()
    refund(payment, 500)
    assert shopper.money() == 1_500 * CENT  # at once: it cannot be spent meanwhile
    with pytest.raises(refunds.CannotRefund, match="on its way"):
        refund(payment, 500)
    shopper.work()
    refund(payment, 1_500)
    shopper.work()
    assert shopper.money() == 0
    assert list(Reversal.objects.values_list("state", flat=True)) == ["done", "done"]
    with pytest.raises(refunds.CannotRefund):
        refund(payment, 1)


def test_no_more_than_what_is_unspent_goes_back(shopper) -> None:
    payment = shopper.buy()
    stage = Stage(shopper.organization)
    hold, _ = stage.reserve(1_200 * CENT)
    stage.settle(hold, 1_200 * CENT)
    with pytest.raises(refunds.CannotRefund, match="At most 800"):
        refund(payment, 801)
    refund(payment, 800)
    shopper.work()
    assert (shopper.money(), shopper.money(Kind.DEBT)) == (0, 0)


def test_a_worker_that_dies_after_the_provider_said_yes_refunds_once(shopper) -> None:
    payment = shopper.buy()
    row = refund(payment, 500)
    shopper.box.fault("500_after", times=1, method="POST", path="/v1/refunds")
    first = outbox.Message(refunds.TOPIC, row.public_id, {}, None, 1, timezone.now())
    with pytest.raises(Unreachable):
        refunds.perform(first)
    shopper.work()  # the second try looks first
    row.refresh_from_db()
    assert (row.state, shopper.money(), Reversal.objects.count()) == ("done", 1_500 * CENT, 1)


def test_a_refund_the_provider_refuses_gives_the_credit_back(shopper) -> None:
    payment = shopper.buy()
    account = registry.account_for(shopper.organization.storefront)
    row = refund(payment, 2_000)
    from billing.payments.driver import RefundOrder

    registry.driver("stripe").refund(account, RefundOrder("rev_elsewhere", payment.outside_id, 2_000, ""))
    shopper.work()
    row.refresh_from_db()
    assert (row.state, shopper.money()) == ("failed", 2_000 * CENT)


def test_a_dispute_of_spent_credit_is_a_debt_until_it_is_won(shopper) -> None:
    payment = shopper.buy()
    stage = Stage(shopper.organization)
    hold, _ = stage.reserve(500 * CENT)
    stage.settle(hold, 500 * CENT)
    opened = shopper.box.dispute(payment_intent=payment.outside_id)
    reconciler.run(now=timezone.now())
    assert (shopper.money(), shopper.money(Kind.DEBT)) == (0, 500 * CENT)
    shopper.box.decide(opened["id"], won=True)
    reconciler.run(now=timezone.now())
    assert (shopper.money(), shopper.money(Kind.DEBT)) == (1_500 * CENT, 0)


# --- Auto-recharge ----------------------------------------------------------------------------------------------------


@pytest.fixture
def recharging_shopper(shopper) -> Shopper:
    shopper.buy(save=True)
    return shopper


def standing_order(shopper: Shopper, **changes) -> AutoRecharge:
    card = SavedCard.objects.of(shopper.organization).order_by("-id").first()
    wanted = {"threshold_nano": 3_000 * CENT, "amount_minor": 1_000, "month_cap_minor": 2_500, "card": card} | changes
    return recharging.configure(shopper.organization, is_on=True, source=trail.SYSTEM, now=timezone.now(), **wanted)


def test_running_low_buys_the_next_credit_up_to_the_months_cap(recharging_shopper, mailoutbox) -> None:
    shopper = recharging_shopper
    standing_order(shopper)
    assert recharging.sweep(now=timezone.now()) == 1
    assert recharging.sweep(now=timezone.now()) == 0  # one is under way
    shopper.work()
    assert shopper.money() == 3_000 * CENT
    stage = Stage(shopper.organization)
    hold, _ = stage.reserve(1_500 * CENT)
    stage.settle(hold, 1_500 * CENT)
    recharging.sweep(now=timezone.now())
    shopper.work()
    assert shopper.money() == 2_500 * CENT
    assert recharging.sweep(now=timezone.now()) == 0  # the cap of 25.00 has no room for a third
    shopper.work()
    assert recharging.sweep(now=timezone.now()) == 0
    assert len([mail for mail in mailoutbox if "recharge" in mail.subject]) == 1
    next_month = (timezone.now().replace(day=1) + timedelta(days=32)).replace(day=1)
    assert recharging.sweep(now=next_month) == 1
    shopper.work()


def pay_and_confirm(shopper: Shopper) -> None:
    order = shopper.start(save=True)
    shopper.box.pay(order.session_id, card="authenticationRequired", save=True)
    shopper.look(order)
    shopper.box.authenticate(order.payment_id)
    assert shopper.look(order) == State.PAID
    shopper.work()


@pytest.mark.parametrize("card", ["declined", "wants to see its holder"])
def test_a_card_that_will_not_pauses_the_recharge_and_the_customer_hears(shopper, card, mailoutbox) -> None:
    if card == "declined":
        shopper.buy(save=True)
        shopper.box.fault("402", times=1, method="POST", path="/v1/payment_intents")
    else:
        pay_and_confirm(shopper)
    standing_order(shopper)
    recharging.sweep(now=timezone.now())
    shopper.work()
    wish = AutoRecharge.objects.of(shopper.organization).get()
    assert wish.paused_at is not None
    assert shopper.money() == 2_000 * CENT
    assert TopUp.objects.of(shopper.organization).get(origin="recharge").state == State.FAILED
    assert recharging.sweep(now=timezone.now()) == 0
    shopper.work()
    assert len([mail for mail in mailoutbox if "recharge" in mail.subject]) == 1


def test_a_recharge_whose_answer_was_lost_is_charged_once(recharging_shopper) -> None:
    shopper = recharging_shopper
    standing_order(shopper)
    shopper.box.fault("500_after", times=1, method="POST", path="/v1/payment_intents")
    recharging.sweep(now=timezone.now())
    shopper.work()
    reconciler.run(now=timezone.now())
    shopper.work()
    assert shopper.money() == 3_000 * CENT


def test_without_a_card_there_is_no_standing_order(shopper) -> None:
    with pytest.raises(recharging.NoCard):
        standing_order(shopper)


def test_a_cap_below_one_recharge_is_refused(recharging_shopper) -> None:
    with pytest.raises(recharging.CapTooLow):
        standing_order(recharging_shopper, month_cap_minor=999)


def test_the_portal_is_the_providers_page(recharging_shopper) -> None:
    assert topups.portal(recharging_shopper.organization, return_url="http://localhost/app/").startswith("http")


# --- Twenty at once, and webhooks from end to end ---------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_twenty_submits_with_one_key_ask_the_provider_once(organization, box) -> None:
    shopper = Shopper(organization, box)
    sessions: list[str | None] = []

    def submit() -> None:
        try:
            sessions.append(shopper.start(key="double-click").session_id)
        finally:
            connections.close_all()

    crowd = [threading.Thread(target=submit) for _ in range(20)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert len(sessions) == 20
    assert len(set(sessions)) == 1
    assert TopUp.objects.of(organization).count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_sandboxs_own_webhooks_credit_through_the_real_address(live_server, settings) -> None:
    with running_stripe(key="sk_test_webhooks", webhook_secret=SECRET) as box:
        configure(settings, key=box.key, base=box.url)
        shop = factories.make_storefront(is_default=True)
        organization = factories.make_organization(storefront=shop)
        from stripe import StripeClient

        client = StripeClient(box.key, base_addresses={"api": box.url})
        made = client.v1.webhook_endpoints.create(
            {"url": f"{live_server.url}/webhooks/stripe/{shop.public_id}", "enabled_events": ["*"]}
        )
        settings.STRIPE_WEBHOOK_SECRET = made.secret or SECRET
        shopper = Shopper(organization, box)
        order = shopper.start()
        box.pay(order.session_id)
        assert box.settle()
        shopper.work()
        order.refresh_from_db()
        assert order.state == State.PAID
        assert shopper.money() == 2_000 * CENT
        assert Payment.objects.of(organization).count() == 1
        proven()


__all__ = ["Declined", "Insufficient"]
