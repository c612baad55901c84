"""An organization that has lived: gifts, tokens, payments in every state, a refund, a dispute, a paused recharge."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts import trail
from billing import details, refunds
from billing.models import AutoRecharge, Payment, PaymentCustomer, Reversal, SavedCard, TopUp
from billing.models.ledger import House, Kind
from billing.models.payments import ReversalState, State, Taken
from billing.operations import Settle
from billing.units import ANY_MODEL
from plumbing.identifiers import new_id
from tests import factories
from tests.billing.ledger_stage import Stage

DOLLAR = 1_000_000_000
MODELS = ("gpt-4o", "claude-sonnet-4-5", "gemini-2.5-pro", "a-model-with-quite-a-long-name-preview-2026-11")


def furnish(organization: Any) -> dict[str, Any]:
    """Give it a past."""
    now = timezone.now()
    stage = Stage(organization)
    stage.now = now - timedelta(days=70)
    _gifts(stage, now)
    for days in (70, 65, 40, 38, 20, 9, 2, 1):
        stage.now = now - timedelta(days=days)
        _calls(stage, days)
    top_up, payment = factories.make_payment(organization, amount_minor=10_000)
    _other_top_ups(top_up, now)
    _taken_back(payment, now)
    _standing_order(organization, now)
    wanted = {
        "name": "Acme Robotics GmbH",
        "address": "Lange Straße 12\n10115 Berlin\nGermany",
        "tax_id": "DE123456789",
    }
    details.save(organization, source=trail.SYSTEM, now=now, **wanted)
    stage.now = now
    stage.reserve(int(0.42 * DOLLAR))  # a call is under way
    return {"stage": stage, "top_up": top_up, "payment": payment}


def _gifts(stage: Stage, now: Any) -> None:
    stage.top_up(25 * DOLLAR)
    ends = now + timedelta(days=9)
    promotion = {"kind": Kind.PROMO, "source": House.PROMOTIONS}
    stage.top_up(5 * DOLLAR, code="promotion", label="Launch week", expires_at=ends, **promotion)
    stage.top_up(2 * DOLLAR, code="code_redeemed", label="Code from spring fair", **promotion)
    tokens = {"kind": Kind.TRIAL, "unit": ANY_MODEL, "value_nano": 0, "source": House.PROMOTIONS, "code": "trial"}
    stage.top_up(100_000, label="Trial", expires_at=now + timedelta(days=20), **tokens)


def _calls(stage: Stage, seed: int) -> None:
    for place, model in enumerate(MODELS):
        amount = 13_125_077 * (place + 1) + seed * 1_009
        hold, _ = stage.reserve(amount)
        factories.make_call(
            stage.organization, id=hold, model_served=model, model_asked=model, created_at=stage.now, ended_at=stage.now
        )
        stage.one(Settle(hold, stage.organization.pk, amount, exact=True))


def _other_top_ups(paid: TopUp, now: Any) -> None:
    for place, (state, failure) in enumerate(
        (
            (State.OPEN, ""),
            (State.PROCESSING, ""),
            (State.CANCELED, ""),
            (State.EXPIRED, ""),
            (State.FAILED, "The bank said: insufficient funds."),
        )
    ):
        TopUp.objects.of(paid.organization).create(
            organization=paid.organization,
            method=paid.method,
            account=paid.account,
            origin="checkout",
            state=state,
            failure=failure,
            attempt_key=new_id("try"),
            currency="usd",
            amount_minor=2_500,
            nano_per_minor=paid.nano_per_minor,
            livemode=False,
            url="https://pay.example.com/open" if state == State.OPEN else "",
            started_by=paid.organization.memberships.get(role="owner").user,
            created_at=now - timedelta(days=3, hours=place),
        )


def _taken_back(payment: Payment, now: Any) -> None:
    refunds.ask(payment, amount_minor=1_500, source=trail.SYSTEM, reason="asked by mail", now=now)
    Reversal.objects.create(
        method=payment.method,
        account=payment.account,
        kind=Taken.DISPUTE,
        payment_outside_id=payment.outside_id,
        outside_id=new_id("dp"),
        payment=payment,
        currency="usd",
        amount_minor=2_000,
        state=ReversalState.INQUIRY,
        created_at=now,
        changed_at=now,
    )


def _standing_order(organization: Any, now: Any) -> None:
    customer = PaymentCustomer.objects.of(organization).create(
        organization=organization, method="stripe", account="platform", outside_id=new_id("cus")
    )
    card = SavedCard.objects.of(organization).create(
        organization=organization,
        customer=customer,
        outside_id=new_id("pm"),
        brand="visa",
        last_four="4242",
        expires="12/2028",
        seen_at=now,
    )
    AutoRecharge.objects.of(organization).create(
        organization=organization,
        is_on=True,
        threshold_nano=5 * DOLLAR,
        amount_minor=2_500,
        month_cap_minor=10_000,
        card=card,
        paused_at=now - timedelta(hours=5),
        paused_because="The bank wants to see the card's holder.",
        changed_at=now,
    )
